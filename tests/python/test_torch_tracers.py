"""Norms for PyTorch where a tensor is not its memory: tracers, modes, wrappers, implied signs."""

import copy
import io

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tests/run torch does it)")

from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

import normlab.torch as nlt  # noqa: E402

each_backend = pytest.mark.parametrize("backend", [None, "torch", "normlab"])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@each_backend
@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_a_traced_graph_reads_its_input(backend: str | None, mode: str) -> None:
    module = nlt.Norm("adanorm", 8, backend=backend)
    graph = make_fx(module, tracing_mode=mode)(torch.randn(3, 8))
    x = torch.randn(3, 8)  # another one than that of the trace
    torch.testing.assert_close(graph(x), module(x))


@each_backend
@pytest.mark.parametrize("variant", ["adanorm", "detachnorm", "topk", "layernorm"])
def test_torch_jit_traces_with_gradients_on(backend: str | None, variant: str) -> None:
    module, held = nlt.Norm(variant, 8, backend=backend), io.BytesIO()
    torch.jit.save(torch.jit.trace(module, torch.randn(3, 8)), held)
    held.seek(0)
    x = torch.randn(5, 8)
    torch.testing.assert_close(torch.jit.load(held)(x), module(x))


@each_backend
def test_fake_tensors_have_no_memory_to_read(backend: str | None) -> None:
    module = nlt.Norm("adanorm", 8, backend=backend)
    with FakeTensorMode() as mode:
        inside = module(mode.from_tensor(torch.randn(3, 8)))
    outside = module(mode.from_tensor(torch.randn(3, 8)))
    assert inside.shape == outside.shape == (3, 8)


@each_backend
@pytest.mark.parametrize("variant", ["adanorm", "batchnorm", "groupnorm", "instancenorm"])
def test_any_batch_compiles_and_exports_once(backend: str | None, variant: str) -> None:
    by_channel = variant != "adanorm"
    module = nlt.Norm(variant, 4 if by_channel else 6, backend=backend)
    other = copy.deepcopy(module)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, fullgraph=True, backend=counter)
    for batch in (3, 5, 7, 9):
        x = torch.randn((batch, 4, 5, 3) if by_channel else (batch, 2, 6))
        torch.testing.assert_close(compiled(x), other(x))
    assert counter.frame_count <= 2  # the second one is for any batch
    torch._dynamo.reset()
    batch = torch.export.Dim.DYNAMIC
    exported = torch.export.export(module.eval(), (x,), dynamic_shapes={"x": {0: batch}}).module()
    torch.testing.assert_close(exported(x[:4]), module(x[:4]))


@each_backend
def test_a_sign_or_a_zero_that_is_implied(backend: str | None) -> None:
    module = nlt.Norm("adanorm", 8, backend=backend)
    x, dz = torch.randn(3, 8), torch.randn(3, 8)
    zero = torch._efficientzerotensor((3, 8))  # without memory
    torch.testing.assert_close(module(torch._neg_view(x)), module(-x))
    assert (module(zero) == 0).all()
    leaf = x.clone().requires_grad_()
    z = module(leaf)
    grads = [
        torch.autograd.grad(z, leaf, gradient, retain_graph=True)[0]
        for gradient in (torch._neg_view(dz), -dz, zero)
    ]
    torch.testing.assert_close(grads[0], grads[1])
    assert (grads[2] == 0).all()


@each_backend
def test_no_forward_mode_without_gradients_either(backend: str | None) -> None:
    module, x = nlt.Norm("adanorm", 8, backend=backend), torch.randn(3, 8)
    with torch.no_grad(), pytest.raises(RuntimeError, match="no forward-mode derivative"):
        torch.func.jvp(module, (x,), (x,))

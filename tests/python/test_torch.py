"""Norms for PyTorch beside the engine's own, beside PyTorch's, and under what PyTorch offers."""

import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tests/run torch does it)")

import normlab as nl  # noqa: E402
import normlab.torch as nlt  # noqa: E402
from normlab.torch import _kernels, _operators  # noqa: E402
from normlab.torch._settings import TRAITS, Settings  # noqa: E402

VARIANTS = nl.norm_variants()
BY_CHANNEL = tuple(name for name in VARIANTS if TRAITS[name].group != "row")
DETACHING = tuple(name for name in VARIANTS if TRAITS[name].detaches)
BACKENDS = ("torch", "normlab")
OTHERS: dict[str, dict[str, Any]] = {
    "adanorm": {"C": 1.5, "k": 0.3},
    "topk": {"topk_share": 0.1},
    "groupnorm": {"groups": 2},
}

each_variant = pytest.mark.parametrize("variant", VARIANTS)
each_backend = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    nl.manual_seed(0)
    yield
    torch._dynamo.reset()


def shape_of(variant: str) -> tuple[tuple[int, ...], Any]:
    """The shape of an x, and that of the module."""
    return ((3, 4, 5, 3), 4) if variant in BY_CHANNEL else ((3, 2, 37), 37)


def made(variant: str, dtype: Any, **options: Any) -> tuple[Any, Any]:
    """A module whose parameters are no usual ones, and an x for it."""
    shape, own = shape_of(variant)
    module = nlt.Norm(variant, own, dtype=dtype, **OTHERS.get(variant, {}), **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module, torch.randn(shape, dtype=dtype) * 2 + 0.5


def run(module: Any, x: Any, dz: Any) -> list[np.ndarray[Any, Any]]:
    """z, dx and the gradients of the parameters."""
    module.zero_grad()
    leaf = x.clone().requires_grad_()
    z = module(leaf)
    z.backward(dz)
    grads = [leaf.grad, *(parameter.grad for parameter in module.parameters())]
    return [value.detach().numpy().copy() for value in (z, *grads)]


def run_engine(module: Any, x: Any, dz: Any) -> list[np.ndarray[Any, Any]]:
    """The same by nl.normalize, on copies."""
    leaf = nl.tensor(x.numpy().copy())
    leaf.requires_grad = True
    tensors = {}
    for name, parameter in module.named_parameters():
        tensors[{"weight": "gain"}.get(name, name)] = value = nl.tensor(
            parameter.detach().numpy().copy()
        )
        value.requires_grad = True
    for name in ("running_mean", "running_var"):
        if getattr(module, name) is not None:
            tensors[name] = nl.tensor(getattr(module, name).numpy().copy())
    settings = module.settings.engine_arguments()
    z = nl.normalize(leaf, module.variant, **tensors, training=module.training, **settings)
    z.backward(nl.tensor(dz.numpy().copy()))
    grads = [leaf.grad, *(t.grad for n, t in tensors.items() if not n.startswith("running"))]
    return [z.numpy(), *(g.numpy() for g in grads)]


def close(ours: Any, theirs: Any, dtype: Any) -> None:
    tolerance = 3e-5 if dtype == torch.float32 else 1e-11
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, abs(b).max()))


# --- the formulas ---------------------------------------------------------------------------------


@each_variant
@each_backend
@pytest.mark.parametrize("denominator", ["var_eps", "std_eps"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_forward_and_backward_are_the_engines(
    variant: str, backend: str, denominator: str, dtype: Any
) -> None:
    module, x = made(variant, dtype, backend=backend, denominator=denominator)
    dz = torch.randn_like(x)
    close(run(module, x, dz), run_engine(copy.deepcopy(module), x, dz), dtype)


@pytest.mark.parametrize("variant", ["batchnorm", "instancenorm"])
@each_backend
@pytest.mark.parametrize("denominator", ["var_eps", "std_eps"])
def test_running_statistics_are_the_engines(variant: str, backend: str, denominator: str) -> None:
    more = {"track_running_stats": True} if variant == "instancenorm" else {}
    how = {"denominator": denominator, "momentum": 0.3, **more}
    module, x = made(variant, torch.float64, backend=backend, **how)
    theirs = nl.nn.Norm(variant, (4, 5, 3), **how).to("float64")
    for _ in range(3):
        module(x)
        theirs(nl.tensor(x.numpy()))
    assert module.num_batches_tracked == 3
    close([module.running_mean.numpy()], [theirs.running_mean.numpy()], torch.float64)
    close([module.running_var.numpy()], [theirs.running_var.numpy()], torch.float64)
    module.eval()
    dz = torch.randn_like(x)
    close(run(module, x, dz), run_engine(module, x, dz), torch.float64)
    assert module.num_batches_tracked == 3


def formula(x: Any, variant: str, C: float = 1.0, k: float = 0.1) -> Any:  # noqa: N803
    """The paper's formulas on rows, in NumPy, for g = dL/dz: z and dx."""
    sigma = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    y = (x - x.mean(-1, keepdims=True)) / sigma
    phi = C * (1 - k * y) if variant == "adanorm" else np.ones_like(y)

    def dx(g: Any) -> Any:
        g = phi * g
        mean, slope = g.mean(-1, keepdims=True), y * (g * y).mean(-1, keepdims=True)
        via_mean = mean if variant not in ("detachnorm", "detach_mean") else 0
        via_scale = slope if variant not in ("detachnorm", "detach_std") else 0
        return (g - via_mean - via_scale) / sigma

    return phi * y, dx


@each_backend
@pytest.mark.parametrize(
    "variant", ["layernorm_simple", "detachnorm", "detach_mean", "detach_std", "adanorm"]
)
def test_the_papers_formulas(variant: str, backend: str) -> None:
    x, dz = torch.randn(5, 9, dtype=torch.float64), torch.randn(5, 9, dtype=torch.float64)
    z, dx = formula(x.numpy(), variant)
    close(run(nlt.Norm(variant, 9, backend=backend), x, dz), [z, dx(dz.numpy())], torch.float64)


@each_backend
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v not in DETACHING and v != "none"])
def test_gradients_are_central_differences(variant: str, backend: str) -> None:
    module, x = made(variant, torch.float64, backend=backend)

    def call(x: Any, *values: Any) -> Any:
        names = [name for name, _ in module.named_parameters()]
        for name, value in zip(names, values, strict=True):
            object.__setattr__(module, name, value)  # seen before the registered parameter
        return module(x)

    leaves = [parameter.detach().clone().requires_grad_() for parameter in module.parameters()]
    assert torch.autograd.gradcheck(call, (x.requires_grad_(), *leaves), atol=1e-6)


@each_backend
@pytest.mark.parametrize("shape", [(0, 7), (2, 0, 7), (7,), (1, 1, 1, 7), (5, 2, 7)], ids=str)
def test_odd_shapes(shape: tuple[int, ...], backend: str) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    module = nlt.Norm("adanorm", 7, backend=backend)
    z, dx = formula(x.numpy(), "adanorm")
    dz = torch.randn_like(x)
    close(run(module, x, dz), [z, dx(dz.numpy())], torch.float64) if x.numel() else run(
        module, x, dz
    )


@pytest.mark.parametrize("variant", ["groupnorm", "instancenorm"])
@pytest.mark.parametrize("backend", [None, *BACKENDS])
@pytest.mark.parametrize("shape", [(0, 4, 3), (3, 4, 0), (1, 4), (3, 4), (1, 4, 1, 1)], ids=str)
def test_odd_shapes_of_channels(variant: str, backend: str | None, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    for denominator in ("var_eps", "std_eps"):
        if denominator == "std_eps" and x[:1, :1].numel() == 1:
            continue  # refused
        module = nlt.Norm(variant, 4, backend=backend, denominator=denominator)
        z, dx, *_ = run(module, x, torch.randn(shape))
        assert z.shape == dx.shape == shape
        for value in (z, dx):  # of rows of one element, or of none; PyTorch's is not exact
            np.testing.assert_allclose(value, 0, atol=1e-3)


@each_backend
def test_rows_of_several_axes_and_strides(backend: str) -> None:
    module = nlt.Norm("layernorm", (4, 3), backend=backend, dtype=torch.float64)
    x = torch.randn(3, 4, 6, dtype=torch.float64).transpose(0, 2)[:, :, :3]
    x = torch.randn(6, 3, 4, dtype=torch.float64).transpose(1, 2)
    reference = torch.nn.functional.layer_norm(x, (4, 3))
    dz = torch.randn(6, 3, 4, dtype=torch.float64).transpose(1, 2)
    close(run(module, x, dz)[:1], [reference.numpy()], torch.float64)


@each_backend
@pytest.mark.parametrize("denominator", ["var_eps", "std_eps"])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_a_row_of_equal_elements(backend: str, denominator: str, eps: float) -> None:
    module = nlt.Norm("layernorm", 6, eps=eps, denominator=denominator, backend=backend)
    x = torch.full((2, 6), 3.0)
    z, dx, *_ = run(module, x, torch.randn(2, 6))
    assert (z == 0).all()
    assert np.isfinite(dx).all() and (eps > 0 or (dx == 0).all())


@each_variant
@each_backend
@pytest.mark.parametrize("denominator", ["var_eps", "std_eps"])
@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_not_a_number_goes_through_a_row(
    variant: str, backend: str, denominator: str, eps: float
) -> None:
    module, x = made(variant, torch.float32, backend=backend, denominator=denominator, eps=eps)
    x[0, 0, ..., 3 % x.shape[-1]] = torch.nan
    z = module(x)
    by_element = TRAITS[variant].scale in ("none", "tanh")
    assert torch.equal(z.isnan(), x.isnan()) if by_element else z[0, 0].isnan().all()


def test_numbers_beyond_the_range_of_squares() -> None:
    x = torch.randn(4, 33) * 1e25
    z = nlt.Norm("layernorm_simple", 33)(x)  # the engine's kernels by default, without a native one
    expected = torch.nn.functional.layer_norm(x.double(), (33,)).float()
    own = nlt.Norm("layernorm_simple", 33, backend="normlab")(x)
    torch.testing.assert_close(own, expected)
    assert z.shape == x.shape


@pytest.mark.parametrize(
    ("variant", "rows", "uses_kernels"),
    [
        ("layernorm", 4, False),
        ("layernorm_simple", 4, False),
        ("layernorm", 16384, True),
        ("rmsnorm", 4, True),
        ("adanorm", 4, True),
        ("groupnorm", 4, False),
    ],
)
def test_the_default_takes_the_faster_backend(
    monkeypatch: pytest.MonkeyPatch, variant: str, rows: int, uses_kernels: bool
) -> None:
    calls: list[str] = []
    kernels = _kernels.normalized
    monkeypatch.setattr(_kernels, "normalized", lambda *a: calls.append(variant) or kernels(*a))
    x = torch.randn(rows, 32)
    z = nlt.Norm(variant, 32)(x)
    assert bool(calls) == uses_kernels
    torch.testing.assert_close(z, nlt.Norm(variant, 32, backend="torch")(x))


@each_variant
@each_backend
def test_a_result_may_be_changed_in_place(variant: str, backend: str) -> None:
    module, x = made(variant, torch.float32, backend=backend)
    before = x.clone()
    module(x).zero_()  # as nn.ReLU(inplace=True) behind a norm beside a shortcut
    assert torch.equal(x, before)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "none"])
@each_backend
@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64], ids=str)
def test_other_types_are_refused(variant: str, backend: str, dtype: Any) -> None:
    module, x = made(variant, torch.float32, backend=backend)
    with pytest.raises(nl.DtypeError, match=r"elements (of|must be)|x must be float32"):
        module(x.to(dtype))


# --- PyTorch's own --------------------------------------------------------------------------------


@each_backend
def test_states_of_layer_norm_go_both_ways(backend: str) -> None:
    theirs, ours = torch.nn.LayerNorm(16), nlt.Norm("layernorm", 16, backend=backend)
    torch.nn.init.normal_(theirs.weight)
    torch.nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(8, 16)
    torch.testing.assert_close(ours(x), theirs(x))
    theirs.load_state_dict(ours.state_dict())


@each_backend
def test_states_of_batch_norm_go_both_ways(backend: str) -> None:
    theirs, ours = torch.nn.BatchNorm2d(4), nlt.Norm("batchnorm", 4, backend=backend)
    x = torch.randn(3, 4, 5, 5)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@each_variant
def test_copies_and_files(variant: str, tmp_path: Path) -> None:
    module, x = made(variant, torch.float32)
    module.eval()
    z = module(x)
    torch.save(module, tmp_path / "whole.pt")
    torch.save(module.state_dict(), tmp_path / "state.pt")
    whole = torch.load(tmp_path / "whole.pt", weights_only=False)
    fresh, _ = made(variant, torch.float32)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for other in (copy.deepcopy(module), whole, fresh.eval()):
        assert torch.equal(other(x), z)
        assert repr(other) == repr(module)


def test_the_text_of_a_module() -> None:
    assert repr(nlt.Norm("adanorm", 128, C=1.5)) == "Norm('adanorm', 128, C=1.5)"
    tracking = nlt.Norm("instancenorm", 8, track_running_stats=True)
    assert repr(tracking) == "Norm('instancenorm', 8, track_running_stats=True)"
    assert repr(nlt.Norm("layernorm", (3, 4), backend="torch")) == (
        "Norm('layernorm', (3, 4), backend='torch')"
    )


# --- compilers ------------------------------------------------------------------------------------


@each_variant
def test_compiles_whole(variant: str) -> None:
    module, x = made(variant, torch.float64)
    dz = torch.randn_like(x)
    expected = run(copy.deepcopy(module), x, dz)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    close(run(compiled, x, dz), expected, torch.float64)


@pytest.mark.parametrize("variant", ["adanorm", "topk", "batchnorm", "dyt"])
def test_compiles_whole_with_the_kernels(variant: str) -> None:
    module, x = made(variant, torch.float64, backend="normlab")
    dz = torch.randn_like(x)
    expected = run(copy.deepcopy(module), x, dz)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    close(run(compiled, x, dz), expected, torch.float64)


@each_backend
def test_compiles_with_the_default_compiler(backend: str) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(9, 12), nlt.Norm("adanorm", 12, backend=backend))
    x, dz = torch.randn(5, 9), torch.randn(5, 12)
    expected = run(copy.deepcopy(module), x, dz)
    close(run(torch.compile(module, fullgraph=True), x, dz), expected, torch.float32)


@each_variant
def test_the_operator_passes_opcheck(variant: str) -> None:
    module, x = made(variant, torch.float64)
    if variant == "none":
        return
    s = module.settings
    tensors = (module.weight, module.bias, module.alpha, None, None)
    arguments = (x.requires_grad_(), *tensors, *s, True, variant == "batchnorm")
    torch.library.opcheck(torch.ops.normlab.norm, arguments)


def test_the_operator_has_no_second_derivative() -> None:
    x = torch.randn(3, 7, requires_grad=True)
    z, *_ = torch.ops.normlab.norm(x, *(None,) * 5, *Settings("adanorm"), True, False)
    (dx,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="only first derivatives"):
        dx.sum().backward()


def test_rows_of_the_operator_are_the_engines() -> None:
    for variant in BY_CHANNEL:
        module, x = made(variant, torch.float64)
        arguments = (module.weight, module.bias, None, None, None, *module.settings, True, True)
        real = torch.ops.normlab.norm(x, *arguments)
        rows = _operators._rows(x, module.settings, False)
        assert real[1].shape == (5, rows) and real[3].shape == (rows, 2)


# --- derivatives of derivatives -------------------------------------------------------------------


@pytest.mark.parametrize("variant", DETACHING)
@each_backend
def test_a_second_derivative_through_a_constant_is_refused(variant: str, backend: str) -> None:
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    z = nlt.Norm(variant, 7, backend=backend)(x)
    (dx,) = torch.autograd.grad((z**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="only first derivatives"):
        torch.autograd.grad((dx**2).sum(), x)


def test_a_second_derivative_where_nothing_is_constant() -> None:
    module = nlt.Norm("layernorm", 7, backend="torch", dtype=torch.float64)
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(module, (x,))


@each_backend
def test_create_graph_alone_is_no_error(backend: str) -> None:
    x = torch.randn(3, 7, requires_grad=True)
    z = nlt.Norm("adanorm", 7, backend=backend)(x)
    (dx,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    assert dx.requires_grad and dx.abs().sum() > 0


@each_backend
def test_functional_transforms(backend: str) -> None:
    module, x = made("adanorm", torch.float64, backend=backend)
    dz = torch.randn_like(x)

    def loss(x: Any, dz: Any) -> Any:
        return (module(x) * dz).sum()

    expected = run(module, x, dz)[1]
    close([torch.func.grad(loss)(x, dz).numpy()], [expected], torch.float64)
    one_by_one = torch.func.vmap(torch.func.grad(loss))(x, dz)
    close([one_by_one.numpy()], [expected], torch.float64)
    for refused in (torch.func.hessian(loss), torch.func.jacfwd(loss)):
        with pytest.raises(RuntimeError, match=r"normlab\.torch: "):
            refused(x, dz)
    with pytest.raises(RuntimeError, match="only first derivatives"):
        torch.func.jacrev(torch.func.jacrev(loss))(x, dz)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, dz)
        with pytest.raises(RuntimeError, match="no forward-mode derivative"):
            module(dual)


# --- other types and devices ----------------------------------------------------------------------


@each_variant
def test_bfloat16_has_statistics_in_float32(variant: str) -> None:
    module, x = made(variant, torch.float32)
    low = x.bfloat16()
    z = module.eval()(low)
    assert z.dtype == torch.bfloat16
    torch.testing.assert_close(z, module(low.float()).bfloat16(), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("variant", ["batchnorm", "instancenorm"])
def test_running_statistics_in_half_precision(variant: str, dtype: Any) -> None:
    more = {"track_running_stats": True} if variant == "instancenorm" else {}
    module, x = made(variant, torch.float32, **more)
    low = copy.deepcopy(module).to(dtype)
    for training in (True, True, False):
        z = low.train(training)(x.to(dtype))
        assert z.dtype == low.running_var.dtype == dtype
        expected = module.train(training)(x)
        torch.testing.assert_close(z.float(), expected, rtol=0.05, atol=0.05)
    torch.testing.assert_close(low.running_var.float(), module.running_var, rtol=0.02, atol=0.02)
    assert low.num_batches_tracked == 2


@each_backend
def test_autocast(backend: str) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(9, 12), nlt.Norm("layernorm", 12, backend=backend))
    x = torch.randn(5, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = net(x)
    z.float().sum().backward()
    torch.testing.assert_close(z.float(), net(x), rtol=0.05, atol=0.05)
    assert net[1].weight.grad.dtype == torch.float32


def test_the_meta_device_and_fake_tensors() -> None:
    module = nlt.Norm("adanorm", 8).to("meta")
    assert module(torch.empty(3, 8, device="meta")).shape == (3, 8)
    exported = torch.export.export(nlt.Norm("adanorm", 8), (torch.randn(3, 8),))
    x = torch.randn(3, 8)
    torch.testing.assert_close(exported.module()(x), nlt.Norm("adanorm", 8)(x))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
@each_variant
def test_on_a_gpu(variant: str) -> None:
    module, x = made(variant, torch.float64)
    dz = torch.randn_like(x)
    expected = run(copy.deepcopy(module), x, dz)
    module, leaf = module.cuda(), x.cuda().requires_grad_()
    module(leaf).backward(dz.cuda())
    close([leaf.grad.cpu().numpy()], expected[1:2], torch.float64)


def test_the_kernels_refuse_another_device() -> None:
    with pytest.raises(nl.DeviceError, match='takes the CPU\'s tensors, x is on meta; use "torch"'):
        nlt.Norm("adanorm", 8, backend="normlab")(torch.empty(3, 8, device="meta"))


# --- processes ------------------------------------------------------------------------------------


def test_distributed_data_parallel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch.nn.parallel import DistributedDataParallel

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    try:
        net = torch.nn.Sequential(torch.nn.Linear(9, 12), nlt.Norm("layernorm", 12))
        x, dz = torch.randn(5, 9), torch.randn(5, 12)
        expected = run(copy.deepcopy(net), x, dz)
        wrapped = DistributedDataParallel(net)
        close(run(wrapped, x, dz), expected, torch.float32)
        with pytest.raises(nl.ArgumentError, match="knows no parameters that come later"):
            nlt.replace_norms(wrapped, "rmsnorm")
    finally:
        torch.distributed.destroy_process_group()


# --- saved tensors --------------------------------------------------------------------------------


def test_the_kernels_share_memory_and_do_not_keep_x_alive() -> None:
    import gc
    import weakref

    x = torch.randn(64, 128, requires_grad=True)
    seen = weakref.ref(x)
    module = nlt.Norm("adanorm", 128, backend="normlab")
    z = module(x)
    z.sum().backward()
    del x, z
    gc.collect()
    assert seen() is None


def test_a_saved_tensor_changed_in_place_is_an_error() -> None:
    x = torch.randn(4, 8)
    w = (x * 1).requires_grad_()
    own = w * 2
    z = nlt.Norm("adanorm", 8, backend="normlab")(own)
    own.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_graph_walked_twice() -> None:
    x = torch.randn(4, 8, requires_grad=True)
    z = nlt.Norm("adanorm", 8, backend="normlab")(x).square().sum()
    z.backward(retain_graph=True)
    first = x.grad.clone()
    z.backward()
    torch.testing.assert_close(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nlt.Norm("layrnorm", 8), "layrnorm"),
        (lambda: nlt.Norm("layernorm", 8, C=2.0), "C"),
        (lambda: nlt.Norm("layernorm", 0), "positive"),
        (lambda: nlt.Norm("layernorm", 8, eps=-1), "eps"),
        (lambda: nlt.Norm("layernorm", 8, backend="cuda"), "backend must be 'torch', 'normlab'"),
        (lambda: nlt.Norm("groupnorm", 8, groups=3), "groups must divide"),
    ],
)
def test_bad_arguments(make: Any, text: str) -> None:
    with pytest.raises(nl.ArgumentError, match=text):
        make()


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_bad_shapes(backend: str | None) -> None:
    text = r"Norm: the last 1 axes of x must be \(8,\), got x \(3, 7\) \(variant 'adanorm'\)"
    with pytest.raises(nl.ShapeError, match=text):
        nlt.Norm("adanorm", 8, backend=backend)(torch.randn(3, 7))
    with pytest.raises(nl.ShapeError, match=r"axes of x behind the first must be \(4,\)"):
        nlt.Norm("batchnorm", 4, backend=backend)(torch.randn(3, 5, 2))
    with pytest.raises(nl.ShapeError, match="one element does not have"):
        nlt.Norm("layernorm", 1, denominator="std_eps", backend=backend)(torch.randn(3, 1))


def test_files_of_whole_modules_are_small() -> None:
    held = io.BytesIO()
    torch.save(nlt.Norm("adanorm", 4096), held)
    assert held.tell() < 10_000

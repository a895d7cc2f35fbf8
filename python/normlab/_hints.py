"""Hints for names and arguments that other frameworks have and this one lacks.

Most tables map a name to a hint. The tests run the code between backticks, where x and y are
tensors of one shape, targets are classes, and array is NumPy's. Python loads this module when the
first name is missing.
"""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

_TYPES = {
    **{"float": "float32", "double": "float64"},
    **{"int": "int32", "long": "int64", "bool": "bool"},
}
"""PyTorch's names of element types, and ours."""
_OURS = {"dtype": "float32"} | {name: name for name in ("uint8", *_TYPES.values())}

_NO_HALF = 'of the short types there is bfloat16: `x.to("bfloat16")`'
_BATCHES = "draw batches of arrays or tensors with `nl.permutation(len(x))`, `nl.take(x, index)`"
_ANY = "use `bool(x.numpy().any())`"
_HOOK = "to watch norms, use `nl.probe(net)`"
_IN_PLACE = "in place there are `x += 1.0`, `x.add_(y)`, `x.copy_(y)` and `x.fill_(0.0)`"
_UNBIASED = "use `x.var(correction=1)`, PyTorch's default"
_NO_PAIR = "write `x.max(axis=1)` for the values, `x.argmax(axis=1)` for their places"
_L2 = "PyTorch's F.normalize is `nl.l2_normalize(x, axis=1)`; normalize is a norm layer"
_PATH_FIRST = "the path comes first: nl.save(path, tensors)"
_LOW_FIRST = "the lower end comes first: `nl.randint(0, 10, (3,))`"
_ONE_GRAPH = "a tape is walked once and keeps first derivatives only"
_ELU = "use `nl.relu(x) + nl.exp(nl.minimum(x, 0.0)) - 1`"
_NUMPY = ("tan", "prod", "sort", "argsort", "median", "unique", "diag")


def _numpys(code: str) -> str:
    return f"there is none with a derivative; without one: `{code}`"


_BOTH: Mapping[str, str] = {
    **{name: _numpys(f"np.{name}(x.numpy())") for name in _NUMPY},
    **{name: _numpys(f"np.{name}(x.numpy(), 0)") for name in ("cumsum", "cumprod")},
    "topk": _numpys("-np.sort(-x.numpy())[..., :2]"),
    "nonzero": "use `np.argwhere(x.numpy())`",
    "erf": "it is in `nl.gelu(x)`, x times half of 1 + erf(x / sqrt 2), and not by itself",
    "log2": "use `nl.log(x) / np.log(2.0)`",
    "log10": "use `nl.log(x) / np.log(10.0)`",
    "ceil": "use `-nl.floor(-x)`",
    "flip": "use `x[np.arange(len(x))[::-1].copy()]`",
    "equal": "use `np.array_equal(x.numpy(), y.numpy())`",
    "scatter scatter_": "use `np.put_along_axis(array, index.numpy()[None], 1.0, 1)`",
    "scatter_add index_add": "add in NumPy: `np.add.at(array, [0, 1], 1.0)`",
    "std": "use `x.var(axis=-1).sqrt()`; `x.var(correction=1)` is PyTorch's default",
    "min amin": "use `-(-x).max()`, along an axis `-(-x).max(axis=-1)`",
    "amax": "use `x.max(axis=0)`",
    "argmin": "use `(-x).argmax(axis=-1)`",
    "norm dist": "use `(x**2).sum().sqrt()`",
    "unsqueeze": "use `x[None]` for axis 0, `x[:, None]` for 1, `x[..., None]` for -1",
    "squeeze": "use `x.reshape(x.size)` or any other shape",
    "permute swapaxes movedim": "use `x.transpose(1, 0)`: all axes in their new order, as in NumPy",
    "expand expand_as": "use `x.broadcast_to((2, *x.shape))`",
    "repeat tile repeat_interleave": "use `nl.concat([x, x])`, or `x.broadcast_to((2, *x.shape))`",
    "any": _ANY,
    "all": "use `bool(x.numpy().all())`",
    "isnan isinf isfinite": "use `x != x`, or `np.isnan(x.numpy())`",
    "mm bmm mv": "use `x @ y.T`",
    "dot inner": "use `(x * y).sum()`",
    "chunk split unbind": "use slices: `x[:2], x[2:]`",
    "half bfloat16": _NO_HALF,
    "square": "use `x**2`",
    "clip": "use `nl.clamp(x, 0.0, 1.0)`",
    "rsqrt": "use `1 / x.sqrt()`",
    "zeros_like new_zeros": "use `nl.zeros(x.shape, dtype=x.dtype)`",
    "index_select masked_select": "use `x[index]` or `x[x > 0]`",
    "numel nelement": "use `x.size`, a number; `x.shape` has the lengths",
}
"""Of names that tensors and the package lack alike."""

_TENSOR: Mapping[str, str] = {
    **_BOTH,
    "view view_as": "use `x.reshape(-1)` or `x.reshape(2, -1)`",
    "t mT": "use `x.T`",
    "dim ndimension": "use `x.ndim`",
    "cuda": 'use `x.to("cuda")`, where nl.cuda.is_available()',
    "cpu": 'use `x.to("cpu")`',
    **{name: f'use `x.astype("{ours}")`' for name, ours in _TYPES.items()},
    "type_as": "use `x.astype(y.dtype)`",
    "is_floating_point": 'use `x.dtype.kind == "f"`',
    "element_size itemsize": "use `x.dtype.itemsize`",
    "stride": "every tensor is contiguous; in bytes: `x.numpy().strides`",
    "storage untyped_storage": "use `x.numpy()`, which shares the memory",
    "requires_grad_": "set `x.requires_grad = True`",
    "relu_ clamp_": _IN_PLACE,
    "masked_fill_": "use `x.copy_(x.masked_fill(x > 0, 0.0))`",
    "values indices": "max gives values alone: `x.max(axis=1)`, `x.argmax(axis=1)`",
    "where": "use `nl.where(x > 0, x, y)`",
    "ravel": "use `x.reshape(-1)`",
    "normal_ uniform_": "use `nl.randn(x.shape)` or `nl.rand(x.shape)`",
    "add sub mul div": "use `x + y`, `x - y`, `x * y`, `x / y`",
    "pow": "use `x**2`",
    "floor_divide remainder": "use `x // y`, `x % y`",
    "reciprocal": "use `1 / x`",
    "contiguous is_contiguous": "leave it out: every tensor is contiguous",
    "data": "`x.copy_(x - 0.1 * y)` changes values, `x.detach()` reads them",
    "retain_grad": "make it a leaf: `x.detach()`, then set its requires_grad",
    "register_hook grad_fn": _HOOK,
    "eq ne": "use `x == y` or `x != y`",
    "lt le gt ge": "use `x < y`, `x <= y`, `x > y`, `x >= y`",
    "narrow select": "use slices: `x[:, 0]`, `x[1:2]`",
    "logical_and": "use `nl.where(x > 0, y, 0.0)` or multiply by a mask",
}

_FUNCTIONS: Mapping[str, str] = {
    "cmake_dir get_cmake_dir get_include": (
        "the wheel has no headers and no CMake configuration; a C++ program takes the engine by "
        "FetchContent, or by find_package from the installed source (docs/cpp.md)"
    ),
    **_BOTH,
    "from_numpy as_tensor asarray": "use `nl.tensor(array)`, which shares the array's memory",
    "FloatTensor LongTensor DoubleTensor": "use `nl.tensor([1.0, 2.0])`",
    **{
        name: f'write dtypes as text or as NumPy\'s: `nl.zeros(3, dtype="{ours}")`'
        for name, ours in (_TYPES | _OURS).items()
    },
    "float16 complex64": _NO_HALF,
    "ones_like": "use `nl.ones(x.shape, dtype=x.dtype)`",
    "full_like empty_like": "use `nl.full(x.shape, 0.5, dtype=x.dtype)`",
    "randn_like": "use `nl.randn(x.shape)`",
    "rand_like": "use `nl.rand(x.shape)`",
    "normal": "use `nl.randn((2, 3), mean=1.0, std=0.5)`",
    "bernoulli": 'use `(nl.rand(x.shape) < 0.5).astype("float32")`',
    "randperm": "use `nl.permutation(len(x))`",
    "eye": 'use `nl.tensor(np.eye(3, dtype="float32"))`',
    "linspace logspace": 'use `nl.tensor(np.linspace(0, 1, 5, dtype="float32"))`',
    "tril triu": 'use `nl.tensor(np.tril(np.ones((3, 3), "float32")))`',
    "cat concatenate hstack vstack": "use `nl.concat([x, y], axis=0)`",
    "stack": "use `nl.concat([x[None], y[None]])`, along axis 1 with `x[:, None]` and axis=1",
    "einsum tensordot": "use `x @ y.T` with `x.transpose(1, 0)`, `x.reshape(-1)`",
    "outer": "use `x[0][:, None] * y[0]`",
    "linalg": "use NumPy's: `np.linalg.norm(x.numpy())`",
    "allclose isclose": "use `np.allclose(x.numpy(), y.numpy())`",
    "logical_and logical_or": _ANY,
    "inference_mode set_grad_enabled enable_grad": "use `nl.no_grad()`, see `nl.grad_enabled()`",
    "is_grad_enabled": "use `nl.grad_enabled()`",
    "get_num_threads": "use `nl.num_threads()`",
    "seed": "use `nl.manual_seed(0)`",
    "device": 'devices are text: `nl.zeros(3, device="cpu")`',
    "autocast amp": 'use `nl.matmul_precision("bfloat16")`, for products on the CPU',
    "set_float32_matmul_precision": (
        'use `nl.set_matmul_precision("float32")`; "bfloat16" is the other'
    ),
    "get_float32_matmul_precision": "use `nl.get_matmul_precision()`",
    "backends mps": 'use `nl.cuda.is_available()`; devices are text: "cpu", "cuda"',
    "autograd": f"use `x.backward` and `x.grad`; {_ONE_GRAPH}",
    "compile jit fx": "there is nothing to compile",
    "random": "use `nl.manual_seed(0)` and `nl.get_rng_state()`",
    "datasets": "use `nl.data.mnist`, `nl.data.sst5` and others of nl.data",
    "utils DataLoader": _BATCHES,
    "distributed": "one process, all cores; the command normlab study --jobs runs several",
    "numpy": "use `x.numpy()`",
}

_HUBER = "use `(0.5 * nl.minimum(nl.abs(x - y), 1.0) ** 2 + nl.relu(nl.abs(x - y) - 1)).mean()`"
_COSINE = "use `(x * y).sum(axis=-1) / ((x**2).sum(axis=-1) * (y**2).sum(axis=-1)).sqrt()`"

_LOSSES: Mapping[str, str] = {
    "layer_norm": 'use `nl.normalize(x, "layernorm")`',
    "rms_norm": 'use `nl.normalize(x, "rmsnorm")`; PyTorch\'s eps is 2**-23',
    "batch_norm": 'use `nl.normalize(x, "batchnorm")`, with running_mean= and running_var=',
    "group_norm": 'use `nl.normalize(x, "groupnorm", groups=3)`, channels on axis 1',
    "instance_norm": 'use `nl.normalize(x, "instancenorm")`, with running_mean= and running_var=',
    "mse_loss": "use `((x - y) ** 2).mean()`",
    "l1_loss": "use `nl.abs(x - y).mean()`",
    "nll_loss": "use `nl.cross_entropy(x, targets)` of the logits",
    "binary_cross_entropy_with_logits": "use `(nl.softplus(x) - x * y).mean()`",
    "swish": "use `nl.silu(x)`",
    "elu": _ELU,
    "smooth_l1_loss huber_loss": _HUBER,
    "binary_cross_entropy": "use `-(y * nl.log(x) + (1 - y) * nl.log(1 - x)).mean()`",
    "kl_div": "use `(y * (nl.log(y) - x)).mean()`, where x are logarithms",
    "cosine_similarity": _COSINE,
    "conv1d": "use `nl.conv2d` with an axis of length 1",
    "adaptive_avg_pool2d": "use `nl.mean` over the last two axes",
    "interpolate": "there is none with a derivative; without one: `np.repeat(array, 2, axis=-1)`",
    "one_hot": 'use `nl.tensor(np.eye(3, dtype="float32")[index.numpy()])`',
    "scaled_dot_product_attention": "use `nl.attention`, fused, over packed sentences",
    "pad": "use `nl.tensor(np.pad(x.numpy(), 1))`; conv2d has padding=",
}

_PACKAGE: Mapping[str, str] = {**_FUNCTIONS, **_LOSSES}

_NN: Mapping[str, str] = {
    "BatchNorm1d": 'use `nl.nn.Norm("batchnorm", 128)`',
    "BatchNorm2d": 'use `nl.nn.Norm("batchnorm", (16, 28, 28))`, channels first',
    "GroupNorm": 'use `nl.nn.Norm("groupnorm", (16, 28, 28), groups=4)`, channels first',
    "InstanceNorm1d InstanceNorm2d": 'use `nl.nn.Norm("instancenorm", (16, 28, 28))`',
    "Identity": 'use `nl.nn.Activate("none")`, or `nl.nn.Norm("none", 128)` in a norm\'s place',
    "Softmax LogSoftmax": "use `nl.softmax(x, axis=-1)` in forward()",
    "ELU": f"{_ELU} in forward()",
    "PReLU": "use `nl.leaky_relu(x, nl.nn.Parameter(nl.full(1, 0.25)))` in forward()",
    "CrossEntropyLoss": "use `nl.cross_entropy(x, targets, weight=nl.ones(3))`",
    "NLLLoss": _LOSSES["nll_loss"],
    "MSELoss": _LOSSES["mse_loss"],
    "L1Loss": _LOSSES["l1_loss"],
    "BCEWithLogitsLoss": _LOSSES["binary_cross_entropy_with_logits"],
    "BCELoss": _LOSSES["binary_cross_entropy"],
    "KLDivLoss": _LOSSES["kl_div"],
    "SmoothL1Loss HuberLoss": _HUBER,
    "init": "copy values in: `net[0].weight.copy_(nl.randn(net[0].weight.shape, std=0.02))`",
    "utils": "use `nl.optim.clip_grad_norm(net.parameters(), 1.0)`",
    "MultiheadAttention": "use `nl.nn.SelfAttention(128, 4)` or `nl.nn.CrossAttention(128, 4)`",
    "TransformerEncoderLayer": "use `nl.nn.TransformerLayer`",
    "Transformer": "use `nl.nn.TransformerEncoder` and `nl.nn.TransformerDecoder`",
    "RNN LSTM GRU": "there are no recurrent layers; see `nl.nn.TransformerEncoder`",
    "Conv1d Conv3d": "use `nl.nn.Conv2d(1, 8, 3)` with an axis of length 1",
    "MaxPool1d AvgPool1d": "use `nl.nn.MaxPool2d((1, 2))` and an axis of 1",
    "Dropout2d": "use `nl.nn.Dropout(0.1)`, which drops elements, not channels",
    "ConvTranspose2d Upsample": "there is none: `nl.nn.Conv2d(1, 8, 3)` and pooling alone",
    "AdaptiveAvgPool2d": "use `nl.mean` over the last two axes",
}

_OPTIM: Mapping[str, str] = {
    "lr_scheduler": "set `optimizer.lr` before each step, from `nl.optim.cosine(1e-3, total=1000)`",
    "RMSprop Adagrad Adadelta NAdam RAdam LBFGS Adamax": "use `nl.optim.Adam` or `nl.optim.AdamW`",
    "clip_grad_norm_": "use `nl.optim.clip_grad_norm(net.parameters(), 1.0)`",
    "clip_grad_value_": "gradients are clipped by length: `nl.optim.clip_grad_norm`",
}

_DATA: Mapping[str, str] = {
    "DataLoader Dataset TensorDataset Subset random_split Sampler": _BATCHES,
    "MNIST": "`nl.data.mnist`, without arguments, gives all parts in one",
    "FashionMNIST": "`nl.data.fashion_mnist`, without arguments, gives all parts in one",
}

_MEMORY = "use `nl.cuda.memory_stats()`"
_ONE_GPU = "one GPU is used, the first that the environment variable CUDA_VISIBLE_DEVICES names"

_CUDA: Mapping[str, str] = {
    "CUDAGraph graph make_graphed_callables": "use `nl.cuda.Graph()`",
    "memory_allocated max_memory_allocated memory_reserved memory_summary": _MEMORY,
    "get_device_name get_device_properties mem_get_info": "use `nl.cuda.properties()`",
    "get_device_capability": 'use `nl.cuda.properties()["compute_capability"]`',
    "device_count current_device set_device device": _ONE_GPU,
    "manual_seed manual_seed_all": "use `nl.manual_seed(0)`, for both",
    "Stream Event current_stream": "use the one `nl.cuda.stream()`, `nl.cuda.synchronize()`",
    "amp is_bf16_supported": _NO_HALF,
}

_MODULE: Mapping[str, str] = {
    "state_dict": "use `net.state()`",
    "load_state_dict": "use `net.load_state(net.state())`",
    "cuda": 'use `net.to("cuda")`, where nl.cuda.is_available()',
    "cpu": 'use `net.to("cpu")`',
    "double": 'use `net.to("float64")`',
    "float": 'use `net.to("float32")`',
    "half bfloat16": 'of the short types there is bfloat16: `net.to("bfloat16")`',
    "modules children named_children": "use `net.named_modules()`; direct parts have no dot in it",
    "buffers": "use `net.named_buffers()`",
    "apply": "loop over `net.named_modules()`",
    "requires_grad_": "set requires_grad on each of `net.parameters()`",
    "add_module": 'use net.register_module("name", module), or assign it to an attribute',
    "register_forward_hook register_full_backward_hook register_backward_hook": _HOOK,
    "compile": "there is nothing to compile",
    "weight": 'a norm\'s is called gain: `nl.nn.Norm("layernorm", 128).gain`',
    "in_features out_features": "use `nl.nn.Linear(3, 5).weight.shape`",
    "device dtype": "use `net.parameters()[0].device`, or dtype in its place",
}

_OPTIMIZER: Mapping[str, str] = {
    "state_dict": "use `optimizer.state()`",
    "load_state_dict": "use `optimizer.load_state(optimizer.state())`",
    "param_groups": "use `optimizer.groups[0].lr`, or `optimizer.lr` for all",
    "defaults": "use `optimizer.groups[0].options`",
    "add_param_group": 'use optimizer.add_group({"params": more})',
}

_GENERATOR: Mapping[str, str] = {
    "manual_seed": "the seed is given when it is made: `nl.Generator(0)`",
    "initial_seed": "use `nl.Generator(0).seed`",
    "get_state": "use `nl.Generator(0).seed` and `nl.Generator(0).offset`",
}

_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "dim dims": ("axis", "axes"),
    "keepdims": ("keepdim",),
    "ddof": ("correction",),
    "weight": ("gain",),
    "map_location": ("device",),
    "start_dim": ("start",),
    "end_dim": ("end",),
    "size normalized_shape num_features": ("shape", "size"),
    "embedding_dim embed_dim d_model": ("size",),
    "input": ("x", "logits", "a"),
    "other": ("b",),
    "condition": ("mask",),
    "target": ("targets",),
    "tensors": ("parts",),
    "data": ("array",),
    "fill_value": ("value",),
    "dtype device": ("target",),
    "gradient": ("g",),
    "mode": ("on",),
    "in_features": ("in_size",),
    "out_features": ("out_size",),
    "kernel_size": ("kernel",),
    "num_embeddings": ("count",),
    "padding_idx": ("padding_index",),
    "num_groups": ("groups",),
    "num_heads nhead": ("heads",),
    "dim_feedforward": ("hidden",),
    "num_layers": ("layers",),
    "norm_first": ("pre_norm",),
    "obj": ("tensors",),
    "f": ("path",),
}
"""PyTorch's names of arguments, and ours: the first that the function has."""

NUMPYS = frozenset(("keepdims", "ddof"))
"""Those among them that are NumPy's."""

_NO_KEYWORDS: Mapping[str, str] = {
    "set_to_none": "leave it out: gradients are always cleared",
    "inplace": "leave it out: results are new tensors",
    "non_blocking memory_format": "leave it out",
    "approximate": "leave it out: gelu is the exact form",
    "ceil_mode": "leave it out: windows that do not fit are left out",
    "padding_mode": "leave it out: the padding is zeros",
    "unbiased": _UNBIASED,
    "normalize.p normalize.dim": _L2,
    "retain_graph create_graph": _ONE_GRAPH,
    "weights_only": "leave it out: safetensors files hold nothing else, nothing else is read",
    "strict": "leave it out: all names and shapes must be there",
    "fused foreach": "leave it out: every step is fused",
    "amsgrad": "there are Adam and AdamW as they were published, without it",
    "dtype out": "leave it out: results are new and of their input's type; NumPy takes `x.numpy()`",
    "shape": "lengths stand without a name: `x.reshape(3, 4)`",
    "dim0 dim1": "all axes in their new order, without names: `x.transpose(1, 0)`",
    "elementwise_affine affine": 'the variant says it: `nl.nn.Norm("layernorm_simple", 128)`',
}
"""PyTorch's names of arguments that have no counterpart; with a dot, of one function alone."""

CALLS: Mapping[str, str] = {
    "save(path, tensors, metadata, allow_nonfinite)": _PATH_FIRST,
    "Tensor(array)": "use `nl.tensor([1.0, 2.0])`",
    "randint(low, high, shape, generator, device)": _LOW_FIRST,
    "max(axis, keepdim)": _NO_PAIR,
    "max(x, axis, keepdim)": _NO_PAIR,
    "var(axis, keepdim, correction)": _UNBIASED,
    "var(x, axis, keepdim, correction)": _UNBIASED,
    "__getitem__(i)": "several parts: `nl.nn.Sequential(*list(net)[:1])`",
}
"""What else to say where the arguments of these functions do not fit."""

TYPES: Mapping[str, str] = {"Iterable[Tensor]": "give `net.parameters()` or a list of tensors"}
"""What else to say where an argument of that type is something else."""

SIZE = "size is a number here; use `x.shape`, or `x.shape[0]`"
"""For PyTorch's x.size()."""


def _by_name(rows: Mapping[str, Value]) -> dict[str, Value]:
    """An entry for each name: a row may be for several, with spaces between them."""
    return {name: value for names, value in rows.items() for name in names.split()}


KEYWORDS = _by_name(_KEYWORDS)
NO_KEYWORDS = _by_name(_NO_KEYWORDS)
TABLES: Mapping[str, Mapping[str, str]] = {
    "nl": _by_name(_PACKAGE),
    "nl.nn": _by_name(_NN),
    "nl.optim": _by_name(_OPTIM),
    "nl.data": _by_name(_DATA),
    "nl.cuda": _by_name(_CUDA),
    "Tensor": _by_name(_TENSOR),
    "Module": _by_name(_MODULE),
    "Optimizer": _OPTIMIZER,
    "Generator": _GENERATOR,
}


def missing(table: str, name: str, owner: str | None = None) -> AttributeError | None:
    """The error for a name with a hint; None where there is none.

    Args:
        table: One of TABLES.
        name: What was asked for.
        owner: Who lacks it, where that is not the table's name.
    """
    hint = TABLES[table].get(name)
    return None if hint is None else AttributeError(f"{owner or table} has no {name}; {hint}")

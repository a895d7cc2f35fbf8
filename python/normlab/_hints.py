"""Hints for names and arguments that other frameworks have and this one lacks.

Most tables map a name to a hint. The tests run the code between backticks, where x and y are
tensors of one shape, targets are classes, and array is NumPy's. Python loads this module when the
first name is missing.
"""

from collections.abc import Mapping

_DTYPES = ("float32", "float64", "int32", "int64", "uint8")


def _dtype(name: str) -> str:
    return f'write dtypes as text or as NumPy\'s: `nl.zeros(3, dtype="{name}")`'


def _as_type(name: str) -> str:
    return f'use `x.astype("{name}")`'


_NO_HALF = 'of the short types there is bfloat16, for the GPU: `x.to("bfloat16")`'
_NO_STATE_DICT = "use `net.state()`"
_DATA = (
    "a data set is arrays or tensors; draw batches with `nl.permutation(len(x))` and "
    "`nl.take(x, index)`"
)
_ANY = "use `bool(x.numpy().any())`"
_CLIP = "use `nl.clamp(x, 0.0, 1.0)`"
_HOOK = "to watch norms, use `nl.probe(net)`"
_IN_PLACE = "in place there are `x += 1.0`, `x.add_(y)`, `x.copy_(y)` and `x.fill_(0.0)`"
_UNBIASED = "use `x.var(correction=1)`, PyTorch's default"
_NO_PAIR = "write `x.max(axis=1)` for the values, `x.argmax(axis=1)` for their places"
_L2 = "PyTorch's F.normalize is `nl.l2_normalize(x, axis=1)`; normalize is a norm layer"
_ONE_GRAPH = "a tape is walked once and keeps first derivatives only"
_ELU = "use `nl.relu(x) + nl.exp(nl.minimum(x, 0.0)) - 1`"
_SCATTER = "elements are set in NumPy: `np.put_along_axis(array, index.numpy()[None], 1.0, 1)`"
_INDEX_ADD = "sums are made in NumPy: `np.add.at(array, [0, 1], 1.0)`"


def _numpys(code: str) -> str:
    return f"there is none with a derivative; without one: `{code}`"


_BOTH: Mapping[str, str] = {
    **{
        name: _numpys(f"np.{name}(x.numpy())")
        for name in ("tan", "prod", "sort", "argsort", "median", "unique", "diag")
    },
    **{name: _numpys(f"np.{name}(x.numpy(), 0)") for name in ("cumsum", "cumprod")},
    "topk": _numpys("-np.sort(-x.numpy())[..., :2]"),
    "quantile": _numpys("np.quantile(x.numpy(), 0.5)"),
    "histc": _numpys("np.histogram(x.numpy(), 10)"),
    "bincount": _numpys("np.bincount(index.numpy())"),
    "count_nonzero": "use `np.count_nonzero(x.numpy())`",
    "nonzero": "use `np.argwhere(x.numpy())`",
    "erf": "it is in `nl.gelu(x)`, x times half of 1 + erf(x / sqrt 2), and not by itself",
    "log2": "use `nl.log(x) / np.log(2.0)`",
    "log10": "use `nl.log(x) / np.log(10.0)`",
    "ceil": "use `-nl.floor(-x)`",
    "flip": "use `x[np.arange(len(x))[::-1].copy()]`",
    "roll": "use `nl.concat([x[-1:], x[:-1]])`",
    "trace": 'use `(x * nl.tensor(np.eye(4, 3, dtype="float32"))).sum()`',
    "lerp": "use `x + 0.5 * (y - x)`",
    "addmm": "use `nl.linear(x, y, nl.ones(4))`, x times y.T plus the last",
    "equal": "use `np.array_equal(x.numpy(), y.numpy())`",
    **dict.fromkeys(("scatter", "scatter_"), _SCATTER),
    **dict.fromkeys(("scatter_add", "index_add"), _INDEX_ADD),
    "std": "use `x.var(axis=-1).sqrt()`; `x.var(correction=1)` is PyTorch's default",
    **dict.fromkeys(("min", "amin"), "use `-(-x).max()`, along an axis `-(-x).max(axis=-1)`"),
    "amax": "use `x.max(axis=0)`",
    "argmin": "use `(-x).argmax(axis=-1)`",
    **dict.fromkeys(("norm", "dist"), "use `(x**2).sum().sqrt()`"),
    "unsqueeze": "use `x[None]` for axis 0, `x[:, None]` for 1, `x[..., None]` for -1",
    "squeeze": "use `x.reshape(x.size)` or any other shape",
    **dict.fromkeys(
        ("permute", "swapaxes", "movedim"),
        "use `x.transpose(1, 0)`: all axes in their new order, as in NumPy",
    ),
    **dict.fromkeys(("expand", "expand_as"), "use `x.broadcast_to((2, *x.shape))`"),
    **dict.fromkeys(
        ("repeat", "tile", "repeat_interleave"),
        "use `nl.concat([x, x])`, or `x.broadcast_to((2, *x.shape))`",
    ),
    "any": _ANY,
    "all": "use `bool(x.numpy().all())`",
    **dict.fromkeys(("isnan", "isinf", "isfinite"), "use `x != x`, or `np.isnan(x.numpy())`"),
    **dict.fromkeys(("mm", "bmm", "mv"), "use `x @ y.T`"),
    **dict.fromkeys(("dot", "inner"), "use `(x * y).sum()`"),
    **dict.fromkeys(("chunk", "split", "unbind"), "use slices: `x[:2], x[2:]`"),
    **dict.fromkeys(("half", "bfloat16"), _NO_HALF),
    "square": "use `x**2`",
    "rsqrt": "use `1 / x.sqrt()`",
    **dict.fromkeys(("zeros_like", "new_zeros"), "use `nl.zeros(x.shape, dtype=x.dtype)`"),
    **dict.fromkeys(("index_select", "masked_select"), "use `x[index]` or `x[x > 0]`"),
    **dict.fromkeys(("numel", "nelement"), "use `x.size`, a number; `x.shape` has the lengths"),
}
"""Of names that tensors and the package lack alike."""

TENSOR: Mapping[str, str] = {
    **_BOTH,
    **dict.fromkeys(("view", "view_as"), "use `x.reshape(-1)` or `x.reshape(2, -1)`"),
    **dict.fromkeys(("t", "mT"), "use `x.T`"),
    **dict.fromkeys(("dim", "ndimension"), "use `x.ndim`"),
    "cuda": 'use `x.to("cuda")`, where nl.cuda.is_available()',
    "is_cuda": 'use `x.device == "cuda"`',
    "cpu": 'use `x.to("cpu")`',
    "float": _as_type("float32"),
    "double": _as_type("float64"),
    "int": _as_type("int32"),
    "long": _as_type("int64"),
    "bool": _as_type("bool"),
    "type": 'use `x.dtype`, and `x.astype("float64")` to change it',
    "type_as": "use `x.astype(y.dtype)`",
    "is_floating_point": 'use `x.dtype.kind == "f"`',
    **dict.fromkeys(("element_size", "itemsize"), "use `x.dtype.itemsize`"),
    "data_ptr": "use `x.numpy().ctypes.data`",
    "stride": "every tensor is contiguous; in bytes: `x.numpy().strides`",
    **dict.fromkeys(("storage", "untyped_storage"), "use `x.numpy()`, which shares the memory"),
    "requires_grad_": "set `x.requires_grad = True`",
    **dict.fromkeys(("relu_", "clamp_"), _IN_PLACE),
    "masked_fill_": "use `x.copy_(x.masked_fill(x > 0, 0.0))`",
    "detach_": "use `x = x.detach()`",
    **dict.fromkeys(
        ("values", "indices"), "max gives values alone: `x.max(axis=1)`, `x.argmax(axis=1)`"
    ),
    "where": "use `nl.where(x > 0, x, y)`",
    "ravel": "use `x.reshape(-1)`",
    "unflatten": "use `x.reshape(2, 2, 3)`",
    **dict.fromkeys(("normal_", "uniform_"), "use `nl.randn(x.shape)` or `nl.rand(x.shape)`"),
    **dict.fromkeys(("add", "sub", "mul", "div"), "use `x + y`, `x - y`, `x * y`, `x / y`"),
    "pow": "use `x**2`",
    **dict.fromkeys(("floor_divide", "remainder"), "use `x // y`, `x % y`"),
    "reciprocal": "use `1 / x`",
    "clip": _CLIP,
    **dict.fromkeys(("contiguous", "is_contiguous"), "leave it out: every tensor is contiguous"),
    "data": "`x.copy_(x - 0.1 * y)` changes values, `x.detach()` reads them",
    "retain_grad": "make it a leaf: `x.detach()`, then set its requires_grad",
    **dict.fromkeys(("register_hook", "grad_fn"), _HOOK),
    **dict.fromkeys(("eq", "ne"), "use `x == y` or `x != y`"),
    **dict.fromkeys(("lt", "le", "gt", "ge"), "use `x < y`, `x <= y`, `x > y`, `x >= y`"),
    **dict.fromkeys(("narrow", "select"), "use slices: `x[:, 0]`, `x[1:2]`"),
    "new_ones": "use `nl.ones(x.shape)`",
    "new_full": "use `nl.full(x.shape, 0.5)`",
    "new_tensor": "use `nl.tensor([1.0, 2.0])`",
    "logical_and": "use `nl.where(x > 0, y, 0.0)` or multiply by a mask",
}

_FUNCTIONS: Mapping[str, str] = {
    **_BOTH,
    **dict.fromkeys(
        ("from_numpy", "as_tensor", "asarray", "frombuffer"),
        "use `nl.tensor(array)`, which shares the array's memory",
    ),
    **dict.fromkeys(("FloatTensor", "LongTensor", "DoubleTensor"), "use `nl.tensor([1.0, 2.0])`"),
    **{name: _dtype(name) for name in _DTYPES},
    "float": _dtype("float32"),
    "double": _dtype("float64"),
    "int": _dtype("int32"),
    "long": _dtype("int64"),
    "bool": _dtype("bool"),
    **dict.fromkeys(("float16", "complex64"), _NO_HALF),
    "dtype": _dtype("float32"),
    **dict.fromkeys(
        ("set_default_dtype", "get_default_dtype"), "new tensors are float32 unless dtype= is given"
    ),
    "ones_like": "use `nl.ones(x.shape, dtype=x.dtype)`",
    **dict.fromkeys(("full_like", "empty_like"), "use `nl.full(x.shape, 0.5, dtype=x.dtype)`"),
    "randn_like": "use `nl.randn(x.shape)`",
    "rand_like": "use `nl.rand(x.shape)`",
    "normal": "use `nl.randn((2, 3), mean=1.0, std=0.5)`",
    "bernoulli": 'use `(nl.rand(x.shape) < 0.5).astype("float32")`',
    "multinomial": "use NumPy's random numbers: `nl.tensor(np.random.choice(3, 4))`",
    "randperm": "use `nl.permutation(len(x))`",
    "eye": 'use `nl.tensor(np.eye(3, dtype="float32"))`',
    **dict.fromkeys(
        ("linspace", "logspace"), 'use `nl.tensor(np.linspace(0, 1, 5, dtype="float32"))`'
    ),
    **dict.fromkeys(("tril", "triu"), 'use `nl.tensor(np.tril(np.ones((3, 3), "float32")))`'),
    **dict.fromkeys(("cat", "concatenate", "hstack", "vstack"), "use `nl.concat([x, y], axis=0)`"),
    "stack": (
        "use `nl.concat([x[None], y[None]])`, along axis 1 "
        "`nl.concat([x[:, None], y[:, None]], axis=1)`"
    ),
    **dict.fromkeys(
        ("einsum", "tensordot"), "use `x @ y.T` with `x.transpose(1, 0)`, `x.reshape(-1)`"
    ),
    "outer": "use `x[0][:, None] * y[0]`",
    "var_mean": "use `nl.var(x, axis=-1), nl.mean(x, axis=-1)`",
    "clip": _CLIP,
    **dict.fromkeys(("multiply", "true_divide", "subtract"), "use `x * y`, `x / y`, `x - y`"),
    "meshgrid": 'use `np.meshgrid([0, 1], [0, 1, 2], indexing="ij")`',
    "linalg": "use NumPy's: `np.linalg.norm(x.numpy())`",
    **dict.fromkeys(("allclose", "isclose"), "use `np.allclose(x.numpy(), y.numpy())`"),
    **dict.fromkeys(("logical_and", "logical_or"), _ANY),
    "is_tensor": "use `isinstance(x, nl.Tensor)`",
    **dict.fromkeys(
        ("inference_mode", "set_grad_enabled", "enable_grad"),
        "a with block of `nl.no_grad()`; elsewhere gradients are recorded, see `nl.grad_enabled()`",
    ),
    "is_grad_enabled": "use `nl.grad_enabled()`",
    "get_num_threads": "use `nl.num_threads()`",
    "initial_seed": "use `nl.get_rng_state()`",
    "seed": "use `nl.manual_seed(0)`",
    "device": 'devices are text: `nl.zeros(3, device="cpu")`',
    **dict.fromkeys(("autocast", "amp"), _NO_HALF),
    **dict.fromkeys(
        ("backends", "mps"), 'use `nl.cuda.is_available()`; devices are text: "cpu", "cuda"'
    ),
    "Size": "shapes are tuples: `x.shape`",
    "autograd": f"use `x.backward` and `x.grad`; {_ONE_GRAPH}",
    **dict.fromkeys(("compile", "jit", "fx"), "there is nothing to compile"),
    **dict.fromkeys(("func", "vmap"), f"functions are not transformed: {_ONE_GRAPH}"),
    "set_printoptions": "use NumPy's: `np.set_printoptions(precision=8)`",
    "use_deterministic_algorithms": "leave it out: the same seed gives the same bits",
    "random": "use `nl.manual_seed(0)` and `nl.get_rng_state()`",
    "datasets": "use `nl.data.mnist`, `nl.data.sst5` and others of nl.data",
    "hub": "there are no weights to fetch; `nl.load` reads safetensors files and PyTorch's",
    "profiler": "`nl.memory_stats()` knows the memory; for times, Python's time.perf_counter",
    "utils": _DATA,
    "DataLoader": _DATA,
    "distributed": "one process, all cores; the command normlab study --jobs runs several",
    "numpy": "use `x.numpy()`",
}

_HUBER = "(0.5 * nl.minimum(nl.abs(x - y), 1.0) ** 2 + nl.relu(nl.abs(x - y) - 1)).mean()"
_COSINE = "(x * y).sum(axis=-1) / ((x**2).sum(axis=-1) * (y**2).sum(axis=-1)).sqrt()"
_BINARY = "(nl.softplus(x) - x * y).mean()"

_LOSSES: Mapping[str, str] = {
    "layer_norm": 'use `nl.normalize(x, "layernorm")`',
    "rms_norm": 'use `nl.normalize(x, "rmsnorm")`; PyTorch\'s eps is 2**-23',
    "batch_norm": 'use `nl.normalize(x, "batchnorm")`, with running_mean= and running_var=',
    "group_norm": 'use `nl.normalize(x, "groupnorm", groups=3)`, channels on axis 1',
    "instance_norm": 'use `nl.normalize(x, "instancenorm")`, with running_mean= and running_var=',
    "mse_loss": "use `((x - y) ** 2).mean()`",
    "l1_loss": "use `nl.abs(x - y).mean()`",
    "nll_loss": "use `nl.cross_entropy(x, targets)` of the logits",
    "binary_cross_entropy_with_logits": f"use `{_BINARY}`",
    "swish": "use `nl.silu(x)`",
    "elu": _ELU,
    **dict.fromkeys(("smooth_l1_loss", "huber_loss"), f"use `{_HUBER}`"),
    "binary_cross_entropy": "use `-(y * nl.log(x) + (1 - y) * nl.log(1 - x)).mean()`",
    "kl_div": "use `(y * (nl.log(y) - x)).mean()`, where x are logarithms",
    "cosine_similarity": f"use `{_COSINE}`",
    "conv1d": "use `nl.conv2d` with an axis of length 1",
    "adaptive_avg_pool2d": "use `nl.mean` over the last two axes",
    "interpolate": "there is none with a derivative; without one: `np.repeat(array, 2, axis=-1)`",
    "one_hot": 'use `nl.tensor(np.eye(3, dtype="float32")[index.numpy()])`',
    "scaled_dot_product_attention": "use `nl.attention`, fused, over packed sentences",
    "pad": "use `nl.tensor(np.pad(x.numpy(), 1))`; conv2d has padding=",
}

PACKAGE: Mapping[str, str] = {**_FUNCTIONS, **_LOSSES}

NN: Mapping[str, str] = {
    "BatchNorm1d": 'use `nl.nn.Norm("batchnorm", 128)`',
    "BatchNorm2d": 'use `nl.nn.Norm("batchnorm", (16, 28, 28))`, channels first',
    "BatchNorm3d": 'use `nl.nn.Norm("batchnorm", (16, 4, 28, 28))`, channels first',
    "SyncBatchNorm": 'one process: use `nl.nn.Norm("batchnorm", 128)`',
    "LocalResponseNorm": "it is none of `nl.norm_variants()`",
    "GroupNorm": 'use `nl.nn.Norm("groupnorm", (16, 28, 28), groups=4)`, channels first',
    **dict.fromkeys(
        ("InstanceNorm1d", "InstanceNorm2d"), 'use `nl.nn.Norm("instancenorm", (16, 28, 28))`'
    ),
    "Identity": 'use `nl.nn.Activate("none")`, or `nl.nn.Norm("none", 128)` in a norm\'s place',
    **dict.fromkeys(("Softmax", "LogSoftmax"), "use `nl.softmax(x, axis=-1)` in forward()"),
    "ELU": f"{_ELU} in forward()",
    "PReLU": "use `nl.leaky_relu(x, nl.nn.Parameter(nl.full(1, 0.25)))` in forward()",
    "Hardswish": "use `x * nl.minimum(nl.relu(x + 3), 6.0) / 6` in forward()",
    "Mish": "use `x * nl.tanh(nl.softplus(x))` in forward()",
    "CrossEntropyLoss": "use `nl.cross_entropy(x, targets, weight=nl.ones(3))`",
    "NLLLoss": _LOSSES["nll_loss"],
    "MSELoss": _LOSSES["mse_loss"],
    "L1Loss": _LOSSES["l1_loss"],
    "BCEWithLogitsLoss": _LOSSES["binary_cross_entropy_with_logits"],
    "BCELoss": _LOSSES["binary_cross_entropy"],
    "KLDivLoss": _LOSSES["kl_div"],
    **dict.fromkeys(("SmoothL1Loss", "HuberLoss"), _LOSSES["huber_loss"]),
    "init": "copy values in: `net[0].weight.copy_(nl.randn(net[0].weight.shape, std=0.02))`",
    "utils": "use `nl.optim.clip_grad_norm(net.parameters(), 1.0)`",
    "MultiheadAttention": "use `nl.nn.SelfAttention(128, 4)`",
    "TransformerEncoderLayer": "use `nl.nn.TransformerLayer`",
    "Transformer": "use `nl.nn.TransformerEncoder`",
    **dict.fromkeys(
        ("RNN", "LSTM", "GRU"), "there are no recurrent layers; see `nl.nn.TransformerEncoder`"
    ),
    **dict.fromkeys(("Conv1d", "Conv3d"), "use `nl.nn.Conv2d(1, 8, 3)` with an axis of length 1"),
    **dict.fromkeys(("MaxPool1d", "AvgPool1d"), "use `nl.nn.MaxPool2d((1, 2))` and an axis of 1"),
    "Dropout2d": "use `nl.nn.Dropout(0.1)`, which drops elements, not channels",
    **dict.fromkeys(
        ("ConvTranspose2d", "Upsample"), "there is none: `nl.nn.Conv2d(1, 8, 3)` and pooling alone"
    ),
    "ZeroPad2d": "use `nl.nn.Conv2d(1, 8, 3, padding=1)`",
    "TransformerDecoder": "there is the encoder alone, `nl.nn.TransformerEncoder`",
    "AdaptiveAvgPool2d": "use `nl.mean` over the last two axes",
    "DataParallel": "one process, all cores: `nl.set_num_threads`",
}

OPTIM: Mapping[str, str] = {
    "lr_scheduler": (
        "a schedule is a function of the step: `nl.optim.cosine(1e-3, total=1000)`; set "
        "`optimizer.lr` from it before each step"
    ),
    **dict.fromkeys(
        ("RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "LBFGS", "Adamax"),
        "there are `nl.optim.SGD`, `nl.optim.Adam` and `nl.optim.AdamW`",
    ),
    "clip_grad_norm_": "use `nl.optim.clip_grad_norm(net.parameters(), 1.0)`",
    "clip_grad_value_": "gradients are clipped by length: `nl.optim.clip_grad_norm`",
}

DATA: Mapping[str, str] = {
    **dict.fromkeys(
        ("DataLoader", "Dataset", "TensorDataset", "Subset", "random_split", "Sampler"), _DATA
    ),
    "MNIST": "`nl.data.mnist`, called without arguments, gives train, valid and test in one",
    "FashionMNIST": (
        "`nl.data.fashion_mnist`, called without arguments, gives train, valid and test in one"
    ),
}

_MEMORY = "use `nl.cuda.memory_stats()`"
_ONE_GPU = "one GPU is used, the first that the environment variable CUDA_VISIBLE_DEVICES names"

CUDA: Mapping[str, str] = {
    **dict.fromkeys(("CUDAGraph", "graph", "make_graphed_callables"), "use `nl.cuda.Graph()`"),
    **dict.fromkeys(
        ("memory_allocated", "max_memory_allocated", "memory_reserved", "memory_summary"), _MEMORY
    ),
    **dict.fromkeys(
        ("get_device_name", "get_device_properties", "mem_get_info"), "use `nl.cuda.properties()`"
    ),
    "get_device_capability": 'use `nl.cuda.properties()["compute_capability"]`',
    **dict.fromkeys(("device_count", "current_device", "set_device", "device"), _ONE_GPU),
    **dict.fromkeys(("manual_seed", "manual_seed_all"), "use `nl.manual_seed(0)`, for both"),
    **dict.fromkeys(
        ("Stream", "Event", "current_stream"),
        "there is one stream, `nl.cuda.stream()`; `nl.cuda.synchronize()` waits for it",
    ),
    **dict.fromkeys(("amp", "is_bf16_supported"), _NO_HALF),
}

MODULE: Mapping[str, str] = {
    "state_dict": _NO_STATE_DICT,
    "load_state_dict": "use `net.load_state(net.state())`",
    "cuda": 'use `net.to("cuda")`, where nl.cuda.is_available()',
    "cpu": 'use `net.to("cpu")`',
    "double": 'use `net.to("float64")`',
    "float": 'use `net.to("float32")`',
    **dict.fromkeys(("half", "bfloat16"), "parameters are float32 or float64"),
    **dict.fromkeys(
        ("modules", "children", "named_children"),
        "`net.named_modules()` goes all the way down, without the module itself; direct parts have "
        "no dot in their name",
    ),
    "buffers": "use `net.named_buffers()`",
    "apply": "loop over `net.named_modules()`",
    "requires_grad_": "set requires_grad on each of `net.parameters()`",
    "add_module": 'use net.register_module("name", module), or assign it to an attribute',
    **dict.fromkeys(
        ("register_forward_hook", "register_full_backward_hook", "register_backward_hook"), _HOOK
    ),
    "compile": "there is nothing to compile",
    "weight": 'a norm\'s is called gain: `nl.nn.Norm("layernorm", 128).gain`',
    **dict.fromkeys(("in_features", "out_features"), "use `nl.nn.Linear(3, 5).weight.shape`"),
    "reset_parameters": "make a new layer: `nl.nn.Linear(3, 5)` draws its weights",
    **dict.fromkeys(("device", "dtype"), "use `net.parameters()[0].device`, or dtype in its place"),
    "get_parameter": 'use `dict(net.named_parameters())["0.weight"]`',
    "get_submodule": 'use `dict(net.named_modules())["0"]`',
}

OPTIMIZER: Mapping[str, str] = {
    "state_dict": "use `optimizer.state()`",
    "load_state_dict": "use `optimizer.load_state(optimizer.state())`",
    "param_groups": "use `optimizer.groups[0].lr`, or `optimizer.lr` for all",
    "defaults": "use `optimizer.groups[0].options`",
    "add_param_group": 'use optimizer.add_group({"params": more})',
}

GENERATOR: Mapping[str, str] = {
    "manual_seed": "the seed is given when it is made: `nl.Generator(0)`",
    "initial_seed": "use `nl.Generator(0).seed`",
    "get_state": "use `nl.Generator(0).seed` and `nl.Generator(0).offset`",
}

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("dim", "dims"), ("axis", "axes")),
    "keepdims": ("keepdim",),
    "ddof": ("correction",),
    "weight": ("gain",),
    "map_location": ("device",),
    "start_dim": ("start",),
    "end_dim": ("end",),
    **dict.fromkeys(("size", "normalized_shape", "num_features"), ("shape", "size")),
    **dict.fromkeys(("embedding_dim", "embed_dim", "d_model"), ("size",)),
    "input": ("x", "logits", "a"),
    "other": ("b",),
    "condition": ("mask",),
    "target": ("targets",),
    "tensors": ("parts",),
    "data": ("array",),
    "fill_value": ("value",),
    **dict.fromkeys(("dtype", "device"), ("target",)),
    "gradient": ("g",),
    "mode": ("on",),
    "in_features": ("in_size",),
    "out_features": ("out_size",),
    "kernel_size": ("kernel",),
    "num_embeddings": ("count",),
    "padding_idx": ("padding_index",),
    "num_groups": ("groups",),
    **dict.fromkeys(("num_heads", "nhead"), ("heads",)),
    "dim_feedforward": ("hidden",),
    "num_layers": ("layers",),
    "norm_first": ("pre_norm",),
    "obj": ("tensors",),
    "f": ("path",),
}
"""PyTorch's names of arguments, and ours: the first that the function has."""

NUMPYS = frozenset(("keepdims", "ddof"))
"""Those among them that are NumPy's."""

NO_KEYWORDS: Mapping[str, str] = {
    "set_to_none": "leave it out: gradients are always cleared",
    "inplace": "leave it out: results are new tensors",
    **dict.fromkeys(("non_blocking", "memory_format"), "leave it out"),
    "approximate": "leave it out: gelu is the exact form",
    "ceil_mode": "leave it out: windows that do not fit are left out",
    "padding_mode": "leave it out: the padding is zeros",
    "unbiased": _UNBIASED,
    **dict.fromkeys(("normalize.p", "normalize.dim"), _L2),
    **dict.fromkeys(("retain_graph", "create_graph"), _ONE_GRAPH),
    "weights_only": (
        "leave it out: safetensors files hold nothing else, and of PyTorch's nothing else is read"
    ),
    "strict": "leave it out: all names and shapes must be there",
    **dict.fromkeys(("fused", "foreach"), "leave it out: every step is fused"),
    "amsgrad": "there are Adam and AdamW as they were published, without it",
    **dict.fromkeys(
        ("dtype", "out"),
        "leave it out: results are new and of their input's type; np.mean and such want "
        "`x.numpy()`",
    ),
    "shape": "lengths stand without a name: `x.reshape(3, 4)`",
    **dict.fromkeys(
        ("dim0", "dim1"), "all axes in their new order, without names: `x.transpose(1, 0)`"
    ),
    **dict.fromkeys(
        ("elementwise_affine", "affine"),
        'the variant says it: `nl.nn.Norm("layernorm_simple", 128)`',
    ),
}
"""PyTorch's names of arguments that have no counterpart; with a dot, of one function alone."""

CALLS: Mapping[str, str] = {
    "save(path, tensors, metadata, allow_nonfinite)": (
        "the path comes first: nl.save(path, tensors)"
    ),
    "Tensor(array)": "use `nl.tensor([1.0, 2.0])`",
    "randint(low, high, shape, generator, device)": (
        "the lower end comes first: `nl.randint(0, 10, (3,))`"
    ),
    **dict.fromkeys(("max(axis, keepdim)", "max(x, axis, keepdim)"), _NO_PAIR),
    **dict.fromkeys(
        ("var(axis, keepdim, correction)", "var(x, axis, keepdim, correction)"), _UNBIASED
    ),
    "__getitem__(i)": "several parts: `nl.nn.Sequential(*list(net)[:1])`",
}
"""What else to say where the arguments of these functions do not fit."""

TYPES: Mapping[str, str] = {"Iterable[Tensor]": "give `net.parameters()` or a list of tensors"}
"""What else to say where an argument of that type is something else."""

SIZE = "size is a number here; use `x.shape`, or `x.shape[0]`"
"""For PyTorch's x.size()."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "nl": PACKAGE,
    "nl.nn": NN,
    "nl.optim": OPTIM,
    "nl.data": DATA,
    "nl.cuda": CUDA,
    "Tensor": TENSOR,
    "Module": MODULE,
    "Optimizer": OPTIMIZER,
    "Generator": GENERATOR,
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

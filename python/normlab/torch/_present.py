"""Fails in words where PyTorch is missing or too old."""

_LEAST = (2, 4)  # the first with torch.library.custom_op and nn.RMSNorm
_NEEDS = "normlab.torch needs PyTorch 2.4 or newer"

try:
    import torch
except ImportError as error:
    raise ImportError(f"{_NEEDS}: pip install torch ({error})", name="torch") from error

if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _LEAST:
    raise ImportError(f"{_NEEDS}, got {torch.__version__}: pip install --upgrade torch")

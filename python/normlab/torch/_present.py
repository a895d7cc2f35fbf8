"""Fails in words where PyTorch is missing or too old."""

import re

_LEAST = (2, 4)  # the first with torch.library.custom_op and nn.RMSNorm
_NEEDS = "normlab.torch needs PyTorch 2.4 or newer"

try:
    import torch

    found = torch.__version__  # a folder of that name has none
except (ImportError, AttributeError) as error:
    raise ImportError(f"{_NEEDS}: pip install torch ({error})", name="torch") from error
except OSError as error:  # a library that it loads is missing
    raise ImportError(f"{_NEEDS}; the one that is there does not load ({error})") from error

number = re.match(r"(\d+)\.(\d+)", found)
if number and tuple(map(int, number.groups())) < _LEAST:
    raise ImportError(f"{_NEEDS}, got {found}: pip install --upgrade torch")

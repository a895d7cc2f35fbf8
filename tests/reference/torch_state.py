"""Writes the files of PyTorch that tests/python/test_torch_file.py reads.

    python torch_state.py tests/python/golden     (in an environment with torch)

That test's `expected` states the values. Each file holds a network's state, a tensor of each type
and views of one storage: in the format of today, and in that before PyTorch 1.6, which is refused.
"""

import sys
from collections import OrderedDict
from pathlib import Path

import torch

DTYPES = ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def counting(count: int, dtype: str = "float32") -> torch.Tensor:
    """0, 1, 2, ...; of bool, whether it is not 0."""
    return torch.arange(count).to(getattr(torch, dtype))


def state() -> OrderedDict[str, torch.Tensor]:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.BatchNorm1d(4))
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.copy_(counting(tensor.numel()).reshape(tensor.shape))
    kept = net.state_dict()
    base = counting(12)
    kept["view.rows"] = base[3:].reshape(3, 3)
    kept["view.transposed"] = base.reshape(4, 3).t()
    kept["view.second"] = base[1::2]
    kept["scalar"] = torch.nn.Parameter(torch.tensor(2.5))
    kept["empty"] = torch.zeros(0, 5)
    for dtype in DTYPES:
        kept[f"dtype.{dtype}"] = counting(5, dtype)
    return kept


def main() -> None:
    folder = Path(sys.argv[1])
    torch.save(state(), folder / "state.pt")
    torch.save(state(), folder / "state-legacy.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()

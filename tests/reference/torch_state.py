"""Writes torch_state.pt with PyTorch, and torch_state.npz with the same values for the test.

python tests/reference/torch_state.py, where torch (made with 2.11) and numpy are installed.
"""

from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def main() -> None:
    """Types, views, a tie, a parameter, a state and values beside it."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    x = torch.arange(12, dtype=torch.float32)
    checkpoint = {
        "epoch": 3,
        "note": "made by PyTorch",
        "model": net.state_dict(),
        "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "bfloat16": torch.tensor([1.5, -3.0], dtype=torch.bfloat16),
        "int8": torch.tensor([-128, 127], dtype=torch.int8),
        "flags": torch.tensor([True, False]),
        "rows": x.reshape(3, 4)[1:],
        "transposed": x.reshape(3, 4).T,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }
    torch.save(checkpoint, HERE / "torch_state.pt")
    flat = {key: value for key, value in checkpoint.items() if isinstance(value, torch.Tensor)}
    flat |= {f"model.{key}": value for key, value in net.state_dict().items()}
    arrays = {
        key: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        for key, value in flat.items()
    }
    np.savez_compressed(HERE / "torch_state.npz", **arrays)


if __name__ == "__main__":
    main()

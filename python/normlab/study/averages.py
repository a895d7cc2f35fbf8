"""A network whose evaluated weights are the mean over its last epochs (checkpoint averaging)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import Tensor, nn, no_grad, tensor, zeros


class Averaged(nn.Module):
    """A network, and its weights at the ends of the last epochs.

    These are buffers, so that checkpoints hold them.

    Args:
        network: Trained as it is.
        last: Over how many epochs the mean goes.
    """

    past: Tensor
    epochs: Tensor

    def __init__(self, network: nn.Module, last: int):
        super().__init__()
        self.network = network
        count = sum(parameter.size for parameter in network.parameters())
        self.register_buffer("past", zeros((last, count)))
        self.register_buffer("epochs", zeros((), dtype="int64"))

    def forward(self, *inputs: Any) -> Tensor:
        """The network's."""
        found: Tensor = self.network(*inputs)
        return found

    def keep(self) -> None:
        """Notes the weights at an epoch's end in the place of the oldest ones."""
        done = int(self.epochs.item())
        flat = np.concatenate(
            [each.detach().to("cpu").numpy().ravel() for each in self.network.parameters()]
        )
        with no_grad():
            self.past[done % len(self.past)].copy_(tensor(flat))
            self.epochs.copy_(self.epochs + 1)

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """The network with the mean of the weights that keep() noted, in evaluation mode."""
        kept = min(int(self.epochs.item()), len(self.past))
        parameters = self.network.parameters()
        before = [parameter.detach().clone() for parameter in parameters]
        self.eval()
        try:
            if kept:
                with no_grad():
                    self._put(self.past[:kept].to("cpu").numpy().mean(0), parameters)
            yield self.network
        finally:
            with no_grad():
                for parameter, value in zip(parameters, before, strict=True):
                    parameter.detach().copy_(value)

    @staticmethod
    def _put(flat: "np.ndarray[tuple[int], np.dtype[np.float32]]", to: list[Tensor]) -> None:
        start = 0
        for parameter in to:
            part = flat[start : start + parameter.size].reshape(parameter.shape)
            parameter.detach().copy_(tensor(np.ascontiguousarray(part)))
            start += parameter.size

# ruff: noqa: RUF001, RUF002  (typographic times)
"""What the tasks with a Transformer share: its settings, its layers in words, its optimizer."""

from dataclasses import dataclass

from .. import nn, optim
from ..settings import Settings


@dataclass(frozen=True)
class TransformerSettings(Settings):
    """A Transformer's settings, trained by AdamW.

    Attributes:
        size, heads, hidden, layers: Of the encoder, and of a decoder likewise.
        pre_norm: The norm's place: before each part, or after the sum.
        dropout: On the input, and on what each part of a layer adds.
        weight_decay: Decoupled from the gradient.
        beta2: Of Adam.
    """

    size: int = 128
    heads: int = 4
    hidden: int = 512
    layers: int = 4
    pre_norm: bool = True
    dropout: float = 0.0
    weight_decay: float = 0.1
    beta2: float = 0.999

    def stack(self, attention: str = "attention") -> str:
        """The layers in words: 4 × (norm, attention with 4 heads, norm, feed-forward 512)."""
        parts = (f"{attention} with {self.heads} heads", f"feed-forward {self.hidden}")
        layer = (f"norm, {part}" if self.pre_norm else f"{part}, norm" for part in parts)
        return f"{self.layers} × ({', '.join(layer)})"

    @property
    def last_norm(self) -> str:
        """The norm behind the layers, where there is one, as the beginning of a list in words."""
        return "norm, " if self.pre_norm else ""


def adamw(model: nn.Module, settings: Settings) -> optim.Optimizer:
    """AdamW with these settings, which are a Transformer's."""
    assert isinstance(settings, TransformerSettings)
    return optim.AdamW(
        model.parameters(),
        lr=settings.lr,
        betas=(0.9, settings.beta2),
        weight_decay=settings.weight_decay,
    )

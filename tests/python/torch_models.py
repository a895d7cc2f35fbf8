"""Small models in PyTorch's own style, for the tests of normlab.torch."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """As the Llama of Hugging Face has it."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        dtype = hidden_states.dtype
        wide = hidden_states.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(dtype)


class GemmaRMSNorm(nn.Module):
    """As Gemma has it: the gain is 1 + weight."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * (1.0 + self.weight.float())).type_as(x)


class Residual(nn.Module):
    """Two convolutions beside a shortcut, as ResNet has them: BatchNorm and ReLU in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + x)


class ResNet(nn.Module):
    """Images of one channel to ten logits."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.layer1 = nn.Sequential(Residual(channels), Residual(channels))
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.stem(x)).mean((2, 3)))


class Attention(nn.Module):
    """Self-attention of several heads."""

    def __init__(self, size: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, size = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, -1).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(z.transpose(1, 2).reshape(batch, time, size))


class GPTBlock(nn.Module):
    """Pre-norm."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(size)
        self.attn = Attention(size, heads, causal=True)
        self.ln_2 = nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.Linear(size, 4 * size), nn.GELU(), nn.Linear(4 * size, size))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Tokens to logits of the next ones."""

    def __init__(self, vocabulary: int = 17, size: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, size)
        self.wpe = nn.Embedding(64, size)
        self.h = nn.ModuleList(GPTBlock(size, 4) for _ in range(layers))
        self.ln_f = nn.LayerNorm(size)
        self.head = nn.Linear(size, vocabulary, bias=False)
        self.head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.head(self.ln_f(x))


class BERTLayer(nn.Module):
    """Post-norm, with names as Hugging Face has them."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(size, heads, causal=False)
        self.attention_LayerNorm = nn.LayerNorm(size, eps=1e-12)
        self.intermediate = nn.Linear(size, 2 * size)
        self.output = nn.Linear(2 * size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention_LayerNorm(x + self.attention(x))
        return self.LayerNorm(x + self.output(F.gelu(self.intermediate(x))))


class BERT(nn.Module):
    """Tokens to two logits a sentence."""

    def __init__(self, vocabulary: int = 17, size: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, size)
        self.embeddings_LayerNorm = nn.LayerNorm(size, eps=1e-12)
        self.layer = nn.ModuleList(BERTLayer(size, 4) for _ in range(layers))
        self.classifier = nn.Linear(size, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embeddings_LayerNorm(self.embeddings(tokens))
        for layer in self.layer:
            x = layer(x)
        return self.classifier(x[:, 0])

"""PyTorch peer of language.py: the same network, scaled_dot_product_attention, fused AdamW.

    python torch_language.py --threads 2 --steps 30 --context 128 --crops 16

Prints one JSON line.
"""

import numpy as np
import torch
from clock import measure, options
from torch import nn
from torch.nn import functional

VOCABULARY, SIZE, HEADS, HIDDEN, LAYERS = 66, 128, 4, 512, 4


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.qkv, self.out = nn.Linear(SIZE, 3 * SIZE), nn.Linear(SIZE, SIZE)
        self.up, self.down = nn.Linear(SIZE, HIDDEN), nn.Linear(HIDDEN, SIZE)

    def forward(self, x):
        n, t, d = x.shape
        parts = self.qkv(self.norm1(x)).view(n, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(n, t, d))
        return x + self.down(functional.relu(self.up(self.norm2(x))))


class Net(nn.Module):
    def __init__(self, context):
        super().__init__()
        self.characters = nn.Embedding(VOCABULARY, SIZE)
        self.places = nn.Parameter(torch.randn(context, SIZE) / SIZE**0.5)
        nn.init.normal_(self.characters.weight, std=SIZE**-0.5)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(SIZE)

    def forward(self, numbers):
        x = self.layers(self.characters(numbers) + self.places)
        return functional.linear(self.norm(x), self.characters.weight)


def main():
    a = options().parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    net = Net(a.context)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    rng = np.random.default_rng(0)
    shape = (2, a.crops, a.context)

    def step():
        numbers, targets = torch.from_numpy(rng.integers(0, VOCABULARY, shape))
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(net(numbers).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    measure(step, a, peer="torch", version=torch.__version__, norm="layernorm")


main()

"""PyTorch peer: an epoch of RT with the network of torch_text.py on padded batches.

    python torch_padded.py --peers ../shared/peers --batches batches.npz --threads 2

The batches are those that `text.py --epoch --write` left: the same sentences together, padded to
the longest of the batch; attention and the mean leave the padding out. Prints one JSON line.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np
import torch
from torch.nn import functional

p = argparse.ArgumentParser()
p.add_argument("--peers", required=True)
p.add_argument("--batches", required=True)
p.add_argument("--threads", type=int, default=1)
p.add_argument("--steps", type=int, default=1, help="epochs")
p.add_argument("--norm", default="layernorm")
p.add_argument("--stock-malloc", action="store_true")
a = p.parse_args()
sys.path.insert(0, a.peers)
import torch_text as peer  # noqa: E402


class PaddedBlock(peer.Block):
    def forward(self, inputs):
        x, mask = inputs
        n, t, d = x.shape
        shape = (n, t, 3, self.heads, d // self.heads)
        q, k, v = self.qkv(self.norm1(x)).view(shape).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).reshape(n, t, d))
        return x + self.down(functional.relu(self.up(self.norm2(x)))), mask


class PaddedNet(peer.Net):
    def forward(self, ids, valid):
        x = self.tok(ids) + self.pos[: ids.shape[1]]
        x, _ = self.blocks((x, valid[:, None, None, :]))
        weight = valid / valid.sum(1, keepdim=True)
        return self.head((self.norm(x) * weight[..., None]).sum(1))


def padded(tokens, offsets):
    lengths = np.diff(offsets)
    ids = np.zeros((len(lengths), lengths.max()), np.int64)
    valid = np.arange(lengths.max()) < lengths[:, None]
    ids[valid] = tokens
    return torch.from_numpy(ids), torch.from_numpy(valid)


def main():
    if not a.stock_malloc:
        peer.keep_heap()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    file = np.load(a.batches)
    count = sum(name.startswith("tokens") for name in file)
    batches = [
        (
            *padded(file[f"tokens{i}"], file[f"offsets{i}"]),
            torch.from_numpy(file[f"labels{i}"]),
        )
        for i in range(count)
    ]
    longest = max(ids.shape[1] for ids, _, _ in batches)
    peer.Block = PaddedBlock
    net = PaddedNet(a.norm, int(file["vocabulary"]), longest, 5, 128, 4, 512, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def step(ids, valid, labels):
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(net(ids, valid), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    for batch in batches[:3]:
        step(*batch)
    times = []
    for _ in range(a.steps):
        start = time.perf_counter()
        for batch in batches:
            loss = step(*batch)
        times.append(time.perf_counter() - start)
    tokens = sum(int(valid.sum()) for _, valid, _ in batches)
    places = sum(valid.numel() for _, valid, _ in batches)
    median = statistics.median(times)
    print(
        json.dumps(
            {
                "peer": "torch",
                "version": torch.__version__,
                "task": "text_transformer_epoch",
                "norm": a.norm,
                "threads": a.threads,
                "median_s": median,
                "items_per_s": tokens / median,
                "unit": "tokens",
                "padding": places / tokens - 1,
                "stock_malloc": a.stock_malloc,
                "loss": loss,
            }
        )
    )


main()

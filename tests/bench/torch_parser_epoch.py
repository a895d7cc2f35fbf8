"""PyTorch peer: an epoch of EWT with the network of torch_parser.py, dropout, legal transitions.

    python torch_parser_epoch.py --peers ../shared/peers --examples examples.npz --threads 2

The examples are those that `parser.py --write` left. As well tuned as torch_parser.py: heap kept,
fused Adam, batches gathered by index_select; without --input-norm the norm on the embeddings, which
our network has only as an option, is left out. Prints one JSON line.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
from torch.nn import functional

p = argparse.ArgumentParser()
p.add_argument("--peers", required=True)
p.add_argument("--examples", required=True)
p.add_argument("--threads", type=int, default=1)
p.add_argument("--device", default="cpu")
p.add_argument("--norm", default="layernorm")
p.add_argument("--input-norm", action="store_true")
p.add_argument("--stock-malloc", action="store_true")
p.add_argument("--batch", type=int, default=1024)
a = p.parse_args()
sys.path.insert(0, a.peers)
import torch_parser as peer  # noqa: E402


class Net(peer.Net):
    def __init__(self, rows, classes):
        super().__init__(a.norm, rows, classes, "relu")
        if not a.input_norm:
            self.norm1 = torch.nn.Identity()

    def forward(self, features):
        h = self.norm2(self.fc1(self.norm1(self.emb(features).flatten(1))))
        return self.fc2(functional.dropout(functional.relu(h), 0.5, self.training))


def main():
    if not a.stock_malloc:
        peer.keep_heap()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    data = np.load(a.examples)
    features = torch.from_numpy(data["features"].astype(np.int64)).to(a.device)
    classes = torch.from_numpy(data["classes"]).to(a.device)
    moves = torch.from_numpy(data["moves"].astype(np.int64)).to(a.device)
    illegal = ~torch.from_numpy(data["masks"]).to(a.device)
    net = Net(int(data["rows"]), illegal.shape[1]).to(a.device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

    def steps(n):
        total = torch.zeros((), device=a.device)
        order = torch.randperm(len(classes), device=a.device)[:n]
        for index in order.split(a.batch):
            optimizer.zero_grad(set_to_none=True)
            logits = net(features.index_select(0, index))
            mask = illegal.index_select(0, moves.index_select(0, index))
            loss = functional.cross_entropy(
                logits.masked_fill(mask, -1e9), classes.index_select(0, index)
            )
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(index)
        return total.item() / n

    steps(20 * a.batch)
    start = time.perf_counter()
    loss = steps(len(classes))
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "peer": "torch",
                "version": torch.__version__,
                "task": "parse",
                "norm": a.norm,
                "device": a.device,
                "threads": a.threads,
                "median_s": seconds,
                "items_per_s": len(classes) / seconds,
                "unit": "examples",
                "loss": loss,
                "input_norm": a.input_norm,
            }
        )
    )


if __name__ == "__main__":
    main()

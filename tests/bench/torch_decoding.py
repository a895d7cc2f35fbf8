"""PyTorch peer of decoding.py: the same networks and weights, scaled_dot_product_attention.

Answers cases on standard input, as turns.py has it. Keys and values lie in one block that is made
before; a beam's are put in order within it, by one copy for all layers; those of the source are
computed once and shared by the beams.
"""

import math

import numpy as np
import torch
from torch.nn import functional
from turns import serve

HEADS, LAYERS, BEGIN, END, FIRST = 4, 4, 1, 2, 3
BEAMS = {"greedy": 1, "beam 5": 5}


class Weights:
    """A network's tensors by their names."""

    def __init__(self, path):
        with np.load(path) as file:
            self.tensors = {name: torch.from_numpy(file[name]) for name in file.files}

    def __getitem__(self, name):
        return self.tensors[name]

    def linear(self, name, x):
        return functional.linear(x, self[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def norm(self, name, x):
        gain, bias = self[f"{name}.gain"], self[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], gain, bias)

    def feed_forward(self, at, norm, x):
        hidden = functional.relu(self.linear(f"{at}.up", self.norm(f"{at}.{norm}", x)))
        return x + self.linear(f"{at}.down", hidden)


def by_head(x, n, length):
    """[n, H, length, D / H] of rows."""
    return x.view(n, length, HEADS, -1).transpose(1, 2)


def encoder(w, prefix, x, causal, keep=None):
    """Whole sequences [n, length, D]; keep(layer, keys, values) takes what attention read."""
    n, length, size = x.shape
    for i in range(LAYERS):
        at = f"{prefix}.{i}"
        parts = w.linear(f"{at}.attention.qkv", w.norm(f"{at}.norm1", x)).chunk(3, -1)
        q, k, v = (by_head(part, n, length) for part in parts)
        if keep:
            keep(i, k, v)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        joined = attended.transpose(1, 2).reshape(n, length, size)
        x = x + w.linear(f"{at}.attention.out", joined)
        x = w.feed_forward(at, "norm2", x)
    return w.norm(f"{prefix}.norm", x)


class Cache:
    """Keys and values of all layers: [2 L, rows, H, places, D / H]."""

    def __init__(self, rows, places, size, beams=False):
        shape = (2 * LAYERS, rows, HEADS, places, size // HEADS)
        self.block = torch.empty(shape)
        self.other = torch.empty(shape) if beams else None
        self.length = 0

    def fill(self, i, k, v):
        """Those of whole sequences."""
        self.block[2 * i, :, :, : k.shape[2]] = k
        self.block[2 * i + 1, :, :, : k.shape[2]] = v

    def attend(self, i, q, k, v):
        """Of one new row a sequence, [rows, D] each."""
        rows, size = q.shape
        at = self.length
        self.block[2 * i, :, :, at] = k.view(rows, HEADS, -1)
        self.block[2 * i + 1, :, :, at] = v.view(rows, HEADS, -1)
        keys, values = self.block[2 * i : 2 * i + 2, :, :, : at + 1]
        q = q.view(rows, HEADS, 1, -1)
        return functional.scaled_dot_product_attention(q, keys, values).view(rows, size)

    def take(self, rows):
        """Goes on from these rows."""
        there = self.other[:, :, :, : self.length]
        torch.index_select(self.block[:, :, :, : self.length], 1, rows, out=there)
        self.block, self.other = self.other, self.block


def self_attention(w, at, x, cache, i):
    q, k, v = w.linear(f"{at}.attention.qkv", w.norm(f"{at}.norm1", x)).chunk(3, -1)
    return x + w.linear(f"{at}.attention.out", cache.attend(i, q, k, v))


def cross_attention(w, at, x, memory, beam):
    rows, size = x.shape
    q = w.linear(f"{at}.cross.query", w.norm(f"{at}.norm2", x))
    q = by_head(q, rows // beam, beam)
    attended = functional.scaled_dot_product_attention(q, *memory)
    return x + w.linear(f"{at}.cross.out", attended.transpose(1, 2).reshape(rows, size))


class Translator:
    def __init__(self, case):
        self.w, self.steps = Weights(case["weights"]), case["steps"]
        self.source = torch.tensor([[*line, END] for line in case["inputs"]])
        self.beam = BEAMS[case["search"]]
        self.size = case["size"]
        column = torch.arange(self.size)
        rates = 10000.0 ** -((column - column % 2).double() / self.size)
        angles = torch.arange(self.steps + 1).double()[:, None] * rates
        self.places = torch.where(column % 2 == 0, angles.sin(), angles.cos()).float()

    def embedded(self, tokens, places):
        return self.w["target.weight"][tokens] * math.sqrt(self.size) + places

    def memory(self):
        """Keys and values of the source, of each layer."""
        w, (n, length) = self.w, self.source.shape
        x = self.embedded(self.source, self.places[:length])
        x = encoder(w, "encoder", x, causal=False)
        found = []
        for i in range(LAYERS):
            parts = w.linear(f"decoder.{i}.cross.key_value", x).chunk(2, -1)
            found.append([by_head(part, n, length).contiguous() for part in parts])
        return found

    def logits(self, tokens, memory, cache):
        x = self.embedded(tokens, self.places[cache.length])
        for i in range(LAYERS):
            at = f"decoder.{i}"
            x = self_attention(self.w, at, x, cache, i)
            x = cross_attention(self.w, at, x, memory[i], self.beam)
            x = self.w.feed_forward(at, "norm3", x)
        cache.length += 1
        return self.w.linear("output", self.w.norm("decoder.norm", x))

    def __call__(self):
        n, beam = len(self.source), self.beam
        memory = self.memory()
        cache = Cache(n * beam, self.steps, self.size, beams=beam > 1)
        tokens = torch.full((n * beam,), BEGIN)
        found = torch.empty((n * beam, self.steps), dtype=torch.int64)
        scores = torch.full((n, beam), -math.inf)
        scores[:, 0] = 0.0  # all beginnings are the same one
        first = torch.arange(n)[:, None] * beam
        for step in range(self.steps):
            logits = self.logits(tokens, memory, cache)
            if beam == 1:
                tokens = logits[:, FIRST:].argmax(1) + FIRST
            else:
                logs = functional.log_softmax(logits, 1)
                logs[:, :FIRST] = -math.inf
                logs = logs.view(n, beam, -1).add_(scores[:, :, None])
                scores, places = logs.view(n, -1).topk(beam)
                rows = (first + places // logits.shape[1]).view(-1)
                tokens = (places % logits.shape[1]).view(-1)
                cache.take(rows)
                found[:, :step] = found[rows, :step]
            found[:, step] = tokens
        # The last step of ours finds the end alone.
        return found[::beam, : self.steps - 1].tolist()


class Writer:
    def __init__(self, case):
        self.w, self.steps = Weights(case["weights"]), case["steps"]
        self.prompts = torch.tensor(case["inputs"])
        self.size = case["size"]

    def __call__(self):
        w, (n, length) = self.w, self.prompts.shape
        cache = Cache(n, length + self.steps, self.size)
        x = w["embedding.weight"][self.prompts] + w["positions.weight"][:length]
        x = encoder(w, "encoder", x, causal=True, keep=cache.fill)[:, -1]
        cache.length = length
        found = torch.empty((n, self.steps), dtype=torch.int64)
        for step in range(self.steps):
            tokens = functional.linear(x, w["embedding.weight"]).argmax(1)
            found[:, step] = tokens
            if step + 1 < self.steps:
                x = self.encoded(tokens, cache)
        return found.tolist()

    def encoded(self, tokens, cache):
        x = self.w["embedding.weight"][tokens] + self.w["positions.weight"][cache.length]
        for i in range(LAYERS):
            at = f"encoder.{i}"
            x = self_attention(self.w, at, x, cache, i)
            x = self.w.feed_forward(at, "norm2", x)
        cache.length += 1
        return self.w.norm("encoder.norm", x)


def prepare(case):
    torch.set_num_threads(case["threads"])
    work = Translator(case) if case["task"] == "translate" else Writer(case)
    return torch.inference_mode()(work)


serve(prepare)

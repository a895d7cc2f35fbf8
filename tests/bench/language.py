"""Training of the character language model: ours, with the flags of torch_language.py.

    python language.py --threads 2 --steps 30 --context 128 --crops 16

Random characters, dropout 0, the sizes of `normlab study --task charlm`. Prints one JSON line;
items are characters.
"""

from __future__ import annotations

import numpy as np
from clock import measure, options

import normlab as nl
from normlab import language, text

VOCABULARY = 66


def main() -> None:
    p = options()
    p.add_argument("--norm", default="layernorm", choices=nl.norm_variants())
    a = p.parse_args()
    nl.set_num_threads(a.threads)
    nl.manual_seed(0)
    net = language.LanguageModel(VOCABULARY, a.context, tied=True, dropout=0.0, norm=a.norm)
    optimizer = nl.optim.AdamW(net.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    offsets = nl.tensor(np.arange(a.crops + 1) * a.context)
    count = a.crops * a.context

    def step() -> float:
        drawn = rng.integers(0, VOCABULARY, (2, count))
        optimizer.zero_grad()
        logits = net(text.Packed(nl.tensor(drawn[0]), offsets))
        loss = nl.cross_entropy(logits, nl.tensor(drawn[1]))
        loss.backward()
        optimizer.step()
        return loss.item()

    measure(step, a, peer="normlab", version=nl.__version__, norm=a.norm)


if __name__ == "__main__":
    main()

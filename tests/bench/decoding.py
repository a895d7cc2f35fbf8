"""Decoding with a key/value cache: normlab beside PyTorch, in turn, with the same weights.

    python decoding.py --torch .venv-torch/bin/python [--threads N] [--sizes D...] [--batches B...]

The other Python has torch and runs torch_decoding.py. What is decoded: translations of 12 subwords,
74 steps each, greedy and with beam 5 (4 + 4 layers, feed-forward 2 D, 6,000 subwords), and 200
characters behind a prompt of 16, greedy (4 layers, feed-forward 4 D, 66 characters). Weights are
random, and such that no translation ends early. Prints one JSON line a case: medians over the
rounds; a ratio above 1 means that ours is faster; `agree` is the share of equal tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from turns import Case, Engine, Tokens, Work, agreement, serve

import normlab as nl
from normlab import language, nn, text, translate

HERE = Path(__file__).parent
END = translate.Subwords.END
SUBWORDS, SOURCE, CHARACTERS, PROMPT, WRITTEN = 6_000, 12, 66, 16, 200
STEPS = 2 * SOURCE + 50  # of a search that finds no end
BEAMS = {"greedy": 1, "beam 5": 5}
HEADS, LAYERS = 4, 4


def translator(size: int) -> translate.Translator:
    """Whose last column says of each subword but END that it may follow."""
    nl.manual_seed(0)
    network = translate.Translator(
        SUBWORDS, SUBWORDS, size, HEADS, 2 * size, LAYERS, LAYERS, share_output=False
    )
    state = {name: value.detach().numpy() for name, value in network.state().items()}
    state["decoder.norm.gain"][-1], state["decoder.norm.bias"][-1] = 0.0, 1.0
    state["output.weight"][:, -1] = 0.0
    state["output.weight"][END, -1] = -1e4
    network.eval()
    return network


def language_model(size: int) -> language.LanguageModel:
    nl.manual_seed(0)
    network = language.LanguageModel(
        CHARACTERS, PROMPT + WRITTEN, size, HEADS, 4 * size, LAYERS, tied=True
    )
    network.eval()
    return network


def translating(case: Case) -> Work:
    network = translator(case["size"])
    _keep(network, case)
    sources, beam = case["inputs"], BEAMS[case["search"]]

    def work() -> Tokens:
        return [tokens for tokens, _ in translate.search(network, sources, beam=beam)]

    return work


def generating(case: Case) -> Work:
    network = language_model(case["size"])
    _keep(network, case)
    prompts = np.array(case["inputs"])
    batch = len(prompts)
    last = nl.tensor(np.arange(1, batch + 1) * PROMPT - 1)
    offsets = nl.tensor(np.arange(batch + 1))

    def work() -> Tokens:
        cache, found = nn.KeyValueCache(), []
        with nl.no_grad():
            logits = nl.take(network(text.pack(list(prompts)), cache), last)
            for step in range(WRITTEN):
                following = nl.argmax(logits, 1)
                found.append(following.numpy())
                if step + 1 < WRITTEN:
                    logits = network(text.Packed(following, offsets), cache)
        return [list(map(int, each)) for each in np.stack(found, 1)]

    return work


def _keep(network: nn.Module, case: Case) -> None:
    """Where the peer reads them."""
    np.savez(case["weights"], **{name: value.numpy() for name, value in network.state().items()})


def prepare(case: Case) -> Work:
    nl.set_num_threads(case["threads"])
    return translating(case) if case["task"] == "translate" else generating(case)


def cases(a: argparse.Namespace, folder: str) -> list[Case]:
    found = []
    kinds = [("translate", search) for search in BEAMS] + [("generate", "greedy")]
    for (task, search), size, batch in product(kinds, a.sizes, a.batches):
        draw = np.random.default_rng(batch)
        inputs = (
            draw.integers(3, SUBWORDS, (batch, SOURCE))
            if task == "translate"
            else draw.integers(1, CHARACTERS, (batch, PROMPT))
        )
        found.append(
            {
                "task": task,
                "search": search,
                "size": size,
                "batch": batch,
                "threads": a.threads,
                "steps": STEPS if task == "translate" else WRITTEN,
                "inputs": inputs.tolist(),
                "weights": f"{folder}/{task}-{size}.npz",
            }
        )
    return found


def line(case: Case, rounds: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """The figures of a case."""
    facts = {name: value for name, value in case.items() if name not in ("inputs", "weights")}
    for place, engine in enumerate(("ours", "torch")):
        for name in ("seconds", "cpu_s"):
            facts[f"{engine}_{name}"] = statistics.median(r[place][name] for r in rounds)
    facts["ratio"] = facts["torch_seconds"] / facts["ours_seconds"]
    facts["cpu_ratio"] = facts["torch_cpu_s"] / facts["ours_cpu_s"]
    facts["agree"] = agreement(rounds[0][0]["tokens"], rounds[0][1]["tokens"])
    return facts


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--torch", default=sys.executable, help="the Python that has torch")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    p.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--serve", action="store_true", help="answer cases on standard input")
    a = p.parse_args()
    if a.serve:
        serve(prepare)
        return
    with tempfile.TemporaryDirectory() as folder:
        ours = Engine([sys.executable, __file__, "--serve"])
        peer = Engine([a.torch, HERE / "torch_decoding.py"])
        for case in cases(a, folder):
            rounds = [(ours.ask(case), peer.ask(case)) for _ in range(a.rounds)]
            print(json.dumps(line(case, rounds)), flush=True)
        ours.close()
        peer.close()


if __name__ == "__main__":
    main()

"""Training and parsing with the dependency parser, on UD English-EWT (NORMLAB_DATA).

    python parser.py --threads 2 --norm layernorm --write examples.npz
    python parser.py --parse --threads 2

Without --parse: one epoch of training, as `normlab study --task parse` does it, in steps of 1,024
transitions; --write leaves the same examples for torch_parser_epoch.py. With --parse: the test set,
gold tags, parsed with a network after one epoch. --device cuda trains on the GPU, where the study
replays its steps as a CUDA graph. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from typing import Any

import numpy as np

import normlab as nl
from normlab import parse
from normlab.study.parsing import ParseSettings, ParseTask, TreebankTensors
from normlab.study.task import NormChoice


def write(path: str, data: TreebankTensors) -> None:
    train = data.examples["train"]
    np.savez(
        path,
        features=train.features.numpy(),
        classes=train.classes.numpy(),
        moves=train.moves.numpy(),
        masks=data.masks.numpy(),
        rows=np.array(len(data.vocabulary)),
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parsing(model: parse.Network, data: TreebankTensors, rounds: int) -> dict[str, Any]:
    parser = parse.Parser(parse.Model(model, data.vocabulary))
    gold = data.sentences["test"]
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        parsed = parser.parse(gold)
        times.append(time.perf_counter() - start)
    score = parse.score(gold, parsed)
    best = min(times)
    return {
        "median_s": sorted(times)[len(times) // 2],
        "items_per_s": len(gold) / best,
        "unit": "sentences",
        "uas": score.uas,
        "las": score.las,
    }


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--norm", default="layernorm")
    p.add_argument("--input-norm", action="store_true", help="the norm on the embeddings too")
    p.add_argument("--write", help="leave the examples there")
    p.add_argument("--parse", action="store_true")
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    a = p.parse_args()
    nl.set_num_threads(a.threads)
    nl.manual_seed(0)
    task = ParseTask()
    assert isinstance(task.settings, ParseSettings)
    task.settings = settings = replace(task.settings, input_norm=a.input_norm)
    data = task.load()
    if a.write:
        write(a.write, data)
    data = data.to(a.device)
    model = task.build(data, NormChoice(a.norm, {})).to(a.device)
    optimizer = task.optimizer(model, settings)
    warm = replace(settings, train_items=20 * settings.batch)
    task.train_epoch(model, optimizer, data, warm, 0, lambda share: None)
    start = time.perf_counter()
    score = task.train_epoch(model, optimizer, data, settings, 1, lambda share: None)
    seconds = time.perf_counter() - start
    record: dict[str, Any] = {"task": "parse", "norm": a.norm, "threads": a.threads}
    record |= {"device": a.device, "graph": a.device == "cuda"}
    if a.parse:
        model.eval()
        assert isinstance(model, parse.Network)
        record |= parsing(model, data, 7)
    else:
        n = len(data.examples["train"])
        record |= {
            "median_s": seconds,
            "items_per_s": n / seconds,
            "unit": "examples",
            "loss": score.loss,
        }
    print(json.dumps(record | {"peak_MB": peak_mb()}))


if __name__ == "__main__":
    main()

"""Mutated input for the readers that are Python: idx, packed files, trees in brackets, results,
files of torch.save and the pickles within them.

    python tests/fuzz/python_readers.py [--inputs N] [--seed N] [READER...]

Each input is a seed that was changed at random: bits, bytes, pieces cut, doubled or of another
seed, packed with gzip or not. A reader may take it or raise a FileError; what it takes must have
the promised form. Anything else ends the run with the input beside it.
"""

import argparse
import gzip
import os
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from normlab import load_with_metadata
from normlab._core import FileError
from normlab.data.idx import read_idx
from normlab.data.packed import read_file, read_members
from normlab.data.sst5 import parse_tree
from normlab.data.text import LineError
from normlab.results import ResultFile

SEEDS = Path(__file__).parent / "seeds"
_MOST = 4096
_EDGES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"(",
    b")",
    b" ",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"-1",
    b"1e999",
)


# --- readers --------------------------------------------------------------------------------------


def idx(path: Path) -> None:
    array = read_idx(path, (2, 3))
    assert array.shape == (2, 3)
    assert array.dtype == "uint8"


def packed(path: Path) -> None:
    assert len(read_file(path, _MOST)) <= _MOST
    read_members(path, ["a.txt", "b.txt"], _MOST)


def trees(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    for line in text.split("\n"):
        try:
            tree = parse_tree(line)
        except LineError:
            continue
        assert tree.phrases[0][1:] == (0, len(tree.words))
        assert all(0 <= label <= 4 and first < end for label, first, end in tree.phrases)
        assert len(list(tree.examples())) == len(tree.phrases)


def results(path: Path) -> None:
    folder = path.parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "results.jsonl").write_bytes(path.read_bytes())
    file = ResultFile(folder)
    read = file.read()
    file.repair()
    assert file.read() == read


def torch_file(path: Path) -> None:
    tensors, metadata = load_with_metadata(path.rename(path.with_suffix(".pt")))
    assert sum(x.nbytes for x in tensors.values()) <= _MOST << 10
    assert all(isinstance(text, str) for text in metadata.values())


def torch_pickle(path: Path) -> None:
    """A mutated archive hardly ever has the right check sums: what is inside is tried, too."""
    pickled = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickled)
        archive.writestr("model/data/0", bytes(range(24)))
    torch_file(path)


READERS: dict[str, Callable[[Path], None]] = {
    "idx": idx,
    "packed": packed,
    "trees": trees,
    "results": results,
    "torch_file": torch_file,
    "torch_pickle": torch_pickle,
}


# --- mutations ------------------------------------------------------------------------------------


def mutated(seeds: list[bytes], draw: random.Random) -> bytes:
    data = bytearray(draw.choice(seeds))
    for _ in range(1 << draw.randrange(4)):
        _change(data, seeds, draw)
    return gzip.compress(bytes(data), 1) if draw.random() < 0.1 else bytes(data)


def _change(data: bytearray, seeds: list[bytes], draw: random.Random) -> None:
    at, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    kind = draw.randrange(6)
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << draw.randrange(8)
    elif kind == 1 and data:
        data[at % len(data)] = draw.randrange(256)
    elif kind == 2:
        data[at:at] = draw.choice(_EDGES)
    elif kind == 3:
        del data[at : min(end, at + 16)]
    elif kind == 4:
        data[at:at] = data[at : min(end, at + 16)]
    else:
        other = draw.choice(seeds)
        data[at:] = other[draw.randrange(len(other) + 1) :]


def try_reader(name: str, inputs: int, seed: int, folder: Path) -> int:
    """The number of inputs that the reader took."""
    seeds = [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]
    draw = random.Random(f"{name} {seed}")
    path, taken = folder / "input", 0
    for number in range(inputs):
        data = mutated(seeds, draw) if number >= len(seeds) else seeds[number]
        path.write_bytes(data)
        try:
            READERS[name](path)
            taken += 1
        except FileError as error:
            assert str(path.parent) in str(error), f"names no file: {error}"
        except BaseException:
            found = Path(f"crash-{name}-{seed}-{number}")
            found.write_bytes(data)
            print(f"{name}: input {number} of seed {seed} is in {found}", file=sys.stderr)
            raise
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description="Mutated input for readers in Python.")
    parser.add_argument("readers", nargs="*", metavar="READER", default=list(READERS))
    parser.add_argument("--inputs", type=int, default=20_000, help="For each reader.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        for reader in given.readers:
            start = time.monotonic()
            taken = try_reader(reader, given.inputs, given.seed, Path(name))
            print(
                f"{reader}: {given.inputs:,} inputs, {taken:,} taken, the others refused in words, "
                f"{time.monotonic() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

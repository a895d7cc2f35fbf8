"""Folders of treebanks: parts of a split, splits without a file."""

import gzip
import re
from pathlib import Path

import pytest

import normlab as nl


def sentences(*names: str) -> str:
    return "".join(f"1\t{name}\t_\tX\tX\t_\t0\troot\t_\t_\n\n" for name in names)


def forms(split: list[nl.parse.Sentence]) -> list[str]:
    return [sentence.forms[0] for sentence in split]


def numbered(n: int) -> list[str]:
    return [f"w{i}" for i in range(n)]


def fill(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


REST = {"x-ud-dev.conllu": sentences("dev"), "x-ud-test.conllu": sentences("test")}


@pytest.mark.parametrize(
    "parts",
    [
        ["-a", "-b", "-c"],
        ["-a-1", "-a-2", "-a-10", "-b-1"],
        ["-1", "-2", "-10"],
        ["1", "2", "10"],
        ["_part1", "_part2"],
        ["-ca", "-ct"],
        [".0001", ".0002"],
    ],
)
def test_parts_are_read_in_their_order(tmp_path: Path, parts: list[str]) -> None:
    files = {
        f"x-ud-train{part}.conllu{'.gz' if i % 2 else ''}": sentences(f"{part}:1", f"{part}:2")
        for i, part in enumerate(parts)
    }
    data = nl.data.ud(fill(tmp_path / "tb", files | REST))
    assert forms(data.train) == [f"{part}:{i}" for part in parts for i in (1, 2)]
    assert (forms(data.valid), forms(data.test)) == (["dev"], ["test"])
    assert data.origin == f"folder ({tmp_path / 'tb'}), {len(parts)} training files"


def test_parts_of_other_splits_and_formats(tmp_path: Path) -> None:
    files = {"train.conllx": sentences("a"), "dev-1.conll": sentences("b"),
             "dev-2.conll": sentences("c"), "test.conllu": sentences("d")}  # fmt: skip
    data = nl.data.ud(fill(tmp_path, files))
    assert [forms(split) for split in (data.train, data.valid, data.test)] == [
        ["a"],
        ["b", "c"],
        ["d"],
    ]


@pytest.mark.parametrize(
    "names",
    [
        ["train.conllu", "train-a.conllu"],
        ["train-a.conllu", "train-a.conllu.gz"],
        ["train.conllu", "train.conllx"],
        ["x-train-a.conllu", "y-train-b.conllu"],
        ["train-a.conllu", "train-b.conllx"],
    ],
)
def test_files_that_are_no_parts_of_one(tmp_path: Path, names: list[str]) -> None:
    folder = fill(tmp_path, {name: sentences("a") for name in names} | REST)
    message = "must have one file whose name ends with train and .conllu"
    with pytest.raises(nl.FileError, match=re.escape(message)) as caught:
        nl.data.ud(folder)
    assert str(caught.value).endswith(f"has {', '.join(sorted(names))}")


def test_other_files_do_not_count(tmp_path: Path) -> None:
    others = ("x-ud-train.txt", "x-ud-train-small.conllu", "x-ud-train.conllu.orig", "README.md")
    files = {"x-ud-train.conllu": sentences("a")} | dict.fromkeys(others, "1")
    (tmp_path / "old-train.conllu").mkdir()
    assert forms(nl.data.ud(fill(tmp_path, files | REST)).train) == ["a"]


@pytest.mark.parametrize(
    ("missing", "note"),
    [
        (("dev",), "; no dev file: every tenth training sentence stands for it"),
        (("test",), "; no test file: every tenth training sentence stands for it"),
        (("dev", "test"), "; no dev and test file: every tenth training sentence stands for each"),
    ],
)
def test_a_share_stands_for_what_is_missing(
    tmp_path: Path, missing: tuple[str, ...], note: str
) -> None:
    rest = {
        name: text for name, text in REST.items() if not any(split in name for split in missing)
    }
    names = numbered(25)
    files = {
        "x-ud-train-a.conllu": sentences(*names[:12]),
        "x-ud-train-b.conllu": sentences(*names[12:]),
    }
    data = nl.data.ud(fill(tmp_path, files | rest))
    shares = {"dev": ["w9", "w19"], "test": ["w4", "w14", "w24"]}
    assert forms(data.valid) == (shares["dev"] if "dev" in missing else ["dev"])
    assert forms(data.test) == (shares["test"] if "test" in missing else ["test"])
    gone = {name for split in missing for name in shares[split]}
    assert forms(data.train) == [name for name in names if name not in gone]
    assert data.origin == f"folder ({tmp_path}), 2 training files{note}"
    assert forms(nl.data.ud(tmp_path).train) == forms(data.train), "the same each time"


def test_a_share_of_too_little(tmp_path: Path) -> None:
    fill(tmp_path, {"train.conllu": sentences(*numbered(9))} | REST)
    assert len(nl.data.ud(tmp_path).train) == 9
    (tmp_path / "x-ud-dev.conllu").unlink()
    with pytest.raises(nl.FileError, match="has no file for dev, and of 9 training sentences"):
        nl.data.ud(tmp_path)


def test_without_training_files(tmp_path: Path) -> None:
    with pytest.raises(nl.FileError, match="must have a file whose name ends with train"):
        nl.data.ud(fill(tmp_path, REST))

"""`normlab predict`: probabilities, files in and out, lines that are skipped."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import normlab as nl
from normlab import text

LABELS = ["bad", "so so", "good\tindeed"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, but with logits far from each other."""
    path = tmp_path_factory.mktemp("classifier") / "model.safetensors"
    nl.manual_seed(0)
    words = text.Vocabulary(["a", "good", "bad", "film", "."])
    classifier = text.Classifier(len(words), len(LABELS), 16, 2, 32, 1)
    for name, tensor in classifier.state().items():
        if name.endswith("weight"):
            tensor.copy_(tensor * 3.0)
    text.save_model(path, text.Model(classifier, words, LABELS))
    return path


def predict(*words: str | Path, lines: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", "predict", *map(str, words)],
        input=lines,
        capture_output=True,
        timeout=300,
        env=os.environ | {"NORMLAB_DEBUG": "0"},
    )


def test_probabilities_are_a_table(model: Path) -> None:
    lines = ["a good film .", "", "bad\tfilm", "a " * 50]
    done = predict(model, "--probabilities", lines="\n".join(lines).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    head, *rows = [row.split("\t", 4) for row in done.stdout.decode().splitlines()]
    assert head == ["label", "bad", "so so", "good indeed", "text"]
    logits = text.load_model(model).logits(lines).numpy().astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = np.array([row[1:4] for row in rows], np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-8)
    assert [row[0] for row in rows] == [head[1 + i] for i in found.argmax(1)]
    assert [row[4] for row in rows] == lines


def test_probabilities_of_logits_that_overflow() -> None:
    from normlab.filters import _softmax

    found = _softmax(np.array([1e4, 1e4, -1e4], np.float32))
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.0])


def test_logits_and_probabilities_are_one_or_the_other(model: Path) -> None:
    done = predict(model, "--logits", "--probabilities")
    assert done.returncode == 2
    assert done.stderr == b"error: --logits, --probabilities: one or the other\n"


def test_files_in_and_out(model: Path, tmp_path: Path) -> None:
    first, second, out = (tmp_path / name for name in ("a", "b", "out.tsv"))
    first.write_bytes(b"a good film\r\nbad")
    second.write_bytes(b"film\n")
    done = predict(model, first, "-", second, "-o", out, lines=b"a\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    lines = b"a good film\nbad\na\nfilm\n"
    assert out.read_bytes() == predict(model, lines=lines).stdout
    second.write_bytes(b"film\n\xff\n")
    before = out.read_bytes()
    done = predict(model, first, second, "-o", out)
    assert done.returncode == 2
    assert f"error: {second}, line 2: " in done.stderr.decode()
    assert out.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b", "out.tsv"]
    done = predict(model, first, tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"none: cannot be read: No such file or directory" in done.stderr


def test_bad_lines_are_skipped(model: Path) -> None:
    lines = b"good\n\xff\n" + b"x" * (3 << 20) + b"\na\0b\nbad\n"
    done = predict(model, "--skip-bad", lines=lines)
    assert done.returncode == 0
    assert [line.split(b"\t")[1:] for line in done.stdout.splitlines()] in (
        [[b"good"], [b"bad"]],
        [[b"good"], [b"bad"]],
    )
    *each, last = done.stderr.decode().splitlines()
    assert last == "skipped 3 of 5 lines"
    assert [line.split(": ")[1] for line in each] == [
        f"standard input, line {i}" for i in (2, 3, 4)
    ]
    assert predict(model, "--skip-bad", lines=b"\xff").returncode == 2


def test_conllu_is_told(model: Path, tmp_path: Path) -> None:
    word = "\tThe\t_\tDET\tDT\t_\t2\tdet\t_\t_\n"
    treebank = tmp_path / "a.conllu"
    treebank.write_text(f"# text = The The\n1{word}2{word}\n", encoding="utf-8")
    done = predict(model, treebank)
    assert done.returncode == 0
    assert done.stderr.decode() == f"{treebank}, line 2: is CoNLL-U, labelled as text\n"
    table = predict(model, lines=b"1\ttwo\n2" + b"\t" * 12 + b"\nx" + b"\t" * 9)
    assert (table.returncode, table.stderr) == (0, b"")

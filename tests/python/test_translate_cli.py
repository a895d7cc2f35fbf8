"""`normlab translate` and the host application in C++: lines in, lines out, as they come."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import normlab as nl
from normlab import text, translate
from normlab.translate import Subwords, Translator

PIECES = ["\u2581", *"abcdefghijklmnopqrstuvwxyz", "\u2581a", "\u2581the", "he", "th"]
LINES = ["the cat", "", "a the he", "zebra 7 \U0001f600", "  ", "x y z", "the the the the"]


def toy_model() -> translate.Model:
    nl.manual_seed(0)
    count = len(PIECES) + 3
    net = Translator(count, count, 24, 2, 32, 2, 2, positions=40, share_output=False, dropout=0.0)
    for parameter in net.parameters():
        parameter.detach().copy_(parameter.detach() * 2.0)
    net.eval()
    return translate.Model(net, Subwords(PIECES), Subwords(PIECES), "en", "de")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("translator") / "model.safetensors"
    translate.save_model(path, toy_model())
    return path


def run(*words: str | int | Path, lines: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "normlab", "translate", *map(str, words)],
        input=lines,
        capture_output=True,
        timeout=300,
        check=False,
        env=os.environ | {"NORMLAB_DEBUG": "0"},
    )


def expected(lines: list[str], **options) -> bytes:
    return "".join(line + "\n" for line in toy_model().translate(lines, **options)).encode()


def test_lines_come_out_translated_in_their_order(model: Path):
    done = run(model, lines="\n".join(LINES).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected(LINES)
    assert len(set(done.stdout.splitlines())) > 3
    many = LINES * 30
    assert run(model, lines="\r\n".join(many).encode()).stdout == expected(many)


def test_files_options_and_output(model: Path, tmp_path: Path):
    (tmp_path / "a.txt").write_text("\ufeffthe cat\n")
    (tmp_path / "b.txt").write_text("a the he")
    out = tmp_path / "out.txt"
    words = (tmp_path / "a.txt", tmp_path / "b.txt", "--beam", "1", "--alpha", "0.5", "-o", out)
    done = run(model, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert out.read_bytes() == expected(["the cat", "a the he"], beam=1, alpha=0.5)


@pytest.mark.parametrize("beam", [0, 1001, 2**63])
def test_a_beam_out_of_range_is_not_the_lines_fault(model: Path, beam: int):
    done = run(model, "--beam", beam, "--skip-bad", lines=b"the cat\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Invalid value for '--beam'" in done.stderr


def test_a_line_is_translated_before_the_next_one_comes(model: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "normlab", "translate", str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    with process:
        for line in LINES[:3]:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == expected([line])
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_bytes_that_are_no_text_are_unknown_and_lose_nothing(model: Path):
    done = run(model, lines=b"the \xff\xfe cat\n\0\nthe cat\n")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert done.stdout.splitlines()[2] == expected(["the cat"]).rstrip(b"\n")


def test_an_overlong_line_is_named_and_what_came_before_is_there(model: Path):
    lines = b"the cat\n" + b"q" * 50 + b"\nx y z\n"
    done = run(model, lines=lines)
    assert done.returncode == 2
    assert done.stdout == expected(["the cat"])
    assert done.stderr.decode().splitlines() == [
        "error: standard input, line 2: translate: the line has 51 subwords, the model takes at "
        "most 39: divide it"
    ]
    done = run(model, "--skip-bad", lines=lines)
    assert done.returncode == 0
    assert done.stdout == expected(["the cat", "x y z"])
    assert b"skipped: standard input, line 2" in done.stderr
    assert b"skipped 1 of 3 lines" in done.stderr
    assert run(model, "--skip-bad", lines=b"q" * 50).returncode == 2


def test_models_of_other_tasks_are_refused_with_their_command(model: Path, tmp_path: Path):
    other = tmp_path / "classifier.safetensors"
    net = text.Classifier(1, 2, 4, 1, 4, 1)
    text.save_model(other, text.Model(net, text.Vocabulary(), ["a", "b"]))
    done = run(other, lines=b"x\n")
    assert done.returncode == 2
    assert done.stderr.strip().endswith(b"it is a model for normlab predict")
    predicted = subprocess.run(
        [sys.executable, "-m", "normlab", "predict", str(model)], input=b"x", capture_output=True
    )
    assert predicted.stderr.strip().endswith(b"it is a model for normlab translate")
    assert run(tmp_path / "none.safetensors").returncode == 2


@pytest.mark.parametrize("lines", ["\n".join(LINES), "\ufeffthe cat\r\n\0x", "q" * 60, ""])
def test_the_host_application_writes_what_the_command_writes(model: Path, lines: str):
    application = os.environ.get("NORMLAB_TRANSLATE")
    if not application:
        pytest.skip("NORMLAB_TRANSLATE does not name the host application (tests/run builds it)")
    ran = subprocess.run([application, str(model)], input=lines.encode(), capture_output=True)
    wanted = run(model, lines=lines.encode())
    assert ran.stdout == wanted.stdout
    assert bool(ran.returncode) == bool(wanted.returncode)
    assert ran.stderr.decode().removeprefix("translate: ") == wanted.stderr.decode().removeprefix(
        "error: "
    )

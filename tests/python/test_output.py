# ruff: noqa: RUF001  (what encodings lack)
"""What the commands print: in any encoding, where output is full or closed, in one line."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_report import FIVE

import normlab as nl
from normlab import _output, cli
from normlab._plain import SPELLING, one_line, plain
from normlab.study import ResultFile
from normlab.study.display import Lines


def run(
    command: str, *, cwd: Path | None = None, stdout: int = subprocess.PIPE, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    """In a shell, with $N for the command."""
    given = {"N": f'"{sys.executable}" -m normlab', "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        ["sh", "-c", command.replace("$N", given["N"])],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        cwd=cwd,
        env=os.environ | given | {"NORMLAB_DEBUG": "0"} | environment,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results."""
    folder = tmp_path_factory.mktemp("results")
    for line in FIVE:
        ResultFile(folder).append(line)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of hardly any size for predict, export, parse and generate."""
    folder = tmp_path_factory.mktemp("models")
    words = nl.text.Vocabulary.of([["good"], ["bad"]])
    classifier = nl.text.Classifier(len(words), 2, 8, 2, 8, 1)
    nl.text.save_model(
        folder / "text", nl.text.Model(classifier, words, ["schlecht – böse", "good"])
    )
    bank = nl.data.standin_treebank(train=20, valid=1, test=1)
    vocabulary = nl.parse.Vocabulary.of(bank.train, tag="upos")
    network = nl.parse.Network(len(vocabulary), vocabulary.transitions.classes, hidden=8)
    nl.parse.save_model(folder / "parse", nl.parse.Model(network, vocabulary))
    network = nl.language.LanguageModel(5, 8, 8, 2, 8, 1)
    characters = nl.language.Vocabulary("aé“b")
    nl.language.save_model(folder / "language", nl.language.Model(network, characters))
    return {name: folder / name for name in ("text", "parse", "language")}


def commands(results: Path, models: dict[str, Path], tmp_path: Path) -> dict[str, str]:
    """One of each kind, quick ones."""
    conllu = tmp_path / "given.conllu"
    conllu.write_text("1\tüber\t_\tADP\t_\t_\t_\t_\t_\t_\n\n", "utf-8")
    return {
        "help": "$N --help",
        "study help": "$N study --help",
        "version": "$N --version",
        "norms": "$N norms",
        "info": "$N info",
        "report": f"$N report '{results}'",
        "notebooks": f"$N notebooks '{tmp_path / 'lessons'}' --copy-only",
        "predict": f"echo 'a “good” film' | $N predict '{models['text']}'",
        "export": f"$N export '{models['text']}' -o '{tmp_path / 'größe.onnx'}'",
        "parse": f"$N parse '{models['parse']}' --conllu < '{conllu}'",
        "generate": f"$N generate '{models['language']}' --prompt 'é“' --length 20",
    }


NAMES = (
    *("help", "study help", "version", "norms", "info"),
    *("report", "notebooks", "predict", "export", "parse", "generate"),
)

# --- encodings ------------------------------------------------------------------------------------

ENCODINGS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        *(("ascii", name) for name in NAMES),
        *(("C", name) for name in ("help", "norms", "report", "parse", "generate")),
        *((encoding, name) for encoding in ("latin-1", "cp1252") for name in ("norms", "report")),
    ],
)
def test_every_command_prints_in_any_encoding(
    results: Path, models: dict[str, Path], tmp_path: Path, name: str, encoding: str
) -> None:
    command = commands(results, models, tmp_path)[name]
    done = run(command, **ENCODINGS[encoding])
    assert (done.returncode, done.stderr) == (0, b"")
    if name not in ("predict", "parse", "generate"):  # these write what they read, byte for byte
        assert done.stdout.decode({"C": "ascii"}.get(encoding, encoding)).count("?") < 4


def test_formulas_can_be_read_in_ascii_and_columns_stay_in_line() -> None:
    text = run("$N norms", PYTHONIOENCODING="ascii").stdout.decode("ascii")
    assert "(G - mean G - y*mean Gy)/sigma" in text and "alpha(1 - y^2)*G" in text
    (place,) = {line.index("| row ") for line in text.splitlines() if "| row " in line}
    assert place > 60


def test_a_table_can_be_read_in_ascii(results: Path) -> None:
    text = run(f"$N report '{results}'", PYTHONIOENCODING="ascii").stdout.decode("ascii")
    assert "99.02 +/- 0.05" in text and "| -0.01 +/- 0.00 |" in text
    assert "±" in (results / "table.md").read_text("utf-8"), "files are UTF-8 whatever is printed"


def test_errors_can_be_read_in_any_encoding(tmp_path: Path) -> None:
    for environment in ENCODINGS.values():
        done = run("$N report 'none – ±'", cwd=tmp_path, **environment)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1
        assert done.stderr.startswith(b"error: none ") and b"Traceback" not in done.stderr


def test_names_that_are_no_text_are_printed_as_they_came(results: Path, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff\xe9"
    os.mkdir(folder)
    (tmp_path / "x").write_bytes((results / "results.jsonl").read_bytes())
    os.rename(tmp_path / "x", folder + b"/results.jsonl")
    done = run("$N report *", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\xff\xe9/report.html\n")


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("± 0.05 − ▲", "utf-8", "± 0.05 − ▲"),
        ("± 0.05 − ▲", "latin-1", "± 0.05 - ^"),
        ("± ≈ “μ” … é 漢 ①", "ascii", '+/- ~ "mu" ... e ? 1'),
        ("e\u0301", "ascii", "e"),
        ("\udcff", "utf-8", "\\xff"),
        ("± 漢", None, "± 漢"),
    ],
)
def test_plain_text(text: str, encoding: str | None, expected: str) -> None:
    assert plain(text, encoding) == expected


def test_a_study_says_its_lines_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    Lines().say("Größe ± 1")
    assert out.buffer.getvalue() == b"Groe +/- 1\n".replace(b"oe", b"o?e")  # type: ignore[attr-defined]


def test_a_study_says_that_its_output_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(nl.FileError, match="standard output: cannot be written: No space"):
            Lines().say("word")
        full.buffer.raw.close()  # type: ignore[attr-defined]
        monkeypatch.undo()


# --- full, closed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_full_output_is_one_line_and_code_2(
    results: Path, models: dict[str, Path], tmp_path: Path, name: str
) -> None:
    done = run(commands(results, models, tmp_path)[name] + " > /dev/full")
    assert done.stderr == (b"error: standard output: cannot be written: No space left on device\n")
    assert done.returncode == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_that_nobody_reads_is_silence(
    results: Path, models: dict[str, Path], tmp_path: Path, name: str
) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run(commands(results, models, tmp_path)[name], stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_output_is_an_error_where_it_is_all_that_is_made(
    results: Path, models: dict[str, Path], tmp_path: Path, name: str
) -> None:
    done = run(commands(results, models, tmp_path)[name] + " >&-")
    if name in ("report", "notebooks"):
        assert (done.returncode, done.stderr) == (0, b"")
    else:
        assert (done.returncode, done.stderr) == (2, b"error: standard output: is closed\n")


@pytest.mark.parametrize("sink", ["2>/dev/full", "2>&-"])
def test_where_errors_cannot_be_told_the_code_tells(tmp_path: Path, sink: str) -> None:
    assert run(f"$N report nowhere {sink}", cwd=tmp_path).returncode == 2
    assert run(f"$N norms {sink}").returncode == 0


def test_once_an_output_failed_all_else_goes_nowhere() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        out = _output.StandardStream(io.BufferedWriter(full), "ascii", SPELLING)
        out.write("±")
        assert out.failure == ""
        out.flush()
        out.write("more")
        out.flush()
        assert out.failure == "cannot be written: No space left on device"
        out.detach()


STUDY = """
from test_study import Toy
import normlab.study
from normlab.cli import main

if __name__ == "__main__":
    normlab.study.TASKS = {"mnist": Toy}
    main()
"""


def study(
    folder: Path, redirection: str, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    """A study of two runs, of a task of milliseconds."""
    script = folder / "study.py"
    script.write_text(STUDY)
    words = f"study --norm none --seeds 2 --jobs 1 --out '{folder / 'out'}'"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return run(
        f"'{sys.executable}' '{script}' {words} {redirection}", PYTHONPATH=path, **environment
    )


def test_a_study_trains_to_its_end_where_its_output_is_full(tmp_path: Path) -> None:
    done = study(tmp_path, "> /dev/full")
    assert done.stderr == b"error: standard output: cannot be written: No space left on device\n"
    assert done.returncode == 2
    assert len(ResultFile(tmp_path / "out").read()) == 2
    assert (tmp_path / "out" / "report.html").exists()
    for encoding in ENCODINGS.values():
        done = study(tmp_path, "", **encoding)
        assert (done.returncode, done.stderr) == (0, b"") and b"| none | " in done.stdout


def test_a_study_ends_in_silence_where_nobody_reads(tmp_path: Path) -> None:
    done = study(tmp_path, "| true; exit ${PIPESTATUS:-0}")
    assert done.stderr == b""
    done = study(tmp_path, "")
    assert done.returncode == 0 and len(ResultFile(tmp_path / "out").read()) == 2


# --- one line -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\r\tb", "it's [bold]", 'q"q', "$(x)"])
@pytest.mark.parametrize("command", ["report", "study --task rt --out", "notebooks --copy-only"])
def test_an_error_is_one_line_whatever_the_name(tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "file").write_text("")
    path = f"{tmp_path}/file/{name}"
    done = subprocess.run(
        [sys.executable, "-m", "normlab", *command.split(), path], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert one_line(name) in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study", "--out", ""], "--out: must be a path, is empty"),
        (["report", ""], "FOLDER: must be a path, is empty"),
        (["notebooks", "", "--copy-only"], "FOLDER: must be a path, is empty"),
        (["predict", ""], "MODEL: must be a path, is empty"),
        (["export", ""], "MODEL: must be a path, is empty"),
        (["parse", ""], "MODEL: must be a path, is empty"),
        (["generate", "", "--prompt", "a"], "MODEL: must be a path, is empty"),
        (["study", "--task", "charlm", "--text", ""], "text: must be 'tinyshakespeare'"),
        (["study", "--task", "parse", "--treebank", ""], "treebank must be 'en_ewt' or a folder"),
    ],
)
def test_an_empty_name_is_not_the_current_folder(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "normlab", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and done.stderr.startswith(f"error: {said}")
    assert list(tmp_path.iterdir()) == [] or words[1] == "--task"


def test_an_empty_name_is_not_the_current_folder_in_python() -> None:
    mnist = nl.study.TASKS["mnist"]()
    with pytest.raises(nl.ArgumentError, match="out: must be a path, is empty"):
        nl.study.Study([mnist], ["none"], [0], "")  # type: ignore[arg-type]
    with pytest.raises(nl.ArgumentError, match="folder: must be a path, is empty"):
        nl.report.write_report("")
    with pytest.raises(nl.FileError, match="cannot be written: embedded null"):
        nl.study.Study([mnist], ["none"], [0], Path("a\0b")).run()


def test_results_with_names_that_are_no_text_are_written_and_reported(tmp_path: Path) -> None:
    ResultFile(tmp_path).append(FIVE[0] | {"title": "a\udcff", "task": "x"})
    (line,) = ResultFile(tmp_path).read()
    assert line["title"] == "a?"
    with pytest.warns(nl.report.PictureWarning):  # Matplotlib cannot write it
        written = nl.report.write_report(tmp_path, [FIVE[0] | {"title": "a\udcff", "task": "x"}])
    for path in written:
        if path.suffix != ".png":
            assert "a?" in path.read_text("utf-8")


def test_warnings_are_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    cli._say_warning(UserWarning("two\nlines"), UserWarning, "file.py", 3)
    assert capsys.readouterr().err == "warning: two\\nlines\n"

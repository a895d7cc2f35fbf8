"""`normlab parse`: what it recognises, files in and out, sentences that are skipped."""

import gzip
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from test_parse_cli import COLUMNS, command, parsed, refused, run, running, toy_model

from normlab import parse

ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parser") / "model.safetensors"
    parse.save_model(path, toy_model())
    return path


def bare(text: str) -> str:
    """CoNLL-U without its comments."""
    return "".join(line for line in text.splitlines(True) if not line.startswith("#"))


# --- CoNLL-U without --conllu ---------------------------------------------------------------------

CONLLX = "1\tthe\t_\tDET\tDT\t_\t2\tdet\t_\t_\n2\tdog\t_\tNOUN\tNN\t_\t0\troot\t_\t_\n\n"


@pytest.mark.parametrize(
    "given",
    [
        COLUMNS,
        bare(COLUMNS),
        "\n \n" + COLUMNS,
        "# newdoc id = 1\n" + COLUMNS,
        "# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC\n" + COLUMNS,
        "# anything at all\n#another\n" + COLUMNS,
        "\ufeff" + COLUMNS.replace("\n", "\r\n"),
        CONLLX,
    ],
)
def test_conllu_is_recognised(model: Path, given: str) -> None:
    done = run(model, lines=given.encode())
    assert done.returncode == 0
    assert done.stdout == run(model, "--conllu", lines=given.encode()).stdout
    (line,) = done.stderr.decode().splitlines()
    assert line == "standard input: is CoNLL-U, read as with --conllu; --raw reads it as text"


@pytest.mark.parametrize(
    "given",
    [
        "#hashtag is the best\nthe dog .\n",
        "# a heading\n\nthe dog .\n",
        "# text = the dog .\nthe dog .\n",
        "#\n# \n##\n",
        "1\tthe\n2\tdog\n",
        "1\ta\tb\tc\td\te\tf\n",
        "a\tb\tc\td\te\tf\tg\th\ti\tj\n",
        "# sent_id = 1\n",
        "# a = b\n" * 2000 + "the dog .\n",
    ],
)
def test_text_that_looks_like_it_stays_text(model: Path, given: str) -> None:
    trees = parsed(model, lines=given.encode())
    lines = [line for line in given.splitlines() if line.strip()]
    assert [tree.text.split() for tree in trees] == [line.split() for line in lines]
    assert trees == parsed(model, "--raw", lines=given.encode())


def test_a_hashtag_is_answered_before_the_next_line_comes(model: Path) -> None:
    with running(model) as (_, to, back):
        for line in (b"#hashtag is the best\n", b"# not a comment\n", b"the dog .\n"):
            to.write(line)
            to.flush()
            assert back.readline() == b"# text = " + line
            while back.readline() != b"\n":
                pass


def test_broken_conllu_is_recognised_by_its_comments(model: Path) -> None:
    _, error = refused_at_last(model, lines=b"# sent_id = 1\n1\tthe\tx\n\n")
    assert '"standard input", line 2: must have 10 columns divided by tabs, has 3' in error


def refused_at_last(*words: str | Path, lines: bytes) -> tuple[bytes, str]:
    """The output, and the last line of standard error: notes may come before it."""
    done = run(*words, lines=lines)
    assert done.returncode == 2
    line = done.stderr.decode().strip().splitlines()[-1]
    assert line.startswith("error: ")
    return done.stdout, line


@pytest.mark.parametrize("columns", [8, 10, 14])
def test_words_of_conll_behind_text_are_refused(model: Path, columns: int) -> None:
    line = "\t".join(["1", "the", *["_"] * (columns - 2)]).encode()
    for words in ((), ("--tokenized",)):
        before, error = refused(model, *words, lines=b"the dog .\n" + line + b"\n")
        assert len(parse.from_conllu(before)) == 1, "what came before it"
        assert f"standard input, line 2: has a number and {columns} columns" in error
        assert "--conllu" in error and "--raw" in error
    assert len(parsed(model, "--raw", lines=b"the dog .\n" + line)) == 2


def test_conllu_is_not_tokenized_text(model: Path) -> None:
    out, error = refused(model, "--tokenized", lines=COLUMNS.encode())
    assert out == b""
    assert error == ("error: standard input: is CoNLL-U; say --conllu in place of --tokenized")


def test_recognised_without_tagger(tmp_path: Path) -> None:
    whole, path = toy_model(), tmp_path / "model.safetensors"
    parse.save_model(path, parse.Model(whole.network, whole.vocabulary))
    done = run(path, lines=COLUMNS.encode())
    assert done.returncode == 0 and len(parse.from_conllu(done.stdout)) == 1
    assert "has no tagger" in refused(path, lines=b"the dog .\n")[1]


def test_a_separator_may_have_spaces(model: Path) -> None:
    given = (COLUMNS[:-1] + " \t\n" + COLUMNS[:-1] + "\t\t\t\t\t\t\t\t\t\n").encode()
    done = run(model, "--conllu", lines=given)
    assert done.stdout == run(model, "--conllu", lines=2 * COLUMNS.encode()).stdout


def test_contractions_are_multi_word_tokens(model: Path) -> None:
    done = run(model, lines=b"the dog doesn't see it.\n")
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()[1:-1]]
    assert [(columns[0], columns[1]) for columns in lines] == [
        ("1", "the"), ("2", "dog"), ("3-4", "doesn't"), ("3", "does"), ("4", "n't"),
        ("5", "see"), ("6", "it"), ("7", "."),
    ]  # fmt: skip
    assert lines[2][2:] == ["_"] * 8
    assert [columns[9] for columns in lines if columns[9] != "_"] == ["SpaceAfter=No"]
    again = run(model, "--conllu", lines=done.stdout)
    assert again.stdout == done.stdout


# --- files ----------------------------------------------------------------------------------------


def test_files_one_after_the_other(model: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a.txt", "b c.txt.gz", "c.conllu"))
    first.write_bytes(b"\xef\xbb\xbfthe dog .\r\nthe cat .")
    second.write_bytes(gzip.compress(b"the man .\n"))
    third.write_text(COLUMNS)
    done = run(model, first, second, "-", third, lines=b"the tree .\n")
    assert done.returncode == 0, done.stderr
    trees = parse.from_conllu(done.stdout)
    assert [tree.forms[1] for tree in trees] == ["dog", "cat", "man", "tree", "dog"]
    assert done.stderr.decode().startswith(f"{third}: is CoNLL-U")
    same = run(model, lines=b"the dog .\nthe cat .\nthe man .\nthe tree .\n").stdout
    assert done.stdout.startswith(same)


def test_a_pipe_is_a_file(model: Path) -> None:
    words = ["bash", "-c", '"$@" <(printf "the dog .\\n")', "bash", *command(model)]
    done = subprocess.run(words, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(parse.from_conllu(done.stdout)) == 1


@pytest.mark.parametrize("words", [(), ("--tokenized",), ("--conllu",)])
def test_errors_name_file_and_line(model: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(COLUMNS if words == ("--conllu",) else "the dog .\n")
    bad.write_bytes(good.read_bytes() + b"the d\xffg\n")
    before, error = refused(model, *words, good, bad)
    assert len(parse.from_conllu(before)) == 2, "what came before it"
    place = f'"{bad}", line' if words == ("--conllu",) else f"{bad}, line"
    assert f"{place} {bad.read_bytes().count(10)}: must be UTF-8, at byte 5 it is not" in error


def test_files_that_cannot_be_read_are_told_before_anything_else(
    model: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    good.write_text("the dog .\n")
    cases = {
        str(tmp_path / "none"): "cannot be read: No such file or directory",
        str(tmp_path): "is a folder, not a file",
        "": "must be a path, is empty",
    }
    for file, message in cases.items():
        out, error = refused(model, good, file)
        assert out == b"" and message in error
    out, error = refused(model, "-", good, "-", lines=b"the dog .\n")
    assert out == b"" and "standard input (-) can be read once" in error


def test_damaged_gzip_is_an_error(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000).hex().encode())[:-5000])
    for words in ((), ("--conllu", "--skip-bad"), ("--skip-bad",)):
        _, error = refused_at_last(model, *words, path, lines=b"")
        assert f"{path}: is damaged gzip" in error


# --- output ---------------------------------------------------------------------------------------


def test_output_goes_into_a_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.conllu"
    done = run(model, "-o", path, lines=b"the dog .\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert path.read_bytes() == run(model, lines=b"the dog .\n").stdout
    assert [each.name for each in tmp_path.iterdir()] == ["out.conllu"]
    assert run(model, "-o", "-", lines=b"the dog .\n").stdout == path.read_bytes()


def test_a_file_may_be_parsed_onto_itself(model: Path, tmp_path: Path) -> None:
    path, link = tmp_path / "x.conllu", tmp_path / "link"
    path.write_text(COLUMNS)
    path.chmod(0o640)
    link.symlink_to(path)
    done = run(model, "--conllu", link, "--output", link)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert parse.read_conllu(path)[0].heads == [2, 3, 0, 6, 6, 3, 3]


def test_an_error_leaves_the_old_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.conllu"
    path.write_text("old")
    assert "line 2" in refused(model, "-o", path, lines=b"the dog .\nthe d\xffg\n")[1]
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["out.conllu"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_between_leaves_the_old_file(
    model: Path, tmp_path: Path, kind: signal.Signals
) -> None:
    path = tmp_path / "out.conllu"
    path.write_text("old")
    with running(model, "-o", path) as (process, to, _):
        to.write(b"the dog .\n" * 2000)
        to.flush()
        while not any(each.stat().st_size for each in tmp_path.glob(".normlab-*")):
            assert process.poll() is None
        process.send_signal(kind)
        assert process.wait(60) == (130 if kind == signal.SIGINT else -kind)
    assert path.read_text() == "old"
    assert bool(list(tmp_path.glob(".normlab-*"))) == (kind == signal.SIGKILL)
    assert run(model, "-o", path, lines=b"the dog .\n").returncode == 0
    assert path.read_text().startswith("# text = the dog .")


def test_output_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    cases = {
        str(tmp_path / "none" / "x"): "cannot be written: No such file or directory",
        str(tmp_path): "is a folder, not a file",
        "/dev/full": "/dev/full: cannot be written: No space left on device",
        "": "--output: must be a path, is empty",
    }
    for path, message in cases.items():
        assert message in refused(model, "-o", path, lines=b"the dog .\n")[1]
    assert run(model, "-o", "/dev/null", lines=b"the dog .\n").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_the_model_is_not_the_output(model: Path, tmp_path: Path) -> None:
    content, link = model.read_bytes(), tmp_path / "link"
    link.symlink_to(model)
    for path in (model, link):
        message = refused(model, "-o", path, lines=b"the dog .\n")[1]
        assert f"--output: {path} is the model, which would be overwritten" in message
    assert model.read_bytes() == content


@pytest.mark.skipif(ROOT, reason="root may write everything")
def test_a_file_that_must_not_be_written(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o400)
    assert "must not be overwritten" in refused(model, "-o", path, lines=b"the dog .\n")[1]
    assert path.read_text() == "old"


def test_closed_streams_that_are_not_needed(model: Path, tmp_path: Path) -> None:
    given, path = tmp_path / "given", tmp_path / "out"
    given.write_text("the dog .\n")
    words = ["sh", "-c", '"$@" <&- >&-', "sh", *command(model, given, "-o", path)]
    done = subprocess.run(words, capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(parse.read_conllu(path)) == 1


# --- sentences that are skipped -------------------------------------------------------------------


def notes(done: "subprocess.CompletedProcess[bytes]") -> list[str]:
    return done.stderr.decode().splitlines()


@pytest.mark.parametrize("words", [(), ("--tokenized",), ("--raw",)])
def test_bad_lines_are_skipped(model: Path, words: tuple[str, ...]) -> None:
    bad = [b"the d\xffg", b"a\0b", b"x" * (3 << 20), b"a " * 120_000]
    lines = b"\n".join([b"the dog .", *(each for line in bad for each in (line, b"the cat ."))])
    done = run(model, *words, "--skip-bad", lines=lines)
    assert done.returncode == 0
    assert [tree.forms[1] for tree in parse.from_conllu(done.stdout)] == ["dog", *["cat"] * 4]
    *each, last = notes(done)
    assert last == "skipped 4 of 9 sentences"
    assert [line.partition(": must")[0] for line in each] == [
        "skipped: standard input, line 2",
        "skipped: standard input, line 4: byte 1 is NUL",
        "skipped: standard input, line 6",
        "skipped: standard input, line 8",
    ]


def test_bad_sentences_of_conllu_are_skipped(model: Path) -> None:
    word = "1\tx\t_\tDET\tDT\t_\t{}\t_\t_\t_\n"
    bad = [
        "1\tx\n2\ty\n\n",
        word.format(9) + "\n",
        "# only comments\n\n",
        word.format("x") * 2 + " \n",
        "# \udcff\n" + word.format(0) + "\n",
        word.format(0) + "x" * (3 << 20) + "\n2\n\n",
    ]
    text = COLUMNS + "".join(each + COLUMNS for each in bad)
    done = run(model, "--conllu", "--skip-bad", lines=text.encode(errors="surrogateescape"))
    assert done.returncode == 0
    good = run(model, "--conllu", lines=COLUMNS.encode()).stdout
    assert done.stdout == good * (len(bad) + 1)
    *each, last = notes(done)
    assert last == f"skipped {len(bad)} of {2 * len(bad) + 1} sentences"
    assert len(each) == len(bad)
    assert all(line.startswith('skipped: read_conllu: "standard input", line ') for line in each)


def test_sentences_without_tags_are_skipped(tmp_path: Path) -> None:
    whole, path = toy_model(), tmp_path / "model.safetensors"
    parse.save_model(path, parse.Model(whole.network, whole.vocabulary))
    blind = COLUMNS.replace("DET\tDT", "_\t_")
    done = run(path, "--conllu", "--skip-bad", lines=(COLUMNS + blind + COLUMNS).encode())
    assert done.returncode == 0 and len(parse.from_conllu(done.stdout)) == 2
    first, last = notes(done)
    assert first.startswith("skipped: standard input, sentence 2: ") and "no tagger" in first
    assert last == "skipped 1 of 3 sentences"


def test_when_all_is_bad_it_is_an_error(model: Path) -> None:
    done = run(model, "--skip-bad", lines=b"\xff\n\xfe\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert notes(done)[-1] == "skipped 2 of 2 sentences"
    assert run(model, "--skip-bad", lines=b"").returncode == 0


def test_skipping_without_standard_error(model: Path) -> None:
    words = ["sh", "-c", '"$@" 2>&-', "sh", *command(model, "--skip-bad")]
    done = subprocess.run(words, input=b"\xff\nthe dog .\n", capture_output=True, timeout=300)
    assert done.returncode == 0
    assert len(parse.from_conllu(done.stdout)) == 1

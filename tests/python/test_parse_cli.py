"""`normlab parse`: what goes in, what comes out, as it streams."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import normlab as nl
from normlab import cli, optim, parse, text
from normlab.cli import values

TAGS = {"DET": "DT", "ADJ": "JJ", "NOUN": "NN", "VERB": "VB", "PUNCT": "."}
COLUMNS = """\
# sent_id = 1
# anything at all
1-2\tthedog\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tthe\tle\tDET\tDT\tA=1\t_\t_\t2:x\tB=2
2\tdog\t_\tNOUN\tNN\t_\t_\t_\t_\t_
2.1\tand\t_\t_\t_\t_\t_\t_\t_\t_
3\tsees\tsee\tVERB\tVB\t_\t7\told\t_\t_
4\tthe\t_\tDET\tDT\t_\t_\t_\t_\t_
5\tbig\t_\tADJ\tJJ\t_\t_\t_\t_\t_
6\tcat\t_\tNOUN\tNN\t_\t_\t_\t_\t_
7\t.\t_\tPUNCT\t.\t_\t_\t_\t_\t_

"""


def sentence(rng: random.Random) -> parse.Sentence:
    """Of a toy language: "the big dog sees the cat .", subject and object under the verb."""
    words: list[parse.Word] = []

    def add(form: str, upos: str, head: int, deprel: str) -> None:
        words.append(parse.Word(form, upos=upos, xpos=TAGS[upos], head=head, deprel=deprel))

    def phrase(adjectives: int, verb: int, deprel: str) -> None:
        noun = len(words) + adjectives + 2
        add("the", "DET", noun, "det")
        for _ in range(adjectives):
            add("big", "ADJ", noun, "amod")
        add(rng.choice(["dog", "cat", "man", "tree"]), "NOUN", verb, deprel)

    before = rng.randrange(3)
    verb = before + 3
    phrase(before, verb, "nsubj")
    add(rng.choice(["sees", "likes"]), "VERB", 0, "root")
    phrase(rng.randrange(3), verb, "obj")
    add(".", "PUNCT", verb, "punct")
    return parse.Sentence(words)


def sentences(n: int, seed: int) -> list[parse.Sentence]:
    rng = random.Random(seed)
    return [sentence(rng) for _ in range(n)]


def train(network: parse.Network, steps: int, loss: Callable[[], nl.Tensor]) -> None:
    optimizer = optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def toy_model() -> parse.Model:
    nl.manual_seed(0)
    trees = sentences(60, 1)
    vocabulary, tag_vocabulary = parse.Vocabulary.of(trees), parse.TagVocabulary.of(trees)
    masks = vocabulary.transitions.masks()
    steps, tags = parse.examples(trees, vocabulary), parse.tag_examples(trees, tag_vocabulary)
    classes = vocabulary.transitions.classes
    sizes = {"embedding": 10, "hidden": 32, "dropout": 0.0}
    network = parse.Network(len(vocabulary), classes, **sizes)
    tagger = parse.Network(
        len(tag_vocabulary), len(tag_vocabulary.tags), tags.features.shape[1], **sizes
    )
    train(
        network,
        40,
        lambda: parse.transition_loss(network(steps.features), masks, steps.classes, steps.moves),
    )
    train(tagger, 30, lambda: nl.cross_entropy(tagger(tags.features), tags.classes))
    return parse.Model(network, vocabulary, tagger, tag_vocabulary)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parser") / "model.safetensors"
    parse.save_model(path, toy_model())
    return path


@pytest.fixture(scope="module")
def parser(model: Path) -> parse.Parser:
    return parse.Parser(parse.load_model(model))


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "normlab", "parse", *map(str, words)]


def run(
    *words: str | Path, lines: bytes = b"", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        command(*words),
        input=lines,
        capture_output=True,
        timeout=300,
        check=False,
        env=os.environ | {"NORMLAB_DEBUG": "0"} | environment,
    )


def parsed(*words: str | Path, lines: bytes) -> list[parse.Sentence]:
    done = run(*words, lines=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    return parse.from_conllu(done.stdout)


def refused(*words: str | Path, lines: bytes = b"") -> tuple[bytes, str]:
    """What was written before the error, and its one line."""
    done = run(*words, lines=lines)
    assert done.returncode == 2
    (line,) = done.stderr.decode().strip().splitlines()
    assert line.startswith("error: ")
    return done.stdout, line


@contextmanager
def running(
    *words: str | Path,
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes], IO[bytes]]]:
    """The process, with the pipes to and from it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command(*words), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin and process.stdout
        try:
            yield process, process.stdin, process.stdout
        finally:
            process.kill()


def read_tree(stream: IO[bytes]) -> str:
    tree = b""
    while (line := stream.readline()) not in (b"", b"\n"):
        tree += line
    return tree.decode()


# --- kinds of input -------------------------------------------------------------------------------


def test_help_teaches_by_example() -> None:
    done = subprocess.run(
        command("--help"), capture_output=True, text=True, env=os.environ | {"COLUMNS": "100"}
    )
    for words in ("--tokenized", "--conllu", "--retag", "normlab study --task parse", "echo 'The"):
        assert words in done.stdout


def test_raw_text_a_sentence_a_line(model: Path) -> None:
    first, second = parsed(model, lines=b"the dog sees the big cat.\nthe man likes the tree .")
    assert first.forms == ["the", "dog", "sees", "the", "big", "cat", "."]
    assert first.heads == [2, 3, 0, 6, 6, 3, 3]
    assert first.deprels == ["det", "nsubj", "root", "det", "amod", "obj", "punct"]
    assert [word.upos for word in first.words[:3]] == ["DET", "NOUN", "VERB"]
    assert first.comments == ["# text = the dog sees the big cat."]
    assert first.words[5].misc == "SpaceAfter=No"
    assert second.heads == [2, 3, 0, 5, 3, 3]


def test_raw_text_is_what_parse_line_makes_of_it(model: Path, parser: parse.Parser) -> None:
    lines = ["Don't (really) see the U.S.", "déjà\tvu — #1", "# a hash", "1\t2"]
    given = parsed(model, lines="\n".join(lines).encode())
    assert given == [parser.parse_line(line) for line in lines]


def test_tokenized_text_keeps_its_words(model: Path) -> None:
    (tree,) = parsed(model, "--tokenized", lines=b" the  dog. sees\tthe cat's .\r\n")
    assert tree.forms == ["the", "dog.", "sees", "the", "cat's", "."]
    assert tree.comments == ["# text = the dog. sees the cat's ."]
    parse.check_tree(tree)


def test_conllu_keeps_all_but_heads_and_relations(model: Path, parser: parse.Parser) -> None:
    done = run(model, "--conllu", lines=COLUMNS.encode())
    assert done.returncode == 0, done.stderr
    (given,), (tree,) = parse.from_conllu(COLUMNS, heads="any"), parse.from_conllu(done.stdout)
    assert tree.heads == [2, 3, 0, 6, 6, 3, 3]
    assert tree.with_tree(given.heads, given.deprels).to_conllu() == COLUMNS
    assert [tree] == parser.parse([given])


def test_given_tags_are_used_and_missing_ones_found(model: Path) -> None:
    lines = [line.split("\t") for line in COLUMNS.splitlines()]
    for columns in lines:
        if columns[0] in ("4", "5"):
            columns[3:5] = ["_", "_"] if columns[0] == "4" else ["VERB", "odd"]
    text = "\n".join("\t".join(columns) for columns in lines).encode()
    (tree,) = parsed(model, "--conllu", lines=text)
    assert [(word.upos, word.xpos) for word in tree.words[3:5]] == [("DET", "DT"), ("VERB", "odd")]
    (again,) = parsed(model, "--conllu", "--retag", lines=text)
    assert [(word.upos, word.xpos) for word in again.words[3:5]] == [("DET", "DT"), ("ADJ", "JJ")]
    assert (again.comments, again.extras) == (tree.comments, tree.extras)
    (given,) = parse.from_conllu(COLUMNS, heads="any")
    assert again.with_tree(given.heads, given.deprels).to_conllu() == COLUMNS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tokenized", "--conllu"), "--tokenized, --conllu: the input is one or the other"),
        (("--retag",), "--retag: needs --conllu"),
    ],
)
def test_options_that_do_not_fit(model: Path, words: tuple[str, ...], message: str) -> None:
    assert message in refused(model, *words)[1]


def test_a_model_without_tagger_takes_tags(tmp_path: Path) -> None:
    whole, path = toy_model(), tmp_path / "model.safetensors"
    parse.save_model(path, parse.Model(whole.network, whole.vocabulary))
    for words in ((), ("--tokenized",), ("--conllu", "--retag")):
        assert "has no tagger, so the input must be --conllu with tags" in refused(path, *words)[1]
    blind = COLUMNS.replace("DET\tDT", "_\t_")
    before, message = refused(path, "--conllu", lines=(COLUMNS + blind).encode())
    assert len(parse.from_conllu(before)) == 1, "what came before it"
    assert "standard input, sentence 2: " in message and "no tagger" in message


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ((), b"the dog sees the cat.\n\n \nthe"),
        (("--tokenized",), b" dog sees the cat .\nthe"),
        (("--conllu",), COLUMNS.encode() + b"\n# the next one begins\n"),
    ],
)
def test_trees_come_as_sentences_come(model: Path, words: tuple[str, ...], given: bytes) -> None:
    with running(model, *words) as (process, to, back):
        for _ in range(3):
            to.write(given)
            to.flush()
            assert "\tcat\t" in read_tree(back)
        assert process.poll() is None


def test_batches_are_the_same_as_one(model: Path, parser: parse.Parser) -> None:
    trees = sentences(3000, 2)
    expected = "".join(tree.to_conllu() for tree in parser.parse(trees)).encode()
    text = "".join(tree.to_conllu() for tree in trees).encode()
    assert run(model, "--conllu", lines=text).stdout == expected
    lines = [tree.text.encode() for tree in trees[:50]]
    whole = run(model, "--tokenized", lines=b"\n".join(lines)).stdout
    assert whole == b"".join(run_slowly(model, lines))


def run_slowly(model: Path, lines: list[bytes]) -> Iterator[bytes]:
    with running(model, "--tokenized") as (_, to, back):
        for line in lines:
            for part in (line[:5], line[5:] + b"\r\n"):
                to.write(part)
                to.flush()
            yield read_tree(back).encode() + b"\n"


def test_memory_does_not_grow_with_the_stream(model: Path) -> None:
    line = b"the big big dog sees the big big big cat .\n"  # 11 words

    def resident(process: "subprocess.Popen[bytes]") -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1])

    def pass_through(n: int, to: IO[bytes], back: IO[bytes]) -> None:
        def write() -> None:
            to.write(line * n)
            to.flush()

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(n):
            assert read_tree(back)
        writer.join()

    with running(model, "--tokenized") as (process, to, back):
        pass_through(2000, to, back)
        before = resident(process)
        pass_through(18_000, to, back)
        after = resident(process)
    assert after - before < 16 * 1024, "kB"
    assert after < 200 * 1024


def test_interruption_is_quiet(model: Path) -> None:
    with running(model) as (process, to, back):
        to.write(b"the dog .\n")
        to.flush()
        read_tree(back)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, out, errors) == (130, b"", b"")


def test_nobody_reads(model: Path) -> None:
    with running(model) as (process, to, back):
        to.write(b"the dog .\n")
        to.flush()
        assert back.readline() == b"# text = the dog .\n"
        back.close()
        to.write(b"the cat .\n")
        to.close()
        assert process.wait(60) == 1
        assert process.stderr and process.stderr.read() == b""


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        (">/dev/full", "standard output: cannot be written: No space left on device"),
        ("0>/dev/null", "standard input: cannot be read: Bad file descriptor"),
        ("<&-", "standard input: is closed"),
        (">&-", "standard output: is closed"),
    ],
)
def test_it_says_which_stream_fails(model: Path, redirection: str, message: str) -> None:
    words = ["sh", "-c", f'"$@" {redirection}', "sh", *command(model)]
    done = subprocess.run(words, input=b"the dog .\n", capture_output=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.decode().strip() == f"error: {message}"


# --- odd input ------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("words", [(), ("--tokenized",), ("--conllu",)])


@KINDS
@pytest.mark.parametrize("lines", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n\n"])
def test_nothing_to_parse(model: Path, words: tuple[str, ...], lines: bytes) -> None:
    done = run(model, *words, lines=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("words", [(), ("--tokenized",)])
def test_windows_text_with_a_byte_order_mark(model: Path, words: tuple[str, ...]) -> None:
    plain = run(model, *words, lines=b"the dog .\nthe cat .\n").stdout
    assert plain.count(b"\n\n") == 2
    odd = "\ufeffthe dog .\r\n\r\n \t\u3000\u200b\r\n\u00ad\n\nthe cat ."
    assert run(model, *words, lines=odd.encode()).stdout == plain


def test_windows_conllu_with_a_byte_order_mark(model: Path) -> None:
    plain = run(model, "--conllu", lines=COLUMNS.encode()).stdout
    odd = "\ufeff\r\n" + COLUMNS.replace("\n", "\r\n").rstrip()
    assert run(model, "--conllu", lines=odd.encode()).stdout == plain


@KINDS
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"the d\xffg", "must be UTF-8, at byte 5 it is not"),
        (b"the \xed\xa0\x80", "must be UTF-8, at byte 4 it is not"),
        (b"the \0", "byte 4 is NUL"),
        (b"x" * (1 << 20) + b"x", "must have at most 1,?048,?576 bytes"),
    ],
)
def test_what_is_no_text_is_refused(
    model: Path, words: tuple[str, ...], broken: bytes, message: str
) -> None:
    good = COLUMNS.encode() if words == ("--conllu",) else b"the dog .\n\n"
    before, error = refused(model, *words, lines=good + broken + b"\n" + good)
    assert before == run(model, *words, lines=good).stdout, "what came before it"
    assert re.search(f"line {good.count(10) + 1}: {message}", error)
    assert "standard input" in error


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_longest_line(model: Path, end: bytes) -> None:
    done = run(model, lines=b"\xef\xbb\xbf" + b"x" * (1 << 20) + end)
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 3


@KINDS
def test_random_bytes_are_refused(model: Path, words: tuple[str, ...]) -> None:
    for seed in range(2):
        _, error = refused(model, *words, lines=random.Random(seed).randbytes(100_000))
        assert "standard input" in error and "line 1: " in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\ta", "must have 10 columns divided by tabs, has 2"),
        ("2\ta" + "\t_" * 8, 'ID must be 1, is "2"'),
        ("1\ta" + "\t_" * 4 + "\t2" + "\t_" * 3, r"word 1: its head must be in [0, 1]"),
    ],
)
def test_broken_conllu_is_refused(model: Path, line: str, message: str) -> None:
    before, error = refused(model, "--conllu", lines=f"{COLUMNS}{line}\n\n".encode())
    assert len(parse.from_conllu(before)) == 1
    assert '"standard input", line 13: ' in error and message in error


@pytest.mark.parametrize("words", [(), ("--tokenized",)])
def test_long_sentences(model: Path, words: tuple[str, ...]) -> None:
    (tree,) = parsed(model, *words, lines=b"dog " * 5000)
    assert len(tree) == 5000
    parse.check_tree(tree)
    before, error = refused(model, *words, lines=b"the dog .\n" + b"a " * 200_000 + b"\nthe\n")
    assert len(parse.from_conllu(before)) == 1
    assert "standard input, line 2: must have at most 99,999 words, has 200,000" in error
    (tree,) = parsed(model, *words, lines=b"a " * 99_999)
    assert len(tree) == 99_999, "so much can be read again"


def test_words_are_divided_as_the_tokenizer_divides() -> None:
    for code in (*range(1, 0xD800), *range(0xE000, 0x10000)):
        sign = chr(code)
        found = list(parse.Reader([sign], format="tokenized"))
        assert bool(found) == bool(text.tokenize(sign)), hex(code)
        assert not found or found[0].to_conllu()


# --- the stream behind the command ----------------------------------------------------------------


def chunks_of(text: bytes, size: int) -> Callable[[], bytes]:
    chunks = iter([text[at : at + size] for at in range(0, len(text), size)])
    return lambda: next(chunks, b"")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_may_come_in_chunks_of_any_size(parser: parse.Parser, size: int) -> None:
    text, written = "\ufeffthe dog .\r\n\n \nthe \u00e9 sees the man .".encode(), bytearray()
    count = parser.parse_stream(chunks_of(text, size), written.extend)
    trees = [parser.parse_line("the dog ."), parser.parse_line("the \u00e9 sees the man .")]
    assert count == len(trees)
    assert written.decode() == "".join(tree.to_conllu() for tree in trees)


def test_a_stream_writes_before_it_waits_and_before_it_raises(parser: parse.Parser) -> None:
    written: list[bytes] = []
    chunks = [b"the dog .\nthe cat .\nthe", b" man .\nthe dog .\n"]

    def read() -> bytes:
        assert len(written) == 2 - len(chunks)
        if not chunks:
            raise KeyboardInterrupt
        return chunks.pop(0)

    with pytest.raises(KeyboardInterrupt):
        parser.parse_stream(read, written.append, format="raw", is_ready=lambda: False)
    assert [trees.count(b"# text") for trees in written] == [2, 2]
    with pytest.raises(nl.FileError, match=r"^x, line 2: byte 1 is NUL$"):
        parser.parse_stream(chunks_of(b"the dog .\na\0\n", 99), written.append, name="x")
    assert len(written) == 3


def test_a_stream_hands_on_its_format_and_its_errors(parser: parse.Parser) -> None:
    formats: list[str] = []
    errors: list[str] = []
    for given, format in (
        (b"#1\n", None),
        (COLUMNS.encode(), None),
        (COLUMNS.encode(), "tokenized"),
    ):
        parser.parse_stream(
            chunks_of(given, 7), lambda trees: None, format=format, begins=formats.append
        )
    assert formats == ["raw", "conllu", "conllu"]

    def skips(error: str) -> bool:
        errors.append(error)
        return len(errors) < 3

    written = bytearray()
    with pytest.raises(nl.FileError, match="line 4"):
        parser.parse_stream(
            chunks_of(b"\xff\n\xff\nthe dog .\n\xff\n", 5), written.extend, skips=skips
        )
    assert len(errors) == 3 and written.count(b"# text") == 1
    with pytest.raises(nl.DtypeError, match="the bytes read must be str or bytes, got int"):
        parser.parse_stream(lambda: 1, written.extend)  # type: ignore[arg-type,return-value]


# --- wrong models ---------------------------------------------------------------------------------


def test_other_files_are_refused(tmp_path: Path) -> None:
    other, broken = tmp_path / "other.safetensors", tmp_path / "broken"
    broken.write_bytes(b"no model")
    nl.save(other, {"x": nl.ones(2)}, {"format": "normlab.text_classifier"})
    for path, message in (
        (other, '"normlab.text_classifier", expected "normlab.parser"; it is a model for normlab '),
        (broken, "broken"),
        (tmp_path / "none", "cannot open it: No such file or directory"),
        (tmp_path, str(tmp_path)),
    ):
        assert message in refused(path, lines=b"the dog .\n")[1]


def test_predict_names_the_command_for_parsers(model: Path) -> None:
    with pytest.raises(nl.FileError, match=r"; it is a model for normlab parse$"):
        cli.predict(model)


# --- the treebank of a study ----------------------------------------------------------------------


def test_study_takes_a_treebank() -> None:
    image, parser = values.tasks(["mnist", "parse"], parse={"treebank": "/some/folder"})
    assert (image.name, parser.name, parser.treebank) == ("mnist", "parse", "/some/folder")
    assert values.tasks(["parse"], parse={"treebank": None})[0].treebank == "en_ewt"

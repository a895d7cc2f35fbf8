"""engine/examples/parse, the host application in C++, beside the package."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import normlab as nl
from normlab import parse, text

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
LINES = [
    "The dog sees a cat.",
    "“The Cat” likes Mr. Dog , isn't it?",
    " é\tand 1,000 others … ",
    "sees " * 300,
]


@pytest.fixture
def application() -> str:
    """The program, as tests/run built it."""
    path = os.environ.get("NORMLAB_PARSE")
    if not path:
        pytest.skip("NORMLAB_PARSE does not name the host application (tests/run builds it)")
    return path


@pytest.fixture
def run(application: str) -> Run:
    def run(*arguments: Path | str, lines: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([application, *arguments], input=lines, capture_output=True)

    return run


def toy_sentence(subject: str, verb: str, thing: str) -> parse.Sentence:
    columns = [
        ("the", "DET", 2, "det"),
        (subject, "NOUN", 3, "nsubj"),
        (verb, "VERB", 0, "root"),
        ("a", "DET", 5, "det"),
        (thing, "NOUN", 3, "obj"),
        (".", "PUNCT", 3, "punct"),
    ]
    lines = [
        f"{i}\t{form}\t_\t{tag}\t_\t_\t{head}\t{label}\t_\t_\n"
        for i, (form, tag, head, label) in enumerate(columns, 1)
    ]
    return parse.from_conllu("".join(lines) + "\n")[0]


def trained(network: parse.Network, features: nl.Tensor, loss: Callable) -> parse.Network:
    optimizer = nl.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network(features)).backward()
        optimizer.step()
    return network


@pytest.fixture
def model() -> parse.Model:
    """A parser and a tagger of a toy language."""
    nouns = ("dog", "cat", "tree")
    sentences = [
        toy_sentence(one, verb, other)
        for one in nouns
        for other in nouns
        for verb in ("sees", "likes")
    ]
    vocabulary = parse.Vocabulary.of(sentences)
    examples = parse.examples(sentences, vocabulary)
    transitions = vocabulary.transitions
    masks = transitions.masks()
    options = {"embedding": 8, "hidden": 20, "dropout": 0.0}
    network = trained(
        parse.Network(len(vocabulary), transitions.classes, **options),
        examples.features,
        lambda z: parse.transition_loss(z, masks, examples.classes, examples.moves),
    )
    tags = parse.TagVocabulary.of(sentences)
    words = parse.tag_examples(sentences, tags)
    tagger = trained(
        parse.Network(len(tags), len(tags.tags), 19, **options),
        words.features,
        lambda z: nl.cross_entropy(z, words.classes),
    )
    return parse.Model(network, vocabulary, tagger, tags, {"task": "parse"})


def test_the_host_application_has_the_same_trees(
    tmp_path: Path, run: Run, model: parse.Model
) -> None:
    path = tmp_path / "m.safetensors"
    parse.save_model(path, model)
    ran = run(path, lines="\n".join(LINES).encode())
    assert ran.returncode == 0, ran.stderr.decode()
    parser = parse.Parser(model)
    assert ran.stdout.decode() == "".join(parser.parse_line(line).to_conllu() for line in LINES)
    first = parse.from_conllu(ran.stdout.decode())[0]
    assert [word.head for word in first.words] == [2, 3, 0, 5, 3, 3]
    assert [word.upos for word in first.words] == ["DET", "NOUN", "VERB", "DET", "NOUN", "PUNCT"]


CONLLU = "".join(f"# sent_id = {i}\n1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n\n" for i in (1, 2))
TEXT = "#1 is best\r\n\n \u200b\nThe dog isn't here.\n\u00ad\nsees\t a"


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ([], TEXT),
        ([], CONLLU),
        ([], "\ufeff" + CONLLU.replace("\n", "\r\n") + "1\tx\n"),
        (["--raw"], TEXT),
        (["--raw"], CONLLU),
        (["--tokenized"], TEXT),
        (["--tokenized"], "a dog\n1" + "\t_" * 9),
        (["--conllu"], CONLLU),
        (["--conllu"], TEXT),
    ],
)
def test_the_host_application_writes_what_the_command_writes(
    tmp_path: Path, run: Run, model: parse.Model, options: list[str], lines: str
) -> None:
    path = tmp_path / "m.safetensors"
    parse.save_model(path, model)
    ran = run(path, *options, lines=lines.encode())
    command = [sys.executable, "-m", "normlab", "parse", str(path), *options]
    expected = subprocess.run(command, input=lines.encode(), capture_output=True)
    assert ran.stdout == expected.stdout
    assert bool(ran.returncode) == bool(expected.returncode)
    *_, error = [b"", *expected.stderr.splitlines()]
    assert ran.stderr.partition(b": ")[2].strip() == error.removeprefix(b"error: ") * bool(
        expected.returncode
    )


def test_the_host_application_parses_lines_as_they_come(
    tmp_path: Path, application: str, model: parse.Model
) -> None:
    path = tmp_path / "m.safetensors"
    parse.save_model(path, model)
    parser = parse.Parser(model)
    with subprocess.Popen(
        [application, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for line in ("The dog sees.", "", " \t\r", "a cat\r"):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            if not line.strip():
                continue
            for expected in parser.parse_line(line).to_conllu().splitlines():
                assert process.stdout.readline().decode() == expected + "\n"
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 0


def test_the_host_application_says_what_is_wrong(
    tmp_path: Path, run: Run, model: parse.Model
) -> None:
    assert b"usage" in run().stderr
    ran = run(tmp_path / "absent")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"absent" in ran.stderr
    path = tmp_path / "m.safetensors"
    parse.save_model(path, model)
    ran = run(path, lines=b"a dog\n\n\xff\na cat\n")
    assert ran.returncode == 1
    assert ran.stdout.decode() == parse.Parser(model).parse_line("a dog").to_conllu()
    assert ran.stderr == b"parse: standard input, line 3: must be UTF-8, at byte 0 it is not\n"
    ran = run(path, lines=b"a\n\xe2\x80\x8b\n")
    assert (ran.returncode, ran.stderr) == (0, b""), "a line without words is passed over"
    assert ran.stdout.decode() == parse.Parser(model).parse_line("a").to_conllu()
    parse.save_model(path, parse.Model(model.network, model.vocabulary))
    ran = run(path, lines=b"a dog\n")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"line 1: parse: " in ran.stderr
    assert b"has no tags, and the model has no tagger" in ran.stderr


def test_the_host_application_refuses_another_tasks_model(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "m.safetensors"
    classifier = text.Classifier(2, 2, size=8, heads=2, hidden=12, layers=1)
    text.save_model(path, text.Model(classifier, text.Vocabulary(["a"]), ["x", "y"]))
    ran = run(path, lines=b"a dog\n")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b'this is a model of another task, "normlab.text_classifier"' in ran.stderr
    assert str(path).encode() in ran.stderr

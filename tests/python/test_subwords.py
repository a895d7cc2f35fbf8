"""Subwords: every piece as SentencePiece's, on real and hostile text, without its package."""

import gzip
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import normlab as nl
from normlab.translate import Subwords, learn_subwords

REAL = Path(os.environ.get("NORMLAB_DATA", "")) / "multi30k"
ATOMS: list[str | bytes] = [
    *("a", "e", "n", "er", "ein", "the", " ", "  ", "\u2581", "\U0001f600", "\u0301", "\0", "ü"),
    *("\ufffd", "\t", "\r", "中", "<s>", "</s>", "<unk>", "\u200d", "\u2047", "\u3000", "\u00a0"),
    *(
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x96",
        b"\xc0\x80",
        b"\xf0\x9f",
    ),
]


def lines_of(name: str) -> list[bytes]:
    return gzip.decompress((REAL / f"{name}.gz").read_bytes()).split(b"\n")[:-1]


def toy_lines() -> list[str]:
    words = ["the", "then", "these", "hen", "eine", "einen", "nein", "hund", "über", "a", "in"]
    rng = random.Random(3)
    return [" ".join(rng.choice(words) for _ in range(6)) for _ in range(300)]


def reference(lines: list[str], size: int):
    """SentencePiece's own model, learned as learn_subwords() does."""
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        normalization_rule_name="identity",
        character_coverage=1.0,
        num_threads=1,
        pad_id=-1,
        minloglevel=3,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def check_all(subwords: Subwords, wheel, lines: list[bytes]) -> None:
    for line in lines:
        numbers = wheel.encode(line)
        assert subwords.encode(line) == numbers, line
        assert subwords.split(line) == wheel.encode(line, out_type=str), line
        assert subwords.decode(numbers) == wheel.decode(numbers), line


def hostile(n: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)

    def line() -> bytes:
        chosen = [rng.choice(ATOMS) for _ in range(rng.randint(0, 25))]
        return b"".join(a if isinstance(a, bytes) else a.encode() for a in chosen)

    return [line() for _ in range(n)]


def test_hostile_text_is_cut_as_by_the_wheel():
    lines = toy_lines()
    wheel = reference(lines, 60)
    subwords = learn_subwords(lines, 60)
    assert len(subwords) == wheel.get_piece_size() == 60
    assert [subwords.piece(i) for i in range(60)] == [wheel.id_to_piece(i) for i in range(60)]
    check_all(subwords, wheel, hostile(3000, 1))
    long = [b"a" * 100_000, b"einen" * 20_000, b"\xff" * 100_000, "\U0001f600".encode() * 25_000]
    check_all(subwords, wheel, long)


def test_any_numbers_are_text_as_by_the_wheel():
    lines = toy_lines()
    wheel, subwords = reference(lines, 60), learn_subwords(lines, 60)
    rng = random.Random(2)
    for _ in range(2000):
        numbers = [rng.choice([0, 1, 2, rng.randrange(60)]) for _ in range(rng.randint(0, 12))]
        assert subwords.decode(numbers) == wheel.decode(numbers), numbers


@pytest.mark.skipif(not REAL.is_dir(), reason="NORMLAB_DATA has no multi30k")
@pytest.mark.parametrize("size", [1_000, 6_000])
def test_all_of_multi30k_is_cut_as_by_the_wheel(size: int):
    train = [line.decode() for name in ("train.en", "train.de") for line in lines_of(name)]
    wheel, subwords = reference(train, size), learn_subwords(train, size)
    splits = ("train", "val", "test_2016_flickr", "test_2017_flickr")
    lines = [x for split in splits for side in ("en", "de") for x in lines_of(f"{split}.{side}")]
    assert len(lines) == 2 * 32_014
    found = wheel.encode(lines)
    assert [subwords.encode(line) for line in lines] == found
    assert [subwords.decode(each) for each in found] == wheel.decode(found)
    for line in lines:
        text = line.decode()
        if "  " not in text and text == text.strip(" "):
            assert subwords.decode(subwords.encode(text)) == text


def test_a_long_line_without_a_space_costs_no_square():
    subwords = learn_subwords(toy_lines(), 60)
    # 40 times the text: a square would be 1,600 times the work, which no timeout would outlast.
    for factor in (1, 40):
        pieces = subwords.split("eineneinhundthese" * 6_000 * factor)
        assert "".join(pieces) == "\u2581" + "eineneinhundthese" * 6_000 * factor


def test_merges_go_by_number_and_then_from_the_left():
    subwords = Subwords(["ab", "bc", "aa", "a", "b", "c", "\u2581"])
    assert subwords.split("abc") == ["\u2581", "ab", "c"]  # "ab" comes before "bc"
    assert subwords.split("aaa") == ["\u2581", "aa", "a"]  # the left one of equals
    assert subwords.encode("abc") == [9, 3, 8]
    assert subwords.split("xyab zz") == ["\u2581", "xy", "ab", "\u2581", "zz"]
    assert subwords.encode("xyab zz") == [9, 0, 3, 9, 0]
    assert subwords.decode([9, 0, 3, 9, 0]) == " \u2047 ab  \u2047 "
    assert subwords.pieces() == ["ab", "bc", "aa", "a", "b", "c", "\u2581"]
    assert (subwords.number("bc"), subwords.number("none"), subwords.piece(2)) == (4, 0, "</s>")


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["a", ""], "piece 4 must be a part of a line of UTF-8"),
        (["a\nb"], "piece 3 must be a part of a line of UTF-8"),
        (["a", "b", "a"], 'each piece must come once, "a" is number 3 and 5'),
        (["<s>"], "piece 3 must not be a mark"),
    ],
)
def test_pieces_that_are_refused(pieces: list[str], said: str):
    with pytest.raises(nl.ArgumentError, match=said):
        Subwords(pieces)


def test_numbers_outside_are_refused():
    with pytest.raises(nl.RangeError, match=r"number must be in \[0, 4\), got 4"):
        Subwords(["a"]).decode([4])


def test_sizes_that_cannot_be_learned():
    pytest.importorskip("sentencepiece")
    with pytest.raises(nl.ArgumentError, match="learn_subwords: size 5 cannot be learned"):
        learn_subwords(toy_lines(), 5)
    with pytest.raises(nl.ArgumentError, match="size must be positive, is 0"):
        learn_subwords(toy_lines(), 0)
    with pytest.raises(nl.DtypeError, match=r"size must be int, is 60\.5"):
        learn_subwords(toy_lines(), 60.5)


@pytest.mark.parametrize("lines", [[], ["", "  "], ["long" * 2_000]], ids=["none", "empty", "long"])
def test_lines_without_text_are_refused_in_words(lines: list[str]):
    pytest.importorskip("sentencepiece")
    said = "learn_subwords: size 100 cannot be learned: the lines have no text that it takes"
    with pytest.raises(nl.ArgumentError, match=f"^{said}$"):
        learn_subwords(lines, 100)


def test_one_text_is_not_its_characters():
    with pytest.raises(nl.DtypeError, match="lines must be a list of str, is str"):
        learn_subwords("a small cat", 20)


def test_few_lines_have_few_pieces():
    pytest.importorskip("sentencepiece")
    subwords = learn_subwords(toy_lines(), 100_000)
    assert 30 < len(subwords) < 200
    assert subwords.pieces()[:27] == learn_subwords(toy_lines(), 60).pieces()[:27]


def test_without_sentencepiece_the_error_says_what_to_install(tmp_path: Path):
    (tmp_path / "sentencepiece.py").write_text("raise ImportError")
    code = (
        "import normlab as nl\n"
        "try: nl.translate.learn_subwords(['a'], 10)\n"
        "except nl.ArgumentError as error: print(error)"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert 'pip install "normlab[mt]"' in done.stdout

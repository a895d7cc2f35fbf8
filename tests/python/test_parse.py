"""Treebanks, trees, transitions, features, examples and scores from Python."""

import gc
import gzip
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import normlab as nl
from normlab import parse

REAL = Path(os.environ.get("NORMLAB_DATA", "")).expanduser() / "ud-en-ewt"

TEXT = """\
# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tvamos\tir\tVERB\tVB\tMood=Imp\t0\troot\t0:root\t_
2\tnos\tnosotros\tPRON\tPRP\tCase=Acc\t1\tobj:x\t1:obj\t_
2.1\ty\t_\t_\t_\t_\t_\t_\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\tIN\t_\t5\tcase\t_\t_
4\tel\tel\tDET\tDT\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\tNN\t_\t1\tobl\t_\tA=1

1\t.\t.\tPUNCT\t.\t_\t0\troot\t_\t_

"""


def conllu(*lines: str) -> str:
    """Lines of ID, FORM, UPOS, HEAD and DEPREL with all ten columns."""
    text = ""
    for line in lines:
        number, form, upos, head, deprel = line.split()
        text += f"{number}\t{form}\t_\t{upos}\t_\t_\t{head}\t{deprel}\t_\t_\n"
    return text + "\n"


# --- sentences and files -------------------------------------------------------------------------


def test_sentences_show_their_columns():
    first, second = parse.from_conllu(TEXT)
    assert len(first) == 5
    assert first.forms == ["vamos", "nos", "a", "el", "mar"]
    assert first.heads == [0, 1, 5, 5, 1]
    assert first.deprels == ["root", "obj:x", "case", "det", "obl"]
    word = first.words[4]
    assert (word.form, word.lemma, word.upos, word.xpos) == ("mar", "mar", "NOUN", "NN")
    assert (word.feats, word.head, word.deprel, word.deps, word.misc) == ("_", 1, "obl", "_", "A=1")
    assert [(after, line.split("\t")[0]) for after, line in first.extras] == [
        (0, "1-2"),
        (2, "2.1"),
        (2, "3-4"),
    ]
    assert first.comments == ["# sent_id = 1", "# text = vámonos al mar"]
    assert (first.text, first.note("sent_id"), first.note("x")) == ("vámonos al mar", "1", "")
    assert second.text == "."
    assert repr(first) == "Sentence(5 words: 'vámonos al mar')"
    assert repr(word) == "Word('mar' NOUN obl of 1)"


def test_sentences_are_values():
    first, second = parse.from_conllu(TEXT)
    assert first == parse.from_conllu(TEXT)[0] and hash(first) == hash(parse.from_conllu(TEXT)[0])
    assert first != second and first != "text"
    assert first.words[0] == parse.from_conllu(TEXT)[0].words[0]
    assert len(set(first.words + first.words)) == 5
    made = parse.Sentence(first.words, first.comments, first.extras)
    assert made == first
    assert first.to_conllu() + second.to_conllu() == TEXT
    with pytest.raises(AttributeError):
        first.words[0].head = 2
    with pytest.raises(AttributeError):
        first.heads = [1]


def test_sentences_can_be_made():
    sentence = parse.Sentence(["good", parse.Word("film", upos="NOUN", head=0, deprel="root")])
    assert sentence.heads == [None, 0]
    assert sentence.to_conllu().startswith("1\tgood\t_\t_\t_\t_\t_\t_\t_\t_\n2\tfilm\t_\tNOUN")
    assert sentence.text == "good film"
    parsed = sentence.with_tree([2, 0], ["amod", "root"])
    assert (parsed.heads, parsed.deprels) == ([2, 0], ["amod", "root"])
    assert sentence.heads == [None, 0], "the first is as it was"
    assert parsed.with_tree([None, 0], ["_", "root"]) == sentence
    with pytest.raises(nl.ArgumentError, match="there must be 2 heads and deprels, there are 1"):
        sentence.with_tree([0], ["root", "x"])
    with pytest.raises(nl.ArgumentError, match="must not be negative, got -1"):
        sentence.with_tree([0, -1], ["root", "x"])
    with pytest.raises(nl.ArgumentError, match="must not be negative"):
        parse.Word("x", head=-1)
    with pytest.raises(nl.ArgumentError, match="word 1: has an empty column"):
        parse.Sentence([""]).to_conllu()
    with pytest.raises(nl.ArgumentError, match="must have words"):
        parse.Sentence([]).to_conllu()
    with pytest.raises(TypeError):
        parse.Sentence("good film")
    with pytest.raises(TypeError):
        parse.Sentence([5])


def test_files(tmp_path: Path):
    path = tmp_path / "é.conllu"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()[:-2])
    sentences = parse.read_conllu(path)
    assert sentences == parse.from_conllu(TEXT) == parse.read_conllu(str(path))
    parse.write_conllu(path, iter(sentences))
    assert path.read_text(encoding="utf-8") == TEXT
    parse.write_conllu(path, [])
    assert parse.read_conllu(path) == []
    with pytest.raises(nl.FileError, match="cannot open it"):
        parse.read_conllu(tmp_path / "none")
    with pytest.raises(nl.FileError, match="is a folder"):
        parse.read_conllu(tmp_path)
    with pytest.raises(TypeError, match="sentence 2 must be a Sentence, is str"):
        parse.write_conllu(path, [sentences[0], "x"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\ta\n", "line 1: must have 10 columns divided by tabs, has 2"),
        (conllu("1 a _ 0 root", "3 b _ 1 x"), 'line 2: ID must be 2, is "3"'),
        (conllu("1 a _ x root"), 'line 1: HEAD must be a whole number, is "x"'),
        (conllu("1 a _ 0 root", "2 b _ 3 x"), r"line 2: word 2: its head must be in \[0, 2\]"),
        (conllu("1 a _ 0 root", "2 b _ 0 x"), "line 2: word 2: its sentence must have one root"),
        (conllu("1 a _ 2 x", "2 b _ 1 x"), "line 1: word 1: its sentence must have a root"),
        (conllu("1 a _ 0 r", "2 b _ 3 x", "3 c _ 2 x"), "line 2: word 2: .* in a cycle"),
        (b"1\t\xff\n", "line 1: must be UTF-8, at byte 2 it is not"),
        (b"1\t\0\n", "line 1: byte 2 is NUL"),
        (gzip.compress(TEXT.encode(), mtime=0), "line 1: is packed with gzip; unpack it"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str | bytes, message: str):
    path = tmp_path / "bad.conllu"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(nl.FileError, match=rf'^read_conllu: ".*/bad\.conllu", {message}'):
        parse.read_conllu(path)
    with pytest.raises(nl.FileError, match=rf'^read_conllu: "text", {message}'):
        parse.from_conllu(text)
    with path.open("rb") as file, pytest.raises(nl.FileError, match=f'"it", {message}'):
        list(parse.Reader(file, name="it"))


def test_options_of_reading():
    blind = conllu("1 a _ _ _", "2 b _ 0 root")
    assert parse.from_conllu(blind, heads="any")[0].heads == [None, 0]
    assert parse.from_conllu(conllu("1 a _ 0 r", "2 b _ 0 r"), heads="forest")[0].heads == [0, 0]
    with pytest.raises(nl.FileError, match='ID must be 1, is "1-2"'):
        parse.from_conllu(TEXT, format="conllx")
    with pytest.raises(
        nl.ArgumentError, match=r"must be one of 'conllu', .*, 'raw', 'tokenized', got 'x'"
    ):
        parse.from_conllu(TEXT, format="x")
    with pytest.raises(nl.ArgumentError, match="must be one of 'tree', 'forest', 'any', got ''"):
        parse.from_conllu(TEXT, heads="")


def test_reader_takes_lines_as_it_needs_them():
    taken = 0

    def lines() -> Iterator[str]:
        nonlocal taken
        for line in TEXT.split("\n"):
            taken += 1
            yield line

    reader = parse.Reader(lines())
    assert iter(reader) is reader
    first = next(reader)
    assert (first.to_conllu().count("\n"), taken) == (11, 11)
    assert next(reader).forms == ["."]
    assert next(reader, None) is None and next(reader, None) is None
    assert list(parse.Reader([])) == []
    assert len(list(parse.Reader(TEXT.encode().split(b"\n")))) == 2


def test_reader_refuses_what_are_no_lines():
    for lines in (TEXT, TEXT.encode()):
        with pytest.raises(TypeError, match="must be an iterable of lines, such as an open file"):
            parse.Reader(lines)
    with pytest.raises(TypeError):
        parse.Reader(5)
    with pytest.raises(TypeError, match="lines must be str or bytes, got int"):
        next(parse.Reader([5]))
    with pytest.raises(TypeError, match="text must be str or bytes, got NoneType"):
        parse.from_conllu(None)
    with pytest.raises(nl.ArgumentError, match="half a surrogate pair at 0"):
        parse.from_conllu("\ud800")
    with pytest.raises(nl.ArgumentError, match="half a surrogate pair at 0"):
        next(parse.Reader(["\ud800"]))

    def broken() -> Iterator[str]:
        yield "# a"
        raise KeyError("lines")

    reader = parse.Reader(broken())
    with pytest.raises(KeyError, match="lines"):
        next(reader)
    assert next(reader, None) is None, "nothing can be read after an error"


# --- trees and transitions -----------------------------------------------------------------------


def test_trees():
    assert parse.is_projective([2, 0, 4, 2])
    assert not parse.is_projective([3, 4, 0, 3])
    assert parse.nonprojective_words([3, 4, 0, 3]) == [2]
    assert parse.is_projective(parse.from_conllu(TEXT)[0])
    assert parse.check_tree([0, 1]) is None
    with pytest.raises(nl.ArgumentError, match="word 2: its sentence must have one root"):
        parse.check_tree([0, 0])
    with pytest.raises(nl.ArgumentError, match="its head must be known"):
        parse.check_tree(parse.Sentence(["a"]))
    with pytest.raises(nl.ArgumentError, match="its head must be known"):
        parse.oracle([None, 0])
    with pytest.raises(TypeError):
        parse.check_tree("tree")


def test_oracle_and_state():
    sentence = parse.from_conllu(TEXT)[0]
    actions = parse.oracle(sentence)
    assert actions == parse.oracle(sentence.heads)
    state = parse.State(len(sentence))
    for action in actions:
        assert not state.done
        getattr(state, action)()
    assert state.done and state.moves == "none"
    assert [head for head, _, _ in state.arcs] == sentence.heads
    assert [word for _, _, word in state.arcs] == [1, 2, 3, 4, 5]
    with pytest.raises(nl.ArgumentError, match="not projective"):
        parse.oracle([3, 4, 0, 3])
    with pytest.raises(nl.ArgumentError, match="must not be negative"):
        parse.State(-1)


def test_state_shows_its_parts():
    state = parse.State(3)
    assert (state.stack, state.buffer, state.arcs, state.moves) == ([0], [1, 2, 3], [], "shift")
    state.shift()
    state.shift()
    assert (state.stack, state.buffer, state.moves) == ([0, 1, 2], [3], "any")
    state.left_arc(label=7)
    assert (state.stack, state.arcs, state.moves) == ([0, 2], [(2, 7, 1)], "shift")
    with pytest.raises(nl.ArgumentError, match="there are 1, and 1 in the buffer"):
        state.right_arc()
    state.shift()
    assert state.moves == "arcs"
    state.right_arc(label=1)
    assert (state.stack, state.moves) == ([0, 2], "root")
    assert repr(state) == "State(1 words on the stack, 0 in the buffer)"
    assert len(state) == 3


def test_transitions():
    transitions = parse.Transitions(3, 1)
    assert (transitions.classes, transitions.labels, transitions.root) == (7, 3, 1)
    assert [transitions.action(t) for t in (0, 1, 4)] == ["shift", "left_arc", "right_arc"]
    assert [transitions.label(t) for t in (0, 1, 6)] == [None, 0, 2]
    assert (transitions.left(2), transitions.right(0)) == (3, 4)
    masks = transitions.masks().numpy()
    assert masks.dtype == bool and masks.shape == (5, 7)
    assert masks.sum(axis=1).tolist() == [0, 1, 5, 4, 1]
    rng = random.Random(0)
    for words in (1, 2, 9, 40):
        state = parse.State(words)
        while not state.done:
            legal = masks[["none", "shift", "any", "arcs", "root"].index(state.moves)]
            transitions.apply(state, rng.choice(np.flatnonzero(legal).tolist()))
        parse.check_tree([head for head, _, _ in state.arcs])
    with pytest.raises(nl.ArgumentError, match="is not legal"):
        transitions.apply(parse.State(1), 1)
    with pytest.raises(nl.RangeError):
        transitions.action(7)
    with pytest.raises(nl.ArgumentError, match=r"must be in \[0, labels\), got 3 of 3"):
        parse.Transitions(3, 3)


# --- vocabulary, features, examples --------------------------------------------------------------


def test_vocabulary():
    sentences = parse.from_conllu(TEXT)
    vocabulary = parse.Vocabulary.of(sentences, least=1, tag="both")
    assert vocabulary.words == [".", "a", "el", "mar", "nos", "vamos"]
    assert vocabulary.tags[:2] == ["ADP|IN", "DET|DT"]
    assert vocabulary.labels == ["root", "case", "det", "obj:x", "obl"]
    assert (vocabulary.root, vocabulary.transitions.root) == ("root", 0)
    assert (vocabulary.least, vocabulary.lower, vocabulary.digits) == (1, True, True)
    assert (vocabulary.tags_begin, vocabulary.labels_begin, len(vocabulary)) == (9, 18, 24)
    assert vocabulary.name(vocabulary.word_id("MAR")) == "mar"
    assert vocabulary.name(vocabulary.word_id("new")) == "<unknown>"
    assert vocabulary.name(vocabulary.tag_id(sentences[1].words[0])) == "PUNCT|."
    assert (vocabulary.label("det"), vocabulary.label("x")) == (2, None)
    again = parse.Vocabulary(
        vocabulary.words, vocabulary.tags, vocabulary.labels, vocabulary.root, least=1, tag="both"
    )
    assert [again.name(i) for i in range(len(again))] == [
        vocabulary.name(i) for i in range(len(vocabulary))
    ]
    assert repr(vocabulary) == "Vocabulary(6 words, 6 tags, 5 labels)"
    assert parse.Vocabulary.of(sentences).words == []
    assert parse.Vocabulary.of(sentences, tag="xpos").tag == "xpos"
    with pytest.raises(nl.ArgumentError, match="at least one tree"):
        parse.Vocabulary.of([])
    with pytest.raises(nl.ArgumentError, match="must be one of 'upos', 'xpos', 'both', got 'x'"):
        parse.Vocabulary.of(sentences, tag="x")
    with pytest.raises(nl.ArgumentError, match='each tag must come once, "X" is number 0 and 1'):
        parse.Vocabulary([], ["X", "X"], ["root"], "root")
    with pytest.raises(nl.RangeError):
        vocabulary.name(24)


def test_features_of_a_state():
    sentence = parse.from_conllu(TEXT)[0]
    vocabulary = parse.Vocabulary.of([sentence], least=1)
    state = parse.State(5)
    for action in ("shift", "shift"):
        getattr(state, action)()
    state.right_arc(vocabulary.label("obj:x"))
    state.shift()
    rows = parse.features(vocabulary, sentence, state)
    assert rows.dtype == np.int32 and rows.shape == (48,)
    names = [vocabulary.name(row) for row in rows.numpy().tolist()]
    assert names[:6] == ["<root>", "vamos", "a", "el", "mar", "<null>"]
    assert names[6:18] == ["<null>"] * 7 + ["nos"] + ["<null>"] * 4
    assert names[18:24] == ["<root>", "VERB", "ADP", "DET", "NOUN", "<null>"]
    assert names[24 + 7] == "PRON" and names[36 + 1] == "<null>" and names[36 + 7] == "obj:x"
    with pytest.raises(nl.ArgumentError, match="must be of the sentence's 5 words, is of 2"):
        parse.features(vocabulary, sentence, parse.State(2))


def test_examples():
    sentences = parse.from_conllu(TEXT)
    vocabulary = parse.Vocabulary.of(sentences)
    crossing = parse.from_conllu(conllu("1 a X 3 x", "2 b X 4 x", "3 c X 0 root", "4 d X 3 x"))
    unknown = parse.from_conllu(conllu("1 a X 0 root", "2 b X 1 unheard-of"))
    found = parse.examples((s for s in sentences + crossing + unknown), vocabulary)
    assert len(found) == 12
    assert (found.trees, found.nonprojective, found.unusable) == (2, 1, 1)
    assert repr(found) == "Examples(12 of 2 trees, left out: 1 not projective, 1 unusable)"
    assert (found.features.dtype, found.features.shape) == (np.int32, (12, 48))
    assert (found.classes.dtype, found.moves.dtype) == (np.int64, np.uint8)
    transitions = vocabulary.transitions
    actions = [transitions.action(t) for t in found.classes.numpy().tolist()]
    assert actions == [action for s in sentences for action in parse.oracle(s)]
    legal = transitions.masks().numpy()[found.moves.numpy()]
    assert legal[np.arange(12), found.classes.numpy()].all()
    assert len(parse.examples([], vocabulary)) == 0
    with pytest.raises(nl.ArgumentError, match="sentence 1, word 1: its head must be known"):
        parse.examples([parse.Sentence(["a"])], vocabulary)
    with pytest.raises(TypeError, match="sentence 1 must be a Sentence, is str"):
        parse.examples("text", vocabulary)


def test_other_threads_run_meanwhile():
    """The sentences must stay alive while the lock is released."""
    sentences = parse.from_conllu(TEXT * 500)
    vocabulary = parse.Vocabulary.of(sentences)
    lengths: list[int] = []

    def work() -> None:
        lengths.extend(len(parse.examples(list(sentences), vocabulary)) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    copies = [parse.from_conllu(TEXT) for _ in range(50)]
    del copies
    gc.collect()
    for thread in threads:
        thread.join()
    assert lengths == [6000] * 15


# --- scores --------------------------------------------------------------------------------------


def test_score():
    gold = parse.from_conllu(
        conllu("1 a NOUN 2 nsubj:pass", "2 b VERB 0 root", "3 c NOUN 2 obj", "4 . PUNCT 2 punct")
    )
    found = [gold[0].with_tree([2, 0, 2, 3], ["nsubj", "root", "iobj", "punct"])]
    score = parse.score(gold, found)
    assert (score.words, score.heads, score.relations) == (4, 3, 2)
    assert (score.uas, score.las) == (75.0, 50.0)
    assert repr(score) == "Score(uas=75.00, las=50.00, 4 words)"
    score = parse.score(gold, found, convention="ptb")
    assert (score.words, score.heads, score.relations) == (3, 3, 1)
    assert parse.score([], []).uas == 0.0
    with pytest.raises(nl.ArgumentError, match="must be one of 'conll18', 'ptb', got 'x'"):
        parse.score(gold, found, convention="x")
    with pytest.raises(nl.ArgumentError, match="the same sentences, there are 1 and 0"):
        parse.score(gold, [])
    with pytest.raises(nl.ArgumentError, match="sentence 1: the heads of word 1 must be known"):
        parse.score(gold, [gold[0].with_tree([None, 0, 2, 2], ["_"] * 4)])
    with pytest.raises(nl.ArgumentError, match=r'word 1 is "a" and "\."'):
        parse.score([gold[0]], [parse.Sentence([".", "b", "c", "."])])


# --- the real treebank ---------------------------------------------------------------------------

real = pytest.mark.skipif(not REAL.is_dir(), reason="NORMLAB_DATA has no ud-en-ewt/")
SPLITS = {  # sentences, words, per cent of projective trees, non-projective words
    "train": (12_544, 204_577, 97.70, 354),
    "dev": (2_001, 25_147, 98.45, 36),
    "test": (2_077, 25_094, 98.75, 27),
}


def unpacked(split: str, folder: Path) -> Path:
    path = folder / f"{split}.conllu"
    path.write_bytes(gzip.decompress((REAL / f"en_ewt-ud-{split}.conllu.gz").read_bytes()))
    return path


@real
@pytest.mark.parametrize("split", SPLITS)
def test_ewt(split: str, tmp_path: Path):
    path = unpacked(split, tmp_path)
    trees = parse.read_conllu(path)
    parse.write_conllu(tmp_path / "again", trees)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    with path.open("rb") as file:
        assert sum(1 for _ in parse.Reader(file)) == len(trees)
    sentences, words, per_cent, nonprojective = SPLITS[split]
    assert (len(trees), sum(map(len, trees))) == (sentences, words)
    projective = [tree for tree in trees if parse.is_projective(tree)]
    assert round(100 * len(projective) / len(trees), 2) == per_cent
    assert sum(len(parse.nonprojective_words(tree)) for tree in trees) == nonprojective
    score = parse.score(trees, trees)
    assert (score.words, score.uas, score.las) == (words, 100.0, 100.0)


@real
@pytest.mark.parametrize("split", SPLITS)
def test_the_oracle_rebuilds_ewt(split: str, tmp_path: Path):
    trees = parse.read_conllu(unpacked(split, tmp_path))
    vocabulary = parse.Vocabulary.of(trees)
    transitions = vocabulary.transitions
    found = parse.examples(trees, vocabulary)
    projective = [tree for tree in trees if parse.is_projective(tree)]
    assert (found.trees, found.unusable) == (len(projective), 0)
    assert found.nonprojective == len(trees) - len(projective)
    assert len(found) == 2 * sum(map(len, projective))
    classes = iter(found.classes.numpy().tolist())
    for tree in projective:
        state = parse.State(len(tree))
        while not state.done:
            transitions.apply(state, next(classes))
        assert [head for head, _, _ in state.arcs] == tree.heads
        assert [vocabulary.labels[label] for _, label, _ in state.arcs] == tree.deprels


@real
def test_ewt_train_has_its_tags_and_relations(tmp_path: Path):
    trees = parse.read_conllu(unpacked("train", tmp_path))
    vocabulary = parse.Vocabulary.of(trees)
    assert (len(vocabulary.tags), len(vocabulary.labels)) == (17, 51)
    counts = Counter(re.sub("[0-9]", "0", form.lower()) for tree in trees for form in tree.forms)
    frequent = [word for word, count in counts.items() if count >= 2]
    assert vocabulary.words == sorted(frequent, key=lambda word: (-counts[word], word.encode()))
    assert vocabulary.root == "root"

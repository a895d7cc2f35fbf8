"""Drawn dependency trees: what stands in the SVG, where, and what is refused."""

import gzip
import io
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import FrozenInstanceError, dataclass
from itertools import combinations
from pathlib import Path

import pytest

import normlab as nl
from normlab import viz
from normlab.parse import Sentence, Word
from normlab.viz.lettering import text_width

REAL = Path(os.environ.get("NORMLAB_DATA", "")).expanduser() / "ud-en-ewt"

TEXT = """\
# text = A good film tells that.
1\tA\ta\tDET\tDT\t_\t3\tdet\t_\t_
2\tgood\tgood\tADJ\tJJ\t_\t3\tamod\t_\t_
3\tfilm\tfilm\tNOUN\tNN\t_\t4\tnsubj\t_\t_
4\ttells\ttell\tVERB\tVBZ\t_\t0\troot\t_\t_
5\tthat\tthat\tPRON\tDT\t_\t4\tobj\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\t_

# text = A hearing is scheduled on the issue today
1\tA\ta\tDET\t_\t_\t2\tdet\t_\t_
2\thearing\thearing\tNOUN\t_\t_\t4\tnsubj:pass\t_\t_
3\tis\tbe\tAUX\t_\t_\t4\taux:pass\t_\t_
4\tscheduled\tschedule\tVERB\t_\t_\t0\troot\t_\t_
5\ton\ton\tADP\t_\t_\t7\tcase\t_\t_
6\tthe\tthe\tDET\t_\t_\t7\tdet\t_\t_
7\tissue\tissue\tNOUN\t_\t_\t2\tnmod\t_\t_
8\ttoday\ttoday\tNOUN\t_\t_\t4\tobl:tmod\t_\t_

"""
PROJECTIVE, CROSSING = nl.parse.from_conllu(TEXT)


def made(*words: str) -> Sentence:
    """From "form head relation"."""
    columns = [word.split() for word in words]
    return Sentence([Word(form, head=int(h), deprel=rel) for form, h, rel in columns])


# --- reading a drawing ---------------------------------------------------------------------------

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Arc:
    """As the SVG has it."""

    head: int
    dependent: int
    label: str
    kind: str
    start: float
    end: float
    y: float  # of its horizontal part; a root's begins there
    foot: float
    dashes: str
    box: Box | None


class Picture:
    """A drawing's SVG, read again."""

    def __init__(self, drawing: viz.TreeDrawing):
        text = re.sub(r' xmlns="[^"]+"', "", drawing.svg, count=1)
        self.root = ElementTree.fromstring(text)
        self.title, self.desc = self.root.find("title").text, self.root.find("desc").text
        self.width, self.height = (float(self.root.get(name)) for name in ("width", "height"))
        words = self.root.findall("g[@class='nl-word']")
        assert [int(word.get("data-word")) for word in words] == list(range(1, len(words) + 1))
        self.words = [[part.text for part in word.findall("text")] for word in words]
        self.word_boxes = [self._box(part) for word in words for part in word.findall("text")]
        groups = self.root.findall("g[@data-head]")
        self.arcs = [self._arc(group) for group in groups]
        self.legend = [
            found.find("text").text for found in self.root.findall("g[@class='nl-legend']")
        ]

    @staticmethod
    def _box(text: ElementTree.Element) -> Box:
        size, x, y = (float(text.get(name)) for name in ("font-size", "x", "y"))
        half = text_width(text.text, size) * (1.13 if text.get("font-weight") else 1) / 2
        return x - half, y - size, x + half, y

    def _arc(self, group: ElementTree.Element) -> Arc:
        line, head = group.findall("path")
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", line.get("d"))]
        tip = [float(n) for n in re.findall(r"-?[\d.]+", head.get("d"))][-2:]
        label = group.find("text")
        rooted = group.get("data-head") == "0"
        assert ("H" in line.get("d")) != rooted
        return Arc(
            int(group.get("data-head")),
            int(group.get("data-dependent")),
            "" if label is None else label.text,
            group.get("class").removeprefix("nl-arc").strip().removeprefix("nl-"),
            numbers[0],
            tip[0],
            numbers[1] if rooted else numbers[4],
            tip[1],
            line.get("stroke-dasharray", ""),
            None if label is None else self._box(label),
        )

    def tree(self, *kinds: str) -> list[tuple[int, int, str]]:
        return [(a.head, a.dependent, a.label) for a in self.arcs if a.kind in ("", *kinds)]


def known(sentence: Sentence) -> list[tuple[int, int, str]]:
    """The arcs that a drawing must have."""
    words = enumerate(zip(sentence.heads, sentence.deprels, strict=True), 1)
    return [(head, number, rel) for number, (head, rel) in words if head is not None]


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] - 0.2 and b[0] < a[2] - 0.2 and a[1] < b[3] and b[1] < a[3]


def assert_legible(picture: Picture) -> None:
    """Nothing lies on anything else, all of it lies within the picture."""
    boxes = [arc.box for arc in picture.arcs if arc.box] + picture.word_boxes
    for a, b in combinations(boxes, 2):
        assert not overlap(a, b), (a, b)
    for left, top, right, bottom in boxes:
        assert left >= 0 and top >= 0 and right <= picture.width and bottom <= picture.height
    for a, b in combinations([arc for arc in picture.arcs if arc.head], 2):
        left, right = (
            max(min(a.start, a.end), min(b.start, b.end)),
            min(max(a.start, a.end), max(b.start, b.end)),
        )
        assert a.y != b.y or left >= right, "arcs of one height are apart"
        assert {a.start, a.end}.isdisjoint({b.start, b.end}), "and so are their ends"
    for arc in picture.arcs:
        low, high = min(arc.start, arc.end), max(arc.start, arc.end)
        for other in picture.arcs:
            inside = [x for x in (other.start, other.end) if other.y < arc.y and low < x < high]
            if arc.head and arc.box:
                assert arc.box[0] >= low and arc.box[2] <= high
                assert not any(arc.box[0] < x < arc.box[2] for x in inside), "no line through it"
            spans = sorted((arc.head, arc.dependent)), sorted((other.head, other.dependent))
            within = spans[0][0] <= spans[1][0] and spans[1][1] <= spans[0][1]
            if arc.head and other.head and other is not arc and within and spans[0] != spans[1]:
                assert arc.y < other.y, "an arc lies above those within its span"


def drawn(sentence: Sentence, compare: Sentence | None = None) -> Picture:
    return Picture(nl.viz.tree(sentence, compare=compare))


# --- trees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", [PROJECTIVE, CROSSING])
def test_words_tags_and_arcs(sentence: Sentence):
    picture = drawn(sentence)
    assert picture.tree() == known(sentence)
    assert picture.words == [[word.form, word.upos] for word in sentence.words]
    assert {arc.foot for arc in picture.arcs} == {picture.arcs[0].foot}
    assert picture.title == sentence.text
    assert picture.root.get("role") == "img"
    ids = [picture.root.find(name).get("id") for name in ("title", "desc")]
    assert picture.root.get("aria-labelledby").split() == ids
    assert picture.root.get("viewBox") == f"0 0 {picture.width:g} {picture.height:g}"
    assert_legible(picture)


def test_arcs_meet_their_words():
    picture = drawn(PROJECTIVE)
    at = [(box[0] + box[2]) / 2 for box in picture.word_boxes[::2]]
    det, amod, nsubj, root, obj, punct = picture.arcs
    for arc in picture.arcs:
        assert abs(arc.end - at[arc.dependent - 1]) < 25
        assert not arc.head or abs(arc.start - at[arc.head - 1]) < 25
    assert amod.start < det.start < nsubj.end, "the higher the nearer to the other side"
    assert nsubj.start < root.end < punct.start < obj.start
    assert root.y < punct.y < obj.y == amod.y


def test_the_description_says_the_arcs():
    assert drawn(PROJECTIVE).desc == (
        "1 A: det of 3 film; 2 good: amod of 3 film; 3 film: nsubj of 4 tells; 4 tells: root; "
        "5 that: obj of 4 tells; 6 .: punct of 4 tells."
    )
    told = [group.find("title").text for group in drawn(PROJECTIVE).root.findall("g[@data-head]")]
    assert told[0] == "det: film → A" and told[3] == "root: tells"


def test_text():
    drawing = nl.viz.tree(PROJECTIVE)
    assert str(drawing) == repr(drawing) == drawing.text
    assert drawing.text.splitlines() == [
        "1 A     DET   ←─┐  det of 3",
        "2 good  ADJ   ←┐│  amod of 3",
        "3 film  NOUN  ←┼┘  nsubj of 4",
        "4 tells VERB  ─┼┐  root",
        "5 that  PRON  ←┘│  obj of 4",
        "6 .     PUNCT ←─┘  punct of 4",
    ]
    narrow, wide = (nl.viz.tree(made(f"{form} 2 x", "c 0 r")).text for form in ("ab", "語"))
    assert wide.index("←") == narrow.index("←") - 1, "one character, two columns"


def test_tags_are_the_universal_ones_else_the_others_else_none():
    words = [Word("a", upos="X", xpos="Y"), Word("b", xpos="Y"), Word("c")]
    assert drawn(Sentence(words)).words == [["a", "X"], ["b", "Y"], ["c"]]


def test_unknown_heads_have_no_arcs():
    picture = drawn(Sentence(["just", "words"]))
    assert picture.words == [["just"], ["words"]] and picture.arcs == []
    assert picture.desc == "No arcs: the heads are not known."
    assert str(nl.viz.tree(Sentence(["just", "words"]))) == "1 just\n2 words"
    some = PROJECTIVE.with_tree([3, None, None, 0, None, 4], PROJECTIVE.deprels)
    assert drawn(some).tree() == known(some)


def test_small_and_odd_graphs():
    one = drawn(made(". 0 root"))
    assert one.tree() == [(0, 1, "root")] and one.words == [["."]]
    assert_legible(one)
    assert drawn(Sentence([])).words == []
    unnamed = drawn(made("a 0 _", "b 1 _"))
    assert unnamed.tree() == [(0, 1, "root"), (1, 2, "")]
    for words in (
        ["a 2 x", "b 3 y", "c 1 z"],
        ["a 0 root", "b 0 root", "c 0 parataxis:long"],
        ["a 3 x", "b 4 y", "c 5 z", "d 0 root", "e 1 w"],
    ):
        assert drawn(made(*words)).tree() == known(made(*words))
        assert_legible(drawn(made(*words)))


def test_a_short_word_with_many_arcs():
    words = [f"w{i} 11 dep" for i in range(10)] + ["I 0 root"] + [f"w{i} 11 dep" for i in range(10)]
    picture = drawn(made(*words))
    assert_legible(picture)
    assert picture.root.find("g[@data-word='11']/path") is not None, "a bracket over the word"
    assert picture.root.find("g[@data-word='1']/path") is None


@pytest.mark.parametrize("length", [200, 1000])
def test_long_sentences(length: int):
    heads = [(i * 7919) % length + 1 for i in range(length)]
    words = [f"w{i} {0 if h == i + 1 else h} relation" for i, h in enumerate(heads)]
    drawing = nl.viz.tree(made(*words))
    picture = Picture(drawing)
    assert picture.tree() == known(made(*words))
    assert picture.width > 30 * length
    assert "overflow-x: auto" in drawing._repr_html_()
    assert length > 200 or assert_legible(picture) is None


def test_same_words_same_picture():
    again = nl.parse.from_conllu(TEXT)[0]
    assert nl.viz.tree(again) == nl.viz.tree(PROJECTIVE) != nl.viz.tree(CROSSING)
    with pytest.raises(FrozenInstanceError):
        nl.viz.tree(again).svg = ""


@pytest.mark.skipif(not REAL.is_dir(), reason="NORMLAB_DATA has no ud-en-ewt")
def test_real_trees():
    path = next(REAL.glob("*-dev.conllu*"))
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    sentences = nl.parse.from_conllu(text)
    crossing = [s for s in sentences if not nl.parse.is_projective(s.heads)]
    for sentence in [*sentences[::40], *crossing[:20], max(sentences, key=len)]:
        picture = drawn(sentence)
        assert picture.tree() == known(sentence)
        assert_legible(picture)


# --- comparisons ---------------------------------------------------------------------------------


def test_arcs_that_differ_are_drawn_apart():
    deprels = ["det", "amod", "obj", "root", "obj", "punct"]
    parsed = PROJECTIVE.with_tree([3, 3, 4, 0, 3, 4], deprels)
    picture = drawn(parsed, PROJECTIVE)
    assert picture.tree("wrong") == known(parsed)
    assert picture.tree("missing") == known(PROJECTIVE)
    assert [(arc.label, arc.dependent) for arc in picture.arcs if arc.kind == "wrong"] == [
        ("obj", 3),
        ("obj", 5),
    ]
    dashes = {kind: {a.dashes for a in picture.arcs if a.kind == kind} for kind in ("", "wrong")}
    dashes["missing"] = {arc.dashes for arc in picture.arcs if arc.kind == "missing"}
    assert dashes[""] == {""} and all(len(found) == 1 for found in dashes.values())
    assert dashes["wrong"] != dashes["missing"]
    dots = picture.root.findall(".//path[@stroke-dasharray='0.1 4']")
    assert {dot.get("style") for dot in dots} == {"stroke-linecap: round"}, "no sheet beats it"
    assert picture.legend == ["only in this tree", "only in the one it is compared with"]
    assert "3 film: obj of 4 tells (only in this tree)" in picture.desc
    assert "  !obj of 3  compared: obj of 4" in nl.viz.tree(parsed, compare=PROJECTIVE).text
    assert_legible(picture)


def test_comparisons_of_roots_and_unknown_heads():
    ours, theirs = made("a 0 root", "b 1 x", "c 1 y"), made("a 0 parataxis", "b 1 x", "c 0 root")
    assert_legible(drawn(ours, theirs))
    assert len(drawn(ours, theirs).arcs) == 5
    unknown = ours.with_tree([None, 1, None], ["_", "x", "_"])
    assert [arc.kind for arc in drawn(unknown, ours).arcs] == ["missing", "", "missing"]
    assert [arc.kind for arc in drawn(ours, unknown).arcs] == ["wrong", "", "wrong"]


def test_a_tree_equals_itself():
    assert drawn(PROJECTIVE, PROJECTIVE).legend == []
    assert nl.viz.tree(PROJECTIVE, compare=PROJECTIVE) == nl.viz.tree(PROJECTIVE)


# --- what is refused -----------------------------------------------------------------------------


def test_refusals():
    with pytest.raises(nl.ArgumentError, match=r"compare must have the sentence's 6 words, has 8"):
        nl.viz.tree(PROJECTIVE, compare=CROSSING)
    with pytest.raises(nl.ArgumentError, match="word 2 is 'c' instead of 'b'"):
        nl.viz.tree(Sentence(["a", "b"]), compare=Sentence(["a", "c"]))
    with pytest.raises(nl.ArgumentError, match=r"head of word 1 must be 0 or another .* 2, is 3"):
        nl.viz.tree(made("a 3 x", "b 0 root"))
    with pytest.raises(nl.ArgumentError, match=r"compare: the head of word 2 must be .* is 2"):
        nl.viz.tree(made("a 0 x", "b 1 x"), compare=made("a 0 x", "b 2 x"))
    with pytest.raises(nl.DtypeError, match="sentence must be a Sentence, is str"):
        nl.viz.tree("a good film")
    with pytest.raises(nl.DtypeError, match="compare must be a Sentence, is list"):
        nl.viz.tree(PROJECTIVE, compare=[])


# --- characters ----------------------------------------------------------------------------------


def test_anything_may_be_a_word():
    forms = [
        "<script>alert(1)</script>",
        "&amp;\"'",
        "]]></text>",
        "日本語の文章",
        "שלום!",
        "e\u0301",
        "👍🏽",
        "a\x00b\n\x1b[31m",
        "\ufffe\u202etxt",
        "\x85",
    ]
    words = [
        Word(form, upos="<b>", head=(0 if i == 0 else i), deprel="<&\"'>" if i else "\x01")
        for i, form in enumerate(forms)
    ]
    sentence = Sentence(words, comments=["# text = <&\x02>"])
    drawing = nl.viz.tree(sentence)
    picture = Picture(drawing)
    assert [word[0] for word in picture.words[:7]] == forms[:7]
    assert [word[0] for word in picture.words[7:]] == ["a␀b␊␛[31m", "��txt", "�"]
    assert {word[1] for word in picture.words} == {"<b>"}
    assert [arc.label for arc in picture.arcs[:2]] == ["␁", "<&\"'>"]
    assert picture.title == "<&␂>"
    assert "<script" not in drawing.svg and "<script" not in drawing._repr_html_()
    assert "\x1b" not in drawing.text and len(drawing.text.splitlines()) == len(forms)
    assert_legible(picture)


def test_estimated_widths():
    assert text_width("", 10) == text_width("\u0301\u200d", 10) == 0
    assert text_width("iii", 10) < text_width("aaa", 10) < text_width("mmm", 10)
    assert text_width("語", 10) >= 10
    assert text_width("e\u0301", 10) == text_width("e", 10)


# --- files, notebooks ----------------------------------------------------------------------------


def test_save(tmp_path: Path):
    drawing = nl.viz.tree(PROJECTIVE)
    drawing.save(tmp_path / "tree.svg")
    assert (tmp_path / "tree.svg").read_text("utf-8") == drawing.svg + "\n"
    drawing.save(str(tmp_path / "tree.HTML"))
    page = (tmp_path / "tree.HTML").read_text("utf-8")
    assert page.startswith("<!doctype html>") and drawing._repr_html_() in page
    assert "<title>A good film tells that.</title>" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree.HTML", "tree.svg"]


def test_save_refuses(tmp_path: Path):
    drawing = nl.viz.tree(PROJECTIVE)
    for name in ("tree.png", "tree", ".svg"):
        with pytest.raises(nl.ArgumentError, match=r"must end with \.svg or \.html, got"):
            drawing.save(tmp_path / name)
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "file").write_text("")
    for name, reason in (
        ("nowhere/tree.svg", "No such file"),
        ("folder.svg", "s a directory"),
        ("file/tree.html", "Not a directory"),
        ("a\0b.svg", "null"),
    ):
        with pytest.raises(nl.FileError, match=f"cannot be written: .*{reason}"):
            drawing.save(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.svg"]


def test_notebooks():
    drawing = nl.viz.tree(PROJECTIVE)
    assert drawing._repr_svg_() == drawing.svg and drawing.svg in drawing._repr_html_()
    assert drawing.svg.count("currentColor") > 10 and "<style" not in drawing.svg
    other = nl.viz.tree(CROSSING)
    ids = re.findall(r' id="([^"]+)"', drawing.svg + other.svg)
    assert len(ids) == len(set(ids)) == 4


def test_viz_is_loaded_when_it_is_used():
    code = (
        "import sys, normlab as nl; assert 'normlab.viz' not in sys.modules; nl.viz.tree; "
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert viz.__all__ == [
        "COLOURS",
        "MORE_COLOURS",
        "TreeDrawing",
        "look",
        "probed",
        "style",
        "tree",
    ]


def test_every_variant_looks_different():
    looks = [viz.look(name) for name in nl.norm_variants()]
    assert len({(x["color"], x["linestyle"], x["marker"]) for x in looks}) == len(looks)
    # What tells variants apart in grey.
    paper = [viz.look(name) for name in viz.COLOURS]
    assert len({(x["linestyle"], x["marker"]) for x in looks}) > 15
    assert len({x["marker"] for x in paper}) == len(paper)
    assert viz.look("adanorm")["color"] == viz.COLOURS["adanorm"]
    assert viz.look("adanorm", marker=False).keys() == {"color", "linestyle", "label"}
    assert viz.look("mine")["label"] == "mine" and viz.look("mine") not in looks


def test_a_new_row_of_the_table_gets_a_look(monkeypatch):
    names = (*nl.norm_variants(), *(f"new{i}" for i in range(8)))
    monkeypatch.setattr("normlab.viz.looks.norm_variants", lambda: names)
    looks = [viz.look(name) for name in names]
    assert len({(x["color"], x["linestyle"], x["marker"]) for x in looks}) == len(names)
    assert viz.look("mine") not in looks


def test_style_is_what_matplotlib_takes():
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(viz.style(ink="#123456", faint="#abcdef", paper="#fedcba")):
        ax = Figure().subplots()
        lines = [ax.plot([0, 1], **viz.look(name))[0] for name in nl.norm_variants()]
        plain = [ax.plot([0, 1])[0] for _ in range(8)]
    assert [line.get_label() for line in lines] == list(nl.norm_variants())
    assert len({(line.get_color(), line.get_linestyle()) for line in plain}) == 8
    assert ax.xaxis.label.get_color() == "#123456"
    assert ax.get_xgridlines()[0].get_color() == "#abcdef"
    assert ax.figure.get_facecolor()[:3] == pytest.approx([0xFE / 255, 0xDC / 255, 0xBA / 255])


def probed_records(steps):
    layers = [part for _ in range(3) for part in (nl.nn.Linear(8, 8), nl.nn.Norm("layernorm", 8))]
    net = nl.nn.Sequential(*layers, nl.nn.Linear(8, 1))
    with nl.probe(net) as probe:
        for _ in range(steps):
            nl.sum(net(nl.randn((16, 8)))).backward()
            probe.next_step()
    return probe.records


def test_probed_one_step():
    records = probed_records(1)
    figure = viz.probed(records)
    share, variance = figure.axes
    assert [text.get_text() for text in share.get_yticklabels()] == ["1", "3", "5"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "arrives, dL/dz",
        "leaves, dL/dx",
    ]
    points = [line.get_xydata()[0] for line in variance.lines if line.get_marker() == "o"]
    drawn = [moments.row_var for r in records for moments in (r.dz, r.dx)]
    assert [x for x, _ in points] == pytest.approx(drawn)
    assert [y for _, y in points] == [i for r in records for i in [int(r.layer) // 2] * 2]
    # Re-centring: what leaves has no mean.
    shares = [line.get_xydata()[0][0] for line in share.lines if line.get_marker() == "o"]
    assert min(shares[::2]) > 1e-3 and max(shares[1::2]) < 1e-5


def test_probed_several_steps():
    records = probed_records(4)
    figure = viz.probed(records)
    maps = [ax.collections[0] for ax in figure.axes[:4]]
    assert all(found.get_array().size == 12 for found in maps)
    assert maps[0].norm is maps[2].norm and maps[1].norm is maps[3].norm
    variances = {(r.step, r.layer): r.dx.row_var for r in records}
    drawn = maps[3].get_array().reshape(3, 4)
    assert drawn[1, 2] == pytest.approx(variances[2, "3"])
    figure.savefig(io.BytesIO())


def test_probed_needs_gradients():
    norm = nl.nn.Norm("layernorm", 4)
    with nl.probe(norm) as probe:
        norm(nl.randn((2, 4)))
    with pytest.raises(nl.ArgumentError, match="no record has a gradient: call backward"):
        viz.probed(probe.records)
    with pytest.raises(nl.ArgumentError, match="no record: call the model inside `with`"):
        viz.probed([])

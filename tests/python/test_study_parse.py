"""The parsing task: training on a treebank, its results and table, the kept model."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import normlab as nl
from normlab import parse
from normlab.report.groups import groups
from normlab.report.page import page
from normlab.report.table import markdown
from normlab.study import Study
from normlab.study.parsing import ParseSettings, ParseTask

SETTINGS = ParseSettings(
    epochs=6, patience=6, batch=64, lr=1e-2, embedding=12, hidden=48, dropout=0.1, tag="upos"
)
NOUNS, VERBS = ("dog", "cat", "man", "tree"), ("sees", "likes")


def sentence(draw: random.Random) -> parse.Sentence:
    """ "the big dog sees the cat": subject and object under the verb."""
    words: list[parse.Word] = []

    def phrase(adjectives: int, verb: int, deprel: str) -> None:
        noun = len(words) + adjectives + 2
        words.append(parse.Word("the", upos="DET", xpos="DT", head=noun, deprel="det"))
        for _ in range(adjectives):
            words.append(parse.Word("big", upos="ADJ", xpos="JJ", head=noun, deprel="amod"))
        form = draw.choice(NOUNS)
        words.append(parse.Word(form, upos="NOUN", xpos="NN", head=verb, deprel=deprel))

    before = draw.randrange(3)
    verb = before + 3
    phrase(before, verb, "nsubj")
    form = draw.choice(VERBS)
    words.append(parse.Word(form, upos="VERB", xpos="VBZ", head=0, deprel="root"))
    phrase(draw.randrange(3), verb, "obj")
    return parse.Sentence(words)


def crossing() -> parse.Sentence:
    """No arc-standard transitions build it."""
    heads = ((3, "a"), (4, "b"), (0, "root"), (3, "c"))
    return parse.Sentence(
        [parse.Word("x", upos="X", xpos="X", head=head, deprel=rel) for head, rel in heads]
    )


@pytest.fixture(scope="session")
def treebank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toybank")
    draw = random.Random(0)
    for split, n in (("train", 120), ("dev", 30), ("test", 30)):
        sentences = [sentence(draw) for _ in range(n)]
        if split == "train":
            sentences.append(crossing())
        parse.write_conllu(folder / f"toy-{split}.conllu", sentences)
    return folder


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


def study(out: Path, treebank: Path, settings: ParseSettings = SETTINGS, **more: Any) -> Any:
    given = {"norms": ("layernorm",), "seeds": (0,), "scales": (1.0,)} | more
    return Study(tasks=[ParseTask(str(treebank), settings)], out=out, **given).run()


def test_it_learns_and_records_both_scores(tmp_path: Path, treebank: Path) -> None:
    for result in study(tmp_path, treebank, norms=("layernorm", "none"), seeds=(0, 1)):
        assert result["task"] == "parse"
        assert result["test"] == result["uas"] > 95
        assert 95 < result["las"] <= result["uas"]
        assert 95 < result["las_ptb"] <= result["uas_ptb"], "no punctuation here"
        assert result["settings"]["hidden"] == SETTINGS.hidden
        assert "1 non-projective of 121 training trees left out" in result["data"]
        assert result["history"]["train_loss"][-1] < result["history"]["train_loss"][0]


@pytest.mark.skipif(not nl.cuda.is_available(), reason=nl.cuda.why_not())
@pytest.mark.parametrize("input_norm", [False, True])
def test_it_learns_the_same_on_cuda(tmp_path: Path, treebank: Path, input_norm: bool) -> None:
    settings = replace(SETTINGS, epochs=2, input_norm=input_norm)
    (here,) = study(tmp_path / "cpu", treebank, settings)
    (there,) = study(tmp_path / "cuda", treebank, settings, device="cuda")
    assert there["device"] == "cuda"
    for name in ("train_loss", "valid_loss"):
        assert there["history"][name] == pytest.approx(here["history"][name], rel=1e-3)
    assert there["uas"] == pytest.approx(here["uas"], abs=2)


@pytest.mark.parametrize("norm", nl.norm_variants())
def test_every_variant_trains(tmp_path: Path, treebank: Path, norm: str) -> None:
    (result,) = study(tmp_path, treebank, replace(SETTINGS, epochs=1), norms=(norm,))
    assert not result["diverged"]


@pytest.mark.parametrize(
    "change",
    [{"activation": "cube"}, {"input_norm": True}, {"tag": "xpos"}, {"tag": "both"}, {"least": 1}],
    ids=str,
)
def test_every_setting_trains(tmp_path: Path, treebank: Path, change: dict[str, Any]) -> None:
    (result,) = study(tmp_path, treebank, replace(SETTINGS, **change))
    assert result["test"] > 90


def test_jobs_and_threads_change_nothing(tmp_path: Path, treebank: Path) -> None:
    fast = replace(SETTINGS, epochs=2)
    keys = ("norm", "seed", "test", "las", "history")

    def numbers(name: str, **more: Any) -> list[dict[str, Any]]:
        results = study(tmp_path / name, treebank, fast, norms=("none", "adanorm"), **more)
        return [{key: result[key] for key in keys} for result in results]

    assert numbers("one", jobs=1) == numbers("two", jobs=2)


def test_a_share_that_stands_for_dev_is_told(
    tmp_path: Path, treebank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "treebank"
    folder.mkdir()
    for split in ("train", "test"):
        text = (treebank / f"toy-{split}.conllu").read_bytes()
        (folder / f"toy-{split}.conllu").write_bytes(text)
    said: list[str] = []
    monkeypatch.setattr("normlab.study.display.Lines.say", lambda _, text: said.append(text))
    note = "; no dev file: every tenth training sentence stands for it"
    (result,) = study(tmp_path / "out", folder, replace(SETTINGS, epochs=1))
    assert note in result["data"]
    assert [text for text in said if note in text] == [f"data of treebank: {result['data']}"]


def test_the_kept_model_parses_raw_text(tmp_path: Path, treebank: Path) -> None:
    (result,) = study(tmp_path, treebank, save=True)
    model = parse.load_model(tmp_path / "model.safetensors")
    assert model.notes["task"] == "parse"
    assert model.notes["test"] == str(result["test"])
    parser = parse.Parser(model)
    gold = parse.read_conllu(treebank / "toy-test.conllu")
    # The file's network is the one that was tested.
    assert parse.score(gold, parser.parse(gold)).uas == result["uas"]
    tree = parser.parse_line("the big dog sees the cat")
    assert [word.upos for word in tree.words] == ["DET", "ADJ", "NOUN", "VERB", "DET", "NOUN"]
    assert tree.heads == [3, 3, 4, 0, 6, 4]
    assert tree.deprels == ["det", "amod", "nsubj", "root", "det", "obj"]


def test_the_tagger_leaves_the_runs_alone(tmp_path: Path, treebank: Path) -> None:
    """Training it in between must not move the random numbers of the next run."""
    fast = replace(SETTINGS, epochs=2)
    kept = study(tmp_path / "kept", treebank, fast, seeds=(0, 1), save=True)
    plain = study(tmp_path / "plain", treebank, fast, seeds=(0, 1))
    assert [r["test_loss"] for r in kept] == [r["test_loss"] for r in plain]


def test_the_table_has_las_and_the_authors_other_treebank(tmp_path: Path, treebank: Path) -> None:
    study(tmp_path, treebank, norms=("layernorm", "none"))
    lines = (tmp_path / "results.jsonl").read_text("utf-8").splitlines()
    table = markdown(groups([json.loads(line) for line in lines], ["none", "layernorm"]))
    assert (
        "| variant | test UAS, % | difference to layernorm | test LAS, % | authors (PTB)" in table
    )
    assert "authors (PTB)" in table
    assert "88.31" in table and "89.12" in table
    assert "which is other data" in table
    assert "quick look" not in table


def test_the_page_draws_trees(tmp_path: Path, treebank: Path) -> None:
    results = study(tmp_path, treebank)
    html = page(groups(results, ["layernorm"]))
    # Sentences of 8 to 12 words; the text form and the drawing both name their words.
    shown = [s for s in parse.read_conllu(treebank / "toy-test.conllu") if 8 <= len(s) <= 12][:3]
    assert len(results[0]["trees"]) == len(shown) > 0
    assert html.count('<h3 class="part">Trees</h3>') == 1
    assert html.count("nsubj") >= len(shown)


def test_a_treebank_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(nl.ArgumentError, match="treebank must be 'en_ewt' or a folder, is 'xx'"):
        study(tmp_path / "out", Path("xx"))

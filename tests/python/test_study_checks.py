"""What a study asks before it trains: data that can be trained on, places to write, processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_data import MNIST as SOURCE
from test_study import Toy, a_study

import normlab as nl
from normlab import parse
from normlab.data import ImageData, Split, TextData, TextSplit, standin_digits, standin_treebank
from normlab.data.reviews import standin_reviews
from normlab.report import write_report
from normlab.study import Overrides, Settings, Study
from normlab.study.images import ImageTask
from normlab.study.parsing import ParseSettings, ParseTask
from normlab.study.text import TextSettings, TextTask

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlab.report.write_report", lambda folder: [])


def normlab(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    environment = more.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", "normlab", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment},
        **more,
    )


# --- treebanks ------------------------------------------------------------------------------------

BANK = standin_treebank(train=30, valid=6, test=6)
CROSSING = "".join(
    f"{i}\tx\t_\tX\tX\t_\t{head}\t{deprel}\t_\t_\n"
    for i, (head, deprel) in enumerate([(3, "a"), (4, "b"), (0, "root"), (3, "c")], 1)
)


def write_treebank(folder: Path, **splits: str) -> Path:
    """The stand-in's, but for the splits that are given."""
    folder.mkdir()
    for split, sentences in (("train", BANK.train), ("dev", BANK.valid), ("test", BANK.test)):
        text = "".join(sentence.to_conllu() for sentence in sentences)
        (folder / f"x-{split}.conllu").write_text(splits.get(split, text), "utf-8")
    return folder


def without_tags(sentences: list[parse.Sentence], kept: int = 0) -> str:
    lines = "".join(sentence.to_conllu() for sentence in sentences).split("\n")
    for i, line in enumerate(lines):
        if i >= kept and "\t" in line:
            columns = line.split("\t")
            lines[i] = "\t".join([*columns[:3], "_", "_", *columns[5:]])
    return "\n".join(lines)


NOTHING_BUILT = "must have trees that arc-standard transitions build, has none"


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": ""}, "the train split must have sentences, has none"),
        ({"dev": ""}, "the dev split must have sentences, has none"),
        ({"test": "\n\n"}, "the test split must have sentences, has none"),
        ({"train": CROSSING + "\n"}, f"the train split {NOTHING_BUILT}"),
        ({"dev": CROSSING + "\n"}, f"the dev split {NOTHING_BUILT}"),
        ({"test": CROSSING + "\n"}, f"the test split {NOTHING_BUILT}"),
        (
            {"train": without_tags(BANK.train)},
            "the train split must have tags (UPOS or XPOS), has none",
        ),
        (
            {"dev": without_tags(BANK.valid, 12)},
            "every word of the dev split must have its tag (UPOS or XPOS), sentence ",
        ),
        (
            {"test": without_tags(BANK.test)},
            "every word of the test split must have its tag (UPOS or XPOS), sentence 1 has",
        ),
        (
            {name: without_tags(split) for name, split in (
                ("train", BANK.train), ("dev", BANK.valid), ("test", BANK.test)
            )},
            "the train split must have tags (UPOS or XPOS), has none",
        ),
    ],
)  # fmt: skip
def test_a_treebank_is_checked_before_training(
    tmp_path: Path, splits: dict[str, str], said: str
) -> None:
    folder = write_treebank(tmp_path / "bank", **splits)
    words = ["--task", "parse", "--treebank", str(folder), "--norm", "none", "--seeds", "1"]
    done = normlab("study", *words, "--save", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: folder ({folder}): {said}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "running").exists()


def test_a_treebank_with_tags_of_one_column_trains(tmp_path: Path) -> None:
    folder = write_treebank(tmp_path / "bank")  # the stand-in has UPOS alone
    settings = ParseSettings(epochs=1, patience=1, batch=64, lr=1e-2, embedding=4, hidden=8)
    task = ParseTask(str(folder), settings)
    (line,) = a_study(tmp_path / "out", task, norms=("none",), seeds=(0,), save=True).run()
    assert line["epochs"] == 1
    task = ParseTask(str(folder), replace(settings, tag="xpos"))
    with pytest.raises(nl.FileError, match=r"must have tags \(XPOS\)"):
        a_study(tmp_path / "xpos", task, norms=("none",), seeds=(0,)).run()


# --- images and texts -----------------------------------------------------------------------------

DIGITS = standin_digits(0, train=64, valid=32, test=32)


def relabelled(split: Split, label: int) -> Split:
    return Split(split.images, np.full_like(split.labels, label))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"train": DIGITS.train.first(0)}, "the train split must have images, has none"),
        ({"valid": DIGITS.valid.first(0)}, "the valid split must have images, has none"),
        ({"test": DIGITS.test.first(0)}, "the test split must have images, has none"),
        (
            {"train": relabelled(DIGITS.train, 3)},
            "the train split must have two classes or more, all are of class 3",
        ),
        (
            {"valid": relabelled(DIGITS.valid, 10)},
            "labels of the valid split must be 0 to 9, one is 10",
        ),
        (
            {"train": Split(DIGITS.train.images, DIGITS.train.labels % 2)},
            "the valid split has class 2, of which the train split has no example",
        ),
    ],
)
def test_images_are_checked_before_training(
    tmp_path: Path, changed: dict[str, Split], said: str
) -> None:
    data: ImageData = replace(DIGITS, **changed)
    task = ImageTask("x", "X", lambda: data, mean=0.13, std=0.31)
    with pytest.raises(nl.FileError, match=said):
        a_study(tmp_path, task, norms=("none",)).run()
    assert not (tmp_path / "running").exists()


REVIEWS = standin_reviews(train=40, valid=20, test=20)


def with_text(split: TextSplit, text: str) -> TextSplit:
    return TextSplit([*split.texts[:-1], text], split.labels)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"valid": REVIEWS.valid.first(0)}, "the valid split must have sentences, has none"),
        ({"test": REVIEWS.test.first(0)}, "the test split must have sentences, has none"),
        (
            {"train": TextSplit(REVIEWS.train.texts, REVIEWS.train.labels * 0)},
            "the train split must have two classes or more, all are of class 0",
        ),
        (
            {"test": TextSplit(REVIEWS.test.texts, REVIEWS.test.labels - 1)},
            "labels of the test split must be 0 to 1, one is -1",
        ),
        (
            {"test": TextSplit(REVIEWS.test.texts, REVIEWS.test.labels[:-1])},
            "the test split must have a label for each of 20 sentences, has 19 labels",
        ),
        ({"train": with_text(REVIEWS.train, "\u00ad ")}, "sentence 40 of the train split has no"),
    ],
)
def test_texts_are_checked_before_training(
    tmp_path: Path, changed: dict[str, TextSplit], said: str
) -> None:
    data: TextData = replace(REVIEWS, **changed)
    task = TextTask("x", "X", lambda: data, TextSettings(epochs=1, patience=1, batch=64, lr=1e-3))
    with pytest.raises(nl.FileError, match=said):
        a_study(tmp_path, task, norms=("none",)).run()
    assert not (tmp_path / "running").exists()


@pytest.mark.parametrize("batch", [1, 10_000_000])
@pytest.mark.parametrize("norm", ["layernorm", "batchnorm"])
def test_any_batch_trains(tmp_path: Path, batch: int, norm: str) -> None:
    small = {"train": 12, "valid": 6, "test": 6}
    digits = standin_digits(0, **small)
    labels = np.arange(12, dtype=np.uint8) % 2
    digits = replace(
        digits,
        **{
            name: Split(split.images, labels[: len(split)])
            for name, split in (
                ("train", digits.train), ("valid", digits.valid), ("test", digits.test)
            )
        },
    )  # fmt: skip
    reviews = standin_reviews(**small)
    folder = write_treebank(tmp_path / "bank")
    settings = Settings(epochs=1, patience=1, batch=32, lr=1e-3)
    images = ImageTask("images", "Images", lambda: digits, mean=0.13, std=0.31)
    images.settings = settings
    tasks = [
        images,
        TextTask(
            "texts",
            "Texts",
            lambda: reviews,
            TextSettings(**settings.as_dict(), size=8, heads=2, hidden=8, layers=1),
        ),
        ParseTask(str(folder), ParseSettings(**settings.as_dict(), embedding=4, hidden=8)),
    ]
    for task in tasks:
        given = {"norms": (norm,), "seeds": (0,), "overrides": Overrides(batch=batch)}
        if (batch, norm, task.name) == (1, "batchnorm", "parse"):
            task.train_epoch = pytest.fail  # type: ignore[assignment]
            with pytest.raises(nl.ArgumentError, match="batch: must be 2 or more for batchnorm"):
                a_study(tmp_path / task.name, task, **given).run()
        else:
            (line,) = a_study(tmp_path / task.name, task, **given).run()
            assert not line["diverged"]


def test_a_batch_of_one_word_has_company_where_batchnorm_needs_it(tmp_path: Path) -> None:
    texts = ["good", "bad film", "a good good film", "bad"]
    split = TextSplit(texts, np.array([1, 0, 1, 0]))
    reviews = replace(REVIEWS, train=split, valid=split, test=split)
    settings = TextSettings(epochs=3, patience=3, batch=1, lr=1e-3, size=8, heads=2, layers=1)
    task = TextTask("x", "X", lambda: reviews, settings)
    found = a_study(tmp_path, task, norms=("batchnorm", "layernorm"), seeds=(0, 1)).run()
    assert [line["epochs"] for line in found] == [3] * 4


# --- processes ------------------------------------------------------------------------------------

CALL = """
from test_study import Toy, a_study
print(len(a_study({out!r}, Toy(), jobs=2).run()))
"""
OWN_TASK = """
from test_study import Toy, a_study
class Mine(Toy):
    pass
print(len(a_study({out!r}, Mine(), jobs=2).run()))
"""


def python(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        **more,
    )


@pytest.mark.parametrize("how", ["stdin", "typed", "-c", "script", "module"])
def test_several_jobs_need_no_main_part(tmp_path: Path, how: str) -> None:
    code = CALL.format(out=str(tmp_path / "out"))
    script = tmp_path / "a_script.py"
    script.write_text(code)
    done = {
        "stdin": lambda: python("-", input=code),
        "typed": lambda: python("-i", input=code),
        "-c": lambda: python("-c", code),
        "script": lambda: python(str(script)),
        "module": lambda: python("-m", "a_script", cwd=tmp_path),
    }[how]()
    assert done.returncode == 0 and done.stdout.endswith("6\n"), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["stdin", "typed", "-c"])
def test_a_task_that_was_typed_in_is_told_once(tmp_path: Path, how: str) -> None:
    code = OWN_TASK.format(out=str(tmp_path / "out")).replace("pass\n", "pass\n\n")
    done = {
        "stdin": lambda: python("-", input=code),
        "typed": lambda: python("-i", input=code),
        "-c": lambda: python("-c", code),
    }[how]()
    assert done.stderr.count("Traceback") == 1
    assert (
        "jobs: each process imports what a task is made of, but Mine was typed in or read from "
        "standard input: put it into a module, or use jobs=1"
    ) in done.stderr


def test_a_script_with_its_own_task_needs_a_main_part_and_is_told_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    code = OWN_TASK.format(out=str(tmp_path / "out"))
    script.write_text(code)
    done = python(str(script))
    assert done.returncode == 1 and done.stderr.count("Traceback") == 1
    assert "must run its study under `if __name__ == '__main__':`" in done.stderr
    script.write_text(code.replace("print(", "if __name__ == '__main__': print("))
    done = python(str(script))
    assert (done.returncode, done.stdout[-2:], done.stderr) == (0, "6\n", "")


def test_a_task_that_cannot_be_pickled_says_so(tmp_path: Path) -> None:
    with pytest.raises(nl.ArgumentError, match=r"jobs: a task must be picklable.*use jobs=1"):
        a_study(tmp_path, Toy(lambda epoch: None), jobs=2).run()


def test_a_task_that_a_process_cannot_load_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys, types\n"
        "module = types.ModuleType('of_this_process')\n"
        "sys.modules['of_this_process'] = module\n"
        "from test_study import Toy, a_study\n"
        "module.Mine = type('Mine', (Toy,), {'__module__': 'of_this_process'})\n"
        f"a_study({str(tmp_path)!r}, module.Mine(), jobs=2).run()\n"
    )
    done = python("-c", code)
    assert done.stderr.count("Traceback") == 1
    assert "jobs: a process cannot load the task: No module named 'of_this_process'" in done.stderr


def test_a_process_of_a_pool_says_that_it_may_not_start_others(tmp_path: Path) -> None:
    code = (
        "import multiprocessing\n"
        "from test_study import Toy, a_study\n"
        f"def study(i): a_study({str(tmp_path)!r}, Toy(), jobs=2).run()\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: pool.map(study, [0])\n"
    )
    script = tmp_path / "pool.py"
    script.write_text(code)
    assert "jobs: this process may not start others; use jobs=1" in python(str(script)).stderr


# --- places ---------------------------------------------------------------------------------------

NOWHERE = {
    "NORMLAB_DATA": "",
    "NORMLAB_MIRROR": "http://127.0.0.1:9",
    "XDG_CONFIG_HOME": "",
    "MPLCONFIGDIR": "",
}


@pytest.mark.parametrize(
    "home",
    [
        {"HOME": "/proc/none", "XDG_CACHE_HOME": ""},
        {"HOME": "/dev/null", "XDG_CACHE_HOME": ""},
        {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache"},
    ],
)
def test_quick_draws_its_digits_where_no_home_can_be_written(
    monkeypatch: pytest.MonkeyPatch, home: dict[str, str]
) -> None:
    for name, value in (NOWHERE | home).items():
        monkeypatch.setenv(name, value)
    task = nl.study.TASKS["mnist"]()
    task._standin = lambda: DIGITS  # type: ignore[attr-defined]
    assert task.load(quick=True).warning == "stand-in digits (generated), not MNIST"
    with pytest.raises(nl.data.DataMissingError, match="the cache cannot be written: ") as said:
        task.load()
    assert "Three ways to supply it" in str(said.value) and "\n" not in str(said.value)
    assert normlab("info").returncode == 0


def test_a_cache_that_cannot_be_written_but_has_the_files_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from normlab.data import fetch

    file = fetch.RemoteFile(
        "x", 4, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )
    (tmp_path / "x").write_bytes(b"test")
    monkeypatch.setattr(fetch, "_exclusive", pytest.fail)
    assert fetch.fetch(file, tmp_path, ["http://127.0.0.1:9/"], what="x") == (tmp_path / "x", None)


def test_a_folder_that_cannot_be_searched_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from normlab.data import places

    def refuse(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "stat", refuse)
    assert places.is_cached(SOURCE) is False
    with pytest.raises(nl.FileError, match="cannot be read: Permission denied"):
        nl.data.mnist()


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_what_torchvision_has_downloaded_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    from normlab.data.mnist import FASHION_MNIST
    from normlab.data.places import find, local_folders

    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    for source, name in ((SOURCE, "MNIST"), (FASHION_MNIST, "FashionMNIST")):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for file in source.names:
            (raw / f"{file}{packed}").write_bytes(b"")
        paths, origin = find(source)
        assert [path.parent for path in paths] == [raw] * 4
        assert origin == f"NORMLAB_DATA ({raw})"
        assert local_folders(source)[0] == (raw, "NORMLAB_DATA")
        (tmp_path / source.folder).mkdir()
        (tmp_path / source.folder / source.names[0]).write_bytes(b"")
        with pytest.raises(nl.FileError, match="has only a part"):
            find(source)


def test_files_in_normlab_data_itself_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**NOWHERE, "HOME": "/dev/null", "XDG_CACHE_HOME": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    (tmp_path / SOURCE.names[0]).write_bytes(b"")
    with pytest.raises(nl.data.DataMissingError, match=f"they belong into {tmp_path}/mnist"):
        nl.data.mnist()


def test_a_home_of_nobody_is_a_name_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", "~no_such_user/data")
    with pytest.raises(nl.FileError, match="NORMLAB_DATA must name a folder"):
        nl.data.mnist()
    with pytest.raises(nl.ArgumentError, match="treebank must be"):
        nl.data.ud("~no_such_user/bank")


def test_a_study_of_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff"))
    write_treebank(folder)
    settings = ParseSettings(epochs=1, patience=1, batch=64, lr=1e-2, embedding=4, hidden=8)
    task = ParseTask(str(folder), settings)
    study = Study([task], ["none"], [0], Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xfe")))
    (line,) = study.run()
    assert line["title"] == "b\ufffd" and line["data"].startswith(f"folder ({tmp_path}/b\ufffd); ")
    for path in write_report(study.out):
        if path.suffix != ".png":
            assert "b\ufffd" in path.read_text("utf-8")

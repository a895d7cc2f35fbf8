"""Aligned text: Multi30k, IWSLT and folders; what is left out, what is refused and how."""

import gzip
import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from local_server import Server

import normlab as nl
from normlab.data import fetch, iwslt, multi30k, parallel
from normlab.data.multi30k import load, multi30k_source

REAL = os.environ.get("NORMLAB_DATA", "")

pytestmark = pytest.mark.usefixtures("nowhere")


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def toy(**changes: str | bytes) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for split in ("train", "valid", "test"):
        files[f"{split}.en"] = f"a dog {split}\ntwo dogs\n"
        files[f"{split}.de"] = f"ein hund {split}\nzwei hunde\n"
    for name, content in changes.items():
        files[name.replace("_", ".", 1)] = content
    return files


def test_a_folder(tmp_path: Path):
    files = toy(test_en="\ufeffa cat\r\nthe end")
    files["train.de.gz"] = files.pop("train.de")
    data = parallel(write(tmp_path / "toy", files), "en", "de")
    assert (data.name, data.source, data.target) == ("toy", "en", "de")
    assert data.train.source == ["a dog train", "two dogs"]
    assert data.train.target == ["ein hund train", "zwei hunde"]
    assert data.test.source == ["a cat", "the end"]
    assert repr(data) == (
        f"ParallelData('toy': train 2, valid 2, test 2; folder ({tmp_path / 'toy'}))"
    )
    back = parallel(tmp_path / "toy", "de", "en")
    assert back.train.source == data.train.target
    assert len(data.train.first(1)) == 1


def test_what_training_leaves_out_is_counted(tmp_path: Path):
    long = "a " * 250 + "b"
    files = toy(train_en=f"one\n\ntwo\n{long}\nthree\n", train_de="eins\nx\n  \ny\ndrei\n")
    data = parallel(write(tmp_path / "toy", files), "en", "de")
    assert data.train.target == ["eins", "drei"]
    assert data.origin.endswith(
        "; 2 pairs of train with an empty side left out; "
        "1 pairs of train of more than 250 words left out"
    )
    files = toy(test_en="one\n\ntwo\n", test_de="eins\n\nzwei\n")
    data = parallel(write(tmp_path / "toy", files), "en", "de")
    assert data.test.target == ["eins", "zwei"]
    assert "1 pairs of test with an empty side left out" in data.origin


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_de": "eins\n"}, r"train.de: must have as many lines, .* have 2 and 1"),
        ({"test_de": "eins\n\n"}, r"test.de:2: is empty, but its translation is not"),
        ({"valid_en": b"a\n\xffb\n"}, r"valid.en:2: must be UTF-8, byte 1, 0xff, is not"),
        ({"train_en": "\n\n", "train_de": "\n\n"}, "has no sentence with a translation"),
        ({"train_en": "a" * 70_000 + "\nb\n"}, r"train.en:1: must have at most 65,536 bytes"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, changes: dict[str, str | bytes], said: str):
    write(tmp_path / "toy", toy(**changes))
    with pytest.raises(nl.FileError, match=said):
        parallel(tmp_path / "toy", "en", "de")


def test_languages_and_folders_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "toy", toy())
    (tmp_path / "toy" / "valid.de").unlink()
    with pytest.raises(nl.FileError, match=r"toy: must have a file valid.de \(with or without"):
        parallel(tmp_path / "toy", "en", "de")
    with pytest.raises(nl.ArgumentError, match="another language than source, both are 'en'"):
        parallel(tmp_path / "toy", "en", "en")
    with pytest.raises(nl.ArgumentError, match=r"must be a folder with train\.en and so on"):
        parallel(tmp_path / "none", "en", "de")
    monkeypatch.chdir(tmp_path / "toy")
    with pytest.raises(nl.ArgumentError, match=r"must be a folder with train\.en and so on, is ''"):
        parallel("", "en", "de")
    with pytest.raises(nl.ArgumentError, match="target: must be en or de or fr, is 'vi'"):
        multi30k("en", "vi")


# --- Multi30k ---------------------------------------------------------------------------------


def small_multi30k(files: dict[str, bytes], url: str):
    """A few lines in the place of the published files, with their sums."""
    whole = multi30k_source("en", "de")
    remote = [
        fetch.RemoteFile(file.name, len(data := files[file.name]), hashlib.sha256(data).hexdigest())
        for file in whole.files
    ]
    sums = [hashlib.sha256(gzip.decompress(files[file.name])).hexdigest() for file in remote]
    return replace(whole, urls=(url,), files=tuple(remote), sums=tuple(sums))


@pytest.fixture
def published() -> dict[str, bytes]:
    return {
        file.name: gzip.compress(f"{file.name} one\n{file.name} two\n".encode())
        for file in multi30k_source("en", "de").files
    }


def test_multi30k_is_downloaded_once(server: Server, published: dict[str, bytes]):
    server.files = published
    source = small_multi30k(published, server.url)
    data = load(source, "en", "de", None)
    assert data.train.source == ["train.en.gz one", "train.en.gz two"]
    assert data.valid.target == ["val.de.gz one", "val.de.gz two"]
    assert data.test.source[0] == "test_2016_flickr.en.gz one"
    assert data.more["test_2017"].target[1] == "test_2017_flickr.de.gz two"
    assert data.origin == f"downloaded from {server.url}"
    asked = len(server.asked)
    assert load(source, "en", "de", None).origin.startswith("cache (")
    assert len(server.asked) == asked


def test_multi30k_must_be_the_official_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: dict[str, bytes]
):
    source = small_multi30k(published, "http://127.0.0.1:9/")
    folder = tmp_path / "data" / "multi30k"
    unpacked = {name.removesuffix(".gz"): gzip.decompress(data) for name, data in published.items()}
    write(folder, dict(unpacked))
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path / "data"))
    assert len(load(source, "en", "de", None).train) == 2
    write(folder, {"val.de": b"other\nlines\n"})
    with pytest.raises(nl.FileError, match=r"val.de: must be the official file with SHA-256"):
        load(source, "en", "de", None)
    (folder / "val.de").unlink()
    with pytest.raises(nl.FileError, match=r"has only a part of multi30k, missing: val.de"):
        load(source, "en", "de", None)


@pytest.mark.skipif(not REAL, reason="NORMLAB_DATA is not set")
@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("de", "en"), ("en", "fr")])
def test_the_real_multi30k(monkeypatch: pytest.MonkeyPatch, source: str, target: str):
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    data = multi30k(source, target)
    assert [len(split) for split in data.splits.values()] == [29_000, 1_014, 1_000]
    assert len(data.more["test_2017"]) == 1_000
    assert "left out" not in data.origin


# --- IWSLT --------------------------------------------------------------------------------------


def archive(**changes: str) -> bytes:
    """An archive as fairseq's, of a few lines."""
    files = {}
    for language in ("de", "en"):
        lines = [f"{language} {i} word word" for i in range(50)]
        lines[3] += " word" * 20 if language == "de" else ""
        lines[7] = ""
        head = "<url>http://x</url>\n<talkid>1</talkid>\n<title>A talk</title>\n"
        files[f"train.tags.de-en.{language}"] = head + "\n".join(lines) + "\n"
        for part in iwslt._TESTS:
            files[f"IWSLT14.{part}.de-en.{language}.xml"] = (
                f'<?xml version="1.0"?>\n<seg id="1"> {language} {part} </seg>\n'
            )
    files |= changes
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"de-en/{name}")
            entry.size = len(content.encode())
            packed.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()


def small_iwslt14(data: bytes, url: str):
    sum_ = "md5:" + hashlib.md5(data).hexdigest()
    return replace(iwslt.IWSLT14, urls=(url,), files=(fetch.RemoteFile("de-en.tgz", None, sum_),))


def test_iwslt14_is_split_as_fairseq_splits_it(server: Server):
    data = archive()
    server.files = {"de-en.tgz": data}
    found = iwslt.load_archive(small_iwslt14(data, server.url), "de", "en", None)
    # 51 lines, one too unlike in length, one empty: 49, of which the 23rd and 46th validate.
    assert [len(split) for split in found.splits.values()] == [47, 2, 5]
    assert found.train.source[0] == "A talk"
    assert found.test.target == [f"en {part}" for part in iwslt._TESTS]
    assert "2 pairs that are empty, overlong or unlike in length left out" in found.origin
    again = iwslt.load_archive(small_iwslt14(data, "http://127.0.0.1:9/"), "en", "de", None)
    assert again.train.target == found.train.source


def test_an_archive_whose_sum_is_wrong_is_refused(server: Server):
    server.files = {"de-en.tgz": archive() + b"x"}
    with pytest.raises(nl.data.DataMissingError, match=r"the MD5 of de-en\.tgz is wrong"):
        iwslt.load_archive(small_iwslt14(archive(), server.url), "de", "en", None)


def test_prepared_files_are_read_before_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "iwslt14", toy())
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    assert nl.data.iwslt14().train.source == ["ein hund train", "zwei hunde"]


def test_iwslt15(server: Server):
    lines = {file.name: f"{file.name} &apos;s\n" * 3 for file in iwslt.IWSLT15.files}
    server.files = {name: text.encode() for name, text in lines.items()}
    files = tuple(
        fetch.RemoteFile(name, len(data), hashlib.sha256(data).hexdigest())
        for name, data in server.files.items()
    )
    source = replace(iwslt.IWSLT15, urls=(server.url,), files=files)
    found = iwslt.load_files(source, "en", "vi", None)
    assert found.train.source == ["train.en 's"] * 3
    assert found.valid.target == ["tst2012.vi 's"] * 3
    assert found.test.source == ["tst2013.en 's"] * 3


def test_standin_corpus() -> None:
    """Two sides that agree: every word of the one has its words in the other."""
    from normlab.data import corpus

    made = nl.data.standin_corpus(3, train=400, valid=20, test=30)
    assert [len(split) for split in made.splits.values()] == [400, 20, 30]
    assert (
        made.generated and "generated" in made.origin and (made.source, made.target) == ("en", "de")
    )
    again = nl.data.standin_corpus(3, train=400, valid=20, test=30)
    assert again == made != nl.data.standin_corpus(4, train=400, valid=20, test=30)
    turned = nl.data.standin_corpus(3, "de", "en", train=400, valid=20, test=30)
    assert (turned.train.source, turned.train.target) == (made.train.target, made.train.source)
    plural = {corpus._PLURALS.get(noun, f"{noun}s"): stem for noun, stem in corpus._NOUNS.items()}
    words = corpus._VERBS | corpus._STATES
    for english, other in zip(made.train.source, made.train.target, strict=True):
        assert english.endswith(".") and other.endswith(".")
        here, there = english.lower()[:-1].split(), other.lower()[:-1].split()
        for stems, number in ((corpus._NOUNS, ""), (plural, "s")):
            for at, word in enumerate(here):
                if word in stems:
                    forms = [stems[word] + ending + number for ending in corpus._ENDINGS]
                    (form,) = set(forms) & set(there)
                    article = {"the": "l", "a": "un", "some": "un"}
                    first = next(w for w in reversed(here[:at]) if w in article)
                    assert f"{article[first]}{form.removeprefix(stems[word])}" in there
        (verb,) = {w for w in here if w in words or w.removesuffix("s") in words}
        assert there[-1] == words[verb.removesuffix("s")] + ("e" if verb.endswith("s") else "en")
    with pytest.raises(nl.ArgumentError, match="both are 'de'"):
        nl.data.standin_corpus(0, "de", "de")

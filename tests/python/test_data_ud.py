"""Treebanks: their files and folders, what is refused and in which words."""

import gzip
import hashlib
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from local_server import Server

import normlab as nl
from normlab.data import Treebank
from normlab.data.fetch import RemoteFile
from normlab.data.places import Source
from normlab.data.ud import EN_EWT
from normlab.data.ud import load as load_source

REAL = os.environ.get("NORMLAB_DATA", "")
NOBODY = "http://127.0.0.1:9/"  # port 9 answers nobody

pytestmark = pytest.mark.usefixtures("nowhere")


def tree(*words: str) -> bytes:
    """A sentence of which each word is the head of the next."""
    lines = [f"# text = {' '.join(words)}\n"]
    for i, word in enumerate(words):
        deprel = "dep" if i else "root"
        lines.append(f"{i + 1}\t{word}\t_\tX\tXX\t_\t{i}\t{deprel}\t_\t_\n")
    return "".join(lines).encode() + b"\n"


SPLITS = {
    "train": tree("a", "good", "film") + tree("so", "so") + tree("café"),
    "dev": tree("bad") + tree("no", "."),
    "test": tree("a", "b", "c", "d"),
}
FILES = {f"en_ewt-ud-{split}.conllu": data for split, data in SPLITS.items()}


def small(url: str) -> Source:
    """A few sentences in the place of the published treebank."""
    files = tuple(
        RemoteFile(name, len(data), hashlib.sha256(data).hexdigest())
        for name, data in FILES.items()
    )
    return replace(EN_EWT, urls=(url,), files=files)


def load(url: str = NOBODY, mirror: str | None = None) -> Treebank:
    return load_source(small(url), mirror)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("NORMLAB_DATA", str(path))
    return path


def put(root: Path, change: dict[str, bytes] | None = None) -> Path:
    """The files in their folder below `root`, some of them changed."""
    folder = root / "ud-en-ewt"
    folder.mkdir(parents=True)
    for file, data in {**FILES, **(change or {})}.items():
        (folder / file).write_bytes(data)
    return folder


def is_whole(data: Treebank) -> bool:
    splits = {"train": data.train, "dev": data.valid, "test": data.test}
    return all(
        "".join(sentence.to_conllu() for sentence in splits[name]).encode() == SPLITS[name]
        for name in SPLITS
    )


# --- the published treebank ----------------------------------------------------------------------


@pytest.mark.skipif(
    not (REAL and (Path(REAL).expanduser() / "ud-en-ewt").is_dir()),
    reason="NORMLAB_DATA has no ud-en-ewt/",
)
def test_en_ewt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    data = nl.data.ud("en_ewt")
    assert data.name == "en_ewt"
    assert data.origin == f"NORMLAB_DATA ({REAL.rstrip('/')}/ud-en-ewt)"
    splits = (data.train, data.valid, data.test)
    assert [len(split) for split in splits] == [12_544, 2_001, 2_077]
    assert [sum(map(len, split)) for split in splits] == [204_577, 25_147, 25_094]
    folder = nl.data.ud(Path(REAL).expanduser() / "ud-en-ewt")
    assert (folder.train, folder.valid, folder.test) == splits


def test_the_known_sums_are_well_formed() -> None:
    sums = [file.sha256 for file in EN_EWT.files]
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in sums)
    assert len(set(sums)) == len(sums)
    assert all(url.endswith("/") for url in EN_EWT.urls)


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["files", "gzip", "both"])
def test_from_the_data_folder(root: Path, form: str) -> None:
    folder = put(root)
    for name, data in FILES.items():
        if form != "files":
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        if form == "gzip":
            (folder / name).unlink()
    data = load()
    assert data.origin == f"NORMLAB_DATA ({folder})"
    assert is_whole(data)


def test_download_then_cache(server: Server, tmp_path: Path) -> None:
    server.files = dict(FILES)
    server.break_after = [20]
    data = load(server.url)
    assert data.origin == f"downloaded from {server.url}" and is_whole(data)
    assert [wanted for _, wanted in server.asked] == [None, "bytes=20-", None, None]
    again = load(server.url)
    assert again.origin == f"cache ({tmp_path / 'cache/normlab/ud-en-ewt'})" and is_whole(again)
    assert len(server.asked) == 4


def test_mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = dict(FILES)
    assert load(mirror=server.url + "a").origin == f"downloaded from {server.url}a/ud-en-ewt/"
    assert server.asked[0][0] == "/a/ud-en-ewt/en_ewt-ud-train.conllu"


def test_a_wrong_sum_is_no_data(server: Server) -> None:
    server.files = {name: bytes(len(data)) for name, data in FILES.items()}
    with pytest.raises(nl.data.DataMissingError, match=r"the SHA-256 of .*train\.conllu is wrong"):
        load(server.url)


def test_missing_data_says_how_to_supply_it() -> None:
    with pytest.raises(
        nl.data.DataMissingError, match=r"en_ewt: .*ud-en-ewt/ and set NORMLAB_DATA"
    ):
        nl.data.ud(mirror=NOBODY)


def test_a_part_of_a_set_is_an_error(root: Path) -> None:
    (put(root) / "en_ewt-ud-dev.conllu").unlink()
    with pytest.raises(nl.FileError, match=r"part of en_ewt, missing: en_ewt-ud-dev\.conllu"):
        load()


def test_the_public_function_looks_in_the_data_folder(root: Path) -> None:
    path = put(root) / "en_ewt-ud-train.conllu"
    message = f"{path}: must be the official file with SHA-256 {EN_EWT.files[0].sha256}, has "
    with pytest.raises(nl.FileError, match=re.escape(message)):
        nl.data.ud("en_ewt", mirror=NOBODY)


# --- broken files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SPLITS["test"] + b"1\n", '", line 7: must have 10 columns divided by tabs, has 1'),
        (SPLITS["test"].replace(b"\t1\tdep", b"\t9\tdep"), '", line 3: word 2: its head must be'),
        (SPLITS["test"] + b"x" * (3 << 20), '", line 7: must have at most 1048576 bytes, has more'),
        (b"\xff", '", line 1: must be UTF-8, at byte 0 it is not'),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_lines_are_refused(root: Path, content: bytes, message: str, packed: bool) -> None:
    folder = put(root)
    path = folder / "en_ewt-ud-test.conllu"
    path.unlink()
    if packed:
        path = path.with_name(f"{path.name}.gz")
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(nl.FileError, match=re.escape(f'"{path}{message}')):
        load()


@pytest.mark.parametrize(
    "content", [b"", SPLITS["dev"], SPLITS["test"] + b"\n", SPLITS["test"].replace(b"\n", b"\r\n")]
)
def test_other_sentences_are_refused(root: Path, content: bytes) -> None:
    path = put(root, {"en_ewt-ud-test.conllu": content}) / "en_ewt-ud-test.conllu"
    with pytest.raises(nl.FileError) as caught:
        load()
    assert str(caught.value).startswith(f"{path}: must be the official file with SHA-256 ")
    for data in (SPLITS["test"], content):
        assert hashlib.sha256(data).hexdigest() in str(caught.value)


def test_damage_is_never_more_than_a_file_error(root: Path) -> None:
    folder = put(root)
    path = folder / "en_ewt-ud-train.conllu.gz"
    (folder / "en_ewt-ud-train.conllu").unlink()
    good = gzip.compress(SPLITS["train"])
    rng = random.Random(0)
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 30])):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad[: rng.choice([len(bad), len(bad), rng.randrange(len(bad))])])
        try:
            assert is_whole(load())
        except nl.FileError as error:
            assert str(path) in str(error)


# --- folders -------------------------------------------------------------------------------------


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my treebank"
    folder.mkdir()
    for split, data in SPLITS.items():
        (folder / f"xy_z-ud-{split}.conllu.gz").write_bytes(gzip.compress(data))
    (folder / "README.md").write_text("train dev test")
    data = nl.data.ud(folder)
    assert (data.name, data.origin) == ("my treebank", f"folder ({folder})")
    assert is_whole(data)
    assert is_whole(nl.data.ud(str(folder)))


def test_another_name_is_a_folder_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ud-xy-z"
    folder.mkdir()
    for split, data in SPLITS.items():
        (folder / f"xy_z-ud-{split}.conllu").write_bytes(data)
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    data = nl.data.ud("xy_z")
    assert (data.name, data.origin) == ("ud-xy-z", f"folder ({folder})")
    assert is_whole(data)
    with pytest.raises(nl.ArgumentError, match="named ud-de-gsd for de_gsd"):
        nl.data.ud("xy_zz")


@pytest.mark.parametrize("ending", [".conllx", ".conll"])
def test_a_folder_of_conllx(tmp_path: Path, ending: str) -> None:
    roots = b"1\ta\t_\tX\tX\t_\t0\tROOT\t_\t_\n2\tb\t_\tX\tX\t_\t0\tROOT\t_\t_\n\n"
    for split in SPLITS:
        (tmp_path / f"{split}{ending}").write_bytes(roots)
    assert nl.data.ud(tmp_path).test[0].heads == [0, 0]
    (tmp_path / f"dev{ending}").write_bytes(b"1-2" + roots[1:])
    with pytest.raises(nl.FileError, match='ID must be 1, is "1-2"'):
        nl.data.ud(tmp_path)


def test_a_folder_must_have_each_split_once(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        (tmp_path / f"{split}.conllu").write_bytes(SPLITS[split])
    (tmp_path / "a-test.conllu").write_bytes(SPLITS["test"])
    (tmp_path / "b-test.conllx.gz").write_bytes(SPLITS["test"])
    message = (
        f"{tmp_path}: must have one file whose name ends with test and .conllu, .conllx, .conll "
        "(with or without .gz), or parts of one (test-a, test-b), has a-test.conllu, "
        "b-test.conllx.gz"
    )
    with pytest.raises(nl.FileError, match=re.escape(message)):
        nl.data.ud(tmp_path)


def test_a_name_that_is_none(tmp_path: Path) -> None:
    for name in ("en_gum", str(tmp_path / "none"), tmp_path / "none"):
        message = f"treebank must be 'en_ewt' or a folder, is {str(name)!r}"
        with pytest.raises(nl.ArgumentError, match=re.escape(message)):
            nl.data.ud(name)

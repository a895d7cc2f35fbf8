"""Text data: RT and SST5, their files and archives, what is refused and in which words."""

import gzip
import hashlib
import io
import os
import random
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from local_server import Server

import normlab as nl
from normlab.data import TextData, fetch, packed
from normlab.data.rt import RT, shuffled
from normlab.data.rt import load as load_rt
from normlab.data.sst5 import SST5, parse_tree
from normlab.data.sst5 import load as load_sst5
from normlab.data.text import LineError, TextSource

REAL = os.environ.get("NORMLAB_DATA", "")
NOBODY = "http://127.0.0.1:9/"  # port 9 answers nobody
SIZES = (5, 2, 2)

NEGATIVE = [b"dull . ", b"a caf\xe9 \x85 of clich\xe9s", b"no", b"worse than no .", b"so so"]
POSITIVE = [b" . . . a gem", b"good", b"fine \x96 really", b"moving .", b"witty ."]
TREES = {
    "train.txt": ["(3 (2 A) (4 gem))", "(1 (2 A) (1 (2 dull) (2 one)))", "(3 (2 A) (4 gem))"],
    "dev.txt": ["(2 (2 8\u00a01\\/2) (2 -LRB-))"],
    "test.txt": ["(0 bad)", "(4 (2 so) (4 (4 good) (2 .)))"],
}

pytestmark = pytest.mark.usefixtures("nowhere")


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


FILES = {
    "rt": {"rt-polarity.neg": joined(NEGATIVE), "rt-polarity.pos": joined(POSITIVE)},
    "sst5": {name: joined([tree.encode() for tree in trees]) for name, trees in TREES.items()},
}


def tar_gz(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in {"README.1.0.txt": b"read me", **files}.items():
            entry = tarfile.TarInfo(f"data/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trees/", b"")
        for name, data in files.items():
            archive.writestr(f"trees/{name}", data)
    return out.getvalue()


def small(which: TextSource, files: dict[str, bytes], archive: bytes, url: str) -> TextSource:
    """A few lines in the place of the published set; the expected sums are those of `files`."""
    members = tuple(
        replace(
            member,
            lines=files[member.name].count(b"\n"),
            sha256=hashlib.sha256(files[member.name]).hexdigest(),
        )
        for member in which.members
    )
    remote = fetch.RemoteFile(
        which.files[0].name, len(archive), hashlib.sha256(archive).hexdigest()
    )
    return replace(which, urls=(url,), files=(remote,), members=members)


ARCHIVES = {"rt": tar_gz(FILES["rt"]), "sst5": zipped(FILES["sst5"])}


def load(name: str, url: str = NOBODY, mirror: str | None = None) -> TextData:
    source = small(RT if name == "rt" else SST5, FILES[name], ARCHIVES[name], url)
    if name == "rt":
        return load_rt(source, SIZES, 0, mirror)
    return load_sst5(source, False, mirror)


def put(root: Path, name: str, change: dict[str, bytes] | None = None) -> Path:
    """The set's files in its folder below `root`, some of them changed."""
    folder = root / name
    folder.mkdir(parents=True)
    for file, data in {**FILES[name], **(change or {})}.items():
        (folder / file).write_bytes(data)
    return folder


def in_archive(root: Path, name: str, content: bytes) -> Path:
    folder = root / name
    folder.mkdir()
    path = folder / (RT if name == "rt" else SST5).files[0].name
    path.write_bytes(content)
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("NORMLAB_DATA", str(path))
    return path


def same(a: TextData, b: TextData) -> bool:
    splits = zip((a.train, a.valid, a.test), (b.train, b.valid, b.test), strict=True)
    return all(x.texts == y.texts and np.array_equal(x.labels, y.labels) for x, y in splits)


# --- the published sets --------------------------------------------------------------------------


def real(name: str) -> pytest.MarkDecorator:
    found = REAL and (Path(REAL).expanduser() / name).is_dir()
    return pytest.mark.skipif(not found, reason=f"NORMLAB_DATA has no {name}/")


def digest(data: TextData) -> str:
    """Changes with any text, label or place."""
    total = hashlib.sha256()
    for split in (data.train, data.valid, data.test):
        for text, label in zip(split.texts, split.labels.tolist(), strict=True):
            total.update(f"{label} {text}\n".encode())
    return total.hexdigest()


@real("rt")
def test_rt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    data = nl.data.rt()
    assert data.name == "rt" and data.origin == f"NORMLAB_DATA ({REAL.rstrip('/')}/rt)"
    assert data.labels == ("negative", "positive")
    assert (len(data.train), len(data.valid), len(data.test)) == (8_608, 964, 1_089)
    assert data.train.labels.dtype == np.int64
    assert np.bincount(data.train.labels).tolist() == [4303, 4305]
    texts = data.train.texts + data.valid.texts + data.test.texts
    assert not any(text != text.strip(" ") or "\n" in text for text in texts)
    assert sum("\u2026" in text for text in texts) == 31, "0x85 ends no line"
    assert digest(data) == "a825223f3095ded47334e1692d0af7268e9bf71877c839e9c6ce1b8ad9cdd304"
    assert digest(nl.data.rt(seed=1)) != digest(data)


@real("sst5")
def test_sst5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    data = nl.data.sst5()
    assert data.labels[0] == "very negative" and data.labels[4] == "very positive"
    assert np.bincount(data.train.labels).tolist() == [1092, 2218, 1624, 2322, 1288]
    assert np.bincount(data.valid.labels).tolist() == [139, 289, 229, 279, 165]
    assert np.bincount(data.test.labels).tolist() == [279, 633, 389, 510, 399]
    assert sum("\u00a0" in text for text in data.train.texts) == 3
    assert digest(data) == "ecad3609564be43bd65e3818ffb245d8c0f17aa246d6741b347327f08d4c9c59"


@real("sst5")
def test_sst5_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    roots, data = nl.data.sst5(), nl.data.sst5(phrases=True)
    assert len(data.train) == 159_284
    assert data.train.texts[:8_544] == roots.train.texts
    np.testing.assert_array_equal(data.train.first(8_544).labels, roots.train.labels)
    assert data.valid.texts == roots.valid.texts and data.test.texts == roots.test.texts
    added = list(zip(data.train.texts[8_544:], data.train.labels[8_544:].tolist(), strict=True))
    assert len(set(added)) == len(added)


def test_the_known_sums_are_well_formed() -> None:
    for known in (RT, SST5):
        sums = [file.sha256 for file in (*known.files, *known.members)]
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in sums)
        assert len(set(sums)) == len(sums)
        assert all(url.endswith("/") for url in known.urls)


# --- the split -----------------------------------------------------------------------------------


def test_the_split_is_the_same_everywhere() -> None:
    assert shuffled(12, 0) == [6, 11, 0, 8, 4, 9, 5, 1, 3, 7, 10, 2]
    order = shuffled(10_662, 0)
    assert sorted(order) == list(range(10_662))
    assert (
        hashlib.sha256(repr(order).encode()).hexdigest()
        == "e9947a98207f9a8134a7ae22103e14abc19ddd72ba9b96d71260b983d5d1526a"
    )


def test_rt_splits_texts_with_their_labels(root: Path) -> None:
    put(root, "rt")
    data = load("rt")
    assert [len(split) for split in (data.train, data.valid, data.test)] == list(SIZES)
    both = [line.decode("windows-1252").strip() for line in NEGATIVE + POSITIVE]
    splits = (data.train, data.valid, data.test)
    texts = [text for split in splits for text in split.texts]
    assert texts == [both[i] for i in shuffled(10, 0)][:9], "one is left out"
    labels = [label for split in splits for label in split.labels]
    assert labels == [int(text in both[5:]) for text in texts]
    assert "a café … of clichés" in both


def test_first() -> None:
    split = nl.data.TextSplit(["a", "b", "c"], np.arange(3))
    assert split.first(2).texts == ["a", "b"] and len(split.first(2)) == 2


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rt", "sst5"])
@pytest.mark.parametrize("form", ["plain", "gzip", "archive"])
def test_a_folder_holds_files_or_the_archive(root: Path, name: str, form: str) -> None:
    folder = root / name
    folder.mkdir()
    source = RT if name == "rt" else SST5
    files = {"plain": FILES[name], "archive": {source.files[0].name: ARCHIVES[name]}}
    files["gzip"] = {f"{file}.gz": gzip.compress(data) for file, data in FILES[name].items()}
    for file, data in files[form].items():
        (folder / file).write_bytes(data)
    data = load(name)
    assert data.origin == f"NORMLAB_DATA ({folder})"
    assert len(data.test) == 2


@pytest.mark.parametrize("name", ["rt", "sst5"])
def test_download_then_cache(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = (RT if name == "rt" else SST5).files[0].name
    server.files = {archive: ARCHIVES[name]}
    server.break_after = [100]
    data = load(name, server.url)
    assert data.origin == f"downloaded from {server.url}"
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100-"]
    cache = tmp_path / "cache" / "normlab" / name
    assert sorted(path.name for path in cache.iterdir() if path.name[0] != ".") == [archive]
    again = load(name, server.url)
    assert again.origin == f"cache ({cache})" and len(server.asked) == 2
    assert same(data, again)
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    put(tmp_path, name)
    assert same(data, load(name)), "files and archive hold the same"


def test_mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {RT.files[0].name: ARCHIVES["rt"], SST5.files[0].name: ARCHIVES["sst5"]}
    assert load("rt", mirror=server.url + "a/").origin == f"downloaded from {server.url}a/rt/"
    monkeypatch.setenv("NORMLAB_MIRROR", server.url)
    assert load("sst5").origin == f"downloaded from {server.url}sst5/"


def test_a_wrong_sum_is_no_data(server: Server) -> None:
    name = RT.files[0].name
    server.files = {name: bytes(len(ARCHIVES["rt"]))}
    with pytest.raises(nl.data.DataMissingError, match=f"the SHA-256 of {name} is wrong"):
        load("rt", server.url)


def test_missing_data_says_how_to_supply_it() -> None:
    with pytest.raises(nl.data.DataMissingError, match=r"sst5/ and set NORMLAB_DATA"):
        load("sst5")


def test_a_part_of_a_set_is_an_error(root: Path) -> None:
    (put(root, "sst5") / "dev.txt").unlink()
    with pytest.raises(nl.FileError, match=r"only a part of sst5, missing: dev\.txt \(with"):
        load("sst5")
    (root / "sst5" / SST5.files[0].name).write_bytes(ARCHIVES["sst5"])
    assert len(load("sst5").valid) == 1, "the archive has all"


def test_public_functions_look_in_the_data_folder(root: Path) -> None:
    put(root, "rt")
    put(root, "sst5")
    with pytest.raises(nl.FileError, match=r"rt-polarity\.neg: must have 5,331 lines, has 5"):
        nl.data.rt(seed=3, mirror=NOBODY)
    with pytest.raises(nl.FileError, match=r"train\.txt: must have 8,544 lines, has 3"):
        nl.data.sst5(phrases=True, mirror=NOBODY)


# --- wrong lines ---------------------------------------------------------------------------------


def changed(number: int, line: bytes) -> bytes:
    return joined([*POSITIVE[: number - 1], line, *POSITIVE[number:]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": must have 5 lines, has 0"),
        (joined(POSITIVE[:-1]), ": must have 5 lines, has 4"),
        (joined([*POSITIVE, b"more"]), ": must have 5 lines, has 6"),
        (joined(POSITIVE) + b"more", ": must have 5 lines, has 6"),
        (joined(POSITIVE).replace(b"\n", b"\r\n"), r":1: must be text, has the control char"),
        (changed(2, b"go\x81d"), ":2: byte 3, 0x81, is not windows-1252"),
        (changed(3, b"nul \0 byte"), r":3: must be text, has the control character '\x00'"),
        (changed(4, b""), ":4: is empty"),
        (changed(4, b"  "), ":4: is empty"),
        (changed(5, b"x" * 5_000), ":5: must have at most 4,096 bytes, has 5,000"),
        (changed(5, b"witty !"), ": must be the official file with SHA-256 "),
        (joined(POSITIVE)[:-1], ": must be the official file with SHA-256 "),
    ],
)
@pytest.mark.parametrize("form", ["file", "archive"])
def test_rt_refuses(root: Path, content: bytes, message: str, form: str) -> None:
    name = "rt-polarity.pos"
    if form == "file":
        where = f"{put(root, 'rt', {name: content}) / name}"
    else:
        where = f"{in_archive(root, 'rt', tar_gz({**FILES['rt'], name: content}))}: {name}"
    with pytest.raises(nl.FileError, match=re.escape(where + message)):
        load("rt")


def test_a_wrong_sum_says_what_came(root: Path) -> None:
    content = changed(5, b"witty !")
    put(root, "rt", {"rt-polarity.pos": content})
    with pytest.raises(nl.FileError) as caught:
        load("rt")
    for data in (FILES["rt"]["rt-polarity.pos"], content):
        assert hashlib.sha256(data).hexdigest() in str(caught.value)


def test_sst5_refuses_by_line(root: Path) -> None:
    bad = joined([b"(0 bad)", b"(5 (2 so) (4 so))"])
    path = put(root, "sst5", {"test.txt": bad}) / "test.txt"
    message = f"{path}:2: a bracket must open with a label 0 to 4, opens with '(5'"
    with pytest.raises(nl.FileError, match=re.escape(message)):
        load("sst5")
    path.write_bytes(joined([b"(0 b\xffd)", b"(2 so)"]))
    with pytest.raises(nl.FileError, match=re.escape(f"{path}:1: byte 5, 0xff, is not utf-8")):
        load("sst5")
    path.write_bytes(joined([b"(1 bad)", b"(2 so)"]))
    with pytest.raises(nl.FileError, match=r"test\.txt: must be the official file with SHA-256"):
        load("sst5")


# --- trees ---------------------------------------------------------------------------------------


def test_a_tree_is_its_words_and_phrases() -> None:
    tree = parse_tree("(4 (2 (2 a) (3 (2 8\u00a01\\/2) (2 -LRB-))) (1 .))")
    assert tree.words == ["a", "8\u00a01\\/2", "-LRB-", "."]
    assert list(tree.examples()) == [
        ("a 8\u00a01\\/2 -LRB- .", 4),
        ("a 8\u00a01\\/2 -LRB-", 2),
        ("a", 2),
        ("8\u00a01\\/2 -LRB-", 3),
        ("8\u00a01\\/2", 2),
        ("-LRB-", 2),
        (".", 1),
    ]
    assert list(parse_tree("(0 bad)").examples()) == [("bad", 0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "a word must follow a label 0 to 4, '' follows ''"),
        ("good", "a word must follow a label 0 to 4, 'good' follows ''"),
        (")", "a word must follow a label 0 to 4, ')' follows ''"),
        ("(2", "is cut short: 1 brackets are not closed"),
        ("(2 (3 so", "a leaf must be one word and end with a bracket, is 'so'"),
        ("(2 (3 so) (4 good)", "is cut short: 1 brackets are not closed"),
        ("(2 (3 so)) (4 good)", "must end with the tree's last bracket, goes on with '(4'"),
        ("(2 (3 so)) ", "must end with the tree's last bracket, goes on with ''"),
        ("(2 (3 so))) (4 good)", "'so)))' closes more brackets than are open"),
        ("(5 so)", "a bracket must open with a label 0 to 4, opens with '(5'"),
        ("(-1 so)", "a bracket must open with a label 0 to 4, opens with '(-1'"),
        ("(\u0662 so)", "a bracket must open with a label 0 to 4, opens with '(\u0662'"),
        ("( so)", "a bracket must open with a label 0 to 4, opens with '('"),
        ("(2)", "a bracket must open with a label 0 to 4, opens with '(2)'"),
        ("((2 so))", "a bracket must open with a label 0 to 4, opens with '((2'"),
        ("(2 )", "a leaf must hold a word, '(2 )' holds none"),
        ("(2  so)", "a leaf must hold a word, '(2 ' holds none"),
        ("(2 (2 so)  (2 so))", "a word must follow a label 0 to 4, '' follows 'so)'"),
        ("(2 so so)", "a leaf must be one word and end with a bracket, is 'so'"),
        ("(2 (2 so) so)", "a word must follow a label 0 to 4, 'so)' follows 'so)'"),
        ("(2 s(o))", "a leaf must be one word and end with a bracket, is 's(o))'"),
        ("(2 s)o)", "a leaf must be one word and end with a bracket, is 's)o)'"),
    ],
)
def test_a_broken_tree_is_refused(line: str, message: str) -> None:
    with pytest.raises(LineError, match=f"^{re.escape(message)}$"):
        parse_tree(line)


def test_depth_exhausts_nothing() -> None:
    deep = 100_000
    assert len(parse_tree("(2 " * deep + "so" + ")" * deep).phrases) == deep
    with pytest.raises(LineError, match="100000 brackets are not closed"):
        parse_tree(" ".join(["(2"] * deep))


def test_phrases_train_only(root: Path) -> None:
    put(root, "sst5")
    source = small(SST5, FILES["sst5"], ARCHIVES["sst5"], NOBODY)
    data = load_sst5(source, True, None)
    found = list(zip(data.train.texts, data.train.labels.tolist(), strict=True))
    roots = [("A gem", 3), ("A dull one", 1), ("A gem", 3)]
    added = [("A", 2), ("gem", 4), ("dull one", 1), ("dull", 2), ("one", 2)]
    assert found == roots + added, "sentences stay as they are, other nodes come once"
    assert data.valid.texts == ["8\u00a01\\/2 -LRB-"] and data.valid.labels.tolist() == [2]
    assert data.test.texts == ["bad", "so good ."] and data.test.labels.tolist() == [0, 4]


# --- archives ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rt", b"", "is no archive, or damaged"),
        ("rt", b"neither tar nor zip", "is no archive, or damaged"),
        ("sst5", b"PK\3\4 and no more", "is no archive, or damaged"),
        ("rt", ARCHIVES["rt"][:-40], "is damaged gzip"),
        ("rt", tar_gz({}), "must hold one file rt-polarity.neg, holds none"),
        ("sst5", zipped({"train.txt": b""}), "must hold one file dev.txt, holds none"),
        (
            "sst5",
            zipped({**FILES["sst5"], "old/dev.txt": b""}),
            "must hold one file dev.txt, holds 2",
        ),
        (
            "rt",
            gzip.compress(bytes(100 << 20), 1),
            "must hold at most 8,388,608 bytes, holds more",
        ),
        (
            "sst5",
            zipped({**FILES["sst5"], "dev.txt": bytes(9 << 20)}),
            "dev.txt: must hold at most 8,388,608 bytes, holds more",
        ),
    ],
)
def test_archives_are_refused(root: Path, name: str, content: bytes, message: str) -> None:
    path = in_archive(root, name, content)
    with pytest.raises(nl.FileError, match=re.escape(f"{path}: {message}")):
        load(name)


def test_a_link_is_no_file(root: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in FILES["rt"]:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    in_archive(root, "rt", out.getvalue())
    with pytest.raises(nl.FileError, match=r"must hold one file rt-polarity\.neg, holds none"):
        load("rt")


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 11)
    assert packed.read_file(path, 11) == b"x" * 11
    with pytest.raises(nl.FileError, match=re.escape(f"{path}: must hold at most 10 bytes")):
        packed.read_file(path, 10)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("rt", ARCHIVES["rt"]),
        ("rt", gzip.decompress(ARCHIVES["rt"])),
        ("sst5", ARCHIVES["sst5"]),
    ],
    ids=["tar.gz", "tar", "zip"],
)
def test_damage_is_never_more_than_a_file_error(root: Path, name: str, good: bytes) -> None:
    path = in_archive(root, name, good)
    whole = load(name)
    rng = random.Random(0)
    for _ in range(200):
        bad = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 30])):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad[: rng.choice([len(bad), len(bad), rng.randrange(len(bad))])])
        check_same_or_file_error(name, whole, path)


@pytest.mark.parametrize("name", ["rt", "sst5"])
def test_damaged_lines_are_never_more_than_a_file_error(root: Path, name: str) -> None:
    folder = put(root, name)
    whole = load(name)
    rng = random.Random(1)
    for _ in range(200):
        path = folder / rng.choice(sorted(FILES[name]))
        bad = bytearray(FILES[name][path.name])
        bad[rng.randrange(len(bad))] = rng.choice(b"()  \n\r\0 0123456789ab\x81\xc3\xff")
        path.write_bytes(bad)
        check_same_or_file_error(name, whole, path)
        path.write_bytes(FILES[name][path.name])


def check_same_or_file_error(name: str, whole: TextData, path: Path) -> None:
    try:
        assert same(load(name), whole)
    except nl.FileError as error:
        assert str(error).startswith(str(path))


def test_standin_reviews():
    data = nl.data.standin_reviews(3, train=600, valid=50, test=60)
    assert (len(data.train), len(data.valid), len(data.test)) == (600, 50, 60)
    assert data.generated and "generated by normlab (seed 3)" in data.origin
    assert data.labels == ("negative", "positive")
    again = nl.data.standin_reviews(3, train=600, valid=50, test=60)
    assert again.test.texts == data.test.texts != nl.data.standin_reviews(4, test=60).test.texts
    assert 0.4 < data.train.labels.mean() < 0.6
    # The class is what the words say, but for sentences that are wrong on purpose.
    praise = {"superb", "moving", "brilliant", "gripping", "radiant", "masterly", "warm"}
    blame = {"dreadful", "lifeless", "appalling", "tedious", "hopeless", "slow", "stale"}
    plain = [
        (len(praise & words) - len(blame & words), label)
        for words, label in zip(
            map(set, map(str.split, data.train.texts)), data.train.labels, strict=True
        )
        if "not" not in words
    ]
    told = [(score > 0) == label for score, label in plain if abs(score) > 1]
    assert len(told) > 50 and 0.85 < np.mean(told) < 1


def test_standin_reviews_in_grades():
    data = nl.data.standin_reviews(classes=5, train=500, valid=1, test=1)
    assert len(data.labels) == 5 and np.bincount(data.train.labels, minlength=5).min() > 25
    with pytest.raises(KeyError):
        nl.data.standin_reviews(classes=3)

"""Texts for character language models: published ones, files and folders, what is refused."""

import gzip
import hashlib
import io
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from local_server import Server

import normlab as nl
from normlab.data import CharacterText, fetch
from normlab.data.charlm import ENWIK8, TEXT8, TEXTS, TINYSHAKESPEARE, WARANDPEACE, WholeText, load

REAL = os.environ.get("NORMLAB_DATA", "")
NOBODY = "http://127.0.0.1:9/"  # port 9 answers nobody
WIKI = ("Ein Satz über Bären. " * 5).encode()[:100]

pytestmark = pytest.mark.usefixtures("nowhere")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data"
    (path / "charlm").mkdir(parents=True)
    monkeypatch.setenv("NORMLAB_DATA", str(path))
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def small(which: WholeText, archive: bytes, url: str = NOBODY) -> WholeText:
    """A hundred bytes of the same form in the place of a hundred million."""
    remote = fetch.RemoteFile(
        which.files[0].name, len(archive), hashlib.sha256(archive).hexdigest()
    )
    return replace(which, urls=(url,), files=(remote,), size=100, sizes=(90, 5, 5))


def lengths(text: CharacterText) -> list[int]:
    return [len(split) for split in text.splits.values()]


# --- published texts -----------------------------------------------------------------------------


def real(name: str) -> pytest.MarkDecorator:
    found = REAL and list((Path(REAL).expanduser() / "charlm").glob(f"{name}.txt*"))
    return pytest.mark.skipif(not found, reason=f"NORMLAB_DATA has no charlm/{name}.txt")


@real("tinyshakespeare")
def test_tinyshakespeare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    text = nl.data.charlm()
    assert text.name == "tinyshakespeare"
    assert text.origin == f"NORMLAB_DATA ({REAL.rstrip('/')}/charlm)"
    assert lengths(text) == [1_003_854, 55_770, 55_770]
    assert text.train.startswith("First Citizen:\nBefore we proceed")
    assert len(set(text.train)) == 65 and not text.generated
    whole = text.train + text.valid + text.test
    assert hashlib.sha256(whole.encode()).hexdigest() == TINYSHAKESPEARE.sha256


@real("warandpeace")
def test_warandpeace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", REAL)
    text = nl.data.charlm("warandpeace")
    assert lengths(text) == [2_887_413, 160_412, 160_412]


def test_the_known_sums_are_well_formed() -> None:
    known = (TINYSHAKESPEARE, WARANDPEACE, ENWIK8, TEXT8)
    assert tuple(source.name for source in known) == TEXTS
    for source in known:
        sums = [source.sha256, *(file.sha256 for file in source.files)]
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in sums if one)
        assert all(url.endswith("/") for url in source.urls)
        assert sum(source.sizes) in (0, source.size)


@pytest.mark.parametrize("which", [ENWIK8, TEXT8], ids=lambda which: which.name)
def test_wikipedia_comes_as_an_archive_and_each_byte_is_a_character(
    which: WholeText, server: Server, tmp_path: Path
) -> None:
    archive = zipped({which.member: WIKI})
    server.files = {which.files[0].name: archive}
    server.break_after = [40]
    source = small(which, archive, server.url)
    text = load(source, None)
    assert text.origin == f"downloaded from {server.url}"
    assert lengths(text) == [90, 5, 5]
    assert (text.train + text.valid + text.test).encode("latin-1") == WIKI
    assert len(server.asked) == 2, "the download broke off and went on"
    again = load(source, None)
    assert again.origin == f"cache ({tmp_path / 'cache/normlab/charlm'})"
    assert again.splits == text.splits and len(server.asked) == 2


@pytest.mark.parametrize("form", ["plain", "gzip", "archive"])
def test_wikipedia_in_a_folder(root: Path, form: str) -> None:
    archive = zipped({"enwik8": WIKI})
    name, data = {
        "plain": ("enwik8", WIKI),
        "gzip": ("enwik8.gz", gzip.compress(WIKI)),
        "archive": ("enwik8.zip", archive),
    }[form]
    (root / "charlm" / name).write_bytes(data)
    text = load(small(ENWIK8, archive), None)
    assert text.origin == f"NORMLAB_DATA ({root / 'charlm'})"
    assert text.test.encode("latin-1") == WIKI[95:]


def test_a_published_text_that_is_wrong_is_refused(root: Path) -> None:
    archive = zipped({"enwik8": WIKI})
    source = small(ENWIK8, archive)
    path = root / "charlm" / "enwik8.zip"
    path.write_bytes(zipped({"enwik8": WIKI[::-1]}))
    with pytest.raises(nl.FileError, match=re.escape(f"{path}: must be the official file with")):
        load(source, None)
    path.write_bytes(b"no archive")
    with pytest.raises(nl.FileError, match="must be the official file"):
        load(source, None)
    path.unlink()
    path = root / "charlm" / "enwik8"
    path.write_bytes(WIKI + b"!")
    with pytest.raises(nl.FileError, match=re.escape(f"{path}: must have 100 bytes, has 101")):
        load(source, None)
    path = root / "charlm" / "tinyshakespeare.txt"
    path.write_bytes(bytes(TINYSHAKESPEARE.size))
    with pytest.raises(nl.FileError, match=re.escape(f"{path}: must be the official file with")):
        nl.data.charlm()


def test_a_text_that_is_nowhere() -> None:
    with pytest.raises(nl.data.DataMissingError, match=r"charlm/ and set NORMLAB_DATA"):
        nl.data.charlm(mirror=NOBODY)
    with pytest.raises(nl.data.DataMissingError, match=r"warandpeace\.txt .* is not downloaded"):
        nl.data.charlm("warandpeace")


# --- files and folders ---------------------------------------------------------------------------

TEXT = "".join(f"Zeile {i}: süß und bitter\n" for i in range(10))


@pytest.mark.parametrize("packed", [False, True])
def test_any_file_is_a_text(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("buch.txt.gz" if packed else "buch.txt")
    data = b"\xef\xbb\xbf" + TEXT.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    text = nl.data.charlm(path)
    assert text.name == "buch" and text.origin == f"file ({path})"
    assert text.train + text.valid + text.test == TEXT
    n = len(TEXT)
    first, rest = n * 9 // 10, n - n * 9 // 10
    assert lengths(text) == [first, rest // 2, rest - rest // 2]


def test_a_folder_is_one_text_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "works"
    folder.mkdir()
    for name, part in (("10.txt", "c" * 60), ("2.txt", "b\n" * 40), ("1.txt", "a" * 50)):
        (folder / name).write_text(part)
    (folder / "notes.md").write_text("not this")
    (folder / "sub.txt").mkdir()
    text = nl.data.charlm(str(folder))
    assert (text.name, text.origin) == ("works", f"folder ({folder}), 3 files")
    assert text.train + text.valid + text.test == f"{'a' * 50}\n{'b' + chr(10)}" * 1 + (
        "b\n" * 39 + "c" * 60 + "\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a", "must have 40 characters or more for three splits, has 1"),
        (b"short text\n", "must have 40 characters or more for three splits, has 11"),
        (b"a" * 1000, "must have two different characters or more, has 'a' alone"),
        (b"x" * 50 + b"\xff" + b"y" * 50, "must be UTF-8 text, byte 51, 0xff, is not"),
        ("é".encode("utf-16") * 40, "must be UTF-8 text, byte 1, 0xff, is not"),
        (b"ab" * 50 + b"\0", "must be text, character 101 is NUL"),
        (gzip.compress(b"ab" * 5000)[:-9], "is damaged gzip"),
    ],
)
@pytest.mark.parametrize("form", ["file", "folder"])
def test_a_text_from_which_nothing_can_be_learned(
    tmp_path: Path, content: bytes, message: str, form: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.txt"
    path.write_bytes(content)
    if form == "folder" and "alone" in message:
        pytest.skip("the folder's text ends with a newline")
    if form == "folder":
        message = re.sub(r"has (\d+)$", lambda m: f"has {int(m[1]) + (m[1] != '11')}", message)
    with pytest.raises(nl.FileError, match=re.escape(message)) as caught:
        nl.data.charlm(path if form == "file" else folder)
    assert str(folder) in str(caught.value)


def test_no_text_of_that_name(tmp_path: Path) -> None:
    for name in ("", "hamlet", str(tmp_path / "absent.txt")):
        with pytest.raises(nl.ArgumentError, match="text: must be 'tinyshakespeare'"):
            nl.data.charlm(name)
    with pytest.raises(nl.FileError, match=r"must have files that end with \.txt or"):
        nl.data.charlm(tmp_path)


def test_the_stand_in_is_the_same_again_and_says_so() -> None:
    one, other = nl.data.standin_text(), nl.data.standin_text()
    assert one.splits == other.splits and one.generated
    assert one.splits != nl.data.standin_text(1).splits
    assert one.origin == "generated by normlab (seed 0)"
    assert len(one.train) > 300_000 and 25 < len(set(one.train)) < 40

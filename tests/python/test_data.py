"""Data: the idx reader, places and their order, downloads, generated digits."""

import gzip
import hashlib
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from local_server import Server

import normlab as nl
from normlab.data import digits, fetch, images
from normlab.data.idx import read_idx
from normlab.data.mnist import FASHION_MNIST, MNIST

pytestmark = pytest.mark.usefixtures("nowhere")

SHAPE = (3, 2, 2)
PIXELS = bytes(range(12))


def idx(shape: tuple[int, ...] = SHAPE, data: bytes = PIXELS, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_reads_what_was_written(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "images"
    path.write_bytes(pack(idx()))
    found = read_idx(path, SHAPE)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.arange(12).reshape(SHAPE))
    found[0] = 0  # the array is the reader's own


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no idx file: must begin with 00 00, begins with nothing"),
        (b"PK\3\4 zip", "is no idx file: must begin with 00 00, begins with 50 4b 03 04"),
        (idx(kind=13), "elements must be unsigned bytes (type 0x08), are of type 0x0d"),
        (idx((12,)), "must have 3 dimensions, has 1"),
        (idx()[:9], "is cut short within its header"),
        (idx((4, 2, 2)), "must have shape [3, 2, 2], has [4, 2, 2]"),
        (idx((0xFFFFFFFF,) * 3), "must have shape [3, 2, 2], has [4294967295"),
        (
            idx(data=PIXELS[:-1]),
            "must hold 12 bytes of data for shape [3, 2, 2], is cut short after 11",
        ),
        (idx(data=PIXELS + b"x"), "goes on after the 12 bytes of shape [3, 2, 2]"),
    ],
)
def test_idx_refuses(tmp_path: Path, pack: type[bytes], content: bytes, message: str) -> None:
    path = tmp_path / "labels"
    path.write_bytes(pack(content))
    with pytest.raises(nl.FileError, match=re.escape(f"{path}: {message}")):
        read_idx(path, SHAPE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: good[:-4],  # the trailer is cut
        lambda good: good[:12],
        lambda good: good[:-8] + bytes(4) + good[-4:],  # the checksum is wrong
        lambda good: good[:15] + b"\xff\xff\xff" + good[18:],
    ],
)
def test_idx_refuses_damaged_gzip(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx(), mtime=0)))  # type: ignore[operator]
    with pytest.raises(nl.FileError, match=r"is damaged gzip|is no idx file"):
        read_idx(path, SHAPE)


def test_idx_never_unpacks_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(data=bytes(64 << 20))))
    asked = 0
    read = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int = -1) -> bytes:
        nonlocal asked
        assert size >= 0, "an unbounded read"
        asked += size
        return read(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(nl.FileError, match="goes on after the 12 bytes"):
        read_idx(path, SHAPE)
    assert asked <= len(idx()) + 1


def test_idx_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(nl.FileError, match=re.escape(f"{tmp_path}/none: cannot be read: No such")):
        read_idx(tmp_path / "none", SHAPE)
    with pytest.raises(nl.FileError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, SHAPE)


# --- where a set is found ------------------------------------------------------------------------

COUNTS = (5_010, 7)


def small_files(label: int = 3) -> dict[str, bytes]:
    """A set like MNIST with few images, packed; the first pixel of image i is i % 251."""

    def pictures(count: int) -> bytes:
        data = np.zeros((count, 28, 28), np.uint8)
        data[:, 0, 0] = np.arange(count) % 251
        return gzip.compress(idx((count, 28, 28), data.tobytes()), 1, mtime=0)

    def labels(count: int) -> bytes:
        return gzip.compress(idx((count,), bytes([label]) * count), 1, mtime=0)

    return {
        "train-images-idx3-ubyte.gz": pictures(COUNTS[0]),
        "train-labels-idx1-ubyte.gz": labels(COUNTS[0]),
        "t10k-images-idx3-ubyte.gz": pictures(COUNTS[1]),
        "t10k-labels-idx1-ubyte.gz": labels(COUNTS[1]),
    }


FILES = small_files()


def source(url: str = "http://127.0.0.1:9/", **more: object) -> images.IdxSource:
    """The small set as a published one. Port 9 answers nobody."""
    files = tuple(
        fetch.RemoteFile(name, len(data), hashlib.sha256(data).hexdigest())
        for name, data in FILES.items()
    )
    return images.IdxSource(
        "small",
        "small-set",
        (url,),
        files,
        counts=COUNTS,  # type: ignore[arg-type]
        **more,
    )  # type: ignore[arg-type]


def put(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_data_folder_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path / "data" / "small-set")
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path / "data"))
    data = images.load(source())
    assert data.origin == f"NORMLAB_DATA ({folder})"
    assert (len(data.train), len(data.valid), len(data.test)) == (10, 5_000, 7)
    assert data.valid.images[0, 0, 0] == 10, "the last 5,000 validate"
    assert data.train.images.shape == (10, 28, 28)
    assert not data.generated


def test_unpacked_files_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        tmp_path / "small-set",
        {name.removesuffix(".gz"): gzip.decompress(data) for name, data in FILES.items()},
    )
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    assert len(images.load(source()).test) == 7


def test_a_bad_file_is_an_error_and_no_reason_to_look_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "installed")
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    good = source(installed=(tmp_path / "installed", "a package"))
    assert images.load(good).origin == f"a package ({tmp_path / 'installed'})"

    bad = put(tmp_path / "small-set") / "t10k-labels-idx1-ubyte.gz"
    bad.write_bytes(b"not a gzip")
    with pytest.raises(nl.FileError, match=re.escape(f"{bad}: is no idx file")):
        images.load(good)
    bad.unlink()
    with pytest.raises(nl.FileError, match="only a part of small, missing: t10k-labels-idx1-ubyte"):
        images.load(good)


def test_labels_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "small-set", small_files(label=10))
    monkeypatch.setenv("NORMLAB_DATA", str(tmp_path))
    with pytest.raises(nl.FileError, match="labels must be 0 to 9, number 0 is 10"):
        images.load(source())


def test_a_mistyped_data_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_DATA", "/no/such/folder")
    with pytest.raises(nl.FileError, match="NORMLAB_DATA must name a folder, is '/no/such/folder'"):
        images.load(source())


# --- downloads -----------------------------------------------------------------------------------


@pytest.fixture
def server(server: Server) -> Server:
    server.files = dict(FILES)
    return server


def cached(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "normlab" / "small-set"


def test_download_then_cache(server: Server, tmp_path: Path) -> None:
    data = images.load(source(server.url))
    assert data.origin == f"downloaded from {server.url}"
    assert len(server.asked) == 4
    again = images.load(source(server.url))
    assert again.origin == f"cache ({cached(tmp_path)})"
    assert len(server.asked) == 4, "nothing is downloaded twice"
    np.testing.assert_array_equal(again.train.images, data.train.images)
    assert not list(cached(tmp_path).glob("*.part"))


def test_mirror_by_argument_and_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert images.load(source(), mirror=server.url + "a").origin.endswith("/a/small-set/")
    assert server.asked[0][0] == "/a/small-set/train-images-idx3-ubyte.gz"


def test_mirror_from_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLAB_MIRROR", server.url)
    assert images.load(source()).origin == f"downloaded from {server.url}small-set/"


def test_a_broken_download_goes_on_where_it_stopped(server: Server) -> None:
    size = len(FILES["train-images-idx3-ubyte.gz"])
    server.break_after = [1000, 500]
    images.load(source(server.url))
    assert [wanted for _, wanted in server.asked[:3]] == [None, "bytes=1000-", "bytes=1500-"]
    assert size > 1500


def test_a_later_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.break_after = [1000, 1, 1]
    with pytest.raises(nl.data.DataMissingError, match=r"broke off after 1,002 of [\d,]+ bytes"):
        images.load(source(server.url))
    assert (cached(tmp_path) / "train-images-idx3-ubyte.gz.part").stat().st_size == 1002
    images.load(source(server.url))
    assert server.asked[3][1] == "bytes=1002-"


def test_a_server_without_ranges_starts_anew(server: Server) -> None:
    server.break_after, server.ranges = [1000], False
    images.load(source(server.url))
    assert server.asked[1][1] == "bytes=1000-"


def test_a_partial_file_of_something_else_is_found_out(server: Server, tmp_path: Path) -> None:
    part = put(cached(tmp_path), {}) / "train-images-idx3-ubyte.gz.part"
    part.write_bytes(b"x" * 1000)
    images.load(source(server.url))  # the sum is wrong, the next attempt starts at 0
    assert [wanted for _, wanted in server.asked[:2]] == ["bytes=1000-", None]


def test_a_wrong_sum_is_no_data(server: Server, tmp_path: Path) -> None:
    name = "train-labels-idx1-ubyte.gz"
    server.files[name] = bytes(len(FILES[name]))
    with pytest.raises(nl.data.DataMissingError, match=f"the SHA-256 of {name} is wrong"):
        images.load(source(server.url))
    assert not (cached(tmp_path) / name).exists()


@pytest.mark.parametrize("size", [10, -10])
def test_another_size_is_no_data(server: Server, tmp_path: Path, size: int) -> None:
    name = "train-images-idx3-ubyte.gz"
    server.files[name] = FILES[name] + bytes(size) if size > 0 else FILES[name][:size]
    with pytest.raises(nl.data.DataMissingError, match=r"sends more than|ended after|no such rest"):
        images.load(source(server.url))
    assert not (cached(tmp_path) / name).exists()


def test_a_damaged_cache_is_mended(server: Server, tmp_path: Path) -> None:
    images.load(source(server.url))
    damaged = cached(tmp_path) / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(b"rust")
    assert images.load(source(server.url)).origin.startswith("downloaded")
    assert damaged.read_bytes() == FILES[damaged.name]


def test_the_second_address_serves_where_the_first_does_not(server: Server) -> None:
    two = source(server.url)
    two = images.IdxSource(
        two.name, two.folder, ("http://127.0.0.1:9/", server.url), two.files, counts=COUNTS
    )
    assert images.load(two).origin == f"downloaded from {server.url}"


def test_missing_data_says_how_to_supply_it(server: Server) -> None:
    server.files.clear()
    with pytest.raises(nl.data.DataMissingError) as caught:
        images.load(source(server.url))
    message = str(caught.value)
    assert "404" in message
    assert len(server.asked) == 1, "a refusal is not asked for again"
    for way in ("go online", "small-set/ and set NORMLAB_DATA", "NORMLAB_MIRROR"):
        assert way in message


def test_a_cache_that_cannot_be_written(tmp_path: Path, server: Server) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(nl.FileError, match="the cache cannot be written"):
        images.load(source(server.url))


def test_a_data_set_is_shown_in_one_line() -> None:
    sizes = {"train": 1_200, "valid": 3, "test": 2}
    digits = nl.data.standin_digits(**sizes)
    assert repr(digits) == (
        "ImageData('standin_digits': train 1,200, valid 3, test 2; generated by normlab (seed 0))"
    )
    assert repr(digits.train) == "Split(1,200 images)"
    reviews = nl.data.standin_reviews(**sizes)
    assert repr(reviews).startswith("TextData('standin_reviews': train 1,200, valid 3, test 2; ")
    assert repr(reviews.test) == "TextSplit(2 sentences)"
    trees = nl.data.standin_treebank(**sizes)
    assert repr(trees).startswith("Treebank('standin_treebank': train 1,200, valid 3, test 2; ")


def test_the_known_sums_are_well_formed() -> None:
    for known in (MNIST, FASHION_MNIST):
        assert len({file.sha256 for file in known.files}) == 4
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in known.files)
        assert all(url.endswith("/") for url in known.urls)


# --- generated digits ----------------------------------------------------------------------------


def test_generated_digits_repeat_and_differ() -> None:
    one, same, other = (
        nl.data.standin_digits(seed, train=300, valid=20, test=40) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.train.images, same.train.images)
    assert not np.array_equal(one.train.images, other.train.images)
    assert (len(one.train), len(one.valid), len(one.test)) == (300, 20, 40)
    assert one.train.images.dtype == np.uint8
    assert set(one.train.labels) == set(range(10))
    assert one.generated and "generated" in one.origin


def test_generated_digits_of_one_class_look_alike() -> None:
    train = nl.data.standin_digits(0, train=2_000, valid=0, test=0).train
    flat = train.images.reshape(len(train), -1).astype(np.float64)
    means = np.stack([flat[train.labels == label].mean(0) for label in range(10)])
    nearest = ((flat[:, None] - means) ** 2).sum(-1).argmin(1)
    share = (nearest == train.labels).mean()
    assert 0.4 < share < 0.97, "recognisable, but not by a mask"


def test_templates_lie_in_the_unit_square() -> None:
    assert digits._TEMPLATES.shape == (10, digits._POINTS, 2)
    assert digits._TEMPLATES.min() > -0.05
    assert digits._TEMPLATES.max() < 1.05


def test_zlib_errors_are_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: gzip.GzipFile, size: int = -1) -> bytes:
        raise zlib.error("invalid block")

    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx()))
    monkeypatch.setattr(gzip.GzipFile, "read", fail)
    with pytest.raises(nl.FileError, match="is damaged gzip: invalid block"):
        read_idx(path, SHAPE)

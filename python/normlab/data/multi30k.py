"""Multi30k: captions of photographs in English, German and French."""

from dataclasses import dataclass

from .fetch import RemoteFile
from .parallel import ParallelData, aligned, check_languages, pairs
from .places import Source, find

_LANGUAGES = ("en", "de", "fr")
_FILES = {
    "train": "train",
    "valid": "val",
    "test": "test_2016_flickr",
    "test_2017": "test_2017_flickr",
}
# Size and SHA-256 as published, packed; SHA-256 of what is in it.
_PUBLISHED = {
    "train.en": (
        568_929,
        "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
        "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    ),
    "train.de": (
        637_044,
        "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
        "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    ),
    "train.fr": (
        604_242,
        "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
        "5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d",
    ),
    "val.en": (
        21_650,
        "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
        "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    ),
    "val.de": (
        24_681,
        "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
        "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    ),
    "val.fr": (
        23_001,
        "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
        "5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc",
    ),
    "test_2016_flickr.en": (
        21_077,
        "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
        "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
    ),
    "test_2016_flickr.de": (
        22_890,
        "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
        "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
    ),
    "test_2016_flickr.fr": (
        22_310,
        "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
        "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6",
    ),
    "test_2017_flickr.en": (
        19_138,
        "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
        "ce1450ddc5ab0834502579d77a170849952e15a2938b34cc503bdc25ebb4fb98",
    ),
    "test_2017_flickr.de": (
        21_471,
        "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
        "c3078bc3b36808bf9d20eb2347ed6137016179ef59ec0d2b9b8ecc3fb2880081",
    ),
    "test_2017_flickr.fr": (
        20_434,
        "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
        "6f3764e31dac41e9455e612958bcfd4e877c5e15cd66df2c2b2be6d9bd83e5b6",
    ),
}
_COMMIT = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"


@dataclass(frozen=True)
class Multi30k(Source):
    """Files of two languages; `sums` are the SHA-256 of what is in them."""

    sums: tuple[str, ...] = ()


def multi30k_source(source: str, target: str) -> Multi30k:
    """The files of these languages: source and target of train, val, and the tests."""
    names = [f"{name}.{language}" for name in _FILES.values() for language in (source, target)]
    return Multi30k(
        name="multi30k",
        folder="multi30k",
        urls=(f"https://raw.githubusercontent.com/multi30k/dataset/{_COMMIT}/data/task1/raw/",),
        files=tuple(RemoteFile(f"{name}.gz", *_PUBLISHED[name][:2]) for name in names),
        sums=tuple(_PUBLISHED[name][2] for name in names),
    )


def multi30k(source: str = "en", target: str = "de", *, mirror: str | None = None) -> ParallelData:
    """Captions of photographs and their translations (Elliott et al. 2016 and 2017), task 1.

    29,000 / 1,014 / 1,000 pairs; test is test_2016_flickr, and `more` has the 1,000 of
    test_2017_flickr as "test_2017".

    Looked for in NORMLAB_DATA/multi30k (train.en, val.en, test_2016_flickr.en and so on, packed
    with gzip or not), then in the user's cache, then downloaded. The bytes must be the official
    ones.

    Args:
        source: "en", "de" or "fr".
        target: Another one of these.
        mirror: Address to download from instead of the official one; the files lie below it in
            multi30k/. The environment variable NORMLAB_MIRROR does the same.

    Raises:
        FileError: A file is there but wrong; the message names it, the line and the reason.
        DataMissingError: The files are nowhere, and the download failed.
        ArgumentError: Another language, or the same twice.

    Example:
        >>> captions = nl.data.multi30k("en", "de")
        >>> captions.train.target[0]
        'Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.'
    """
    check_languages(source, target, _LANGUAGES)
    return load(multi30k_source(source, target), source, target, mirror)


def load(files: Multi30k, source: str, target: str, mirror: str | None) -> ParallelData:
    """Reads the files as multi30k() does."""
    paths, origin = find(files, mirror)
    read = {
        split: aligned(paths[2 * i : 2 * i + 2], files.sums[2 * i : 2 * i + 2])
        for i, split in enumerate(_FILES)
    }
    return pairs(files.name, origin, source, target, read)

"""IWSLT: talks translated between German and English (2014), English and Vietnamese (2015)."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

from .._core import FileError
from .fetch import RemoteFile
from .packed import read_members
from .parallel import (
    MOST_BYTES,
    Aligned,
    ParallelData,
    aligned,
    check_aligned,
    check_languages,
    decoded,
    pairs,
    parallel,
)
from .places import Source, find, local_folders

# As fairseq keeps it. Nobody publishes its size or a better sum.
IWSLT14 = Source(
    name="iwslt14",
    folder="iwslt14",
    urls=("http://dl.fbaipublicfiles.com/fairseq/data/iwslt14/",),
    files=(RemoteFile("de-en.tgz", None, "md5:10936dfdf616504ddbd844e91b94ef4a"),),
)
_TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
_VALID_EVERY = 23  # as fairseq's script takes them out of the training data
_MOST_WORDS, _MOST_RATIO = 175, 1.5
_NO_SENTENCE = re.compile(r"<(url|talkid|keywords|speaker|reviewer|translator)\b")
_TITLE = re.compile(r"</?(title|description)>")
_SEGMENT = re.compile(r'<seg id="?\d+"?>(.*)</seg>')

# Luong and Manning 2015. Sizes and sums as the Hugging Face data set mt_eng_vietnamese states them.
_IWSLT15_FILES = (
    ("train.en", 13_603_614, "c26dfeed74b6bf3752f5ca552f2412456f0de153f7c804df8717931fb3a5c78a"),
    ("train.vi", 18_074_646, "707206edf2dc0280273952c7b70544ea8a1363aa69aaeb9d70514b888dc3067d"),
    ("tst2012.en", 140_250, "b8fbcd0d4199d41276421d1f7228298df67dd9e2c5c134c2ee8cdf3ec27801e2"),
    ("tst2012.vi", 188_396, "01004078b3f36b0c46e81b65fc6851230b3c823405c76d1d82ef3b786b512ff0"),
    ("tst2013.en", 132_264, "3860ce60bc5b85d96cc2d3d580cf1bc9d62440e939c1b964676d3607c4e8f1df"),
    ("tst2013.vi", 183_855, "29af16842808da2812b8fd4d47fc05d082ba870e60ab7755090ad04b380994cd"),
)
IWSLT15 = Source(
    name="iwslt15",
    folder="iwslt15",
    urls=("https://nlp.stanford.edu/projects/nmt/data/iwslt15.en-vi/",),
    files=tuple(RemoteFile(*file) for file in _IWSLT15_FILES),
)


def iwslt14(source: str = "de", target: str = "en", *, mirror: str | None = None) -> ParallelData:
    """Talks in German and English (Cettolo et al. 2014), split as fairseq's script splits them.

    Of the training lines those between tags are left out, then pairs of more than 175 words or of
    lengths that differ by more than a factor of 1.5; of the rest every 23rd pair is for validation.
    The test set is dev2010, dev2012 and tst2010 to tst2012. fairseq counts words as Moses cuts
    them and makes them lower case; here words are what lies between spaces, as they are.

    Looked for in NORMLAB_DATA/iwslt14 (de-en.tgz, or train.de, train.en, valid.de and so on, as
    fairseq's script leaves them), then in the user's cache, then downloaded.

    Args:
        source: "de" or "en".
        target: The other one.
        mirror: As in multi30k(); the archive lies below it in iwslt14/.

    Raises:
        FileError: A file is there but wrong; the message names it, the line and the reason.
        DataMissingError: The archive is nowhere, and the download failed.
        ArgumentError: Another language, or the same twice.

    Example:
        >>> talks = nl.data.iwslt14("de", "en")
        >>> len(talks.train) > 100_000
        True
    """
    check_languages(source, target, ("de", "en"))
    if folder := _prepared("train.de", IWSLT14):
        return parallel(folder, source, target)
    return load_archive(IWSLT14, source, target, mirror)


def load_archive(files: Source, source: str, target: str, mirror: str | None) -> ParallelData:
    """Reads the archive as iwslt14() does."""
    (path,), origin = find(files, mirror)
    languages = (source, target)
    names = [f"train.tags.de-en.{language}" for language in languages]
    for part in _TESTS:
        names += [f"IWSLT14.{part}.de-en.{language}.xml" for language in languages]
    contents = read_members(path, names, MOST_BYTES)
    places = [f"{path}: {name}" for name in names]
    lines = [decoded(place, content) for place, content in zip(places, contents, strict=True)]
    train, valid, left_out = _cleaned(_aligned(places, [_sentences(each) for each in lines[:2]]))
    test: tuple[list[str], list[str]] = ([], [])
    for i in range(2, len(names), 2):
        both = _aligned(places[i : i + 2], [_segments(each) for each in lines[i : i + 2]])
        for side in (0, 1):
            test[side].extend(both.lines[side])
    read = {"train": train, "valid": valid, "test": Aligned((str(path), str(path)), test)}
    return pairs(files.name, f"{origin}{left_out}", source, target, read)


def iwslt15(source: str = "en", target: str = "vi", *, mirror: str | None = None) -> ParallelData:
    """Talks in English and Vietnamese (Luong and Manning 2015), cut into words as published.

    Some 133,000 pairs; tst2012 for validation, tst2013 as the test set. Characters that the files
    escape (&apos;) are as they were.

    Looked for in NORMLAB_DATA/iwslt15 (train.en, train.vi, tst2012.en and so on, packed with gzip
    or not), then in the user's cache, then downloaded. The bytes must be the official ones.

    Args:
        source: "en" or "vi".
        target: The other one.
        mirror: As in multi30k(); the files lie below it in iwslt15/.

    Raises:
        FileError: A file is there but wrong; the message names it, the line and the reason.
        DataMissingError: The files are nowhere, and the download failed.
        ArgumentError: Another language, or the same twice.

    Example:
        >>> talks = nl.data.iwslt15("en", "vi")
        >>> len(talks.train) > 100_000
        True
    """
    check_languages(source, target, ("en", "vi"))
    return load_files(IWSLT15, source, target, mirror)


def load_files(files: Source, source: str, target: str, mirror: str | None) -> ParallelData:
    """Reads the six files as iwslt15() does."""
    paths, origin = find(files, mirror)
    by_name = {
        file.name: (path, file.sha256) for path, file in zip(paths, files.files, strict=True)
    }
    read = {}
    for split, stem in (("train", "train"), ("valid", "tst2012"), ("test", "tst2013")):
        found = [by_name[f"{stem}.{language}"] for language in (source, target)]
        read[split] = _unescaped(aligned([path for path, _ in found], [sum for _, sum in found]))
    return pairs(files.name, origin, source, target, read)


def _prepared(name: str, files: Source) -> Path | None:
    """The folder of this machine that has prepared files, if there is one."""
    looked_for = Source(files.name, files.folder, (), (RemoteFile(name, None, ""),))
    folders = local_folders(looked_for)
    return folders[0][0] if folders else None


def _aligned(places: Sequence[str], lines: Sequence[list[str]]) -> Aligned:
    found = Aligned((places[0], places[1]), (lines[0], lines[1]))
    check_aligned(found)
    return found


def _unescaped(files: Aligned) -> Aligned:
    source, target = ([html.unescape(line) for line in lines] for lines in files.lines)
    return Aligned(files.places, (source, target))


def _sentences(lines: Sequence[str]) -> list[str]:
    """Those of a file train.tags: all lines but those between tags, titles without theirs."""
    return [_TITLE.sub("", line).strip() for line in lines if not _NO_SENTENCE.match(line)]


def _segments(lines: Sequence[str]) -> list[str]:
    """Those of a file of XML."""
    return [found[1].strip() for line in lines if (found := _SEGMENT.search(line))]


def _cleaned(files: Aligned) -> tuple[Aligned, Aligned, str]:
    """Training and validation pairs, and a note on how many were left out."""
    kept = [pair for pair in zip(*files.lines, strict=True) if _is_clean(*pair)]
    if len(kept) < _VALID_EVERY:
        raise FileError(
            f"{files.places[0]}: must have {_VALID_EVERY} or more pairs to keep one of them for "
            f"validation, has {len(kept)}"
        )
    train = [pair for number, pair in enumerate(kept, 1) if number % _VALID_EVERY]
    valid = kept[_VALID_EVERY - 1 :: _VALID_EVERY]
    lost = len(files.lines[0]) - len(kept)
    note = f"; {lost:,} pairs that are empty, overlong or unlike in length left out" if lost else ""
    return _of_pairs(files, train), _of_pairs(files, valid), note


def _of_pairs(files: Aligned, chosen: Sequence[tuple[str, str]]) -> Aligned:
    return Aligned(
        files.places, ([source for source, _ in chosen], [target for _, target in chosen])
    )


def _is_clean(source: str, target: str) -> bool:
    lengths = sorted((len(source.split()), len(target.split())))
    return lengths[0] > 0 and lengths[1] <= min(_MOST_WORDS, _MOST_RATIO * lengths[0])

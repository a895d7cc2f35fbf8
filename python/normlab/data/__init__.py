"""Data sets: found on this machine or downloaded, checked, and split as the paper splits them."""

from typing import TYPE_CHECKING

from .._attach import missing_in
from .charlm import CharacterText, charlm, standin_text
from .corpus import standin_corpus
from .digits import standin_digits
from .fetch import DataMissingError, cache_folder
from .images import ImageData, Split
from .iwslt import iwslt14, iwslt15
from .mnist import fashion_mnist, mnist
from .multi30k import multi30k
from .parallel import ParallelData, ParallelSplit, parallel
from .reviews import standin_reviews
from .rt import rt
from .sst5 import sst5
from .text import TextData, TextSplit
from .trees import standin_treebank
from .ud import Treebank, ud

__all__ = [
    "CharacterText",
    "DataMissingError",
    "ImageData",
    "ParallelData",
    "ParallelSplit",
    "Split",
    "TextData",
    "TextSplit",
    "Treebank",
    "cache_folder",
    "charlm",
    "fashion_mnist",
    "iwslt14",
    "iwslt15",
    "mnist",
    "multi30k",
    "parallel",
    "rt",
    "sst5",
    "standin_corpus",
    "standin_digits",
    "standin_reviews",
    "standin_text",
    "standin_treebank",
    "ud",
]

if not TYPE_CHECKING:
    __getattr__ = missing_in("nl.data", __name__)

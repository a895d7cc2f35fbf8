"""Data sets: found on this machine or downloaded, checked, and split as the paper splits them."""

from .digits import standin_digits
from .fetch import DataMissingError, cache_folder
from .images import ImageData, Split
from .mnist import fashion_mnist, mnist
from .rt import rt
from .sst5 import sst5
from .text import TextData, TextSplit
from .ud import Treebank, ud

__all__ = [
    "DataMissingError",
    "ImageData",
    "Split",
    "TextData",
    "TextSplit",
    "Treebank",
    "cache_folder",
    "fashion_mnist",
    "mnist",
    "rt",
    "sst5",
    "standin_digits",
    "ud",
]

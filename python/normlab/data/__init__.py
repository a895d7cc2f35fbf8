"""Data sets: found on this machine or downloaded, checked, and split as the paper splits them."""

from .digits import standin_digits
from .fetch import DataMissingError, cache_folder
from .images import ImageData, Split
from .mnist import fashion_mnist, mnist

__all__ = [
    "DataMissingError",
    "ImageData",
    "Split",
    "cache_folder",
    "fashion_mnist",
    "mnist",
    "standin_digits",
]

"""A checked reader of the idx format, in which MNIST and its relatives are published."""

import math
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._core import FileError
from .packed import opened, read_up_to

_UINT8 = 0x08


def read_idx(path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Reads unsigned bytes of exactly that shape from an idx file, packed with gzip or not.

    Trusts nothing in the file: at most one byte more than `shape` needs is ever unpacked.

    Args:
        path: The file; gzip is recognised by its first bytes, not by its name.
        shape: The dimensions that the file must have.

    Raises:
        FileError: The file cannot be read, is not idx, holds another type or shape, is cut short,
            goes on after its end, or is damaged gzip. The message names the file and the reason.
    """
    header_size = 4 + 4 * len(shape)
    size = math.prod(shape)
    with opened(path) as stream:
        _check_header(path, read_up_to(stream, header_size), shape)
        data = read_up_to(stream, size)
        if len(data) < size:
            raise FileError(
                f"{path}: must hold {size:,} bytes of data for shape {list(shape)}, "
                f"is cut short after {len(data):,}"
            )
        if read_up_to(stream, 1):
            raise FileError(f"{path}: goes on after the {size:,} bytes of shape {list(shape)}")
    return np.frombuffer(data, dtype=np.uint8).reshape(tuple(shape))


def _check_header(path: Path, header: bytearray, shape: Sequence[int]) -> None:
    if len(header) < 4 or header[:2] != b"\0\0":
        raise FileError(
            f"{path}: is no idx file: must begin with 00 00, begins with "
            f"{header[:4].hex(' ') or 'nothing'}"
        )
    if header[2] != _UINT8:
        raise FileError(
            f"{path}: elements must be unsigned bytes (type 0x08), are of type 0x{header[2]:02x}"
        )
    if header[3] != len(shape):
        raise FileError(f"{path}: must have {len(shape)} dimensions, has {header[3]}")
    if len(header) < 4 + 4 * len(shape):
        raise FileError(f"{path}: is cut short within its header")
    found = list(struct.unpack(f">{len(shape)}I", header[4:]))
    if found != list(shape):
        raise FileError(f"{path}: must have shape {list(shape)}, has {found}")

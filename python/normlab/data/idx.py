"""A checked reader of the idx format, in which MNIST and its relatives are published."""

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from .._core import FileError

_GZIP_MAGIC = b"\x1f\x8b"
_UINT8 = 0x08
_CHUNK = 1 << 20


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
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            stream = cast(IO[bytes], gzip.GzipFile(fileobj=file) if packed else file)
            _check_header(path, _read(stream, header_size), shape)
            data = _read(stream, size)
            if len(data) < size:
                raise FileError(
                    f"{path}: must hold {size:,} bytes of data for shape {list(shape)}, "
                    f"is cut short after {len(data):,}"
                )
            if _read(stream, 1):
                raise FileError(f"{path}: goes on after the {size:,} bytes of shape {list(shape)}")
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FileError(f"{path}: is damaged gzip: {error}") from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    return np.frombuffer(data, dtype=np.uint8).reshape(tuple(shape))


def _read(stream: IO[bytes], size: int) -> bytearray:
    """Up to `size` bytes; memory grows only with what really comes."""
    data = bytearray()
    while len(data) < size and (chunk := stream.read(min(_CHUNK, size - len(data)))):
        data += chunk
    return data


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

"""Reads the tensors of files that ``torch.save`` has written, and runs nothing of them.

Such a file is a zip archive: ``NAME/data.pkl``, a pickle in which tensors are calls of PyTorch's
functions on numbered storages, and ``NAME/data/0``, ``NAME/data/1``, ... with their bytes. An
Unpickler reads it that knows the instructions for dicts, lists, numbers and text alone. A name in
the file stands for a function of this module. All else is an error that says what the file asked
for.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ._core import FileError, Tensor, tensor

_MOST_PICKLE = 100_000_000
_MOST_ENTRIES = 1_000_000
_MOST_DEPTH = 64
_MOST_AXES = 8
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError),
    *(pickle.UnpicklingError, struct.error),
)
"""What Python raises where a pickle is damaged."""

_STORAGES: Mapping[str, tuple[str, str]] = {
    "FloatStorage": ("<f4", "float32"),
    "DoubleStorage": ("<f8", "float64"),
    "HalfStorage": ("<f2", "float32"),
    "BFloat16Storage": ("<u2", "bfloat16"),
    "LongStorage": ("<i8", "int64"),
    "IntStorage": ("<i4", "int32"),
    "ShortStorage": ("<i2", "int32"),
    "CharStorage": ("i1", "int32"),
    "ByteStorage": ("u1", "uint8"),
    "BoolStorage": ("u1", "bool"),
}
"""Of each class of storages: how elements lie in the file, and our type for them."""


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and numbers and text beside them.

    Args:
        path: A file that ``torch.save`` has written: a tensor, or dicts and lists of them.

    Returns:
        Tensors by name: what is in dicts within dicts has dots between the names, and what is in
        lists numbers. One tensor alone is called "tensor". The second dict has numbers, text and
        truth values in the same way, as text.

    Raises:
        FileError: The file is something else, is damaged, or asks for more than data.
    """
    try:
        with _Archive(path) as archive:
            pickled = io.BytesIO(archive.read("data.pkl", _MOST_PICKLE))
            return _flat(_Unpickler(pickled).load(), _Tensors(archive))
    except _BadFileError as error:
        raise FileError(f'load: "{path}": {error}') from None
    except OSError as error:
        raise FileError(f'load: "{path}": {error.strerror or error}') from error
    except _DAMAGE as error:
        reason = str(error) or "it ends too early"
        raise FileError(f'load: "{path}": data.pkl is damaged: {reason}') from None


class _BadFileError(Exception):
    """What is wrong with the content."""


def _bad(text: str) -> NoReturn:
    raise _BadFileError(text)


# --- the archive ---------------------------------------------------------------------------------


class _Archive:
    """The entries, by their names without the archive's own."""

    def __init__(self, path: Path):
        try:
            self._file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            _bad(f"is no zip archive that can be read: {error}")
        entries = self._file.infolist()
        pickles = [entry.filename for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            _bad("is a zip archive, but none that torch.save has written: it has no data.pkl")
        self._root = pickles[0].removesuffix("data.pkl")
        self._entries = {entry.filename: entry for entry in entries}
        self.size = sum(entry.file_size for entry in entries)
        if len(self._entries) != len(entries) or self.size > path.stat().st_size:
            _bad("its entries overlap")
        order = self.read("byteorder", 16) if f"{self._root}byteorder" in self._entries else b""
        if order not in (b"", b"little"):
            _bad("its numbers are not little-endian")

    def read(self, name: str, most: int | None = None) -> bytes:
        """An entry's bytes, at most so many."""
        entry = self._entries.get(self._root + name)
        if entry is None:
            _bad(f"{name} is missing")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            _bad(f"{name} is packed or encrypted, as torch.save does not write it")
        if most is not None and entry.file_size > most:
            _bad(f"{name} has {entry.file_size} bytes, more than {most}")
        try:
            return self._file.read(entry)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error) as error:
            _bad(f"{name} is damaged: {error}")

    def __enter__(self) -> "_Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# --- the pickle ----------------------------------------------------------------------------------

_INSTRUCTIONS = frozenset(
    [
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
        *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
        *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD"),
    ]
)
"""Those that data are made of."""


class _Dict(dict[Any, Any]):
    """Keys are text or numbers, as in all states: the hash of deep tuples could take forever."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, (str, int, float, bool, type(None))):
            _bad("a dict has a key that is neither text nor a number")
        super().__setitem__(key, value)


class _Storage(NamedTuple):
    """Bytes of the archive, by their number."""

    kind: Any
    key: Any
    count: Any


class _View(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
    return _View(storage, offset, shape, strides)


_NAMES: Mapping[str, Any] = {
    "collections.OrderedDict": lambda: _Dict(),  # PyTorch fills it afterwards
    "torch.Size": lambda lengths: lengths,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    **{f"torch.{kind}": kind for kind in _STORAGES},
}
"""What stands for each name that a pickle may have."""


# Not the one in C: that takes as much memory as the number of a memo's place says, and any key for
# its dicts.
class _Unpickler(pickle._Unpickler):
    """Makes containers, numbers, text and views."""

    def find_class(self, module: str, name: str) -> Any:
        """The function or the kind of storage that stands for a name."""
        asked = f"{module}.{name}"
        if asked not in _NAMES:
            _bad(f"data.pkl asks for {asked[:100]}, which is no tensor: nothing is run")
        return _NAMES[asked]

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage of an id."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage":
            _bad("data.pkl names a storage in a way that is not known")
        return _Storage(pid[1], pid[2], pid[4])

    def _refuse(self, name: str) -> NoReturn:
        _bad(f"data.pkl has the instruction {name}, which data do not need")


def _step(opcode: pickletools.OpcodeInfo) -> Callable[[Any], None]:
    """What an instruction does."""
    if opcode.name not in _INSTRUCTIONS:
        return lambda unpickler: unpickler._refuse(opcode.name)
    if opcode.name == "EMPTY_DICT":
        return lambda unpickler: unpickler.append(_Dict())
    if opcode.name == "BUILD":  # an OrderedDict's attributes, such as _metadata, are dropped
        return lambda unpickler: unpickler.stack.pop()
    return pickle._Unpickler.dispatch[ord(opcode.code)]


_Unpickler.dispatch = {ord(opcode.code): _step(opcode) for opcode in pickletools.opcodes}


# --- tensors -------------------------------------------------------------------------------------


def _check_count(value: Any, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        _bad(f"a tensor's {what} is no whole number from 0 on")


class _Tensors:
    """The tensors of views: one for all that are equal, on one array for each storage."""

    def __init__(self, archive: _Archive):
        self._archive = archive
        self.most = 16 * archive.size + (1 << 20)
        self._storages: dict[str, tuple[str, np.ndarray[Any, Any]]] = {}
        self._tensors: dict[tuple[Any, ...], Tensor] = {}
        self._taken = 0

    def tensor(self, view: _View) -> Tensor:
        """The tensor, made at most once."""
        storage, offset, shape, strides = view
        if not isinstance(storage, _Storage):
            _bad("a tensor is made of something else than a storage")
        if not isinstance(shape, tuple) or not isinstance(strides, tuple):
            _bad("a tensor has no shape and strides")
        if len(shape) != len(strides) or len(shape) > _MOST_AXES:
            _bad(f"a tensor has {len(shape)} axes and {len(strides)} strides, at most {_MOST_AXES}")
        _check_count(offset, "offset")
        for length, stride in zip(shape, strides, strict=True):
            _check_count(length, "shape")
            _check_count(stride, "stride")
        array = self._array(storage)
        place = storage.key, offset, shape, strides
        if place not in self._tensors:
            self._tensors[place] = _converted(self._elements(array, view), storage)
        return self._tensors[place]

    def _array(self, storage: _Storage) -> np.ndarray[Any, Any]:
        """The storage's elements as they lie in the file."""
        kind, key, count = storage
        if not isinstance(kind, str) or kind not in _STORAGES:
            _bad("a storage has no type")
        if not isinstance(key, str) or not key.isdigit():
            _bad("a storage has no number")
        if key not in self._storages:
            stored = np.dtype(_STORAGES[kind][0])
            content = self._archive.read(f"data/{key}")
            _check_count(count, "storage")
            if len(content) != count * stored.itemsize:
                _bad(f"data/{key} has {len(content)} bytes for {count} elements of torch.{kind}")
            self._storages[key] = kind, np.frombuffer(bytearray(content), stored)
        if self._storages[key][0] != kind:
            _bad(f"data/{key} is of two types")
        return self._storages[key][1]

    def _elements(self, array: np.ndarray[Any, Any], view: _View) -> np.ndarray[Any, Any]:
        """The view's elements in their order, on the storage's memory where they lie so."""
        storage, offset, shape, strides = view
        if 0 in shape:
            return np.empty(shape, array.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        count = math.prod(shape)
        if last >= len(array) or count > len(array):
            _bad(
                f"a tensor of shape {shape} with strides {strides} at {offset} does not lie within "
                f"the {len(array)} elements of data/{storage.key}"
            )
        self._taken += count * array.itemsize
        if self._taken > self.most:
            _bad("its tensors take far more memory than the file has bytes")
        steps = tuple(step * array.itemsize for step in strides)
        elements = np.ndarray(shape, array.dtype, array, offset * array.itemsize, steps)
        copy: np.ndarray[Any, Any] = np.ascontiguousarray(elements).reshape(shape)
        return copy


def _converted(array: np.ndarray[Any, Any], storage: _Storage) -> Tensor:
    """Our tensor of elements as they lie in the file."""
    dtype = _STORAGES[storage.kind][1]
    if dtype == "bfloat16":
        return tensor((array.astype("<u4") << 16).view("<f4")).to("bfloat16")
    if dtype == "bool":
        if array.size and array.max() > 1:
            _bad(f"data/{storage.key} of truth values has bytes that are neither 0 nor 1")
        return tensor(array.view("?"))
    return tensor(array, dtype=dtype)


def _is_text(value: Any) -> bool:
    """Whether it has no half of a pair of surrogates; true of all else than text."""
    try:
        return not isinstance(value, str) or bool(value.encode()) or not value
    except UnicodeEncodeError:
        return False


# --- names ---------------------------------------------------------------------------------------


def _flat(root: Any, made: _Tensors) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What is in containers, by names with dots."""
    tensors: dict[str, Tensor] = {}
    others: dict[str, str] = {}
    left: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = length = 0
    while left:
        path, value = left.pop()
        seen += 1
        length += sum(map(len, path)) + (len(value) if isinstance(value, str) else 0)
        if seen > _MOST_ENTRIES or len(path) > _MOST_DEPTH:
            _bad("its dicts hold too much, or themselves")
        if length > made.most:  # the name of a dict is a part of the names of all that it holds
            _bad("its names and texts take far more memory than the file has bytes")
        name = ".".join(path) or "tensor"
        if not all(map(_is_text, (name, value))):
            _bad(f"{name!r} is no text that can be written")
        if name in tensors or name in others:
            _bad(f"two of its entries have the name {name!r}")
        if isinstance(value, _View):
            tensors[name] = made.tensor(value)
        elif isinstance(value, dict):
            left += [((*path, str(key)), each) for key, each in value.items()]
        elif type(value) in (list, tuple):
            left += [((*path, str(i)), each) for i, each in enumerate(value)]
        elif isinstance(value, (str, int, float, bool)):
            others[name] = str(value)
        elif value is not None:
            _bad(f"{name!r} is no tensor, number or text")
    return dict(sorted(tensors.items())), others

"""Reads the tensors of files that ``torch.save`` has written, and runs nothing of them.

Such a file is a zip archive: ``NAME/data.pkl``, a pickle in which tensors are calls of PyTorch's
functions on numbered storages, and ``NAME/data/0``, ``NAME/data/1``, ... with their bytes. Python's
own pickle would import and call whatever the file names. Here a small machine of its own knows the
few instructions that build dicts, lists, numbers and text, and a few names, each of which stands
for a fixed function of this module. All else is an error that says what the file asked for.
"""

import io
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ._core import FileError, Tensor, tensor

_MOST_PICKLE = 100_000_000
_MOST_ENTRIES = 1_000_000
_MOST_DEPTH = 64
_MOST_AXES = 8

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}

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
            return _flat(_Machine(archive).run(archive.pickle))
    except _BadFileError as error:
        raise FileError(f'load: "{path}": {error}') from None
    except OSError as error:
        raise FileError(f'load: "{path}": {error.strerror or error}') from error


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
        size = sum(entry.file_size for entry in entries)
        if len(self._entries) != len(entries) or size > path.stat().st_size:
            _bad("its entries overlap")
        order = self.read("byteorder", 16) if f"{self._root}byteorder" in self._entries else b""
        if order not in (b"", b"little"):
            _bad("its numbers are not little-endian")
        self.pickle = self.read("data.pkl", _MOST_PICKLE)

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


# --- what a pickle may name ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Storage:
    """Bytes of the archive: one for every number, however often the pickle names it."""

    key: str
    kind: str
    array: np.ndarray[Any, Any]


class _Dict(dict[Any, Any]):
    """An OrderedDict of the file. What it is told about itself is dropped."""


@dataclass(frozen=True)
class _Name:
    """A class or function that the pickle names, and what stands for it."""

    name: str
    call: Callable[..., Any] | None = None


def _make_dict(*items: Any) -> _Dict:
    if len(items) > 1 or (items and not isinstance(items[0], (list, dict))):
        _bad("an OrderedDict is made of something else than pairs")
    try:
        return _Dict(*items)
    except (TypeError, ValueError):
        _bad("an OrderedDict is made of something else than pairs")


def _make_size(*lengths: Any) -> tuple[Any, ...]:
    if len(lengths) != 1 or not isinstance(lengths[0], tuple):
        _bad("a torch.Size is made of something else than a tuple")
    return lengths[0]


def _make_parameter(data: Any = None, *_: Any) -> Any:
    if not isinstance(data, Tensor):
        _bad("a parameter is made of something else than a tensor")
    return data


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _bad(f"a tensor's {what} is no whole number from 0 on")
    return value


class _Machine:
    """Runs the instructions that data are made of."""

    def __init__(self, archive: _Archive):
        self._archive = archive
        self._storages: dict[str, _Storage] = {}
        self._tensors: dict[Any, Tensor] = {}
        self._copied = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._names = {
            "collections OrderedDict": _make_dict,
            "torch Size": _make_size,
            "torch._utils _rebuild_tensor": self._tensor,
            "torch._utils _rebuild_tensor_v2": self._tensor,
            "torch._utils _rebuild_parameter": _make_parameter,
            **dict.fromkeys(f"torch {kind}" for kind in _STORAGES),
        }

    def run(self, pickle: bytes) -> Any:
        """What the pickle stands for."""
        stream = io.BytesIO(pickle)
        while True:
            code = stream.read(1)
            known = _OPCODES.get(code.decode("latin-1")) if code else None
            step = getattr(self, f"_do_{known.name.lower()}", None) if known else None
            if known is None or (step is None and known.name != "STOP"):
                said = known.name if known else repr(code)
                _bad(f"data.pkl has the instruction {said}, which data do not need")
            try:
                argument = known.arg.reader(stream) if known.arg else None
                if known.name == "STOP":
                    return self._pop()
                assert step is not None
                step(argument) if known.arg else step()
            except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
                _bad(f"data.pkl is damaged: {known.name}: {error}")

    # Constants.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    _do_binunicode = _do_short_binunicode = _do_binunicode8 = _push
    _do_binint = _do_binint1 = _do_binint2 = _do_long1 = _do_binfloat = _push
    _do_binbytes = _do_short_binbytes = _push

    def _do_proto(self, version: int) -> None:
        if version > 5:
            _bad(f"data.pkl is of protocol {version}")

    def _do_frame(self, _: int) -> None:
        pass

    def _do_none(self) -> None:
        self._push(None)

    def _do_newtrue(self) -> None:
        self._push(True)

    def _do_newfalse(self) -> None:
        self._push(False)

    # Containers.

    def _pop(self) -> Any:
        if self._marks and len(self._stack) <= self._marks[-1]:
            _bad("data.pkl is damaged: it takes more than is there")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        """The container below, which must be of that kind."""
        if not self._stack or not isinstance(self._stack[-1], kind):
            _bad(f"data.pkl is damaged: it fills something that is no {kind.__name__}")
        return self._stack[-1]

    def _marked(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _do_mark(self) -> None:
        self._marks.append(len(self._stack))

    def _do_pop(self) -> None:
        self._pop()

    def _do_empty_dict(self) -> None:
        self._push({})

    def _do_empty_list(self) -> None:
        self._push([])

    def _do_empty_tuple(self) -> None:
        self._push(())

    def _do_tuple(self) -> None:
        self._push(tuple(self._marked()))

    def _do_tuple1(self) -> None:
        self._push((self._pop(),))

    def _do_tuple2(self) -> None:
        second, first = self._pop(), self._pop()
        self._push((first, second))

    def _do_tuple3(self) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._push((first, second, third))

    def _do_append(self) -> None:
        item = self._pop()
        self._top(list).append(item)

    def _do_appends(self) -> None:
        items = self._marked()
        self._top(list).extend(items)

    def _do_setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[_key(key)] = value

    def _do_setitems(self) -> None:
        items = self._marked()
        keys = map(_key, items[::2])
        self._top(dict).update(zip(keys, items[1::2], strict=True))

    # Memory.

    def _do_binput(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    _do_long_binput = _do_binput

    def _do_memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_binget(self, place: int) -> None:
        self._push(self._memo[place])

    _do_long_binget = _do_binget

    # Names and what they make.

    def _do_global(self, name: str) -> None:
        if name not in self._names:
            shown = name.replace(" ", ".")[:100]
            _bad(f"data.pkl asks for {shown}, which is no tensor: nothing is run")
        self._push(_Name(name, self._names[name]))

    def _do_stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._do_global(f"{module} {name}")

    def _do_binpersid(self) -> None:
        self._push(self._storage(self._pop()))

    def _do_reduce(self) -> None:
        arguments, made_by = self._pop(), self._pop()
        if not isinstance(made_by, _Name) or made_by.call is None:
            _bad("data.pkl calls what is no function")
        self._push(made_by.call(*arguments))

    def _do_build(self) -> None:
        self._pop()  # an OrderedDict's attributes, such as _metadata
        self._top(_Dict)

    def _storage(self, id_: Any) -> _Storage:
        if not isinstance(id_, tuple) or len(id_) != 5 or id_[0] != "storage":
            _bad("data.pkl names a storage in a way that is not known")
        _, kind, key, _, count = id_
        if not isinstance(kind, _Name) or not kind.name.startswith("torch ") or kind.call:
            _bad("a storage has no type")
        name = kind.name.removeprefix("torch ")
        if not isinstance(key, str) or not key.isdigit():
            _bad("a storage has no number")
        found = self._storages.get(key)
        if found is None:
            stored = _STORAGES[name][0]
            content = self._archive.read(f"data/{key}")
            if len(content) != _count(count, "storage") * np.dtype(stored).itemsize:
                _bad(f"data/{key} has {len(content)} bytes for {count} elements of torch.{name}")
            found = _Storage(key, name, np.frombuffer(bytearray(content), stored))
            self._storages[key] = found
        if found.kind != name:
            _bad(f"data/{key} is of two types")
        return found

    def _tensor(self, *arguments: Any) -> Tensor:
        """torch._utils._rebuild_tensor_v2: (storage, offset, shape, strides, ...)."""
        if len(arguments) < 4 or not isinstance(arguments[0], _Storage):
            _bad("a tensor is made of something else than a storage")
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(shape, tuple) or not isinstance(strides, tuple):
            _bad("a tensor has no shape and strides")
        if len(shape) != len(strides) or len(shape) > _MOST_AXES:
            _bad(f"a tensor has {len(shape)} axes and {len(strides)} strides, at most {_MOST_AXES}")
        lengths = tuple(_count(length, "shape") for length in shape)
        steps = tuple(_count(stride, "stride") for stride in strides)
        place = storage.key, _count(offset, "offset"), lengths, steps
        if place not in self._tensors:
            self._tensors[place] = self._view(storage, *place[1:])
        return self._tensors[place]

    def _view(
        self, storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int]
    ) -> Tensor:
        array = storage.array
        empty = 0 in shape
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        count = int(np.prod(shape, dtype=object)) if not empty else 0
        if not empty and (last >= len(array) or count > len(array)):
            _bad(
                f"a tensor of shape {tuple(shape)} with strides {tuple(strides)} at {offset} does "
                f"not lie within the {len(array)} elements of data/{storage.key}"
            )
        if empty:
            view = np.empty(shape, array.dtype)
        else:
            steps = tuple(step * array.itemsize for step in strides)
            view = np.ndarray(shape, array.dtype, array, offset * array.itemsize, steps)
        if not view.flags.c_contiguous:
            self._copied += view.nbytes
            if self._copied > 16 * self._archive_bytes() + (1 << 20):
                _bad("its tensors take far more memory than the file has bytes")
        return _converted(np.ascontiguousarray(view).reshape(shape), storage)

    def _archive_bytes(self) -> int:
        return sum(storage.array.nbytes for storage in self._storages.values())


def _key(key: Any) -> Any:
    """Keys are text or numbers, as in all states."""
    if not isinstance(key, (str, int, float, bool, type(None))):
        _bad("a dict has a key that is neither text nor a number")
    return key


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


def _flat(root: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What is in containers, by names with dots."""
    tensors: dict[str, Tensor] = {}
    others: dict[str, str] = {}
    left: list[tuple[tuple[str, ...], Any]] = [((), root)]
    seen = 0
    while left:
        path, value = left.pop()
        seen += 1
        if seen > _MOST_ENTRIES or len(path) > _MOST_DEPTH:
            _bad("its dicts hold too much, or themselves")
        name = ".".join(path) or "tensor"
        if not all(map(_is_text, (name, value))):
            _bad(f"{name!r} is no text that can be written")
        if name in tensors or name in others:
            _bad(f"two of its entries have the name {name!r}")
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, dict):
            left += [((*path, str(key)), each) for key, each in value.items()]
        elif isinstance(value, (list, tuple)):
            left += [((*path, str(i)), each) for i, each in enumerate(value)]
        elif isinstance(value, (str, int, float, bool)):
            others[name] = str(value)
        elif value is not None:
            _bad(f"{name!r} is no tensor, number or text")
    return dict(sorted(tensors.items())), others

"""Writes files as torch.save does, byte by byte: no PyTorch is needed for the tests."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Storage:
    """Elements under a number: several tensors may lie in them."""

    def __init__(self, array: Any, kind: str = "", count: int | None = None):
        self.array = np.asarray(array)
        self.kind = kind or KINDS[self.array.dtype.name]
        self.count = self.array.size if count is None else count


class Tensor:
    """A view of a storage, by default all of an array."""

    def __init__(self, source: Any, offset: Any = 0, shape: Any = None, strides: Any = None):
        self.storage = source if isinstance(source, Storage) else Storage(source)
        array = self.storage.array
        self.offset = offset
        self.shape = array.shape if shape is None else shape
        steps = tuple(s // max(array.itemsize, 1) for s in array.strides)
        self.strides = steps if strides is None else strides


class Parameter:
    """A tensor that is trained."""

    def __init__(self, data: Any):
        self.data = Tensor(data)


class Name:
    """A class or function by its module and name."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name


class Writer:
    """Protocol 2, as torch.save has it."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.storages: dict[int, tuple[str, Storage]] = {}
        self.places = 0

    def _put(self) -> None:
        self.out.write(
            b"q" + bytes([self.places])
            if self.places < 256
            else b"r" + struct.pack("<I", self.places)
        )
        self.places += 1

    def text(self, value: str) -> None:
        content = value.encode()
        self.out.write(b"X" + struct.pack("<I", len(content)) + content)
        self._put()

    def name(self, module: str, name: str) -> None:
        self.out.write(f"c{module}\n{name}\n".encode())
        self._put()

    def number(self, value: int) -> None:
        self.out.write(pickle.dumps(value, 2)[2:-1])

    def numbers(self, values: Any) -> None:
        self.out.write(b"(")
        for value in values:
            self.number(value)
        self.out.write(b"t")
        self._put()

    def ordered(self, items: Any) -> None:
        self.name("collections", "OrderedDict")
        self.out.write(b")R")
        self._put()
        if items:
            self.out.write(b"(")
            for key, value in items.items():
                self.value(key)
                self.value(value)
            self.out.write(b"u")

    def storage(self, storage: Storage) -> None:
        key = self.storages.setdefault(id(storage), (str(len(self.storages)), storage))[0]
        self.out.write(b"(")
        self.text("storage")
        self.name("torch", storage.kind)
        self.text(key)
        self.text("cpu")
        self.number(storage.count)
        self.out.write(b"tQ")

    def tensor(self, tensor: Tensor) -> None:
        self.name("torch._utils", "_rebuild_tensor_v2")
        self.out.write(b"(")
        self.storage(tensor.storage)
        self.number(tensor.offset)
        self.numbers(tensor.shape)
        self.numbers(tensor.strides)
        self.out.write(b"\x89")
        self.ordered({})
        self.out.write(b"tR")
        self._put()

    def value(self, value: Any) -> None:
        if isinstance(value, Tensor):
            self.tensor(value)
        elif isinstance(value, Parameter):
            self.name("torch._utils", "_rebuild_parameter")
            self.out.write(b"(")
            self.tensor(value.data)
            self.out.write(b"\x88")
            self.ordered({})
            self.out.write(b"tR")
        elif isinstance(value, Name):
            self.name(value.module, value.name)
        elif isinstance(value, np.ndarray):
            self.tensor(Tensor(value))
        elif isinstance(value, OrderedDict):
            self.ordered(value)
            self.out.write(b"}")  # its attributes
            self.text("_metadata")
            self.ordered({"": "x"})
            self.out.write(b"sb")
        elif isinstance(value, dict):
            self.out.write(b"}")
            for key, each in value.items():
                self.value(key)
                self.value(each)
                self.out.write(b"s")
        elif isinstance(value, (list, tuple)):
            self.out.write(b"]")
            for each in value:
                self.value(each)
                self.out.write(b"a")
        elif isinstance(value, str):
            self.text(value)
        else:
            self.number(value)


def pickled(value: Any) -> tuple[bytes, dict[str, bytes]]:
    """data.pkl, and each storage's bytes."""
    writer = Writer()
    writer.out.write(b"\x80\x02")
    writer.value(value)
    writer.out.write(b".")
    contents = {key: s.array.tobytes() for key, s in writer.storages.values()}
    return writer.out.getvalue(), contents


def archive(data: bytes, storages: dict[str, bytes], **more: Any) -> bytes:
    """The archive; `more` are other entries, or "packed" for one that is compressed."""
    out = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if more.pop("packed", False) else zipfile.ZIP_STORED
    entries = {"data.pkl": data, "byteorder": b"little", "version": b"3\n"}
    entries |= {f"data/{key}": content for key, content in storages.items()}
    entries |= more
    with zipfile.ZipFile(out, "w", packed) as file:
        for name, content in entries.items():
            file.writestr(f"model/{name}", content)
    return out.getvalue()


def saved(value: Any, **more: Any) -> bytes:
    """What torch.save(value, path) writes."""
    return archive(*pickled(value), **more)

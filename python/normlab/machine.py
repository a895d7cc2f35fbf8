"""Facts about this machine."""

import os
import platform
from pathlib import Path

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")


def processor() -> str:
    """The processor's name and how many cores this process sees."""
    name = _facts().get("model name") or platform.processor() or platform.machine()
    cores = os.cpu_count()
    return f"{name}, {cores} core{'s' if cores != 1 else ''}"


def vector_instructions() -> list[str]:
    """The processor's vector instructions that normlab uses."""
    has = _facts().get("flags", "").split()
    return [flag for flag in _FLAGS if flag in has]


def _facts() -> dict[str, str]:
    """Linux's description of a core; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}

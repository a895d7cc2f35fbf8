"""Build, machine and data: the table of `normlab info`."""

import os

from rich.table import Table
from rich.text import Text

from . import build_info
from ._core import Error
from ._plain import one_line, plain
from .data.charlm import TINYSHAKESPEARE
from .data.fetch import cache_folder
from .data.iwslt import IWSLT14, IWSLT15
from .data.mnist import FASHION_MNIST, MNIST
from .data.multi30k import multi30k_source
from .data.places import Source, is_cached, local_folders
from .data.rt import RT
from .data.sst5 import SST5
from .data.ud import EN_EWT
from .machine import processor, vector_instructions

_SOURCES = (
    *(MNIST, FASHION_MNIST, RT, SST5, EN_EWT, TINYSHAKESPEARE),
    *(multi30k_source("en", "de"), IWSLT14, IWSLT15),
)


def info_table(encoding: str | None = None) -> Table:
    """Build, machine and data, one fact a line; for an output of that encoding."""
    build = build_info()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    facts = {
        "normlab": f"{build['version']}, {build['compiler']}",
        "processor": processor(),
        "vector instructions": ", ".join(vector_instructions()) or "none of interest",
        "instruction set": f"{build['isa']} kernels",
        "bfloat16 products": build["bfloat16_products"],
        "oneDNN": str(build["onednn"]),
        "threads": f"{build['threads']} ({build['threads_reason']})",
        "CUDA": "yes" if build["cuda"] else f"no: {build['cuda_reason']}",
        "NORMLAB_DATA": os.environ.get("NORMLAB_DATA") or "not set",
        "cache": str(cache_folder()),
        **{source.name: whereabouts(source) for source in _SOURCES},
    }
    for name, text in facts.items():
        table.add_row(name, Text(plain(one_line(text), encoding)))
    return table


def whereabouts(source: Source) -> str:
    """The place that the data set would come from."""
    try:
        folders = local_folders(source)
    except Error as error:
        return str(error)
    if folders:
        return f"{folders[0][1]} ({folders[0][0]})"
    if is_cached(source):
        return f"cache ({cache_folder() / source.folder})"
    return f"not on this machine; will be downloaded from {source.urls[0]}"

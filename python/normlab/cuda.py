"""The GPU: whether there is one, its facts and its memory.

Tensors go there with ``x.to("cuda")`` or ``device="cuda"`` and come back with ``.to("cpu")``. Work
is queued on one stream and runs behind the caller; reading a value waits for it. A step of a small
network is best captured as a Graph. Operations that cannot go there yet raise DeviceError.
"""

from typing import TYPE_CHECKING

from ._attach import missing_in
from ._core.cuda import *  # noqa: F403
from ._core.cuda import __all__ as __all__

if not TYPE_CHECKING:
    __getattr__ = missing_in("nl.cuda", __name__)

"""For PyTorch: a probe for one's own model, every norm variant as a module, and their exchange.

Usually ``import normlab.torch as nlt``; ``nl.torch`` is the same at its first use. PyTorch is not a
requirement of normlab: without it the import fails in words::

    nlt.replace_norms(model, "adanorm")        # and back: .undo()
    with nlt.probe(model, every=10) as probe:  # what each norm does to the gradient
        for batch in batches:
            loss(model, batch).backward()
            probe.next_step()
    nl.viz.probed(probe.records)
"""

from . import _present as _present
from .modules import Norm
from .probes import probe
from .replacing import Change, Changes, replace_norms

__all__ = ["Change", "Changes", "Norm", "probe", "replace_norms"]

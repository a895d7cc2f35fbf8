"""Pictures for notebooks and pages: dependency trees, a probe's records, the style of all figures.

>>> nl.viz.tree(sentence)                      # in a notebook: the drawing
>>> nl.viz.tree(parsed, compare=gold).save("tree.svg")
>>> nl.viz.probed(probe.records)               # what norms did to the gradient, layer by layer
>>> plt.style.use(nl.viz.style())              # every figure after it
>>> ax.plot(losses, **nl.viz.look("adanorm"))  # a variant looks the same in every figure
"""

from .looks import COLOURS, MORE_COLOURS, look, style
from .probes import probed
from .trees import TreeDrawing, tree

__all__ = ["COLOURS", "MORE_COLOURS", "TreeDrawing", "look", "probed", "style", "tree"]

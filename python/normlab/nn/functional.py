"""PyTorch's ``torch.nn.functional``, for ``import normlab.nn.functional as F``: normlab itself.

Functions have one home here: ``F.relu`` is ``nl.relu``, and what is missing says what to type.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .. import *  # noqa: F403

sys.modules[__name__] = sys.modules["normlab"]  # which an import then finds in this one's place

"""Models that a study kept, by the format that their files name."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .. import language, load_with_metadata, text
from .._core import FileError
from ..study.images import SHAPE, load_network
from .job import Job, module_job
from .language import language_job
from .text import classifier_job

NO_TRANSLATOR = (
    "is a translator, which cannot be exported: a search goes through its network subword by "
    "subword; normlab translate does that"
)
"""What is said of one."""
_TRANSLATOR = "normlab.translator"
_IMAGES = 8  # of the test batch


def file_job(path: Path) -> Job:
    """The work for a model file.

    Raises:
        FileError: It cannot be read, or its kind of model cannot be exported.
    """
    _, metadata = load_with_metadata(path)
    kind = metadata.get("format", "")
    if kind == _TRANSLATOR:
        raise FileError(f"{path}: {NO_TRANSLATOR}")
    if kind not in _FORMATS:
        what = f"a model of format {kind!r}" if kind else "no model of a study"
        raise FileError(f"{path}: is {what}; what can be exported are {', '.join(_FORMATS)}")
    return _FORMATS[kind](path)


def _images(path: Path) -> Job:
    network, metadata = load_network(path)
    x = np.random.default_rng(0).standard_normal((_IMAGES, *SHAPE)).astype(np.float32)
    return module_job(network, x, names=("images", "logits"), metadata=metadata)


_FORMATS: Mapping[str, Callable[[Path], Job]] = {
    "normlab.image_classifier": _images,
    "normlab.text_classifier": lambda path: classifier_job(text.load_model(path)),
    "normlab.language_model": lambda path: language_job(language.load_model(path)),
}
"""By format: a function that makes a Job of a file. A new kind of model is a row here."""

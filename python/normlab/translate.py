"""From lines of one language to lines of another: subwords, the Transformer, beam search."""

import io
import operator
from collections.abc import Iterable

from ._core import ArgumentError, DtypeError
from ._core.translate import *  # noqa: F403
from ._core.translate import Subwords as _Subwords
from ._core.translate import __all__ as _names
from ._extras import package

__all__ = ["learn_subwords"]
__all__ += _names

_FIRST = 3  # unknown, begin, end


def learn_subwords(lines: Iterable[str], size: int) -> _Subwords:
    """Learns a byte-pair encoding from lines of text with SentencePiece.

    Needs the package ``sentencepiece`` (``pip install "normlab[mt]"``); what is learned does not.
    The normalisation is ``identity``: any other rule would change characters before the encoding,
    and to apply it in C++ would take its tables of Unicode. Every character of the lines is a
    piece.

    Args:
        lines: Text; lines of more than 4,192 bytes are passed over.
        size: Number of pieces with the first three; fewer where the lines have no more.

    Returns:
        The :class:`Subwords`, always the same for the same lines.

    Raises:
        ArgumentError: The size is too small for the characters of the lines, these have no text, or
            SentencePiece is not installed.
        DtypeError: The lines are one text, or the size is no int.

    Example:
        >>> subwords = nl.translate.learn_subwords(["a small cat", "a small dog"] * 10, 20)
        >>> subwords.decode(subwords.encode("a small dog"))
        'a small dog'
    """
    if isinstance(lines, str | bytes):
        raise DtypeError(f"learn_subwords: lines must be a list of str, is {type(lines).__name__}")
    try:
        number = operator.index(size)
    except TypeError:
        raise DtypeError(f"learn_subwords: size must be int, is {size!r}") from None
    if number < 1:
        raise ArgumentError(f"learn_subwords: size must be positive, is {number}")
    return _Subwords(_learned(lines, number)[_FIRST:])


def _learned(lines: Iterable[str], size: int) -> list[str]:
    """All pieces."""
    sentencepiece = package("sentencepiece", "mt", "learn_subwords:")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            character_coverage=1.0,
            num_threads=1,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            minloglevel=3,
        )
    except (RuntimeError, ValueError, OSError) as error:
        # It says no reason, but names its source, where it finds no character.
        reason = str(error).rpartition("] ")[2].strip() or "the lines have no text that it takes"
        raise ArgumentError(f"learn_subwords: size {size} cannot be learned: {reason}") from error
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [learned.id_to_piece(i) for i in range(learned.get_piece_size())]

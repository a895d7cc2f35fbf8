"""From lines of one language to lines of another: subwords, the Transformer, beam search."""

import io
from collections.abc import Iterable

from ._core import ArgumentError
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
        ArgumentError: The size is too small for the characters of the lines, or SentencePiece is
            not installed.

    Example:
        >>> subwords = nl.translate.learn_subwords(["a small cat", "a small dog"] * 10, 20)
        >>> subwords.decode(subwords.encode("a small dog"))
        'a small dog'
    """
    return _Subwords(_learned(lines, size)[_FIRST:])


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
        reason = str(error).rpartition("] ")[2].strip() or repr(error)
        raise ArgumentError(f"learn_subwords: size {size} cannot be learned: {reason}") from error
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [learned.id_to_piece(i) for i in range(learned.get_piece_size())]

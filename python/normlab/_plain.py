"""Text for outputs whose encoding lacks some of its characters."""

# ruff: noqa: RUF001  (typographic dashes and quotes, Greek: what is spelled in ASCII)

import codecs
import re
import unicodedata

__all__ = ["SPELLING", "one_line", "plain"]

SPELLING = "normlab.plain"
"""Name of the error handler: what an encoding lacks is spelled in ASCII; bytes of file names stay.

For ``str.encode(errors=...)`` and for streams.
"""

_SPELLED = {
    **dict.fromkeys("−–—‐‑─", "-"),
    **dict.fromkeys("│╷╵", "|"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    **{"±": "+/-", "×": "x", "·": "*", "•": "*", "≈": "~", "▲": "^", "▼": "v", "◇": "<>"},
    **{"→": "->", "←": "<-", "…": "...", "²": "^2", "‖": "||"},
    **{"α": "alpha", "μ": "mu", "σ": "sigma", "φ": "phi"},
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: str, encoding: str | None) -> str:
    """The text as an output of that encoding shows it; None: as it is."""
    if encoding is None:
        return text
    return text.encode(encoding, SPELLING).decode(encoding, "backslashreplace")


def one_line(text: str) -> str:
    """The text with its control characters as Python writes them: a line's end is two letters."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character, end = error.object[error.start], error.start + 1
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is no text
        return bytes([ord(character) - 0xDC00]), end
    return _SPELLED.get(character) or _without_marks(character), end


def _without_marks(character: str) -> str:
    """The letter of "é"; "" for a mark that stands alone, "?" for all else."""
    if unicodedata.combining(character):
        return ""
    parts = unicodedata.normalize("NFKD", character)
    return "".join(part for part in parts if part.isascii()) or "?"


codecs.register_error(SPELLING, _spell)

"""Characters of a drawn tree: which can be shown, and how wide they are."""

import re
import unicodedata

# What XML forbids or a page may not show, and what would turn the direction of the text after it.
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def shown(text: str) -> str:
    """With signs in the place of characters that cannot be shown."""
    return _UNFIT.sub(lambda found: _sign(ord(found[0])), text)


def _sign(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"


# Parts of an em, those of the wider common fonts.
_ASCII = {
    **dict.fromkeys(map(chr, range(32, 127)), 0.64),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 0.74),
    **dict.fromkeys("#+<=>^~&", 0.84),
    **dict.fromkeys("mwMW@%", 0.98),
    **dict.fromkeys('ft()[]-/\\"`r!J', 0.42),
    **dict.fromkeys("ijlI.,:;'| ", 0.33),
}


def text_width(text: str, size: float) -> float:
    """An estimate of a text's width, rather too wide than too narrow."""
    return size * sum(_ASCII[c] if c in _ASCII else _em(c) for c in text)


def _em(c: str) -> float:
    category = unicodedata.category(c)
    if category in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(c) in "WF":
        return 1.35 if category == "So" else 1.02  # emoji are wider
    return {"Ll": 0.66, "Lu": 0.82, "So": 1.0, "Pd": 1.0}.get(category, 0.8)


def cell_width(text: str) -> int:
    """Columns of a terminal."""
    return sum(
        0
        if unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )

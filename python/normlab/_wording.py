"""Counted nouns, and text shortened with an ellipsis."""


def counted(n: float, noun: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{n:g} {noun}{'' if n == 1 else 's'}"


def shortened(text: str, most: int) -> str:
    """The text, cut at its end to at most that many letters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shortened_in_front(text: str, most: int) -> str:
    """The text, cut at its beginning to at most that many letters."""
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]

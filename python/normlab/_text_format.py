"""Counts with their nouns, and texts shortened to a width."""


def counted(n: float, noun: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{n:g} {noun}{'' if n == 1 else 's'}"


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis, of at most so many letters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shortened_in_front(text: str, most: int) -> str:
    """The text, or an ellipsis and its end, of at most so many letters."""
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]

"""Numbers in words."""


def counted(n: float, noun: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{n:g} {noun}{'' if n == 1 else 's'}"

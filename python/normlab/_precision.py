"""matmul_precision: a block whose products have a precision of their own."""

from ._core import _MatmulPrecisionGuard


class matmul_precision:  # noqa: N801 (used like a keyword)
    """Gives this thread's products a precision: ``with nl.matmul_precision("bfloat16"):``.

    May be nested and used again. Derivatives have the precision of their forward pass, wherever
    ``backward()`` is called. See :func:`normlab.set_matmul_precision`.

    Args:
        precision: "float32" or "bfloat16".

    Raises:
        ArgumentError: Any other name, or a block that another thread leaves.

    Example:
        >>> with nl.matmul_precision("bfloat16"):
        ...     z = nl.ones((2, 3)) @ nl.ones((3, 2))
        >>> nl.get_matmul_precision()
        'float32'
    """

    def __init__(self, precision: str) -> None:
        self._guard = _MatmulPrecisionGuard(precision)

    def __enter__(self) -> None:
        self._guard.enter()

    def __exit__(self, *_: object) -> None:
        self._guard.exit()

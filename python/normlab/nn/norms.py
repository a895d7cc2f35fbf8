"""Norms under PyTorch's names, where these mean exactly the same."""

from collections.abc import Sequence

from .._core.nn import Norm

_FLOAT32_EPS = 2.0**-23  # numpy.finfo("float32").eps


def LayerNorm(  # noqa: N802 (PyTorch's name)
    normalized_shape: int | Sequence[int],
    eps: float = 1e-5,
    elementwise_affine: bool = True,
    bias: bool = True,
) -> Norm:
    """``nl.nn.Norm("layernorm", normalized_shape)``, as PyTorch's LayerNorm.

    Args:
        normalized_shape: The trailing axes that form a row.
        eps: Added to the variance.
        elementwise_affine: False: without gain and bias, the variant "layernorm_simple".
        bias: False: without bias, the variant "gain_only".

    Returns:
        A Norm. Its parameters are called ``gain`` (PyTorch's ``weight``) and ``bias``.

    Example:
        >>> nl.nn.LayerNorm(64)
        Norm('layernorm', 64)
    """
    affine = "layernorm" if bias else "gain_only"
    return Norm(affine if elementwise_affine else "layernorm_simple", normalized_shape, eps=eps)


def RMSNorm(  # noqa: N802 (PyTorch's name)
    normalized_shape: int | Sequence[int],
    eps: float | None = None,
    elementwise_affine: bool = True,
) -> Norm:
    """``nl.nn.Norm("rmsnorm", normalized_shape)``, as PyTorch's RMSNorm.

    Args:
        normalized_shape: The trailing axes that form a row.
        eps: Added to the mean square; None: float32's own, 2**-23, as in PyTorch. That of
            ``nl.nn.Norm`` is 1e-5.
        elementwise_affine: False: without gain, the variant "rmsnorm_simple".

    Returns:
        A Norm. Its parameter is called ``gain`` (PyTorch's ``weight``).

    Example:
        >>> nl.nn.RMSNorm(64, eps=1e-5, elementwise_affine=False)
        Norm('rmsnorm_simple', 64)
    """
    variant = "rmsnorm" if elementwise_affine else "rmsnorm_simple"
    return Norm(variant, normalized_shape, eps=_FLOAT32_EPS if eps is None else eps)

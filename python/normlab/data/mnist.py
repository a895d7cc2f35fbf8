"""MNIST and Fashion-MNIST, in the paper's split 55,000 / 5,000 / 10,000."""

from pathlib import Path

from .fetch import RemoteFile
from .images import IdxSource, ImageData, load

# LeCun, Cortes and Burges. The sums are those of the official files.
MNIST = IdxSource(
    name="mnist",
    folder="mnist",
    urls=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    elsewhere=("MNIST/raw",),  # torchvision's
)

# Xiao, Rasul and Vollgraf 2017, MIT licence.
FASHION_MNIST = IdxSource(
    name="fashion_mnist",
    folder="fashion-mnist",
    urls=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    installed=(Path("/usr/share/datasets/fashion-mnist"), "Debian package dataset-fashion-mnist"),
    elsewhere=("FashionMNIST/raw",),
)


def mnist(*, mirror: str | None = None) -> ImageData:
    """Handwritten digits: 55,000 / 5,000 / 10,000 images of 28x28.

    Looked for in NORMLAB_DATA/mnist, in NORMLAB_DATA/MNIST/raw (as torchvision lays it), then in
    the user's cache, then downloaded.

    Args:
        mirror: Address to download from instead of the official ones; the files lie below it in
            mnist/. The environment variable NORMLAB_MIRROR does the same.

    Raises:
        FileError: A file is there but wrong.
        DataMissingError: The files are nowhere, and the download failed.

    Example:
        >>> data = nl.data.mnist()
        >>> data.train.images.shape, data.test.labels.shape
        ((55000, 28, 28), (10000,))
    """
    return load(MNIST, mirror=mirror)


def fashion_mnist(*, mirror: str | None = None) -> ImageData:
    """Pictures of clothes in MNIST's format: 55,000 / 5,000 / 10,000 images of 28x28.

    Looked for in NORMLAB_DATA/fashion-mnist, in NORMLAB_DATA/FashionMNIST/raw (as torchvision lays
    it), then where Debian's package dataset-fashion-mnist lays them, then in the user's cache, then
    downloaded. Arguments and errors as in mnist().

    Example:
        >>> data = nl.data.fashion_mnist()
        >>> data.valid.images.shape, data.valid.images.dtype
        ((5000, 28, 28), dtype('uint8'))
    """
    return load(FASHION_MNIST, mirror=mirror)

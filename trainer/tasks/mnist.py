"""MNIST: handwritten digits of 28 x 28 pixels, as sequences of 784 steps."""

import functools
import hashlib
import os
import re

import numpy as np

from trainer.errors import UserError
from trainer.tasks.pixels import Pixels, pixel_order


class MNIST(Pixels):
    """Names a handwritten digit after reading its 784 pixels one by one.

    The images (LeCun et al., 1998) are those of TensorFlow Datasets. The last 5,000 of its 60,000
    training images are for validation. Inputs, targets and loss are those of `Pixels`.

    Args:
        path: data directory of TensorFlow Datasets with mnist; None for the default one.
        permuted, permutation_seed: as for `Digits`.

    Raises:
        UserError: the images are not there, or an argument has the wrong type.
    """

    name = "mnist"
    summary = "name a handwritten digit of 28 x 28 pixels, read one pixel per step"
    defaults = {"train_steps": 800, "num_params": 10_000, "eval_samples": 10_000}
    pooled_options = ("path",)  # the hash tells data sets apart

    def __init__(self, path: str | None = None, permuted: bool = False, permutation_seed: int = 0):
        if not isinstance(path, str | None):
            raise UserError(f"path of mnist must be a string or None, got {path!r}")
        order = pixel_order(784, permuted, permutation_seed)
        images, labels, train, self._sha256 = _load(path)
        first, size = train * 11 // 12, len(images)
        splits = {"train": (0, first), "valid": (first, train), "eval": (train, size)}
        super().__init__(images, labels, 255, splits, order)

    def describe(self):
        return {"sha256": self._sha256, "size": len(self.data["images"])}


@functools.lru_cache(maxsize=1)
def _load(path):
    """Return images (n, 784), labels (n,), the number of training images, and a hash."""
    try:
        # TFDS would ask the network for gs:// and the like, which a run directory may name.
        if path is not None and not os.path.isdir(os.path.expanduser(path)):
            raise NotADirectoryError("it is not a directory here")
        import tensorflow_datasets as tfds

        parts = tfds.as_numpy(tfds.load("mnist", data_dir=path, download=False, batch_size=-1))
        both = [parts[split] for split in ("train", "test")]
        images = np.concatenate([part["image"].reshape(-1, 784) for part in both])
        labels = np.concatenate([part["label"] for part in both])
        if images.dtype != np.uint8 or len(images) != len(labels) or set(labels) - set(range(10)):
            raise ValueError("its images or labels are not those of digits")
    except Exception as error:  # TFDS raises almost anything where data are missing
        words = re.sub(r"\{\{.*?\}\}", "", f"{type(error).__name__}: {error}").split()
        raise UserError(
            f"no MNIST in {path or 'the default directory'} ({' '.join(words)[:100]}); remove what "
            'is damaged there, and download it: python -c "import tensorflow_datasets as t; '
            "t.load('mnist')\", or give --mnist_path=DIR"
        ) from None
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return images, labels, len(parts["train"]["label"]), digest

"""Imports without optional packages that take long and are not needed."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """Makes packages that are not imported yet look as if they were not installed.

    Keras imports scikit-learn, pandas, Matplotlib and JAX if they are there, which takes two
    seconds, and tensorboardX imports PyTorch, which takes two more. Both only offer functions for
    them. Once the block is left, the packages can be imported as usual.

    Args:
        packages: names of top-level packages.
    """
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)

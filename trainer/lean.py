"""Imports without optional packages that take long and are not needed."""

import contextlib
import importlib.machinery
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """Make packages that are not imported yet look as if they were not installed.

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


@contextlib.contextmanager
def keras_without(*packages: str) -> Iterator[None]:
    """Make Keras do `without` packages if the block is the first to import it.

    Everything else that the block imports finds them.
    """
    finder = _KerasFinder(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _KerasFinder(importlib.machinery.PathFinder):
    """Finds Keras alone, and loads it without some packages."""

    def __init__(self, packages):
        self._packages = packages

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[override]
        spec = super().find_spec(fullname, path, target) if fullname == "keras" else None
        if spec and spec.loader:
            load = spec.loader.exec_module

            def exec_module(module):
                with without(*self._packages):
                    load(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

"""The six recurrent architectures of Collins et al. (2017), and more: cells, layers, models.

Names are imported on first use, so importing the package is cheap, and functions that need no
backend, such as `count_params`, do not load one.
"""

import importlib.abc
import importlib.util
import sys

from rnn_zoo.architectures import ARCHITECTURES

_HOMES = {
    "rnn_zoo.cells": ("CELLS", "AbstractRNNCell", *(row.cell for row in ARCHITECTURES.values())),
    "rnn_zoo.model": ("RecurrentModel", "build_model", "make_stepper"),
    "rnn_zoo.presets": ("list_presets", "load", "preset"),
    "rnn_zoo.registration": ("register",),
    "rnn_zoo.saving": ("save_preset",),
    "rnn_zoo.sizing": ("count_params", "units_for_budget"),
    "rnn_zoo.stepper": ("Stepper",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("algebra", "cells", "convert", "initializers", "layers", "presets", "unroll")

__version__ = "0.1.0"
__all__ = ["ARCHITECTURES", *_HOME_OF, *_MODULES]  # noqa: PLE0604


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"rnn_zoo.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rnn_zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    _register()
    return value


def _register():
    """Import the classes that saved models use, which registers them, if Keras is loaded."""
    if "keras" in sys.modules:
        importlib.import_module("rnn_zoo.model")


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers right after Keras is imported.

    So `import rnn_zoo, keras` is enough for `keras.saving.load_model`, and `import rnn_zoo` alone
    stays cheap.
    """

    def find_spec(self, name, path, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            if not any(name.startswith("rnn_zoo.") and _is_begun(name) for name in [*sys.modules]):
                _register()

        spec.loader.exec_module = execute_and_register
        return spec


def _is_begun(name):
    """Return whether a module is being imported: it is what imports Keras, and comes first."""
    return getattr(sys.modules[name].__spec__, "_initializing", False)


if "keras" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _AfterKeras())


def __dir__():
    return sorted({*globals(), *__all__})

"""The six recurrent architectures of Collins et al. (2017), and more: cells, layers, models.

Names are imported on first use, so importing the package is cheap, and functions that need no
backend, such as `count_params`, do not load one.
"""

import importlib
import sys

_HOMES = {
    "rnn_zoo.architectures": ("ARCHITECTURES",),
    "rnn_zoo.cells": (
        "CELLS",
        "AbstractRNNCell",
        "RNNCell",
        "IRNNCell",
        "UGRNNCell",
        "GRUCell",
        "LSTMCell",
        "IntersectionRNNCell",
        "MGUCell",
        "MinimalRNNCell",
    ),
    "rnn_zoo.model": ("RecurrentModel", "build_model"),
    "rnn_zoo.presets": ("list_presets", "load", "preset"),
    "rnn_zoo.registration": ("register",),
    "rnn_zoo.sizing": ("count_params", "units_for_budget"),
    "rnn_zoo.stepper": ("Stepper",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("cells", "convert", "initializers", "layers", "presets", "unroll")

__version__ = "0.1.0"
__all__ = [*_HOME_OF, *_MODULES]  # noqa: PLE0604


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"rnn_zoo.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rnn_zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    _register_with_keras()
    return value


def _register_with_keras():
    """Import the classes that saved models use, which registers them, if Keras is loaded."""
    if "keras" in sys.modules:
        importlib.import_module("rnn_zoo.model")


_register_with_keras()


def __dir__():
    return sorted({*globals(), *__all__})

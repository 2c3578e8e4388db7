"""Ways to compile the training program, compared within one run.

Small recurrent steps wait for kernel launches, so each choice makes launches fewer or cheaper.
"""

import contextlib
import functools
from unittest import mock

import jax

from rnn_zoo.backend import jax as backend
from trainer import trial

#: Everything that may become part of a CUDA graph, loops included, at any length.
_GRAPHS = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONDITIONAL,WHILE,"
    "DYNAMIC_SLICE_FUSION",
    "xla_gpu_graph_min_graph_size": 1,
}
_UNROLLED = _GRAPHS | {"xla_gpu_command_buffer_unroll_loops": True}

#: Name -> (compiler options, replaced attributes of `rnn_zoo.backend.jax`).
CHOICES = {
    "default": ({}, {}),
    "graphs": (_GRAPHS, {}),
    "unrolled graphs": (_UNROLLED, {}),
    "no graphs": ({"xla_gpu_enable_command_buffer": ""}, {}),
    "input products in the loop": ({}, {"prefers_hoisting": lambda: False}),
    "input products before the loop": ({}, {"prefers_hoisting": lambda: True}),
    "unroll 4": ({}, {"SCAN_UNROLL": 4}),
    "gather": ({}, {"prefers_gather": lambda: True}),
}


class Recorded:
    """A compiled function that remembers its last arguments' shapes."""

    def __init__(self, function):
        self._function, self._arguments = jax.jit(function), None

    def __call__(self, *arguments):
        self._arguments = jax.tree.map(jax.typeof, arguments)
        return self._function(*arguments)

    def text(self):
        """The optimized program as text."""
        return self._function.lower(*self._arguments).compile().as_text()


@contextlib.contextmanager
def recorded():
    """Yield a list that gets a `Recorded` for each function compiled within the block."""
    found = []

    def compile(function):
        found.append(Recorded(function))
        return found[-1]

    with _no_programs(), mock.patch.object(backend, "compile", compile):
        yield found


@contextlib.contextmanager
def made(name):
    """Compile with one of `CHOICES` within the block."""
    options, attributes = CHOICES[name]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_no_programs())
        compile = functools.partial(jax.jit, compiler_options=options)
        for attribute, value in {"compile": compile, **attributes}.items():
            stack.enter_context(mock.patch.object(backend, attribute, value))
        yield


def _no_programs():
    """Compile anew within the block; a process keeps its last programs."""
    return mock.patch.dict(trial.kept_programs, clear=True)

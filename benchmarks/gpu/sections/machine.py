"""Names and versions, and the two limits of any program: copies and matrix products."""

import contextlib

import jax
import jax.numpy as jnp
import pynvml

from benchmarks import machine
from benchmarks.gpu.sections import common

#: Name -> precision argument of `jnp.matmul`.
PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": None}


def items(toy):
    sizes = {"megabytes": 16 if toy else 512, "size": 256 if toy else 8192}
    return [
        {"figure": "facts"},
        {"figure": "copy", "megabytes": sizes["megabytes"]},
        *({"figure": "product", "precision": p, "size": sizes["size"]} for p in PRECISIONS),
    ]


def prepare(figure, **options):
    return {"facts": facts, "copy": copy, "product": product}[figure](**options)


def facts():
    found = machine.facts() | {"device": common.device().device_kind}
    gpu = common.gpu()
    asked = {
        "driver": pynvml.nvmlSystemGetDriverVersion,
        "megabytes": lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu).total >> 20,
        "largest_megahertz": lambda: pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    }
    for name, ask in asked.items() if gpu else ():
        with contextlib.suppress(pynvml.NVMLError):
            found[name] = ask()
    return lambda seconds: found


def copy(megabytes):
    """Bandwidth of copying an array, reads plus writes."""
    x = jax.random.normal(jax.random.key(0), (megabytes * 2**18,))
    double = jax.jit(lambda x: 2 * x)
    run = _repeated(lambda: double(x))
    run(1)
    return lambda seconds: {
        "gigabytes_per_second": common.rate(run, seconds) * 2 * megabytes * 2**20 / 1e9
    }


def product(precision, size):
    """Rate of products of random square matrices."""
    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    a, b = jax.random.normal(jax.random.key(0), (2, size, size)).astype(dtype)
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=PRECISIONS[precision]))
    run = _repeated(lambda: multiply(a, b))
    run(1)
    return lambda seconds: {"tflops": common.rate(run, seconds) * 2 * size**3 / 1e12}


def _repeated(call):
    def run(count):
        for _ in range(count):
            result = call()
        jax.block_until_ready(result)

    return run

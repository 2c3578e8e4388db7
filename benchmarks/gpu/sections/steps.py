"""Training steps per second: ours, JAX's `lax.scan` with optax, PyTorch's cuDNN layers."""

import tempfile

import jax

from benchmarks import step_worker
from benchmarks.gpu import choices, programs
from benchmarks.gpu.sections import common
from rnn_zoo.backend import jax as backend

ARCHS = ("gru", "lstm", "rnn", "ugrnn", "+rnn", "irnn")
#: PyTorch has kernels for these.
STOCK = ("rnn", "irnn", "gru", "lstm")
SETTINGS = (
    *(("parens", 10_000), ("text8", 10_000), ("text8", 100_000)),
    *(("parens", 100_000), ("text8", 1_000_000)),
)
#: The settings in which all of `choices.CHOICES` are compared.
COMPARED = (
    {"task": "parens", "arch": "gru", "budget": 10_000},
    {"task": "text8", "arch": "gru", "budget": 100_000},
)


def items(toy):
    archs, settings = (ARCHS[:1], (("parens", 3000),)) if toy else (ARCHS, SETTINGS)
    listed = [
        {"task": task, "arch": arch, "budget": budget, "candidate": candidate, "choice": "default"}
        for task, budget in settings
        for arch in archs
        for candidate in ("ours_jax", "jax", "torch")
        if candidate != "torch" or arch in STOCK
    ]
    compared = [
        {**place, "candidate": "ours_jax", "choice": choice}
        for place in ([{**COMPARED[0], "budget": 3000}] if toy else COMPARED)
        for choice in (list(choices.CHOICES)[:2] if toy else choices.CHOICES)
        if choice != "default"
    ]
    compared.append({**compared[0], "candidate": "profile", "choice": "default"})
    # The first two settings, then the compared choices, then the other settings.
    first = len([i for i in listed if (i["task"], i["budget"]) in settings[:2]])
    return [*listed[:first], *compared, *listed[first:]]


def prepare(task, arch, budget, candidate, choice, **options):
    """Compile one candidate; `options` are those of `step_worker.Setting`."""
    if candidate == "profile":
        return profile(task, arch, budget)
    if candidate == "torch" and common.on_gpu():
        import torch

        assert torch.cuda.is_available(), "PyTorch sees no GPU"
    with choices.made(choice):
        setting = setting_of(task, arch, budget, **options)
        run, _ = step_worker.CANDIDATES[candidate](setting, "")
        run(1)
    return lambda seconds: {
        "units": setting.units,
        "steps_per_second": common.rate(run, seconds),
    }


def setting_of(task, arch, budget, **options):
    text = {"source": None, "path": common.text()} if task == "text8" else {}
    return step_worker.Setting(task, arch, budget, **text, **options)


def profile(task, arch, budget, traced_steps=20):
    """Count the loops of our compiled program and profile some steps; keep the program's text."""
    setting = setting_of(task, arch, budget)
    with choices.recorded() as compiled:
        run, _ = step_worker.CANDIDATES["ours_jax"](setting, "")
        run(1)
    with backend.matmul_precision(tf32=False):  # As the trainer runs it.
        text = compiled[0].text()
    directory = common.artefacts() / "programs"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{task}-{arch}-{budget}.txt").write_text(text)

    def measure(seconds):
        with tempfile.TemporaryDirectory() as trace:
            with jax.profiler.trace(trace):
                run(traced_steps)
            kernels = programs.kernels(trace)
        return {"traced_steps": traced_steps, "loops": programs.loops(text), "kernels": kernels}

    return measure

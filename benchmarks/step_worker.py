"""Measures one candidate of `benchmarks.steps` in this process and prints a line of JSON."""

import argparse
import itertools
import json
import os
import statistics
import time

BATCH_SIZE = 64
NUM_BATCHES = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("candidate", "variant", "task", "arch"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--budget", type=int)
    parser.add_argument("--core", type=int, default=-1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--repeats", type=int)
    args = parser.parse_args()
    if args.core >= 0:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[args.core]})
    setting = Setting(args.task, args.arch, args.budget)
    began = time.perf_counter()
    run, granule = CANDIDATES[args.candidate](setting, args.variant)
    run(granule)
    compile_seconds = time.perf_counter() - began
    steps = granule
    while (elapsed := _timed(run, steps)) < args.seconds / 2:
        wanted = steps * max(2, min(10, int(args.seconds / max(elapsed, 1e-6))))
        steps = -(-wanted // granule) * granule
    rates = [steps / _timed(run, steps) for _ in range(args.repeats)]
    from benchmarks import machine

    print(
        json.dumps(
            {
                "steps_per_second": statistics.median(rates),
                "compile_seconds": compile_seconds,
                "peak_megabytes": machine.peak_megabytes(),
                "units": setting.units,
                "batch_size": BATCH_SIZE,
                "flops_per_step": setting.flops_per_step,
                "variant": args.variant,
            }
        )
    )


def _timed(run, steps):
    began = time.perf_counter()
    run(steps)
    return time.perf_counter() - began


class Setting:
    """Model and task that all candidates share."""

    def __init__(self, task, arch, budget, precision="float32", **task_options):
        from trainer.config import MAX_TRAIN_STEPS, TrainConfig

        options = {"text8": {"source": "pydoc"}, "capacity": {"num_samples": 4 * budget}}
        self.config = TrainConfig(
            task=task,
            arch=arch,
            num_params=budget,
            batch_size=BATCH_SIZE,
            train_steps=MAX_TRAIN_STEPS,
            lr_init=1e-4,
            precision=precision,
            task_options=options.get(task, {}) | task_options,
        )
        self.task = self.config.make_task()
        self.arch, self.depth = arch, self.config.depth
        self.units = self.config.units(self.task.input_dim, self.task.output_dim)

    @property
    def flops_per_step(self):
        """FLOPs of one training step's matrix products, at two per multiply-add.

        Each matrix has three products: one forward, two backward. The first layer's inputs need no
        gradient, so their matrices have two.
        """
        from rnn_zoo.architectures import ARCHITECTURES

        architecture, n = ARCHITECTURES[self.arch], self.units
        gates, rows = len(architecture.gates), BATCH_SIZE * self.task.num_steps
        first = 2 * 2 * rows * gates * self.task.input_dim * n
        if architecture.mixes_input and n != self.task.input_dim:
            first = 2 * 2 * rows * self.task.input_dim * n + 3 * 2 * rows * gates * n * n
        inner = (self.depth - 1) * 3 * 2 * rows * gates * n * n
        recurrent = self.depth * 3 * 2 * rows * gates * n * n
        scored = len(range(*self.task.loss_steps.indices(self.task.num_steps)))
        readout = 3 * 2 * BATCH_SIZE * scored * n * self.task.output_dim
        return first + inner + recurrent + readout

    def batches(self, split="train", count=NUM_BATCHES):
        """Return ready-made batches as NumPy (inputs, targets)."""
        from keras import ops

        drawn = [self.task.sample(split, 0, BATCH_SIZE, step) for step in range(count)]
        return [tuple(ops.convert_to_numpy(part) for part in batch[:2]) for batch in drawn]

    def dataset(self, split, count):
        """Return ready-made batches as a `tf.data.Dataset`, targets at the scored steps only."""
        import numpy as np
        import tensorflow as tf

        inputs, targets = map(np.stack, zip(*self.batches(split, count), strict=True))
        cut = [slice(None)] * (targets.ndim + self.task.target_time_axis)
        targets = targets[(*cut, self.task.loss_steps)]
        return tf.data.Dataset.from_tensor_slices((inputs, targets)).cache()

    def stock_layer(self, **options):
        """Return Keras's own layer of this architecture."""
        import keras

        layer, own = {
            "rnn": (keras.layers.SimpleRNN, {}),
            "irnn": (keras.layers.SimpleRNN, {"activation": "relu"}),
            "gru": (keras.layers.GRU, {}),
            "lstm": (keras.layers.LSTM, {}),
        }[self.arch]
        return layer(self.units, return_sequences=True, **own, **options)


def ours(setting, variant):
    """The trainer's own program."""
    from trainer.trial import Trial

    trial = Trial(setting.config)
    program = trial.program()
    held = {"state": program.start(trial.draw_weights()), "step": 0}
    hparams = trial.hparams(program)

    def run(steps):
        held["step"] += steps
        held["state"] = program.run(held["state"], hparams, trial.task.device_data, held["step"])
        assert int(held["state"]["step"]) == held["step"], "diverged"

    return run, 1


def fit(setting, variant):
    """Keras's `fit` with the stock layer."""
    options = {"reset_after": variant.endswith("after")} if setting.arch == "gru" else {}
    return _fit(setting, variant, lambda: setting.stock_layer(**options))


def fit_cell(setting, variant):
    """Keras's `fit` with `keras.layers.RNN` around the cell of `rnn_zoo`."""
    import keras

    import rnn_zoo

    cell = rnn_zoo.CELLS[setting.arch]
    return _fit(
        setting, variant, lambda: keras.layers.RNN(cell(setting.units), return_sequences=True)
    )


def _fit(setting, variant, layer):
    import keras

    task = setting.task
    inputs = x = keras.Input((task.num_steps, task.input_dim))
    for _ in range(setting.depth):
        x = layer()(x)
    x = x[:, task.loss_steps]
    model = keras.Model(inputs, keras.layers.Dense(task.output_dim)(x))
    chunk = int("".join(filter(str.isdigit, variant)) or 1)
    model.compile(
        keras.optimizers.Adam(1e-4, global_clipnorm=1.0),
        loss=task.keras_loss(),
        steps_per_execution=chunk,
    )
    data = setting.dataset("train", NUM_BATCHES).repeat().prefetch(2)

    def run(steps):
        model.fit(data, steps_per_epoch=steps, verbose=0)

    return run, chunk


def torch_loop(setting, variant):
    """A plain PyTorch training loop."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    task, n = setting.task, setting.units

    class UGRNN(torch.nn.Module):
        def __init__(self, features, units):
            super().__init__()
            self.x, self.h = torch.nn.Linear(features, 2 * units), torch.nn.Linear(units, 2 * units)

        def forward(self, x):
            z, h, outputs = self.x(x), x.new_zeros(x.shape[0], n), []
            for t in range(x.shape[1]):
                c, g = (z[:, t] + self.h(h)).chunk(2, dim=-1)
                g = torch.sigmoid(g + 1)
                h = g * h + (1 - g) * torch.tanh(c)
                outputs.append(h)
            return torch.stack(outputs, dim=1), h

    stock = {
        "rnn": lambda: torch.nn.RNN(task.input_dim, n, batch_first=True),
        "irnn": lambda: torch.nn.RNN(task.input_dim, n, nonlinearity="relu", batch_first=True),
        "gru": lambda: torch.nn.GRU(task.input_dim, n, batch_first=True),
        "lstm": lambda: torch.nn.LSTM(task.input_dim, n, batch_first=True),
        "ugrnn": lambda: UGRNN(task.input_dim, n),
    }
    layer, readout = stock[setting.arch](), torch.nn.Linear(n, task.output_dim)
    parameters = [*layer.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-4)
    kind = {"capacity": torch.float32, "memory": None, "rcf": None}.get(task.name, torch.int64)
    batches = [(torch.tensor(x), torch.tensor(y, dtype=kind)) for x, y in setting.batches()]
    endless = itertools.cycle(batches)
    loss_of = _torch_loss(task)

    def run(steps):
        for _ in range(steps):
            x, y = next(endless)
            outputs = readout(layer(x)[0][:, task.loss_steps])
            loss = loss_of(outputs, y)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        float(loss.detach())

    return run, 1


def _torch_loss(task):
    from torch.nn import functional

    steps = task.loss_steps
    if task.name in ("memory", "rcf"):
        return lambda out, y: functional.mse_loss(out, y[:, steps])
    if task.name == "capacity":
        return lambda out, y: functional.binary_cross_entropy_with_logits(out, y[:, steps])
    classes = 10 if task.name == "parens" else task.output_dim
    return lambda out, y: functional.cross_entropy(
        out.reshape(-1, classes), y[:, steps].reshape(-1)
    )


def jax_scan(setting, variant):
    """A typical JAX program: `lax.scan`, automatic gradients, optax, one jitted step."""
    import jax
    import jax.numpy as jnp
    import optax

    from rnn_zoo.functional import draw_weights, make_cells
    from trainer.tasks import Batch

    task = setting.task
    cells = make_cells(setting.arch, setting.depth, setting.units, seed=0)
    weights = draw_weights(cells, task.input_dim, task.output_dim, seed=0)

    def loss(weights, x, y):
        return task.loss(scan_forward(cells, weights, x, task.loss_steps), Batch(x, y))

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-4))

    @jax.jit
    def step(weights, slots, x, y):
        gradients = jax.grad(loss)(weights, x, y)
        changes, slots = optimizer.update(gradients, slots)
        return optax.apply_updates(weights, changes), slots

    held = {"weights": weights, "slots": optimizer.init(weights)}
    endless = itertools.cycle([tuple(map(jnp.asarray, batch)) for batch in setting.batches()])

    def run(steps):
        # As in the trainer. By default a GPU would round the factors of products to TF32.
        with jax.default_matmul_precision("float32"):
            for _ in range(steps):
                x, y = next(endless)
                held["weights"], held["slots"] = step(held["weights"], held["slots"], x, y)
        jax.block_until_ready(held["weights"])

    return run, 1


def scan_forward(cells, weights, inputs, output_steps=slice(None)):
    """`rnn_zoo.functional.forward` by `jax.lax.scan` alone, with its automatic gradient."""
    import jax.numpy as jnp

    x = jnp.swapaxes(inputs, 0, 1)
    for cell, layer in zip(cells, weights["layers"], strict=True):
        x = _scan_layer(cell, layer, x)
    outputs = jnp.swapaxes(x[output_steps], 0, 1)
    return outputs @ weights["readout"]["kernel"] + weights["readout"]["bias"]


def _scan_layer(cell, weights, x):
    import jax
    import jax.numpy as jnp
    from keras import ops

    if weights["read_in"]:
        x = cell.after_read_in(ops, x @ weights["read_in"]["kernel"] + weights["read_in"]["bias"])
    z = {gate: x @ weights["input"][gate] + weights["bias"][gate] for gate in cell.gates}
    states = [jnp.broadcast_to(s, (x.shape[1], cell.units)) for s in weights["initial_state"]]

    def step(states, inputs):
        x, z = inputs

        def pre(gate, operand):
            return z[gate] + operand @ weights["recurrent"][gate]

        output, states = cell.step(ops, x, pre, states)
        return list(states), output

    return jax.lax.scan(step, states, (x, z))[1]


CANDIDATES = {
    "ours": ours,
    "ours_jax": ours,
    "fit": fit,
    "fit_cell": fit_cell,
    "torch": torch_loop,
    "jax": jax_scan,
}

if __name__ == "__main__":
    main()

"""python -m benchmarks.fit: a layer in a user's own `fit`, against Keras's and the cell in Keras's.

Each setting is a model that is built once per candidate in one process. The candidates then train
for one epoch in turn, and a setting's time is the least over --repeats. Candidates:

    stock    the layer of `keras.layers`
    ours     the same layer of `rnn_zoo.layers`
    zeros    that with initial states of zeros, as Keras's, where `ours` learns them
    cell     `keras.layers.RNN` of the cell of `rnn_zoo`; single layers only

Settings are single layers on 16 features, by units, batch size and time steps, and the examples of
`benchmarks.examples`. Each runs in a process of its own, on all cores, with `jit_compile="auto"`;
with TensorFlow, where that means False on CPUs, with True as well.

Results: fit.csv in --out. `step_ms` is the time of a training step, `predict_ms` of a batch in
`predict`, and `first_seconds` of the first epoch of --batches steps, with tracing and compilation.
Ratios are Keras's time divided by the row's.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks import machine, table

#: Layer, units, batch size, time steps.
SHAPES = (
    ("LSTM", 32, 256, 120),
    ("LSTM", 64, 64, 50),
    ("LSTM", 128, 128, 40),
    ("GRU", 16, 32, 50),
    ("GRU", 64, 64, 50),
    ("GRU", 128, 128, 40),
    ("SimpleRNN", 32, 64, 100),
    ("SimpleRNN", 128, 64, 50),
)
FEATURES = 16
EXAMPLES = ("weather", "text_generation", "addition", "imdb", "seq2seq", "captcha", "video")
CANDIDATES = ("stock", "ours", "zeros", "cell")
#: Times, and the columns of Keras's time divided by a row's.
RATIOS = {"step_ms": "step_ratio", "first_seconds": "first_ratio", "predict_ms": "predict_ratio"}
FIELDS = ("setting", "backend", "jit_compile", "candidate", *RATIOS, *RATIOS.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    settings = [_name(shape) for shape in SHAPES] + list(EXAMPLES)
    parser.add_argument("--settings", nargs="*", default=settings, choices=settings)
    parser.add_argument("--backends", nargs="*", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=8, help="training steps per epoch")
    parser.add_argument("--out", default="benchmarks/results/fit")
    parser.add_argument("--worker", help="measure one setting in this process and print JSON")
    parser.add_argument("--jit_compile", default="auto", choices=("auto", "true"))
    args = parser.parse_args()
    if args.worker:
        is_compiled = args.jit_compile == "true"
        print(json.dumps(measure(args.worker, args.repeats, args.batches, is_compiled)))
        return
    print(machine.describe())
    rows = []
    for setting in args.settings:
        for backend in args.backends:
            # JAX always compiles and PyTorch never does, unless a user asks for it.
            for jit_compile in ("auto", "true") if backend == "tensorflow" else ("auto",):
                rows += _rows(setting, backend, jit_compile, args)
                table.save(args.out, "fit", FIELDS, rows)
    for line in summary(rows):
        print(line)


def _name(shape):
    layer, units, batch_size, time_steps = shape
    return f"{layer}({units})-{batch_size}x{time_steps}"


def _rows(setting, backend, jit_compile, args):
    """Measure a setting in a process of its own; return its rows, with ratios."""
    command = [sys.executable, "-m", "benchmarks.fit", "--worker", setting]
    command += ["--repeats", str(args.repeats), "--batches", str(args.batches)]
    command += ["--jit_compile", jit_compile]
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{setting} {backend} failed: {done.stderr.strip().splitlines()[-1:]}")
        return []
    found = json.loads(done.stdout.strip().splitlines()[-1])
    rows = []
    for candidate, values in found.items():
        ratios = {RATIOS[name]: found["stock"][name] / values[name] for name in RATIOS}
        place = {"setting": setting, "backend": backend, "jit_compile": jit_compile}
        rows.append(place | {"candidate": candidate} | values | ratios)
        print(
            f"{setting:18} {backend:10} {jit_compile:5} {candidate:5} {values['step_ms']:8.2f} ms "
            f"first {values['first_seconds']:6.2f} s  predict {values['predict_ms']:7.2f} ms   "
            f"ratio {ratios['step_ratio']:.2f}",
            flush=True,
        )
    return rows


def measure(setting, repeats, batches, is_compiled):
    """Train the candidates in turn; return dict candidate -> times."""
    import keras

    models, found = {}, {}
    _warm_up()
    for candidate in CANDIDATES:
        made = _model(setting, candidate, batches)
        if made is None:
            continue
        model, x, y, batch_size = made
        if is_compiled:  # else as `compile` has resolved "auto", which the attribute takes for True
            model.jit_compile = True
        models[candidate] = made
        began = time.perf_counter()
        model.fit(x, y, batch_size=batch_size, verbose=0)
        found[candidate] = {"first_seconds": time.perf_counter() - began}
        model.predict(x, batch_size=batch_size, verbose=0)
    epochs = {candidate: ([], []) for candidate in models}
    steps = keras.tree.flatten(x)[0].shape[0] // batch_size
    for _ in range(repeats):
        for candidate, (model, x, y, batch_size) in models.items():
            clock = _Clock()
            model.fit(x, y, batch_size=batch_size, verbose=0, callbacks=[clock.callback])
            epochs[candidate][0].append(clock.seconds / steps)
            clock = _Clock()
            model.predict(x, batch_size=batch_size, verbose=0, callbacks=[clock.callback])
            epochs[candidate][1].append(clock.seconds / steps)
    for candidate, (training, prediction) in epochs.items():
        found[candidate] |= {"step_ms": 1e3 * min(training), "predict_ms": 1e3 * min(prediction)}
    return found


def _warm_up():
    """Train something else first: the first `fit` of a process takes longer."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0)


class _Clock:
    """Seconds of an epoch or a prediction, without their preparation."""

    def __init__(self):
        import keras

        def began(logs=None):
            self.seconds = -time.perf_counter()

        def ended(logs=None):
            self.seconds += time.perf_counter()

        self.callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: began(), on_epoch_end=lambda epoch, logs: ended()
        )
        self.callback.on_predict_begin, self.callback.on_predict_end = began, ended


def _model(setting, candidate, batches):
    """Return (model, x, y, batch size), or None if the candidate is not for this setting."""
    import keras
    import numpy as np

    import rnn_zoo
    from benchmarks import examples

    keras.utils.set_random_seed(0)
    layers = {"stock": keras.layers, "ours": rnn_zoo.layers, "zeros": _ZeroStates()}.get(candidate)
    if setting in EXAMPLES:
        return layers and examples.EXAMPLES[setting](layers)
    (name, units, batch_size, time_steps) = next(s for s in SHAPES if _name(s) == setting)
    if candidate == "cell":
        layer = keras.layers.RNN(getattr(rnn_zoo, f"{name.replace('Simple', '')}Cell")(units))
    else:
        layer = getattr(layers, name)(units)
    model = keras.Sequential([keras.Input((time_steps, FEATURES)), layer, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(batches * batch_size, time_steps, FEATURES))
    return model, x.astype("float32"), x.mean((1, 2), keepdims=False)[:, None], batch_size


class _ZeroStates:
    """The layers of `rnn_zoo.layers`, with initial states that are not learned."""

    def __getattr__(self, name):
        import rnn_zoo

        return functools.partial(getattr(rnn_zoo.layers, name), learned_initial_state=False)


def summary(rows):
    """Yield the geometric means of our ratios per backend, then all slower settings."""
    ours = [row for row in rows if row["candidate"] in ("ours", "zeros")]
    columns = ("backend", "jit_compile", "candidate")
    for place in sorted({tuple(row[column] for column in columns) for row in ours}):
        for kind in ("layers", "examples"):
            here = [
                row
                for row in ours
                if tuple(row[column] for column in columns) == place
                and (row["setting"] in EXAMPLES) == (kind == "examples")
            ]
            for name in RATIOS.values() if here else ():
                values = [row[name] for row in here]
                mean = statistics.geometric_mean(values)
                ends = f"{min(values):.2f} to {max(values):.2f}"
                yield f"{' '.join(place):22} {kind:8} {name:13} {mean:.2f}, {ends}"
    for row in ours:
        if row["step_ratio"] < 1:
            yield (
                f"slower: {row['candidate']}, {row['setting']} on {row['backend']}, "
                f"jit_compile={row['jit_compile']}: {row['step_ratio']:.2f}"
            )


if __name__ == "__main__":
    main()

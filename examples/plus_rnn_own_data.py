"""A stack of +RNN layers on your own series: trained, then streamed one value at a time.

    python examples/plus_rnn_own_data.py [--csv=FILE]

The file has one series, one number per line; without a file, the series is a noisy sum of two sine
waves. The model predicts the next value.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import rnn_zoo

STEPS = 30  # of a training window


def write_csv(path):
    t, rng = np.arange(2000), np.random.default_rng(0)
    series = np.sin(t / 5) + 0.5 * np.sin(t / 17) + 0.05 * rng.normal(size=len(t))
    np.savetxt(path, series, fmt="%.5f")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--csv", help="one number per line")
    path = parser.parse_args().csv
    with tempfile.TemporaryDirectory() as directory:
        if path is None:
            path = pathlib.Path(directory, "series.csv")
            write_csv(path)
        series = np.loadtxt(path, dtype="float32", ndmin=1)[:, None]  # (time, 1)
    known, rest = series[: len(series) * 3 // 4], series[len(series) * 3 // 4 :]
    mean, scale = known.mean(), known.std()
    known, rest = (known - mean) / scale, (rest - mean) / scale

    keras.utils.set_random_seed(0)
    model = rnn_zoo.build_model("+rnn", depth=2, units=24, input_dim=1, output_dim=1)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    windows = np.lib.stride_tricks.sliding_window_view(known[:, 0], STEPS + 1)[..., None]
    model.fit(windows[:, :-1], windows[:, 1:], batch_size=64, epochs=5, verbose=0)

    stepper = model.stepper()
    for x in known:  # the states now depend on all known values
        stepper(x[None])
    predicted = [stepper(x[None])[0] for x in rest[:-1]]
    error = np.mean((np.array(predicted) - rest[1:]) ** 2)
    last_value = np.mean((rest[:-1] - rest[1:]) ** 2)
    print(f"{model.count_params():,} parameters, {len(rest) - 1} values streamed")
    print(f"mean squared error {error:.4f}; predicting the last value gives {last_value:.4f}")


if __name__ == "__main__":
    main()

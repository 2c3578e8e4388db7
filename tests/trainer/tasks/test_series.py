"""Forecasts of a file: windows, splits, standardisation and chance in plain NumPy; wrong files."""

import hashlib
import io
import os
import pickle

import numpy as np
import pytest
from on_backend import to_numpy

from trainer import TrainConfig
from trainer.errors import UserError
from trainer.evaluation import Evaluator
from trainer.storage.records import RunDirectory
from trainer.tasks import TASKS
from trainer.tasks.series import Series
from trainer.tasks.series_file import load
from trainer.trial import Trial

N, T, K = 400, 7, 3


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    return np.stack([np.cumsum(rng.normal(size=N)), 5 + 0.1 * rng.normal(size=N)], axis=1)


@pytest.fixture(scope="module")
def path(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "own.npy"
    np.save(path, values)
    return str(path)


@pytest.fixture(scope="module")
def task(path):
    return Series(path, horizon=K, num_steps=T, warmup_steps=2)


@pytest.fixture(scope="module")
def standardised(values):
    train = values[:320]
    return (values - train.mean(0)) / train.std(0)


def test_it_is_a_task(task):
    assert TASKS["series"] is Series
    assert (task.input_dim, task.output_dim, task.num_steps) == (2, 2, T)
    assert range(T)[task.loss_steps] == range(2, T)


@pytest.mark.parametrize(
    "split, first, stop", [("train", 0, 320), ("valid", 320, 360), ("eval", 360, 400)]
)
def test_targets_are_the_rows_k_later_of_the_same_split(task, standardised, split, first, stop):
    inputs, targets = to_numpy(tuple(task.sample(split, 1, 600)))
    distances = np.abs(inputs[:, :1] - standardised).sum(-1)
    drawn = distances.argmin(-1)
    for start, window, target in zip(drawn, inputs, targets, strict=True):
        np.testing.assert_allclose(window, standardised[start : start + T], atol=1e-5)
        np.testing.assert_allclose(target, standardised[start + K : start + K + T], atol=1e-5)
    assert min(drawn) >= first and max(drawn) + T + K <= stop
    if split == "eval":
        assert set(drawn) == set(range(360, 391))


def test_chance_is_the_loss_of_repeating_the_last_value(task, standardised):
    losses = [
        (standardised[w + t + K] - standardised[w + t]) ** 2
        for w in range(360, N - T - K + 1)
        for t in range(2, T)
    ]
    assert task.chance_loss == pytest.approx(np.mean(losses), rel=1e-5)
    # Of the predictor itself, on windows of eval.
    batch = task.sample("eval", 0, 4000)
    measured = float(task.loss(batch.inputs, batch))
    assert measured == pytest.approx(task.chance_loss, rel=0.02)


def test_a_constant_forecast_of_the_mean_has_the_loss_of_the_variance(task):
    batch = task.sample("train", 0, 4000)
    assert float(task.loss(0 * batch.inputs, batch)) == pytest.approx(1, rel=0.05)
    assert task.untrained_loss == 1


def test_text_and_array_are_the_same_series(task, values, tmp_path):
    lines = ["height, noise", *(f"{a!r}, {b!r}" for a, b in values.tolist()), ""]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    read = load(tmp_path / "own.csv", T + K)
    np.testing.assert_array_equal(read.values, task.series.values)
    (tmp_path / "bare.csv").write_text("\r\n".join(lines[1:]))
    np.testing.assert_array_equal(load(tmp_path / "bare.csv", 9).values, read.values)
    np.save(tmp_path / "one.npy", values[:, 0])
    np.testing.assert_array_equal(load(tmp_path / "one.npy", 9).values, read.values[:, :1])


def test_the_record_has_a_hash_of_the_file(task, path):
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert task.describe() == {"sha256": digest, "rows": N, "columns": 2}


def test_a_file_that_changes_is_read_again(path, values, tmp_path):
    file = tmp_path / "own.npy"
    np.save(file, values)
    before = load(file, 9).sha256
    np.save(file, values[::-1])
    os.utime(file, ns=(1, 1))
    assert load(file, 9).sha256 != before


def test_splits_are_those_of_the_file_as_it_is_now(tmp_path):
    """Trials share a compiled program, which holds where the splits begin and end."""
    file, options = tmp_path / "own.npy", {"num_steps": 9, "warmup_steps": 2}
    options["path"] = str(file)
    config = TrainConfig("series", "rnn", options, num_params=100, train_steps=1)

    def loss():
        trial = Trial(config)
        return Evaluator(trial)(trial.random_weights(), "eval")["loss"]

    rows = np.random.default_rng(0).normal(size=N)
    np.save(file, rows)
    small = loss()
    # The last tenth of the longer series, which is its split eval, is of another scale.
    np.save(file, np.concatenate([rows] * 9 + [30 * rows]))
    assert loss() > 100 * small


class Trap:
    def __reduce__(self):
        return (os.mkdir, (os.environ["TRAP"],))


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


TEXT = "\n".join(["a,b", *(f"{n},{n * n % 7}" for n in range(400))])
#: Name -> content, and a part of the message.
WRONG = {
    "gap.csv": (TEXT.replace("17,2", "17,"), "line 19, column b: '' is not a number; omit columns"),
    "date.csv": (TEXT.replace("17,2", "2020-01-18,2"), "column a: '2020-01-18' is not a number"),
    "ragged.csv": (TEXT.replace("17,2", "17"), "line 19 has 1 column, and the first one 2"),
    "nan.csv": (TEXT.replace("17,2", "17,nan"), "row 18, column 2 is not a finite number"),
    "empty.csv": ("", "has 0 rows of numbers; give a .csv file"),
    "short.csv": ("\n".join(map(str, range(100))), "100 rows are too few: .* at least 510 rows"),
    "flat.csv": ("\n".join(["1"] * 500), "column 1 is constant, or too large, in the first 80 %"),
    "tenth.csv": (
        "\n".join(["0.1"] * 800),
        "column 1 is constant, or too large, in the first 80 %",
    ),
    "far.csv": (
        "\n".join([*map(str, range(990)), "1e20", *["5"] * 9]),
        "row 991, column 1 is more than 1,000,000,000 standard deviations from the mean",
    ),
    "feed.csv": (
        TEXT.replace("17,2", "17\x0c2,2"),
        r"line 19, column a: '17\\x0c2' is not a number",
    ),
    "score.csv": (TEXT.replace("17,2", "1_7,2"), "line 19, column a: '1_7' is not a number"),
    "none.npy": (np.zeros((0,)), "has 0 rows of numbers"),
    "two.npy": (b"".join(map(npy, (np.arange(600), np.arange(600)))), "4,928 bytes follow the ar"),
    "end.csv": ("\n".join([*map(str, range(900)), *["5"] * 120]), "last 10 % of the rows are con"),
    "bytes.csv": (b"\xff\xfe\x00", "bytes.csv is not text; give"),
    "text.npy": (TEXT, "text.npy is not an .npy file of numbers"),
    "words.npy": (np.array(["a", "b"]), r"the shape \(2,\) and the type <U1"),
    "cube.npy": (np.zeros((30, 2, 2)), r"the shape \(30, 2, 2\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_in_one_line(name, tmp_path):
    content, message = WRONG[name]
    if isinstance(content, np.ndarray):
        np.save(tmp_path / name, content)
    else:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as caught:
        Series(str(tmp_path / name))
    assert "\n" not in str(caught.value) and f"--series_path={tmp_path}" in str(caught.value)


def test_no_file_and_no_regular_file_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"needs --series_path=FILE, a \.csv file of comma-sep"):
        Series()
    with pytest.raises(UserError, match=r"gone\.csv cannot be read: No such file"):
        Series(str(tmp_path / "gone.csv"))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match=r"pipe.csv cannot be read: it is not a regular file"):
        Series(str(tmp_path / "pipe.csv"))
    with pytest.raises(UserError, match="path of series must be a string, got 3"):
        Series(3)


@pytest.mark.parametrize("name", ["objects.npy", "pickle.npy", "archive.npy"])
def test_nothing_in_a_file_is_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    path = tmp_path / name
    with open(path, "wb") as file:
        if name == "objects.npy":
            np.save(file, np.array([Trap()] * 30, dtype=object), allow_pickle=True)
        elif name == "archive.npy":
            np.savez(file, a=np.arange(90.0))
        else:
            pickle.dump(Trap(), file)
    with pytest.raises(UserError, match=f"{name} is not an .npy file of numbers"):
        Series(str(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_a_gru_beats_the_last_value_in_a_moment(tmp_path, warm_jax):
    t = np.arange(5000)
    np.save(tmp_path / "waves.npy", np.sin(t / 9) + np.sin(t / 31))
    command = ("--task=series", "--series_path=waves.npy", "--arch=gru", "--train_steps=500")
    lengths = "--gin_bindings=TrainConfig.eval_lengths=(1,4)"
    done = warm_jax.run("trainer", *command, lengths, "--run_dir=run", cwd=tmp_path)
    assert done.code == 0, done.stderr
    record = RunDirectory(tmp_path / "run").read_record()
    assert record.chance_loss == pytest.approx(0.0068, abs=1e-4)
    assert [each["num_steps"] for each in record.lengths] == [50, 200]
    for each in record.lengths:
        assert each["metrics"]["loss"] < 0.1 * each["chance_loss"]
    # A moved file is the same data.
    (tmp_path / "waves.npy").rename(tmp_path / "moved.npy")
    shown = ("trainer.show", "--run_dir=run", "--num=1", "--series_path=moved.npy")
    assert "outputs" in warm_jax.run(*shown, cwd=tmp_path).stdout

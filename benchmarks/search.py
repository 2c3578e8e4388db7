"""python -m benchmarks.search: best value of each search on cheap test functions.

The functions are Branin (2 dimensions), Hartmann-6, and one with 22 mixed dimensions, as in a
study: logarithmic ranges, choices, conditions, 30 % of all points infeasible. Each search runs 80
trials, 8 at a time, for each of 20 seeds. keras-tuner's Bayesian optimisation is unchanged, except
that failures do not end it. search.csv has the best value after each trial, search.png the medians
and quartiles.

--timing measures the time of a batch of 16 proposals after 1,000 and 2,500 trials.
"""

import argparse
import contextlib
import csv
import functools
import io
import multiprocessing
import os
import pathlib
import tempfile
import time

import numpy as np

TRIALS, BATCH, SEEDS = 80, 8, 20
FIELDS = ("function", "algorithm", "seed", "trial", "best")


def branin(values):
    """Branin function: two dimensions, three minima."""
    x, y = values["x0"] * 15 - 5, values["x1"] * 15
    parabola = (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2
    return parabola + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


def hartmann6(values):
    """Hartmann function: six dimensions, six local minima."""
    x = np.array([values[f"x{i}"] for i in range(6)])
    a = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14]]
    a += [[3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    p = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
    p += [[2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
    return -np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(
        -(np.array(a) * (x - np.array(p) * 1e-4) ** 2).sum(1)
    )


def mixed(values):
    """Imitate the loss of a trial; None where infeasible, at 30 % of all points."""
    scales = np.log10([values[f"scale{i}"] for i in range(12)])
    rate = np.log10(values["rate"])
    steep = rate + 0.5 * scales[:3].mean() + {"sgd": -0.6, "momentum": 0.1, "adam": 0.4}[
        values["optimizer"]
    ]  # fmt: skip
    if steep > -2.36:
        return None
    target = np.linspace(-1.5, 0.0, 12)
    loss = (np.array([2, 1, 1, 1, 0.5, 0.5, *[0.1] * 6]) * (scales - target) ** 2).sum()
    loss += 2 * (rate + 2.7) ** 2 + 0.02 * (values["gate"] - 4) ** 2
    loss += 0.3 * (values["activation"] == "relu") + {"sgd": 1, "momentum": 0.2, "adam": 0}[
        values["optimizer"]
    ]  # fmt: skip
    loss += {"identity": 0.5, "orthogonal": 0.0, "normal": 0.2}[values["matrix"]]
    loss += 0.05 * (values.get("momentum", 4) - 5) ** 2 + 0.1 * np.log2(values["steps"] / 1000) ** 2
    return loss + 0.05 * (np.log10(values["decay"]) + 6) ** 2


def _numbers(count):
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    for i in range(count):
        hp.Float(f"x{i}", 0.0, 1.0)
    return hp


def _mixed_space():
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    for i in range(12):
        hp.Float(f"scale{i}", 1e-2, 2.0, sampling="log")
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("decay", 1e-8, 1e-3, sampling="log")
    hp.Float("clip", 1.0, 100.0, sampling="log")
    hp.Float("bias", -2.0, 2.0)
    hp.Float("gate", 0.0, 6.0)
    hp.Int("steps", 250, 1000, sampling="log")
    hp.Choice("activation", ["tanh", "relu"])
    hp.Choice("matrix", ["identity", "orthogonal", "normal"])
    hp.Choice("optimizer", ["sgd", "momentum", "adam"])
    with hp.conditional_scope("optimizer", ["momentum", "adam"]):
        hp.Float("momentum", 1.0, 7.0)
    return hp


#: Name -> function, space, minimum (for the mixed one a lower bound: it may be infeasible).
FUNCTIONS = {
    "branin": (branin, functools.partial(_numbers, 2), 0.397887),
    "hartmann6": (hartmann6, functools.partial(_numbers, 6), -3.322368),
    "mixed22": (mixed, _mixed_space, 0.0),
}


def oracle(algorithm, space, seed):
    import keras_tuner

    from tuning.search.algorithms import load_oracle

    options = {"objective": keras_tuner.Objective("loss", "min"), "hyperparameters": space}
    if algorithm == "keras_tuner":
        # This oracle treats seed 0 as None, and nearby seeds share most of their random points.
        return keras_tuner.oracles.BayesianOptimizationOracle(
            max_trials=10**6, seed=1 + 1000 * seed, max_consecutive_failed_trials=None, **options
        )
    return load_oracle(algorithm)(seed=seed, **options)


def search(job):
    """Run one search and return its job and the best value after each trial."""
    name, algorithm, seed = job
    function, space, _ = FUNCTIONS[name]
    best, curve = np.inf, []
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        searching = oracle(algorithm, space(), seed)
        searching._set_project_dir(directory, "search")
        searching.verbose = 0
        while len(curve) < TRIALS:
            for trial in [searching.create_trial(f"tuner{i}") for i in range(BATCH)]:
                value = function(trial.hyperparameters.values)
                trial.status = "FAILED" if value is None else "COMPLETED"
                if value is not None:
                    searching.update_trial(trial.trial_id, {"loss": float(value)})
                    best = min(best, float(value))
                searching.end_trial(trial)
                curve.append(best)
    return job, curve


def timing():
    """Time a batch of 16 proposals, with and without refitting the kernel."""
    from tuning.search.features import Features

    for count in (1000, 2500):
        with tempfile.TemporaryDirectory() as directory:
            searching = oracle("gp", _mixed_space(), 0)
            searching._set_project_dir(directory, "search")
            searching.verbose = 0
            fill(searching, Features(searching.hyperparameters), count)
            for kind in ("first fit", "fitted again", "not fitted again"):
                if kind == "fitted again":
                    searching._num_fitted = 1
                began = time.perf_counter()
                for trial in [searching.create_trial(f"tuner{i}") for i in range(16)]:
                    trial.status = "FAILED"
                    searching.end_trial(trial)
                print(f"{count} trials, {kind}: {time.perf_counter() - began:.1f} s", flush=True)


def fill(searching, features, count):
    """Add `count` finished random trials to an oracle."""
    from keras_tuner.engine.trial import Trial

    drawn = features.draw(np.random.default_rng(0), count)
    for number, values in enumerate(map(features.decode, drawn)):
        hyperparameters = searching.get_space()
        hyperparameters.values = values
        trial = Trial(hyperparameters, f"{number:07d}", "COMPLETED")
        trial.score = mixed(values)
        trial.status = "FAILED" if trial.score is None else "COMPLETED"
        searching.trials[trial.trial_id] = trial
        searching.start_order.append(trial.trial_id)


def plot(path, rows):
    """Plot the best value above the minimum against trials: medians and quartiles."""
    from matplotlib.figure import Figure

    names = [name for name in FUNCTIONS if any(row["function"] == name for row in rows)]
    figure = Figure((4 * len(names), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
            curves = curves_of(rows, name, algorithm)
            if not len(curves):
                continue
            regret = np.maximum(curves - FUNCTIONS[name][2], 1e-6)
            with np.errstate(invalid="ignore"):  # inf until a trial is feasible
                low, middle, high = np.quantile(regret, [0.25, 0.5, 0.75], axis=0)
            trials = np.arange(1, TRIALS + 1)
            (line,) = axes.plot(trials, middle, label=algorithm)
            axes.fill_between(trials, low, high, alpha=0.2, color=line.get_color(), lw=0)
        axes.set(title=name, xlabel="trials", xlim=(BATCH, TRIALS), yscale="log")
    figure.axes[0].set_ylabel("best value so far, above the minimum")
    figure.axes[0].legend()
    figure.savefig(path, dpi=130)


def curves_of(rows, name, algorithm):
    """Return the best values, (seeds, trials)."""
    chosen = [r for r in rows if r["function"] == name and r["algorithm"] == algorithm]
    values = [float(r["best"]) for r in chosen]
    return np.array(values).reshape(-1, TRIALS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--functions", nargs="*", default=list(FUNCTIONS), choices=FUNCTIONS)
    parser.add_argument("--algorithms", nargs="*", default=["gp", "random", "keras_tuner"])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--out", default="benchmarks/results/search")
    args = parser.parse_args()
    if args.timing:
        timing()
        return
    from benchmarks import machine, table

    os.environ |= machine.environment(1)
    jobs = [
        (name, algorithm, seed)
        for algorithm in args.algorithms
        for name in args.functions
        for seed in range(args.seeds)
    ]
    path = pathlib.Path(args.out) / "search.csv"
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    done = {(row["function"], row["algorithm"], int(row["seed"])) for row in rows}
    context = multiprocessing.get_context("spawn")
    with context.Pool(machine.cores()) as pool:
        for job, curve in pool.imap_unordered(search, [job for job in jobs if job not in done]):
            rows += [
                dict(zip(FIELDS, (*job, trial, best), strict=True))
                for trial, best in enumerate(curve, 1)
            ]
            table.save(args.out, "search", FIELDS, rows)
            print(*job, f"{curve[-1]:.5g}", flush=True)
    plot(path.with_suffix(".png"), rows)
    for name in args.functions:
        for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
            curves = curves_of(rows, name, algorithm)
            if len(curves):
                low, middle, high = np.quantile(curves[:, -1], [0.25, 0.5, 0.75])
                print(f"{name:10} {algorithm:12} {middle:.4g}  quartiles {low:.4g} {high:.4g}")


if __name__ == "__main__":
    main()

"""The oracles under keras-tuner's protocol, and the faults of its base class that they fix."""

import json
import os
import re
import threading
import warnings

import keras_tuner
import numpy as np
import pytest
from scipy import stats
from slow import slow_except

from tuning.search.algorithms import ALGORITHMS, load_oracle
from tuning.search.features import Features
from tuning.search.gaussian_process import standardise
from tuning.search.oracles import GPOracle, RandomOracle

ORACLES = {name: load_oracle(name) for name, each in ALGORITHMS.items() if not each.extra}
STOCK = keras_tuner.oracles.RandomSearchOracle


def mixed_space():
    hp = keras_tuner.HyperParameters()
    hp.Float("lr", 1e-4, 1e-1, sampling="log")
    hp.Choice("kind", ["a", "b", "c"])
    with hp.conditional_scope("kind", ["b", "c"]):
        hp.Float("momentum", 0.0, 1.0)
    hp.Int("units", 1, 20)
    hp.Boolean("bias")
    hp.Fixed("depth", 2)
    return hp


def value_at(values):
    loss = (np.log10(values["lr"]) + 2.2) ** 2 + {"a": 0.5, "b": 0.0, "c": 1.0}[values["kind"]]
    return loss + 3 * (values.get("momentum", 0.5) - 0.3) ** 2 + 0.05 * abs(values["units"] - 7)


def make(cls, directory, **options):
    options.setdefault("seed", 0)
    oracle = cls(objective=keras_tuner.Objective("loss", "min"), **options)
    oracle._set_project_dir(str(directory), "study")
    oracle.verbose = 0
    return oracle


def end(oracle, trial, loss, status="COMPLETED"):
    if loss is not None:
        oracle.update_trial(trial.trial_id, {"loss": loss})
    trial.status = status
    oracle.end_trial(trial)


def run(oracle, count, batch=1, loss=value_at):
    """Run trials in batches and return their values."""
    tried = []
    while len(tried) < count:
        started = [oracle.create_trial(f"t{i}") for i in range(min(batch, count - len(tried)))]
        for trial in started:
            tried.append(trial.hyperparameters.values)
            result = loss(trial.hyperparameters.values)
            end(oracle, trial, result, "COMPLETED" if result is not None else "FAILED")
    return tried


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "keras_tuner" else ())
        for name in ORACLES
    ],
)
def test_a_restarted_search_continues_as_if_uninterrupted(name, tmp_path):
    whole = run(make(ORACLES[name], tmp_path / "a", hyperparameters=mixed_space()), 15, 3)
    tried = []
    for _ in range(5):
        oracle = make(ORACLES[name], tmp_path / "b", hyperparameters=mixed_space())
        if tried:
            oracle.reload()
        tried += run(oracle, 3, 3)
    assert tried == whole


@pytest.mark.parametrize("seed", slow_except([0], range(4)))
def test_a_restart_within_a_batch_changes_nothing(seed, tmp_path):
    """Restarts after each proposal of a batch, including right after the kernel was refitted."""
    options = {"hyperparameters": mixed_space(), "seed": seed, "initial_points": 4}
    whole = run(make(GPOracle, tmp_path / "a", **options), 16, 4)
    tried = []
    for _ in range(4):
        started = []
        for slot in range(4):
            oracle = make(GPOracle, tmp_path / "b", **options)
            if tried or started:
                oracle.reload()
            for earlier in range(slot):
                assert oracle.create_trial(f"s{earlier}").trial_id == started[earlier].trial_id
            started.append(oracle.create_trial(f"s{slot}"))
        for trial in started:
            tried.append(trial.hyperparameters.values)
            end(oracle, trial, value_at(tried[-1]))
    assert tried == whole


@pytest.mark.parametrize("name", ORACLES)
def test_seeds_differ_and_zero_is_a_seed(name, tmp_path):
    searches = [
        run(make(ORACLES[name], tmp_path / str(i), hyperparameters=mixed_space(), seed=seed), 3)
        for i, seed in enumerate((0, 0, 1))
    ]
    assert searches[0] == searches[1] != searches[2]


@pytest.mark.parametrize("name", ORACLES)
def test_whole_numbers_stay_within_their_range(name, tmp_path):
    """keras-tuner's own search turns the upper end of a logarithmic range into the next number."""
    hp = keras_tuner.HyperParameters()
    hp.Int("steps", 75, 300, sampling="log")
    oracle = make(ORACLES[name], tmp_path, hyperparameters=hp, initial_points=3)
    tried = [values["steps"] for values in run(oracle, 6, loss=lambda values: -values["steps"])]
    assert 75 <= min(tried) <= max(tried) <= 300


@pytest.mark.slow
def test_random_points_follow_their_distributions(tmp_path):
    tried = run(make(RandomOracle, tmp_path, hyperparameters=mixed_space()), 300)
    logs = np.log10([values["lr"] for values in tried])
    assert stats.kstest(logs, stats.uniform(-4, 3).cdf).pvalue > 1e-3
    for name, choices in (("kind", "abc"), ("units", range(1, 21)), ("bias", (False, True))):
        counts = [[values[name] for values in tried].count(choice) for choice in choices]
        assert stats.chisquare(counts).pvalue > 1e-3
    assert all(("momentum" in values) == (values["kind"] != "a") for values in tried)


@pytest.mark.slow  # benchmarks.search measures this at length.
def test_the_gp_beats_random_search(tmp_path):
    def best(cls, seed):
        oracle = make(cls, tmp_path / f"{cls.__name__}{seed}", hyperparameters=mixed_space())
        oracle.seed = seed
        return min(map(value_at, run(oracle, 36, 4)))

    gp, chance = [[best(cls, seed) for seed in range(2)] for cls in (GPOracle, RandomOracle)]
    assert np.median(gp) < np.median(chance) / 2


def test_no_point_is_tried_twice_and_an_exhausted_space_stops(tmp_path):
    for cls in (RandomOracle, GPOracle):
        hp = keras_tuner.HyperParameters()
        hp.Choice("a", [1, 2, 3], ordered=False)
        hp.Boolean("b")
        oracle = make(cls, tmp_path / cls.__name__, hyperparameters=hp)
        tried = run(oracle, 6, loss=lambda values: values["a"])
        assert len({tuple(values.items()) for values in tried}) == 6
        assert oracle.create_trial("t").status == "STOPPED"


def test_running_trials_are_not_tried_again_nearby(tmp_path):
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space())
    run(oracle, 20)
    started = [oracle.create_trial(f"t{i}") for i in range(6)]
    lrs = np.log10([trial.hyperparameters.values["lr"] for trial in started])
    assert np.ptp(lrs) > 0.05


@pytest.mark.slow
def test_failing_regions_are_avoided(tmp_path):
    def loss(values):
        return None if values["lr"] > 1e-2 else -values["lr"]  # better and better, up to a cliff

    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space())
    lrs = [values["lr"] for values in run(oracle, 50, 5, loss)]
    assert np.mean(np.array(lrs[25:]) > 1e-2) < 0.45
    assert max(lr for lr in lrs if lr <= 1e-2) > 8e-3
    completed, failed = oracle.ended()
    assert len(completed) + len(failed) == 50


def test_an_objective_can_be_maximised(tmp_path):
    objective = keras_tuner.Objective("loss", "max")
    oracle = GPOracle(objective, hyperparameters=mixed_space(), seed=0)
    oracle._set_project_dir(str(tmp_path), "study")
    oracle.verbose = 0
    run(oracle, 40, 4, lambda values: -value_at(values))
    assert oracle.get_best_trials()[0].score > -0.3


def test_standardised_scores():
    scores = np.array([3.0, 1.0, 2.0, 1e9, 5.0])
    targets = standardise(scores, 2)
    assert targets.mean() == pytest.approx(0) and targets.std() == pytest.approx(1)
    assert (np.argsort(targets[:5]) == np.argsort(scores)).all()
    assert (targets[5:] > targets[:5].max()).all()
    assert np.ptp(targets[:5]) < 5  # the outlier does not flatten the others
    # Distances within the better half are kept.
    assert (targets[0] - targets[2]) / (targets[2] - targets[1]) == pytest.approx(1)
    assert standardise(np.ones(3)).tolist() == [0, 0, 0]


# Faults of keras-tuner's base class: each function tells whether a class is free of one.


def survives_infinity(cls, directory):
    oracle = make(cls, directory, hyperparameters=mixed_space())
    end(oracle, oracle.create_trial("t"), float("inf"))
    end(oracle, oracle.create_trial("t"), 1.0)
    return [trial.status for trial in oracle.trials.values()] == ["FAILED", "COMPLETED"]


def survives_failures_in_a_row(cls, directory):
    oracle = make(cls, directory, hyperparameters=mixed_space())
    try:
        run(oracle, 5, loss=lambda values: None)
    except RuntimeError:
        return False
    return True


def survives_a_restart(cls, directory):
    """Zero is a seed, and the same seed gives the same search."""
    first = run(make(cls, directory / "a", hyperparameters=mixed_space(), seed=0), 4)
    again = run(make(cls, directory / "b", hyperparameters=mixed_space(), seed=0), 4)
    return first == again


def survives_half_a_file(cls, directory):
    oracle = make(cls, directory, hyperparameters=mixed_space())
    run(oracle, 3)
    (path,) = directory.glob("study/trial_*1/trial.json")
    path.write_bytes(path.read_bytes()[:50])
    oracle = make(cls, directory, hyperparameters=mixed_space())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oracle.reload()
    except ValueError:
        return False
    return len(oracle.trials) == 3


def survives_an_exception(cls, directory):
    """Another thread can use the oracle after an exception in this one."""
    oracle = make(cls, directory, hyperparameters=mixed_space())
    with pytest.raises(KeyError):
        oracle.update_trial("no such trial", {"loss": 1.0})
    other = threading.Thread(target=oracle.create_trial, args=["t"], daemon=True)
    other.start()
    other.join(2)
    return not other.is_alive()


def survives_a_kill_before_its_own_file(cls, directory):
    """A kill between a trial's file and the oracle's neither loses nor repeats a trial."""
    oracle = make(cls, directory, hyperparameters=mixed_space())
    run(oracle, 2)
    before = (directory / "study/oracle.json").read_text()
    trial = oracle.create_trial("t")
    (directory / "study/oracle.json").write_text(before)
    oracle = make(cls, directory, hyperparameters=mixed_space())
    oracle.reload()
    again = oracle.create_trial("t")
    return again.trial_id == trial.trial_id and len(oracle.trials) == 3


def survives_a_kill_after_a_result(cls, directory):
    """A trial whose result is only in its own file is not run again."""
    oracle = make(cls, directory, hyperparameters=mixed_space())
    trial = oracle.create_trial("t")
    before = (directory / "study/oracle.json").read_text()
    end(oracle, trial, 1.0)
    (directory / "study/oracle.json").write_text(before)
    oracle = make(cls, directory, hyperparameters=mixed_space())
    oracle.reload()
    return oracle.create_trial("t").trial_id != trial.trial_id and len(oracle.end_order) == 1


def writes_whole_files(cls, directory):
    """Files are replaced by a rename."""
    oracle = make(cls, directory, hyperparameters=mixed_space())
    oracle.create_trial("t")
    inode = os.stat(directory / "study/oracle.json").st_ino
    oracle.create_trial("u")
    return os.stat(directory / "study/oracle.json").st_ino != inode


def survives_a_stop_between_trials(cls, directory):
    """A trial that has ended is not run again after a restart."""
    oracle = make(cls, directory, hyperparameters=mixed_space())
    trial = oracle.create_trial("t")
    end(oracle, trial, 1.0)
    oracle = make(cls, directory, hyperparameters=mixed_space())
    oracle.reload()
    return oracle.create_trial("t").trial_id != trial.trial_id


FAULTS = [
    survives_a_stop_between_trials,
    survives_infinity,
    survives_failures_in_a_row,
    survives_a_restart,
    survives_half_a_file,
    survives_an_exception,
    survives_a_kill_before_its_own_file,
    survives_a_kill_after_a_result,
    writes_whole_files,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("cls", ORACLES.values(), ids=ORACLES)
def test_durable_oracles_fix_the_fault(fault, cls, tmp_path):
    assert fault(cls, tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_keras_tuner_has_the_fault(fault, tmp_path):
    """If this fails, keras-tuner has fixed the fault, and our fix can go."""
    assert not fault(STOCK, tmp_path)


def _cut(text):
    return text[:100]


def _shorten(text):
    """Without the checksum, and with too few parameters for its features."""
    state = json.loads(text)
    del state["crc32"], state["gaussian_process"]["theta"][3:]
    return json.dumps(state)


@pytest.mark.parametrize("damage", [_cut, _shorten])
def test_a_damaged_oracle_is_rebuilt_from_its_trials(tmp_path, damage):
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space())
    run(oracle, 25)
    running = oracle.create_trial("tuner0")
    path = tmp_path / "study/oracle.json"
    path.write_text(damage(path.read_text()))
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space())
    with pytest.warns(UserWarning, match=r"oracle\.json is damaged.*oracle\.json\.damaged"):
        oracle.reload()
    assert len(oracle.end_order) == 25 and path.with_suffix(".json.damaged").exists()
    assert oracle.create_trial("tuner0").trial_id == running.trial_id


def test_a_trial_with_a_lost_result_is_run_again(tmp_path):
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space(), max_trials=10)
    run(oracle, 3)
    (path,) = tmp_path.glob("study/trial_*1/trial.json")
    values = json.loads(path.read_text())["hyperparameters"]["values"]
    path.write_text("{")
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space(), max_trials=10)
    with pytest.warns(UserWarning, match="trial_01"):
        oracle.reload()
    trial = oracle.create_trial("t")
    assert trial.trial_id == "01" and trial.hyperparameters.values == values


def test_a_model_of_another_kind_is_tuned(tmp_path):
    """Tunes a `HyperModel` that is not a recurrent network."""

    class Quadratic(keras_tuner.HyperModel):
        def build(self, hp):
            return hp.Float("x", -5, 5), hp.Choice("kind", ["good", "bad"])

        def fit(self, hp, model, **options):
            x, kind = model
            return (x - 2) ** 2 + (kind == "bad")

    class Tuner(keras_tuner.Tuner):
        def run_trial(self, trial, **options):
            hp = trial.hyperparameters
            return self.hypermodel.fit(hp, self.hypermodel.build(hp), **options)

    def tuner():
        oracle = GPOracle(keras_tuner.Objective("default_objective", "min"), max_trials=25)
        return Tuner(oracle, Quadratic(), directory=str(tmp_path), project_name="mine")

    tuner().search(verbose=0)
    again = tuner()
    assert again.remaining_trials == 0
    best = again.get_best_hyperparameters()[0]
    assert abs(best["x"] - 2) < 0.2 and best["kind"] == "good"


def test_a_bug_ends_the_search_with_its_traceback(tmp_path):
    """Once it is fixed, the trial that met it runs again."""

    class Broken(keras_tuner.Tuner):
        def run_trial(self, trial, **options):
            x = trial.hyperparameters.Float("x", 0, 1)
            if broken:
                raise ZeroDivisionError("a bug")
            if x > 0.9:
                raise keras_tuner.errors.FailedTrialError("diverged")
            return x

    def tuner():
        oracle = GPOracle(keras_tuner.Objective("default_objective", "min"), max_trials=6, seed=1)

        def build(hp):
            return hp.Float("x", 0, 1)

        return Broken(oracle, build, directory=str(tmp_path), project_name="mine")

    broken = True
    with pytest.raises(keras_tuner.errors.FatalRuntimeError, match="ZeroDivisionError"):
        tuner().search(verbose=0)
    broken = False
    fixed = tuner()
    fixed.search(verbose=0)
    assert len(fixed.oracle.end_order) == 6
    assert sorted(fixed.oracle.trials) == list("012345")


def test_a_drawn_seed_is_stored(tmp_path):
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space(), seed=None)
    run(oracle, 1)
    again = make(GPOracle, tmp_path, hyperparameters=mixed_space(), seed=None)
    again.reload()
    assert again.seed == oracle.seed


def test_hyperparameters_added_by_the_model_are_seen(tmp_path):
    """A model may add a hyperparameter while it is built; the next fit includes it."""
    oracle = make(GPOracle, tmp_path, hyperparameters=mixed_space(), seed=0, initial_points=3)
    run(oracle, 4)
    trial = oracle.create_trial("t")
    trial.hyperparameters.Float("late", 0.0, 1.0)
    trial.hyperparameters.values["late"] = 0.9
    end(oracle, trial, 0.1)
    oracle.create_trial("t")
    features = Features(oracle.hyperparameters)
    vector = oracle._encode(features, oracle.trials[trial.trial_id])
    assert 0.9 in vector


def test_constructor_options_win_over_stored_ones(tmp_path):
    oracle = make(ORACLES["keras_tuner"], tmp_path, hyperparameters=mixed_space(), beta=2.0)
    run(oracle, 2)
    oracle = make(ORACLES["keras_tuner"], tmp_path, hyperparameters=mixed_space(), beta=9.0)
    oracle.reload()
    assert oracle.beta == 9.0


def test_a_flipped_bit_of_any_file_is_found(tmp_path):
    """The result of the trial is lost, or the search is rebuilt; neither is silent."""
    run(make(RandomOracle, tmp_path, hyperparameters=mixed_space()), 3)
    for path in sorted(tmp_path.rglob("*.json")):
        whole = path.read_bytes()
        digit = next(m.start() for m in re.finditer(rb"[1-8]", whole) if m.start() > 40)
        flipped = bytearray(whole)
        flipped[digit] ^= 1
        json.loads(flipped)
        path.write_bytes(flipped)
        oracle = make(RandomOracle, tmp_path, hyperparameters=mixed_space())
        with pytest.warns(UserWarning, match=rf"{path.name} is damaged; .*match its checksum"):
            oracle.reload()
        assert len(oracle.trials) == 3
        path.write_bytes(whole)


ODD = [
    ("start_order", ["../x"]),
    ("start_order", ["9"]),
    ("hyperparameters", {"space": 5, "values": {}}),
    ("display", {"search_start": "now"}),
    ("trial_id", "../../x"),
    ("trial_id", "other"),
    ("metrics", {"metrics": {"loss": []}}),
    ("score", "best"),
    ("status", "DONE"),
]


@pytest.mark.parametrize("name, value", ODD)
def test_an_odd_file_is_set_aside(name, value, tmp_path):
    run(make(RandomOracle, tmp_path, hyperparameters=mixed_space()), 3)
    files = [path for path in tmp_path.rglob("*.json") if name in json.loads(path.read_text())]
    path = min(files)
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value, "crc32": None}))
    oracle = make(RandomOracle, tmp_path, hyperparameters=mixed_space())
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        oracle.reload()
    assert len(oracle.trials) == 3 and path.with_name(f"{path.name}.damaged").exists()
    run(oracle, 1)
    assert sorted(os.listdir(tmp_path)) == ["study"]


def test_a_trial_whose_hyperparameter_is_named_by_a_number_is_set_aside(tmp_path):
    run(make(RandomOracle, tmp_path, hyperparameters=mixed_space()), 3)
    path = tmp_path / "study/trial_0001/trial.json"
    state = json.loads(path.read_text()) | {"crc32": None}
    state["hyperparameters"]["space"][0]["config"]["name"] = 7
    path.write_text(json.dumps(state))
    oracle = make(RandomOracle, tmp_path, hyperparameters=mixed_space())
    with pytest.warns(UserWarning, match=r"trial\.json is damaged"):
        oracle.reload()
    assert oracle.lost == {"0001"}


def test_trials_after_a_gap_are_proposed_anew(tmp_path):
    """Otherwise new trials would get their ids, or all before a large id would be proposed."""
    run(make(RandomOracle, tmp_path, hyperparameters=mixed_space()), 3)
    (tmp_path / "study/oracle.json").unlink()
    (tmp_path / "study/trial_0002").rename(tmp_path / "study/trial_9999")
    path = tmp_path / "study/trial_9999/trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trial_id": "9999", "crc32": None}))
    oracle = make(RandomOracle, tmp_path, hyperparameters=mixed_space())
    with pytest.warns(UserWarning, match="no file of the trial 2 is left.*: 9999"):
        oracle.reload()
    assert oracle.start_order == ["0000", "0001"]
    assert oracle.create_trial("t").trial_id == "0002"

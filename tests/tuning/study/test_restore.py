"""Studies that continue from study.json and trials.jsonl alone, without training."""

import hashlib
import json
import pathlib
import shutil
import types

import pytest
from slow import slow_except
from untrained import Untrained

from trainer import TrainConfig, UserError
from tuning.config import StudyConfig
from tuning.study import log
from tuning.study.study import Study
from tuning.sweep.config import parse
from tuning.sweep.directory import Sweep

CONFIG = TrainConfig("parens", "rnn", num_params=3000)
#: Leaves so few dimensions that the Gaussian process soon proposes trials.
RANGES = {
    **dict.fromkeys(("lr_decay_rate", "gradient_clip_val"), 1.0),
    **{"bias_init": "constant", "bias_scale": 0.1, "momentum_logit": 2.0, "train_steps": 3000},
}


def search(path, num_trials, limit=None, **options):
    """Continue a study; return the hyperparameters of the trials that ran, by id."""
    options = {"algorithm": "random", "ranges": RANGES, "batch": 4, "seed": 0} | options
    executor = Untrained(limit=limit)
    study = Study(path, CONFIG, StudyConfig(num_trials, **options))
    study.run(executor)
    return {run_id: job.config for run_id, job in executor.jobs.items()}


def keep_records(path, destination):
    """Copy the files of a study that results/ keeps."""
    destination.mkdir()
    for name in ("study.json", "trials.jsonl"):
        shutil.copy(path / name, destination / name)
    return destination


@pytest.mark.parametrize("algorithm", slow_except(["gp"], ["random", "gp", "keras_tuner"]))
def test_a_finished_study_is_extended_from_its_records(tmp_path, algorithm):
    # keras-tuner's search takes seconds per proposal.
    options = {"algorithm": algorithm, "initial_points": 30 if algorithm == "keras_tuner" else 3}
    search(tmp_path / "study", 12, **options)
    kept = keep_records(tmp_path / "study", tmp_path / "kept")
    more, same = search(tmp_path / "study", 20, **options), search(kept, 20, **options)
    assert more.keys() == same.keys() == {f"{number:05d}" for number in range(12, 20)}
    if algorithm == "gp":  # its kernel is fitted anew
        assert same["00012"].lr_init == pytest.approx(0.01, rel=0.2)
    else:
        assert same == more
    found = [json.loads((path / "oracle.json").read_text()) for path in (tmp_path / "study", kept)]
    for name in ("start_order", "end_order", "tried_so_far", "run_times"):
        held, rebuilt = (sorted(state[name]) for state in found)
        assert held == rebuilt or algorithm == "gp", name
    for number in range(12):
        paths = [path / f"trial_{number:05d}/trial.json" for path in (tmp_path / "study", kept)]
        held, rebuilt = (json.loads(path.read_text()) for path in paths)
        for name in ("hyperparameters", "score", "status", "best_step"):
            assert held[name] == rebuilt[name]


def test_pending_trials_are_proposed_again(tmp_path):
    """Records may be copied while trials are in training."""
    whole = search(tmp_path / "whole", 12)
    search(tmp_path / "study", 12, limit=7)
    kept = keep_records(tmp_path / "study", tmp_path / "kept")
    ended = log.read(kept / "trials.jsonl")[0]
    assert sorted(ended) != sorted(whole)[:7]  # there is a gap
    rest = search(kept, 12)
    assert rest == {run_id: config for run_id, config in whole.items() if run_id not in ended}


@pytest.mark.parametrize(
    "lost",
    slow_except(["oracle.json"], ["oracle.json", "trial_00002/trial.json", "trial_0000*"]),
)
def test_some_files_may_be_missing(tmp_path, lost):
    for name in ("intact", "damaged"):
        search(tmp_path / name, 6, algorithm="gp")
    for path in (tmp_path / "damaged").glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    theta_is_lost = lost == "oracle.json"
    found = [search(tmp_path / name, 12, algorithm="gp") for name in ("intact", "damaged")]
    assert found[0].keys() == found[1].keys()
    if not theta_is_lost:
        assert found[0] == found[1]


def test_a_log_from_elsewhere_replaces_pending_trials(tmp_path):
    search(tmp_path / "here", 12, limit=5, seed=1)
    search(tmp_path / "there", 12, seed=1, algorithm="random")
    theirs = (tmp_path / "there/trials.jsonl").read_text()
    lines = [json.loads(line) for line in theirs.splitlines()]
    for line in lines:
        # The search knows the results of the others.
        line["config"]["l2_decay"] /= 1 + (int(line["run_id"]) >= 5)
        line["hparams"]["l2_decay"] = line["config"]["l2_decay"]
        del line["crc32"]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "here/trials.jsonl").write_text(text)
    assert len(search(tmp_path / "here", 13, seed=1)) == 1
    for number in range(5, 12):
        trial = json.loads((tmp_path / f"here/trial_{number:05d}/trial.json").read_text())
        config = next(r["config"] for r in lines if r["run_id"] == f"{number:05d}")
        assert trial["hyperparameters"]["values"]["l2_decay"] == config["l2_decay"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("lr_init"), "it has no lr_init"),
        (lambda c: c.update(lr=1), "'lr'"),
        (lambda c: c.update(input_scale={"z": 1.0}), "input_scale must have .* h; got z"),
        (lambda c: c.update(batch_size=7), "config.batch_size|batch_size 7, not 64"),
    ],
)
def test_a_trial_that_does_not_fit_is_named(tmp_path, change, message):
    search(tmp_path / "study", 3)
    kept = keep_records(tmp_path / "study", tmp_path / "kept")
    first, *rest = (kept / "trials.jsonl").read_text().splitlines()
    record = json.loads(first)
    change(record["config"])
    record["hparams"] |= {n: v for n, v in record["config"].items() if n in record["hparams"]}
    del record["crc32"]
    (kept / "trials.jsonl").write_text("\n".join([json.dumps(record), *rest, ""]))
    with pytest.raises(UserError, match=f"trial {record['run_id']} does not fit.*{message}") as e:
        search(kept, 4)
    assert "\n" not in str(e.value)


def test_a_study_is_not_continued_on_another_text(tmp_path):
    path, text = tmp_path / "text", "the quick brown fox jumps over the lazy dog " * 30
    config = TrainConfig("text8", "rnn", num_params=3000, task_options={"path": str(path)})
    hashes = []

    def study(text, **options):
        path.write_text(text)
        hashes.append(hashlib.sha256(text.encode()).hexdigest())
        return Study(tmp_path / "study", config, StudyConfig(algorithm="random", **options))

    study(text, num_trials=2).run(Untrained())
    study(text, num_trials=3).run(Untrained())
    with pytest.raises(UserError) as caught:
        study(text.replace("fox", "cat"), num_trials=4).run(Untrained())
    old, new = hashes[-2:]
    assert str(caught.value) == (
        f"{tmp_path}/study holds a study with data.sha256 {old!r}, not {new!r}; restore the data "
        "that it began with, or choose another --study_dir"
    )


def test_settings_that_an_older_version_lacks_have_their_defaults(tmp_path):
    search(tmp_path / "study", 3)
    path = tmp_path / "study/study.json"
    held = json.loads(path.read_text())
    del held["crc32"], held["config"]["precision"], held["study"]["early_stopping"]
    path.write_text(json.dumps(held))
    assert len(search(tmp_path / "study", 4)) == 1
    with pytest.raises(UserError, match=r"study\.early_stopping 'none', not 'median'"):
        search(tmp_path / "study", 4, early_stopping="median")


def test_the_kept_results_fit_the_search_space():
    """Every study in results/ can be continued, except those with too few inputs."""
    studies = sorted((pathlib.Path(__file__).parents[3] / "results").glob("*/studies/*"))
    assert len(studies) >= 40
    for path in studies:
        held = json.loads((path / "study.json").read_text())
        config, search = TrainConfig(**held["config"]), StudyConfig.from_json(held["study"])
        if config.task_options.get("num_inputs") == 16:
            with pytest.raises(UserError, match="16 inputs are too few"):
                Study(path, config, search, held=())
            continue
        study = Study(path, config, search, held=())
        study.log = types.SimpleNamespace(path=path, records=log.read(path / "trials.jsonl")[0])
        assert study.check()["batch"] == held["batch"]
        for record in study.log.records.values():
            assert study.values_of(record)["lr_init"] == record.hparams["lr_init"]


def test_the_kept_sweeps_are_done_and_continue():
    """The current gin files name the same studies, unless a real setting has changed."""
    for name in ("figure_1", "figure_2c", "figure_5"):
        path = pathlib.Path(__file__).parents[3] / "results" / name
        sweep = Sweep.open(path)
        assert {sweep.state(name).status for name in sweep.specs} == {"done"}
        specs, *_ = parse(f"gin_configs/paper/{name}.gin", "laptop", flags={"num_trials": 200})
        merged = Sweep(path, specs).union()
        if name == "figure_1":
            assert len(merged.conflicts) == len(sweep.specs)
            assert all("num_inputs 16, not" in each for each in merged.conflicts.values())
        else:
            assert not merged.conflicts and not merged.unnamed
            assert {spec.study.num_trials for spec in merged.specs.values()} == {200}

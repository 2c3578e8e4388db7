"""Reading runs: each training is one row, with the values of its record."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil

import pytest
from processes import python
from records import write_run
from registrations import restored
from report_rows import frame, record

import tuning
from trainer import TrainConfig, UserError
from trainer.trial import Trial
from tuning import presets, studies, trials
from tuning.report import tables
from tuning.report.selection import searched
from tuning.report.settings import pooled
from tuning.rows import COLUMNS, COPY, OTHER_RERUN, PARTIAL_RERUN


def write(path, *records, end="\n"):
    if path.name == "record.json":
        write_run(path.parent, *records)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(dataclasses.asdict(each)) for each in records]
    path.write_text("\n".join(lines) + end)


def test_a_sweep_is_read_with_what_its_files_say_of_it(tmp_path):
    study = tmp_path / "sweep/studies/capacity-gru"
    late, early = record("00010"), record("00002", status="infeasible", objective=None)
    write(study / "trials.jsonl", late, early)
    write(study / "reruns.jsonl", record("0000-abcdef12", config={"seed": 4, "data_seed": 4}))
    (study / "study.json").write_text('{"study": {"algorithm": "random"}}')
    (tmp_path / "sweep/sweep.json").write_text('{"profile": "smoke"}')
    # The directory of the best trial repeats a record of the log.
    write(study / "trial_00010/record.json", late)
    found, problems = trials.read(tmp_path)
    assert not problems
    name = "sweep/studies/capacity-gru"
    assert found.run.tolist() == [f"{name}/00002", f"{name}/00010", f"{name}/0000-abcdef12"]
    assert found.iteration.tolist()[:2] == [2, 10] and found.iteration.isna().tolist()[2]
    assert found.is_rerun.tolist() == [False, False, True]
    assert set(found.algorithm) == {"random"} and set(found.profile) == {"smoke"}
    row = found.iloc[1]
    assert (row.bits, row.num_samples, row.num_steps, row.activation) == (29.0, 50, 5, "relu")
    assert json.loads(row.hparams) == {
        "task_options.num_samples": 50,
        "task_options.num_inputs": 32,
        "task_options.num_steps": 5,
        "task_options.presentation": "every",
        "task_options.coding": "binary",
        "activation": "relu",
        "matrix_init": "orthogonal",
        "lr_init": 0.1,
    }


def test_the_version_of_the_users_code_is_a_setting(tmp_path):
    for name, task, version in (("a", "mine.lag", "1"), ("b", "mine.lag", "2"), ("c", "rcf", "3")):
        versions = {"mine": version, "python": "3.11"}
        made = record(name, task=task, versions=versions, metrics={}, eval_loss=float(version))
        write(tmp_path / name / "record.json", made)
    found, problems = trials.read(tmp_path)
    codes = [json.loads(text).get("code of mine") for text in found.fixed]
    assert codes == ["1", "2", None] and problems == []
    assert pooled([found[found.task == "mine.lag"]]) == ["Pools code of mine 1, 2."]


@pytest.mark.parametrize("chosen, of_adam", [([], None), (["optimizer"], "1")])
def test_the_code_of_an_optimizer_is_a_setting_of_all_trials_that_could_have_it(
    chosen, of_adam, tmp_path
):
    lion = {"config": {"optimizer": "my_optimizers.lion"}, "versions": {"my_optimizers": "1"}}
    adam = {"config": {"optimizer": "adam"}}
    made = [record(f"0000{i}", searched=chosen, **each) for i, each in enumerate((lion, adam))]
    write(tmp_path / "trials.jsonl", *made)
    codes = [
        json.loads(text).get("code of my_optimizers") for text in trials.read(tmp_path)[0].fixed
    ]
    assert codes == ["1", of_adam]


def test_ranges_of_one_option_are_one_setting_however_they_are_spelt():
    short, full = ({name: [4, 6]} for name in ("delay", "task_options.delay"))
    assert studies.limits({"ranges": full}) == studies.limits({"ranges": short})
    both = {"task_options.beta": [0.0, 1.0], "arch_options.beta": [0.0, 2.0]}
    assert len(studies.limits({"ranges": both})) == 2
    # An option is not the field of its name.
    of_field = {"depth": [1, 3]}, {"task_options.depth": [1, 3]}
    assert studies.limits({"ranges": of_field[0]}) != studies.limits({"ranges": of_field[1]})


def test_a_run_may_hold_another(tmp_path):
    write(tmp_path / "a/record.json", record("a"))
    write(tmp_path / "a/more/record.json", record("more", seed=9))
    found, problems = trials.read(tmp_path)
    assert found.run.tolist() == ["a", "a/more/more"] and not problems


def test_reruns_are_those_of_the_best_trial_with_two_other_seeds(tmp_path):
    def made(run_id, loss, lr, seed, data_seed):
        values = {"task": "parens", "objective": loss, "eval_loss": loss}
        config = {"lr_init": lr, "seed": seed, "data_seed": data_seed}
        return record(run_id, config=config, max_params=100_000, **(values | {"depth": 1}))

    study = tmp_path / "parens"
    write(
        study / "trials.jsonl", made("00000", 2.0, 0.1, 0, None), made("00001", 1.0, 0.2, 0, None)
    )
    write(
        study / "reruns.jsonl",
        *(made(f"000{seed}-former", 9.0, 0.1, seed, seed) for seed in (1, 2)),
        *(made(f"000{seed}-best", 1.0 + seed, 0.2, seed, seed) for seed in (1, 2)),
        made("0001-weights", 20.0, 0.2, 1, 0),
        made("0001-data", 30.0, 0.2, 0, 1),
    )
    found, problems = trials.read(tmp_path)
    assert found[found.is_rerun].run_id.tolist() == ["0001-best", "0002-best"]
    assert problems == [
        f"left out: 2 trials {OTHER_RERUN} (2 of parens)",
        f"left out: 2 trials {PARTIAL_RERUN} (2 of parens)",
    ]
    row = tables.reruns(found).set_index("architecture").loc["GRU"]
    assert (row.original, row.reruns, row["min"], row["mean"], row["max"]) == (1, 2, 2, 2.5, 3)


def test_reruns_whose_log_is_lost_are_reported(tmp_path):
    write(tmp_path / "trials.jsonl", record("00000"))
    (tmp_path / "study.json").write_text("{}")
    (tmp_path / "reruns.json").write_text('{"end_order": ["0000-a", "0001-b"]}')
    found, problems = trials.collect(tmp_path)
    assert len(found) == 1
    assert problems == [
        f"{tmp_path}/study.json: it is empty",
        f"{tmp_path}/reruns.jsonl lacks 2 trials that had ended",
    ]


def test_a_run_of_the_trainer_counts_and_one_under_way_does_not(tmp_path):
    write(tmp_path / "mine/record.json", record("mine"))
    write(tmp_path / "other/record.json", record("other", status="interrupted"))
    found, problems = trials.read(tmp_path)
    assert found.run.tolist() == ["mine"]
    assert problems == ["left out: 1 trial not finished (1 of capacity)"]
    assert found.algorithm.isna().all() and found.iteration.isna().all()


def test_trials_of_studies_that_lack_some_are_partial(tmp_path):
    studies = tmp_path / "sweep/studies"
    for name, wanted in (("whole", 2), ("begun", 3), ("grown", 2)):
        write(studies / name / "trials.jsonl", record("00000"), record("00001"))
        (studies / name / "study.json").write_text(json.dumps({"num_trials": wanted}))
        write(studies / name / "reruns.jsonl", record("0000-abcdef12", config={"seed": 4}))
    config = {"task": "capacity", "arch": "rnn", "depth": 1, "num_params": 1, "train_steps": 1}
    manifest = [
        {"name": name, "config": config, "study": {"num_trials": wanted}}
        for name, wanted in (("whole", 2), ("begun", 3), ("grown", 9))
    ]
    (tmp_path / "sweep/sweep.json").write_text(json.dumps({"studies": manifest}))
    found = trials.read(tmp_path, everything=True)[0]
    partial = found[~found.is_rerun].groupby("study", observed=True).is_partial.unique()
    assert {str(name)[-5:]: list(each) for name, each in partial.items()} == {
        "whole": [False], "begun": [True], "grown": [True]
    }  # fmt: skip
    assert not found[found.is_rerun].is_partial.any()


def test_the_trials_of_an_unfinished_study_are_the_copies(tmp_path):
    for name, number in (("a", 1), ("b", 2)):
        found = [record(f"{i:05d}", config={"lr_init": 0.1 + i}) for i in range(number)]
        write(tmp_path / name / "trials.jsonl", *found)
        (tmp_path / name / "study.json").write_text('{"num_trials": 2}')
    found = trials.read(tmp_path, everything=True)[0].set_index("run")
    assert found.excluded.to_dict() == {"a/00000": COPY, "b/00000": "", "b/00001": ""}


@pytest.mark.parametrize("results", ["checkpoints/step-1.safetensors", "metrics.jsonl"])
def test_a_run_that_lost_its_record_is_named(tmp_path, results):
    write(tmp_path / "mine/record.json", record("mine"))
    for name in ("lost", "begun"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "operative_config.gin").touch()
    (tmp_path / "lost" / results).parent.mkdir(exist_ok=True)
    (tmp_path / "lost" / results).touch()
    found, problems = trials.read(tmp_path)
    assert found.run.tolist() == ["mine"]
    assert problems == [f"{tmp_path}/lost is left out: it holds a run, and has no record.json"]


def test_measurements_on_valid_are_a_column(tmp_path):
    write(tmp_path / "mine/record.json", record("mine", train_steps=2))
    lines = {"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0, "valid_loss": 0.5}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "mine/metrics.jsonl").write_text(text)
    write(tmp_path / "other/record.json", record("other", seed=4))
    (tmp_path / "other/metrics.jsonl").write_text("damaged")
    found, problems = trials.read(tmp_path)
    assert found.validation.tolist() == ["[[2, 0.5]]", "[]"]
    (problem,) = problems
    assert problem.startswith(f"{tmp_path}/other/metrics.jsonl is damaged: line 1: it is not JSON")


def test_given_hyperparameters_that_diverged_are_read_too(tmp_path):
    diverged = record("0000-a", status="infeasible", objective=None)
    write(tmp_path / "given/given.jsonl", diverged, record("0001-b"))
    write(tmp_path / "given/given_0001-b/record.json", record("0001-b"))
    found, _ = trials.read(tmp_path)
    assert found.run.tolist() == ["given/0000-a", "given/0001-b"]
    assert found.status.tolist() == ["infeasible", "ok"] and not found.is_rerun.any()


def test_a_lost_log_of_given_hyperparameters_is_named(tmp_path):
    write(tmp_path / "given/given_0001-b/record.json", record("0001-b"))
    ended = {"end_order": ["0000-a", "0001-b"]}
    (tmp_path / "given/given.json").write_text(json.dumps(ended))
    found, problems = trials.read(tmp_path)
    assert found.run_id.tolist() == ["0001-b"]
    assert problems == [f"{tmp_path}/given/given.jsonl lacks 2 trials that had ended"]


def test_a_trial_in_two_logs_of_a_study_counts_once(tmp_path):
    log = [record("00000"), record("00001", seed=4)]
    write(tmp_path / "a/trials.jsonl", *log)
    write(tmp_path / "a/reruns.jsonl", record("0000-a", seed=5))
    write(tmp_path / "a/given.jsonl", *log, record("0000-a", seed=5), record("0001-b", seed=6))
    found, problems = trials.read(tmp_path, everything=True)
    assert sorted(found.run_id) == ["0000-a", "00000", "00001", "0001-b"]
    assert problems == [
        f"{tmp_path}/a/given.jsonl has 3 trials of trials.jsonl again, the first is 00000"
    ]


def test_equal_given_hyperparameters_count_once(tmp_path):
    write(tmp_path / "a/given.jsonl", *(record(f"000{n}-a", objective=0.5) for n in range(2)))
    found, problems = trials.read(tmp_path)
    assert found.run_id.tolist() == ["0000-a"]
    assert problems == [
        "left out: 1 trial with the settings and results of another (1 of capacity)"
    ]


def test_what_a_directory_has_lost_is_said(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/oracle.json").write_text("{}")
    write(tmp_path / "s/trials.jsonl", record("00000"))
    write(tmp_path / "run/record.json", record("mine", steps_done=60, train_steps=60))
    (tmp_path / "run/metrics.jsonl").write_text(json.dumps({"step": 60, "train_loss": 1.0}) + "\n")
    _, problems = trials.read(tmp_path)
    assert [each for each in problems if "lost its study.json" in each] == [
        f"{tmp_path}/s has lost its study.json, so its ranges are unknown"
    ]
    assert [each for each in problems if "metrics.jsonl lacks 59 of 60 measurements" in each]


def test_names_that_are_no_utf_8_have_escapes(tmp_path):
    write(tmp_path / os.fsdecode(b"a\xffb\x1b") / "record.json", record("mine"))
    found, _ = trials.read(tmp_path)
    assert found.study.tolist() == [r"a\udcffb\x1b"]
    pathlib.Path(tmp_path, "t.csv").write_text(found.to_csv())


def test_control_characters_become_escapes(tmp_path):
    write(tmp_path / "a/record.json", record("a", backend="\x1b[31mred", device="\x9b31m"))
    found, _ = trials.read(tmp_path)
    assert found.backend.tolist() == [r"\x1b[31mred"] and found.device.tolist() == [r"\x9b31m"]


def test_a_curve_of_more_points_than_steps_is_damaged(tmp_path):
    for name, curve in (("a", [1.0] * 20), ("b", [1.0] * 21)):
        write(tmp_path / name / "record.json", record(name, curve=[]))
        path = tmp_path / name / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"curve": curve}))
    found, problems = trials.read(tmp_path)
    assert found.run_id.tolist() == ["a"]
    assert "b/record.json: its curve has 21 points, of at most 20" in problems[0]


def test_what_began_at_a_presets_weights_does_not_count(tmp_path):
    tuned = record("00001", config={"preset": "capacity/gru-300"})
    write(tmp_path / "a/trials.jsonl", record("00000", config={"preset": None}), tuned)
    found, problems = trials.read(tmp_path)
    assert found.run_id.tolist() == ["00000"]
    assert problems == ["left out: 1 trial from trained weights (1 of capacity)"]


def test_damaged_lines_are_named_and_left_out(tmp_path):
    path = tmp_path / "a/trials.jsonl"
    write(path, record("00000"), end='\n{"run_id": "00001", "task\n[]\n')
    found, problems = trials.read(tmp_path)
    assert len(found) == 1
    reason = "the first is line 2: it is not JSON: Unterminated string starting at"
    assert problems == [f"{path} has 2 damaged lines, {reason}"]


def test_trials_that_a_sweep_once_had_are_missed(tmp_path):
    sweep = tmp_path / "sweep"
    for name, number in (("whole", 2), ("cut", 1), ("kept", 1)):
        write(sweep / f"studies/{name}/trials.jsonl", *map(record, ["00000", "00001"][:number]))
        (sweep / f"studies/{name}/study.json").write_text('{"profile": "smoke"}')
    (sweep / "states").mkdir()
    (sweep / "sweep.json").write_text('{"profile": "smoke"}')
    for name, number in (("whole", 2), ("cut", 3), ("gone", 1)):
        state = json.dumps({"status": "done", "trials": number})
        (sweep / f"states/{name}.json").write_text(state)
    lost = [
        f"{sweep}/studies/cut lost 2 of its 3 finished runs",
        f"{sweep}/studies/gone lost 1 of its 1 finished run",
    ]
    assert [each for each in trials.read(tmp_path)[1] if "lost" in each] == lost
    assert trials.read(sweep / "studies/cut")[1] == lost[:1]
    assert trials.read(sweep / "studies/whole")[1] == []
    # A damaged line is said once.
    write(sweep / "studies/cut/trials.jsonl", record("00000"), end="\n[]\n{}\n")
    (sweep / "states/gone.json").unlink()
    damaged, copies = trials.read(tmp_path)[1]
    assert "cut/trials.jsonl has 2 damaged lines" in damaged and "lost" not in copies


def _cut(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[1:]))


def _publish(sweep):
    """Write a finished sweep as it is published, without states and the files of searches."""
    config = {"task": "capacity", "arch": "gru", "depth": 2, "num_params": 300, "train_steps": 60}
    entries = []
    for name, reruns in (("a", 0), ("b", 1)):
        study = sweep / "studies" / name
        names = ("00000", "00001", "00002")
        diverged = {"status": "infeasible", "objective": None}
        write(study / "trials.jsonl", *[record(each, **diverged) for each in names])
        if reruns:
            write(study / "reruns.jsonl", record("seed_1"))
        (study / "study.json").write_text(json.dumps({"config": config, "num_trials": 3}))
        entries.append({"name": name, "config": config, "reruns": reruns})
    (sweep / "sweep.json").write_text(json.dumps({"studies": entries}))


@pytest.mark.parametrize(
    "lose, left, wanted",
    [
        (lambda sweep: (sweep / "studies/a/trials.jsonl").unlink(), 0, 3),
        (lambda sweep: (sweep / "studies/a/trials.jsonl").write_text(""), 0, 3),
        (lambda sweep: (sweep / "studies/a/trials.jsonl").write_text("\n\n\n"), 0, 3),
        (lambda sweep: _cut(sweep / "studies/a/trials.jsonl"), 2, 3),
        (lambda sweep: (sweep / "studies/b/reruns.jsonl").unlink(), 3, 4),
        (lambda sweep: _cut(sweep / "studies/b/trials.jsonl"), 3, 4),
    ],
)
def test_trials_that_a_published_sweep_lost_are_missed(tmp_path, lose, left, wanted):
    """It has no states, and its studies have no files of their searches, which count trials."""
    _publish(tmp_path)
    assert not [each for each in trials.read(tmp_path)[1] if "lost" in each]
    lose(tmp_path)
    study = tmp_path / "studies" / ("a" if wanted == 3 else "b")
    message = f"{study} has {left} of its {wanted} runs: it was not finished, or lost the others"
    assert message in trials.read(tmp_path)[1]
    said = []
    presets.best_trials([tmp_path], said.append)
    assert message in said


def test_studies_that_a_published_sweep_lost_are_missed(tmp_path):
    _publish(tmp_path)
    shutil.rmtree(tmp_path / "studies/a")
    message = f"{tmp_path}/studies/a, which sweep.json names, is lost"
    assert message in trials.read(tmp_path)[1]
    assert message not in trials.read(tmp_path / "studies/b")[1]
    (tmp_path / "states").mkdir()
    assert message in trials.read(tmp_path)[1]
    (tmp_path / "states/b.json").write_text('{"trials": 4}')  # the other may not have begun
    assert message not in trials.read(tmp_path)[1]


@pytest.mark.parametrize(
    "make, problem", [(os.mkfifo, ": it is not a regular file"), (os.mkdir, " is a directory")]
)
def test_a_log_that_cannot_be_read_is_not_called_lost(tmp_path, make, problem):
    _publish(tmp_path)
    path = tmp_path / "studies/a/trials.jsonl"
    path.unlink()
    make(path)
    found, problems = trials.collect(tmp_path)
    assert len(found) == 4 and problems == [f"{path}{problem}"]


@pytest.mark.parametrize("name", ["../../x", "a/b", "$\\frac{$", "[/b]", "", "a" * 101, "-x"])
def test_a_task_or_a_cell_without_a_proper_name_is_damage(name, tmp_path):
    """Reports name files after tasks, and print both."""
    records = record("0"), record("1", task=name), record("2", arch=name)
    write(tmp_path / "s/trials.jsonl", *records)
    found, problems = trials.read(tmp_path)
    assert found.run_id.tolist() == ["0"]
    assert "2 damaged lines" in problems[0] and "task must be a name of letters" in problems[0]


def test_the_time_steps_are_those_of_the_options_or_the_task_s_default(tmp_path):
    options = {"task_options": {"num_steps": 2}, "activation": None}
    write(tmp_path / "a/trials.jsonl", record("00000", hparams=options))
    write(tmp_path / "b/trials.jsonl", record("00000", task="memory", metrics={}))
    write(tmp_path / "c/trials.jsonl", record("00000", task="parens", metrics={}))
    write(tmp_path / "d/trials.jsonl", record("00000", task="missing.task", hparams=options))
    found, problems = trials.read(tmp_path)
    assert found.num_steps.fillna(0).tolist() == [2, 0, 175, 2] and not problems


def test_runs_that_differ_in_pooled_options_alone_have_one_setting(tmp_path):
    for name, options in (("a", {"num_steps": 5}), ("b", {"num_steps": 6, "first": "zero"})):
        hparams = {"task_options": options, "activation": None}
        log = tmp_path / name / "trials.jsonl"
        write(log, record("00000", task="own_tasks.parity", metrics={}, hparams=hparams))
    with restored():
        from own_tasks import Parity

        Parity.pooled_options = ("num_steps",)
        found, _ = trials.read(tmp_path)
    assert found.setting.tolist() == ["{}", '{"first": "zero"}']


def test_trials_on_different_texts_have_different_settings(tmp_path):
    """The location of the text is not part of the setting, its content is."""
    text = " ".join(["the quick brown fox jumps over the lazy dog"] * 30)
    for name, content in (("a", text), ("copy", text), ("b", text.replace("fox", "cat"))):
        (tmp_path / f"{name}.txt").write_text(content)
        config = TrainConfig("text8", "gru", task_options={"path": str(tmp_path / f"{name}.txt")})
        made = Trial(config, name).record()
        made.status, made.steps_done = "ok", made.train_steps
        write(tmp_path / name / "record.json", made)
    found, problems = trials.read(tmp_path)
    assert not problems
    assert found.run_id.tolist() == ["a", "b", "copy"]
    a, b, copy = found.setting
    assert a == copy != b
    assert json.loads(a) == {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert searched(found, "text8").run_id.tolist() == ["a", "copy"]


def test_the_origin_of_a_trial_and_its_held_hyperparameters_are_columns(tmp_path):
    old = dataclasses.asdict(record("00000"))
    for name in ("origin", "transferred_from", "held", "searched", "outside"):
        del old[name]
    new = record("00001", origin="search", held=["lr_init"], outside=["lr_init"])
    path = tmp_path / "a/trials.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in (old, dataclasses.asdict(new))))
    found, problems = trials.read(tmp_path)
    assert not problems
    assert found.origin.isna().tolist() == [True, False] and found.origin[1] == "search"
    for name in ("held", "outside"):
        assert found[name].map(json.loads).tolist() == [[], ["lr_init"]]
        assert frame({})[name].tolist() == ["[]"]


def test_task_options_that_were_searched_are_told_from_the_default(tmp_path):
    rows = []
    for gap, names in enumerate((["task_options.gap"], ["task_options.gap"], [])):
        hparams = {"task_options": {"gap": gap, "T": 9}, "activation": None}
        rows.append(record(str(gap), task="own.task", hparams=hparams, searched=names))
    write(tmp_path / "a/trials.jsonl", *rows)
    found, _ = trials.read(tmp_path)
    searched = '{"T": 9, "gap": "searched"}'
    assert found.setting.tolist() == [searched, searched, '{"T": 9, "gap": 2}']


def test_a_run_that_is_not_the_papers_architecture_is_outside(tmp_path):
    for name, config in (("a", {"activation": "relu"}), ("b", {"activation": "tanh"})):
        write(
            tmp_path / name / "record.json",
            record(name, arch="irnn", seed=len(name), config=config),
        )
    write(tmp_path / "c/trials.jsonl", record("0", arch="mine.cell", config={"arch_options": "x"}))
    found, _ = trials.read(tmp_path, everything=True)
    assert found.outside.map(json.loads).tolist() == [[], ["activation"], []]


def test_a_study_in_two_directories_is_read_once(tmp_path):
    for sweep in ("one", "two"):
        rows = [record("00000", seed=1), record("00001", seed=1, train_steps=50)]
        write(tmp_path / sweep / "studies/a/trials.jsonl", *rows)
    write(tmp_path / "two/studies/b/trials.jsonl", record("00000", seed=2))
    found, problems = trials.read(tmp_path)
    assert found.study.tolist() == ["one/studies/a"] * 2 + ["two/studies/b"]
    assert problems == [
        "left out: 2 trials with the settings and results of another (2 of capacity)"
    ]
    found, _ = trials.read(tmp_path, everything=True)
    assert found.excluded.tolist() == ["", "", COPY, COPY, ""]


def test_runs_with_other_results_are_no_copies(tmp_path):
    """The cell or the task may have been edited in between."""
    for name, loss in (("before", 0.4), ("after", 0.3)):
        write(tmp_path / name / "record.json", record(name, eval_loss=loss))
    found, problems = trials.read(tmp_path)
    assert sorted(found.run) == ["after", "before"] and problems == []


def test_a_replay_is_a_copy_whatever_the_order_of_its_options(tmp_path):
    for name, options in (("a", {"rate": 0.5, "power": 2}), ("b", {"power": 2, "rate": 0.5})):
        hparams = {"task_options": {}, "activation": None, "arch_options": options}
        write(tmp_path / name / "record.json", record(name, hparams=hparams))
    found, problems = trials.read(tmp_path)
    assert found.run.tolist() == ["a"]
    assert problems == [
        "left out: 1 trial with the settings and results of another (1 of capacity)"
    ]


def test_the_search_of_a_study_is_a_setting(tmp_path):
    ranges = {"lr_init": [0.001, 0.01], "batch_size": {"choices": [8, 16]}, "l2_decay": 0.5}
    ranges |= {"train_steps": [20, 30], "odd": {}}
    facts = {"config": {"train_steps": 90, "task": "x", "arch": "x", "depth": 1, "num_params": 9}}
    facts |= {"study": {"algorithm": "gp", "ranges": ranges, "early_stopping": "median"}}
    write(tmp_path / "a/trials.jsonl", record("00000"))
    (tmp_path / "a/study.json").write_text(json.dumps(facts))
    found, _ = trials.read(tmp_path)
    assert json.loads(found.fixed[0]) == {
        "precision": "float32",
        "search": "gp",
        "train_steps": 30,
        "early_stopping": "median",
        "lr_init range": "[0.001, 0.01]",
        "batch_size range": "{8, 16}",
        "train_steps range": "[20, 30]",
    }
    assert found.max_steps.tolist() == [30]


def test_an_option_that_is_the_default_is_the_same_setting_as_none(tmp_path):
    unset = {"task_options": {}, "arch_options": {}, "optimizer_options": {}, "activation": None}
    options = {"task_options": {"delay": 12}, "arch_options": {"beta": 1.0}, "optimizer": "adamw"}
    options |= {"optimizer_options": {"weight_decay": 0.004}, "matrix_init": "orthogonal"}
    explicit = unset | options | {"activation": "tanh"}
    kinds = {"a": unset | {"optimizer": "adamw"}, "b": explicit}
    kinds["c"] = explicit | {"task_options": {"delay": 9}, "arch_options": {"beta": 0.5}}
    for name, hparams in kinds.items():
        kept = record(name, task="memory", arch="janet", metrics={}, hparams=hparams)
        write(tmp_path / name / "record.json", kept)
    found, _ = trials.read(tmp_path, everything=True)
    assert found.setting.tolist() == ["{}", "{}", '{"delay": 9}']
    assert found.fixed[0] == found.fixed[1]
    fixed = json.loads(found.fixed[2])
    assert (fixed["arch_options.beta"], fixed["optimizer_options.weight_decay"]) == (0.5, 0.004)
    assert found.excluded.tolist() == ["", COPY, ""]


def test_options_of_any_kind_are_read(tmp_path):
    for number, value in enumerate((5, "x", [1], None)):
        hparams = {"task_options": {}, "activation": None, "arch_options": value}
        write(tmp_path / f"{number}/record.json", record(str(number), hparams=hparams))
    found, problems = trials.read(tmp_path)
    assert len(found) == 4 and not problems


def test_a_record_keeps_the_defaults_of_its_day(tmp_path):
    """Of a task that is edited later, or that the report does not import."""
    hparams = {"task_options": {}, "activation": None}

    def run(name, default, **options):
        own = hparams | {"task_options": options}
        defaults = {"task_options": {"num_steps": default, "first": "plain"}}
        kept = record(name, task="own_tasks.parity", metrics={}, hparams=own, defaults=defaults)
        write(tmp_path / name / "record.json", kept)

    run("a", 6)
    run("b", 6, num_steps=6)
    run("c", 7)
    run("d", 7, num_steps=6)
    found = tuning.load(tmp_path)
    assert found["task_options.num_steps"].tolist() == [6, 6, 7, 6]
    assert found.setting.tolist() == ["{}", "{}", '{"num_steps": 7}', "{}"]
    assert found.excluded.tolist() == ["", COPY, "", COPY]
    config = TrainConfig("memory", "janet", optimizer="adamw", arch_options={"beta": 0.5})
    made = Trial(config).record()
    assert made.config["task_options"] == {} and made.defaults == {
        "task_options": {"dimensions": 64, "delay": 12},
        "arch_options": {"beta": 1.0},
        "optimizer_options": {"weight_decay": 0.004},
    }


def test_searches_with_other_settings_have_no_copies_of_each_other(tmp_path):
    """Their first trials may be equal, as random hyperparameters follow from names."""
    searches = {
        "a": {"algorithm": "gp"},
        "b": {"algorithm": "gp", "early_stopping": "median"},
        "c": {"algorithm": "gp", "ranges": {"lr_init": [0.001, 0.002]}},
        "copy": {"algorithm": "gp"},
    }
    for name, search in searches.items():
        write(tmp_path / name / "trials.jsonl", record("00000"), record("00001", seed=4))
        (tmp_path / name / "study.json").write_text(json.dumps({"study": search}))
    found, _ = trials.read(tmp_path, everything=True)
    assert found.groupby("study", observed=True).excluded.agg(list).to_dict() == {
        **{name: ["", ""] for name in "abc"},
        "copy": [COPY, COPY],
    }


def test_a_run_that_replays_a_trial_is_a_copy_of_it(tmp_path):
    """The run is left out even if it is read first, and lanes round the losses differently."""
    kept = record("00000", searched=["task_options.num_samples"], valid_loss=0.4)
    studies = {"b/gp": "gp", "b/random": "random"}
    for name, algorithm in studies.items():
        write(tmp_path / name / "trials.jsonl", kept)
        (tmp_path / name / "study.json").write_text(f'{{"study": {{"algorithm": "{algorithm}"}}}}')
    write(tmp_path / "a/record.json", record("a", valid_loss=0.4 * (1 + 3e-7)))
    write(tmp_path / "c/record.json", record("c", valid_loss=0.4 * (1 + 3e-5)))
    found, _ = trials.read(tmp_path, everything=True)
    assert dict(zip(found.study, found.excluded, strict=True)) == {
        "a": COPY, "b/gp": "", "b/random": "", "c": ""
    }  # fmt: skip


def test_runs_outside_the_papers_ranges_are_marked(tmp_path):
    values = {
        "usual": ({"l2_decay": 0.0, "batch_size": 256}, []),
        "wide": ({"lr_init": 0.5, "l2_decay": 1e-2, "batch_size": 4},) * 2,
        "smoke": ({"batch_size": 16}, []),
        "other": ({"optimizer": "adamw", "batch_size": 256}, ["optimizer"]),
    }
    for name, (fields, _) in values.items():
        config = dataclasses.asdict(TrainConfig("capacity", "gru", **fields))
        profile = "smoke" if name == "smoke" else None
        kept = record(name, config=config, profile=profile)
        write(tmp_path / name / "record.json", kept)
    found, _ = trials.read(tmp_path, everything=True)
    names = dict(zip(found.run_id, map(json.loads, found.outside), strict=True))
    assert names == {name: list(outside) for name, (_, outside) in values.items()}


def test_a_study_in_the_directory_of_another_is_reported(tmp_path):
    configs = {
        arch: {"task": "memory", "arch": arch, "depth": 1, "num_params": 300, "train_steps": 9}
        for arch in ("rnn", "gru")
    }
    studies = [{"name": arch, "config": config} for arch, config in configs.items()]
    for place, held in (("rnn", "gru"), ("gru", "gru")):
        path = tmp_path / "studies" / place
        write(path / "trials.jsonl")
        (path / "study.json").write_text(json.dumps({"config": configs[held]}))
    (tmp_path / "sweep.json").write_text(json.dumps({"studies": studies}))
    _, problems = trials.collect(tmp_path)
    assert problems == [
        f"{tmp_path}/studies/rnn holds another study than sweep.json names: arch gru, not rnn"
    ]


@pytest.mark.parametrize(
    "search, text",
    [
        ({"algorithm": "random", "ranges": {}}, "algorithm random, not gp"),
        ({"algorithm": "gp", "ranges": {"activation": "tanh"}}, "activation tanh, not relu"),
    ],
)
def test_the_search_of_another_study_is_reported(search, text, tmp_path):
    """Both studies have the same task, architecture and size, and so the same trials at sight."""
    config = {"task": "memory", "arch": "rnn", "depth": 1, "num_params": 300, "train_steps": 9}
    own = {"algorithm": "gp", "ranges": {"activation": "relu", "lr_init": 0.1}}
    studies = [{"name": "a", "config": config, "study": own}]
    write(tmp_path / "studies/a/trials.jsonl")
    (tmp_path / "studies/a/study.json").write_text(json.dumps({"config": config, "study": search}))
    (tmp_path / "sweep.json").write_text(json.dumps({"studies": studies}))
    _, problems = trials.collect(tmp_path)
    assert problems == [f"{tmp_path}/studies/a holds another study than sweep.json names: {text}"]


@pytest.mark.parametrize(
    "values, text",
    [
        ({"searched": ["activation"]}, "activation searched, not relu"),
        ({"held": ["activation"]}, "activation tanh, not relu"),
    ],
)
def test_trials_of_a_study_that_fixes_other_values_are_reported(values, text, tmp_path):
    """Also without the files of the search, as where results are published."""
    made = record("00000", objective=1.0, eval_loss=1.0)
    hparams = made.hparams | {"activation": "tanh"}
    values = {"config": {"activation": "tanh"}, "hparams": hparams, **values}
    write(tmp_path / "trials.jsonl", dataclasses.replace(made, **values))
    settings = {"study": {"ranges": {"activation": "relu", "momentum_logit": 3.0}}}
    (tmp_path / "study.json").write_text(json.dumps(settings))
    _, problems = trials.collect(tmp_path)
    assert problems == [
        f"{tmp_path}/trials.jsonl has 1 trial of another study, the first is 00000 with {text}"
    ]


def test_runs_that_differ_in_precision_or_data_are_no_copies(tmp_path):
    configs = {}, {"precision": "tf32"}, {"data_seed": 1}, {"eval_samples": 64}
    for name, config in zip("abcd", configs, strict=True):
        write(tmp_path / name / "record.json", record(name, config=config))
    found, problems = trials.read(tmp_path)
    assert (found.run.tolist(), problems) == (["a", "b", "c", "d"], [])


def test_settings_that_no_search_chose_are_a_column(tmp_path):
    hparams = {"batch_size": 8, "lr_init": 0.1, "l2_decay": 0.5, "arch_options": {"rate": 0.9}}
    hparams |= {"task_options": {"num_samples": 50}, "activation": "relu", "train_steps": 60}
    values = {"hparams": hparams, "config": {"eval_samples": 64}, "held": ["l2_decay"]}
    rows = record("00000", **values), record("00001", **values, searched=["batch_size"])
    write(tmp_path / "a/trials.jsonl", *rows)
    facts = {"config": {"train_steps": 90, "task": "x", "arch": "x", "depth": 1, "num_params": 9}}
    text = json.dumps(facts | {"study": {"algorithm": "gp"}})
    (tmp_path / "a/study.json").write_text(text)
    write(tmp_path / "7/record.json", record("7", **values, seed=4))
    found, _ = trials.read(tmp_path)
    alone, first, second = map(json.loads, found.fixed)
    of_both = {"arch_options.rate": 0.9, "eval_samples": 64, "l2_decay": 0.5}
    of_both |= {"precision": "float32", "search": "gp", "train_steps": 90}
    assert second == of_both
    assert first == of_both | {"batch_size": 8}
    own = {"batch_size": 8, "lr_init": 0.1, "activation": "relu", "train_steps": 60}
    own |= {"matrix_init": "orthogonal"}
    assert alone == {k: v for k, v in of_both.items() if k != "search"} | own
    assert found.iteration.isna().tolist() == [True, False, False]


def test_narrowed_ranges_are_a_column(tmp_path):
    write(tmp_path / "a/trials.jsonl", record("00000"))
    ranges = {"lr_init": [0.001, 0.01], "train_steps": [50, 60]}
    (tmp_path / "a/study.json").write_text(json.dumps({"study": {"ranges": ranges}}))
    found, _ = trials.read(tmp_path)
    assert found.narrowed.tolist() == ['["lr_init"]']


def test_an_empty_directory_is_an_empty_table(tmp_path):
    found, problems = trials.read(tmp_path)
    assert len(found) == 0 and not problems and list(found) == list(COLUMNS)


def test_frames_that_come_together_keep_their_words():
    one, other = frame({"task": "memory"}), frame({"task": "rcf", "study": "t"})
    both = trials.together([one, other])
    assert both.task.tolist() == ["memory", "rcf"]
    assert both.study.cat.categories.tolist() == ["s", "t"]


def test_words_are_stored_once(tmp_path):
    write(tmp_path / "a/trials.jsonl", record("00000"))
    found, _ = trials.read(tmp_path)
    assert {found[name].dtype.name for name in ("task", "arch", "study")} == {"category"}


def test_the_report_imports_nothing_that_trains():
    """Checked in a new process, because other tests import training code."""
    wanted = "tuning.report.build, tuning.report.authors"
    code = f"import {wanted}, sys; print(*sys.modules)"
    done = python("-c", code, cwd=".")
    assert done.code == 0, done.stderr
    imported = set(done.stdout.split())
    assert "tuning.report.page" in imported
    trains = {"tensorflow", "keras", "jax", "trainer.loop", "trainer.lanes", "ray", "optuna"}
    trains |= {f"tuning.study.{name}" for name in ("reruns", "executors", "pool", "study")}
    assert not imported & trains


def test_a_study_states_its_largest_number_of_steps():
    found, _ = trials.read("results/figure_2c")
    assert set(found.max_steps) == {10_000} and found.train_steps.nunique() > 10


def test_loaded_runs_have_a_column_per_hyperparameter(tmp_path):
    unlike = {"gate_bias": {"r": 0.5, "u": 2}, "task_options": {}, "activation": None}
    write(tmp_path / "studies/a/trials.jsonl", record("00000"), record("00001", hparams=unlike))
    found = tuning.load(tmp_path)
    assert found.run.tolist() == ["studies/a/00000", "studies/a/00001"]
    assert found.lr_init.tolist()[0] == 0.1 and found.lr_init.isna().tolist() == [False, True]
    assert found["gate_bias.u"].tolist()[1] == 2
    assert found["task_options.num_samples"].tolist()[0] == 50
    assert found.activation.tolist() == ["relu", "tanh"]
    json_columns = {"hparams", "curve", "validation", "lengths", "fixed"}
    assert found.columns.is_unique and not json_columns & set(found)
    renamed = {"num_samples", "num_steps", "num_inputs"}
    assert set(COLUMNS) - json_columns - renamed <= set(found)
    # Grouping by categories would give rows for pairs that no run has.
    assert "category" not in set(map(str, found.dtypes))
    alone = tuning.load(tmp_path / "studies/a")
    assert alone.run.tolist() == ["a/00000", "a/00001"]


def test_learning_curves_are_loaded_as_points(tmp_path):
    full = [float(20 - point) for point in range(20)]
    write(tmp_path / "whole/record.json", record("whole", curve=full, train_steps=50))
    write(tmp_path / "pruned/record.json", record("pruned", curve=full[:2], train_steps=50))
    write(tmp_path / "short/record.json", record("short", curve=[3.0, 2.0, 1.0], train_steps=3))
    write(tmp_path / "none/record.json", record("none", curve=[]))
    points = tuning.load(tmp_path, curves=True)
    of = {run: table for run, table in points.groupby("run")}
    assert sorted(of) == ["pruned", "short", "whole"]
    assert of["whole"].loss.tolist() == full
    assert of["whole"].step.tolist()[:4] + of["whole"].step.tolist()[-1:] == [3, 5, 8, 10, 50]
    assert of["pruned"].step.tolist() == [3, 5] and of["short"].step.tolist() == [1, 2, 3]
    assert set(points.lr_init) == {0.1}


def test_every_run_is_loaded_also_those_that_the_report_leaves_out(tmp_path):
    write(tmp_path / "tuned/record.json", record("tuned", config={"preset": "capacity/gru-300"}))
    write(tmp_path / "halted/record.json", record("halted", status="interrupted"))
    for name in ("one", "two"):
        write(tmp_path / name / "trials.jsonl", record("00000"))
    found = tuning.load(tmp_path)
    assert found.run.tolist() == ["halted", "one/00000", "tuned", "two/00000"]
    assert found.status.tolist() == ["interrupted", "ok", "ok", "ok"]
    assert trials.read(tmp_path)[0].run.tolist() == ["one/00000"]
    with open(tmp_path / "one/trials.jsonl", "a") as file:
        file.write("{")
    with pytest.warns(UserWarning, match="has 1 damaged line, the first is line 2"):
        tuning.load(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [("nothing", "does not exist; give"), ("a.txt", "is a file; give"), ("empty", "holds no run")],
)
def test_a_path_without_runs_is_refused_in_one_line(name, message, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=message) as error:
        tuning.load(tmp_path / name)
    assert "\n" not in str(error.value)


def test_tuning_is_imported_without_its_libraries():
    done = python("-c", "import tuning, sys; tuning.load; print(*sys.modules)", cwd=".")
    assert done.code == 0, done.stderr
    assert not {"tensorflow", "keras", "jax", "keras_tuner"} & set(done.stdout.split())


def test_a_sweep_s_study_without_its_settings_is_reported(tmp_path):
    write(tmp_path / "studies/a/trials.jsonl", record("00000"))
    (tmp_path / "sweep.json").write_text('{"studies": []}')
    found, problems = trials.collect(tmp_path)
    assert len(found) == 1
    assert problems == [
        f"{tmp_path}/studies/a has lost its study.json, so its ranges are unknown",
        f"{tmp_path}/studies/a is not among the studies that sweep.json names",
    ]


def test_a_sweep_without_its_studies_is_reported(tmp_path):
    _publish(tmp_path)
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / "studies" / name)
    found, problems = trials.collect(tmp_path)
    assert not found and problems == [
        f"{tmp_path}/studies/{name}, which sweep.json names, is lost" for name in ("a", "b")
    ]
    (tmp_path / "studies").rmdir()
    (tmp_path / "studies").write_text("")
    assert trials.collect(tmp_path) == ([], problems)


def test_a_sweep_that_lost_its_own_file_is_reported(tmp_path):
    _publish(tmp_path)
    (tmp_path / "sweep.json").unlink()
    assert "sweep.json" not in str(trials.collect(tmp_path)[1])  # studies may lie in any directory
    (tmp_path / "sweep.gin").touch()
    message = f"{tmp_path} has lost its sweep.json, so its profile is unknown"
    assert message in trials.collect(tmp_path)[1]


def test_one_odd_file_does_not_stop_a_report(tmp_path):
    """Each is named in one line, and everything else is read."""
    odd = {**vars(record("00001")), "hparams": {"task_options": [], "activation": None}}
    path = tmp_path / "sweep/studies/a"
    write(
        path / "trials.jsonl", record("00000"), record("00002"), end="\n" + json.dumps(odd) + "\n"
    )
    (path / "study.json").write_text('{"study": 5}')
    (tmp_path / "sweep/sweep.json").write_text('{"profile": []}')
    write(tmp_path / "b/record.json", record("b", seed=5))
    (tmp_path / "b/metrics.jsonl").write_text('{"step": -1, "train_loss": 1}\n')
    (tmp_path / "c").mkdir()
    (tmp_path / "c/record.json").write_text('{"run_id": "../c"}')
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d/record.json")
    found, problems = trials.read(tmp_path)
    assert found.run_id.tolist() == ["b", "00000", "00002"]
    assert problems == [
        f"{tmp_path}/b/metrics.jsonl is damaged: line 1: step must be an int of at least 0, got -1",
        f"{tmp_path}/c/record.json: it has no arch, backend, chance_loss, config, data, depth, "
        "hparams, input_dim, max_params, num_params, output_dim, seed, task, train_steps, units, "
        "versions",
        f"{tmp_path}/d/record.json: it is not a regular file",
        f"{tmp_path}/sweep/sweep.json: profile must be a str, got []",
        f"{tmp_path}/sweep/studies/a/study.json: study must be a dict, got 5",
        f"{tmp_path}/sweep/studies/a/trials.jsonl has 1 damaged line, the first is line 3: "
        "hparams.task_options must be a dict, got []",
    ]

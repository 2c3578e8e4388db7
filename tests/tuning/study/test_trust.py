"""Studies whose files were altered, or that another process owns by now."""

import dataclasses
import io
import json
import re
import shutil

import pytest
import records
from rich.console import Console
from untrained import Untrained

import tuning
from rnn_zoo.files import write_json
from trainer import TrainConfig, UserError
from trainer.display.progress import Display
from trainer.export import saved_model
from trainer.storage.lease import LeaseLost
from tuning import __main__ as tune
from tuning import show, trials
from tuning.config import StudyConfig
from tuning.study import consistency, identity, log
from tuning.study.study import Study

CONFIG = TrainConfig("parens", "rnn", num_params=3000)


def study(path, num_trials=12, **options):
    return Study(path, CONFIG, StudyConfig(num_trials, algorithm="random", seed=0, **options))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished study of 12 trials."""
    path = tmp_path_factory.mktemp("made") / "study"
    study(path).run(Untrained())
    return path


@pytest.fixture
def path(made, tmp_path):
    return shutil.copytree(made, tmp_path / "study")


def content(path):
    """Return file -> content, except for the lock, which exists during a change."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name != "lease.lock"]
    return {p: p.read_bytes() for p in files}


class Overtaken(Untrained):
    """Another process takes the lease over, just before or after the sixth record is written."""

    def __init__(self, search, after):
        super().__init__(limit=12)
        self.search, self.after, self.kept = search, after, {}

    def train(self, next_job, ended, tick, callback):
        append = self.search.log.append

        def overtake():
            owner = {"pid": 1, "host": "elsewhere", "token": "another's"}
            write_json(self.search.path / "lease.json", owner)
            self.kept = content(self.search.path)

        def append_and_lose(record):
            append(record)
            if len(self.search.log.records) == 6:
                overtake()

        def lose_and_end(record, weights):
            if len(self.search.log.records) == 5:
                overtake()
            ended(record, weights)

        if self.after:
            self.search.log.append = append_and_lose
        return super().train(next_job, ended if self.after else lose_and_end, tick, callback)


def test_a_profile_that_a_file_names_adds_no_line_to_a_gin_file(tmp_path):
    """The user may repeat a trial with --gin_file, which can import any module."""
    search = study(tmp_path / "study", num_trials=1, keep=1)
    search.profile = "smoke\nimport antigravity"
    search.run(Untrained())
    (written,) = search.path.glob("trial_*/config.gin")
    assert "import" not in written.read_text()


@pytest.mark.parametrize("after, written", [(False, 5), (True, 6)])
def test_a_process_that_lost_its_lease_writes_nothing(tmp_path, after, written):
    search = study(tmp_path / "study", batch=1, keep=12)
    executor = Overtaken(search, after)
    with pytest.raises(LeaseLost):
        search.run(executor)
    assert len(log.read(search.path / "trials.jsonl")[0]) == written
    assert content(search.path) == executor.kept


def test_an_id_leads_to_no_other_directory(path, tmp_path):
    victim = tmp_path / "victim/checkpoints"
    victim.mkdir(parents=True)
    (victim / "mine").touch()
    (path / "trial_..").mkdir()
    with open(path / "trials.jsonl", "a") as file:
        worst = records.record("../../victim", 10.0, config={}).__dict__
        file.write(json.dumps(worst) + "\n")
    search = study(path, 13)
    assert search.run(Untrained())[1]
    assert (victim / "mine").exists()
    assert len(search.log.records) == 13 and "line 13: run_id must be" in search.log.problem


def test_an_id_that_no_study_gives_is_refused(path):
    with open(path / "trials.jsonl", "a") as file:
        size = {"arch": "rnn", "max_params": 3000}
        file.write(json.dumps(records.record("99999999999", 10.0, **size).__dict__) + "\n")
    with pytest.raises(UserError, match=r"trial 99999999999 does not fit.*not the number of a"):
        study(path, 13).run(Untrained())


def test_an_id_that_would_make_many_trials_is_refused(path):
    """The search would propose all trials before it."""
    lines = (path / "trials.jsonl").read_text().splitlines(keepends=True)
    (path / "trials.jsonl").write_text("".join(lines[:-1]))
    last = json.loads(lines[-1]) | {"run_id": "00099", "crc32": None}
    with open(path / "trials.jsonl", "a") as file:
        file.write(json.dumps(last) + "\n")
    with pytest.raises(UserError, match=r"trial 00099 does not fit.*the study has 12 trials"):
        study(path).run(Untrained())


@pytest.mark.parametrize("name", ["zzz", "-1", "٣", "0011", "99999999"])
def test_an_odd_id_in_the_search_is_set_aside(path, capsys, name):
    """It would be trained, and refused later, or the search would propose all trials before it."""
    file = path / "oracle.json"
    held = json.loads(file.read_text()) | {"crc32": None}
    held["start_order"][-1], held["values"][name] = name, held["values"]["00011"]
    file.write_text(json.dumps(held))
    search, executor = study(path, 13), Untrained()
    assert search.run(executor)[1] and list(executor.jobs) == ["00012"]
    assert sorted(search.log.records) == [f"{number:05d}" for number in range(13)]
    assert "oracle.json.damaged" in capsys.readouterr().out
    study(path, 13).run(Untrained())


def test_a_search_with_more_trials_than_the_study_is_set_aside(path, capsys):
    """They would all be trained."""
    file = path / "oracle.json"
    held = json.loads(file.read_text()) | {"crc32": None}
    names = [f"{number:05d}" for number in range(12, 100)]
    held["start_order"] += names
    held["values"] |= dict.fromkeys(names, held["values"]["00011"])
    file.write_text(json.dumps(held))
    executor = Untrained()
    assert study(path).run(executor)[1] and not executor.jobs
    assert "it has 100 trials, of at most" in capsys.readouterr().out


#: Settings of another study -> how its records differ.
OTHERS = {
    "arch irnn, not rnn": TrainConfig("parens", "irnn", num_params=3000),
    "num_params 5000, not 3000": TrainConfig("parens", "rnn", num_params=5000),
    "seed 7, not 0": dataclasses.replace(CONFIG, seed=7),
}


@pytest.mark.parametrize("difference", OTHERS)
def test_the_log_of_another_study_is_refused_and_reported(path, tmp_path, difference):
    other = Study(tmp_path / "b", OTHERS[difference], StudyConfig(3, algorithm="random", seed=0))
    other.run(Untrained())
    shutil.copy(tmp_path / "b/trials.jsonl", path)
    words = f"trials.jsonl has 3 trials of another study, the first is 0000. with {difference}"
    with pytest.raises(UserError, match=f"{words}; restore its own"):
        study(path).run(Untrained())
    with pytest.warns(match=words), pytest.warns(match="lacks 9 trials"):
        tuning.load(path)
    assert re.search(words, shown(path))
    tune.FLAGS.unparse_flags()
    tune.FLAGS(["tune", "--rerun_best=1"])
    with pytest.raises(UserError, match=f"{words}; restore its own"):
        tune._rerun(study(path), None)


@pytest.mark.parametrize("searched", [["lr_init"], ["task_options.num_steps"], []])
def test_options_of_the_task_are_those_of_the_study_unless_it_searched_them(tmp_path, searched):
    """Records of earlier versions do not say what was searched."""
    fields = {"task_options": {"num_steps": 9, "path": "there"}}
    trial = records.record(
        "00000",
        0.5,
        config=fields,
        hparams={"activation": None} | fields,
        searched=searched,
        defaults={"task_options": {"num_steps": 175}},
    )
    log.TrialLog(tmp_path / "trials.jsonl").append(trial)
    assert not consistency.read(tmp_path, None).foreign  # without a study.json
    for options in ({}, {"num_steps": 175, "path": "here"}):
        found = consistency.read(tmp_path, {"task_options": options}).foreign
        words = "00000 with task_options.num_steps 9, not 175" * (searched == ["lr_init"])
        assert words in found and bool(words) == bool(found)


def test_a_record_of_another_log_is_no_trial(path):
    rerun = json.loads((path / "trials.jsonl").read_text().splitlines()[0]) | {"crc32": None}
    with open(path / "trials.jsonl", "a") as file:
        file.write(json.dumps(rerun | {"run_id": "0000-ed29e066"}) + "\n")
    words = "the first is 0000-ed29e066, which is not the number of a trial"
    with pytest.raises(UserError, match=words):
        study(path).run(Untrained())
    with pytest.warns(match=words):
        tuning.load(path)


def test_a_warning_has_no_control_characters(path):
    held = json.loads((path / "oracle.json").read_text()) | {"crc32": None}
    held["values"]["00000"]["optimizer"] = "\x1b[31m"
    (path / "oracle.json").write_text(json.dumps(held))
    with pytest.warns(match=r"00000 with optimizer [a-z]+, not \\x1b\[31m as in its search$"):
        tuning.load(path)


def test_a_lost_search_is_said_to_be_lost(path, capsys):
    (path / "oracle.json").unlink()
    assert study(path, 13).run(Untrained())[1]
    assert "oracle.json is missing: the search goes on from" in capsys.readouterr().out


def test_a_search_over_other_hyperparameters_is_set_aside(path, capsys):
    file = path / "oracle.json"
    held = json.loads(file.read_text()) | {"crc32": None}
    for each in held["hyperparameters"]["space"]:
        each["config"]["name"] = "zz"
    file.write_text(json.dumps(held))
    assert study(path, 13).run(Untrained())[1]
    assert "its space has no activation" in capsys.readouterr().out


def test_a_value_outside_the_space_is_refused(path):
    search = study(path, ranges={"lr_init": (0.02, 0.1)})
    search.log = log.TrialLog(path / "trials.jsonl")
    low = next(each for each in search.log.records.values() if each.config["lr_init"] < 0.02)
    with pytest.raises(UserError, match=r"its lr_init 0.0.* is not in \[0.02, 0.1\]"):
        search.values_of(low)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The log of a study with the same settings and another seed."""
    search = study(tmp_path_factory.mktemp("other") / "study")
    search.study = dataclasses.replace(search.study, seed=5)
    search.run(Untrained())
    return (search.path / "trials.jsonl").read_bytes()


@pytest.mark.parametrize("number", [1, 12])
def test_trials_that_the_search_did_not_propose_are_refused_and_reported(path, other, number):
    log_path = path / "trials.jsonl"
    own = log_path.read_bytes().splitlines(keepends=True)
    log_path.write_bytes(b"".join(other.splitlines(keepends=True)[:number] + own[number:]))
    before = content(path)
    trial_s = "1 trial" if number == 1 else "12 trials"
    words = rf"trials.jsonl has {trial_s} of another study, the first is 0000. with \S+ \S+, not"
    with pytest.raises(UserError, match=f"{words} .*; restore its own"):
        study(path).run(Untrained())
    assert content(path) == before
    with pytest.warns(match=words):
        tuning.load(path)
    assert re.search(words, shown(path))


def test_a_log_without_its_search_or_with_other_results_takes_precedence(path, other, capsys):
    (path / "trials.jsonl").write_bytes(other)
    (path / "oracle.json").unlink()
    search = study(path)
    search.run(Untrained())
    assert (path / "trials.jsonl").read_bytes() == other
    line = json.loads(other.splitlines()[0]) | {"objective": 0.25, "crc32": None}
    lines = [json.dumps(line).encode() + b"\n", *other.splitlines(keepends=True)[1:]]
    (path / "trials.jsonl").write_bytes(b"".join(lines))
    again = study(path)
    again.run(Untrained())
    for each in (search, again):
        for run_id, trial in each._schedule._oracle.trials.items():
            assert trial.hyperparameters.values == each.values_of(each.log.records[run_id])
            assert trial.score == each.log.records[run_id].objective
    assert capsys.readouterr().out.count("the search is rebuilt from") == 2


def test_a_trial_that_the_search_believes_failed_is_taken_from_the_log(path, capsys):
    file = path / "trial_00003/trial.json"
    held = json.loads(file.read_text())
    file.write_text(json.dumps(held | {"status": "FAILED", "crc32": None}))
    study(path).run(Untrained())
    assert "the search is rebuilt from" in capsys.readouterr().out
    now = json.loads(file.read_text())
    assert [now[name] for name in ("status", "score")] == ["COMPLETED", held["score"]]


def test_a_directory_with_the_run_of_another_trial_is_not_that_of_the_best(path):
    best, second = log.ranked(log.read(path / "trials.jsonl")[0].values())[:2]
    run_dir = path / f"trial_{best.run_id}"
    assert tune._lack(run_dir, best) == ""
    assert tune._lack(run_dir, second) == (
        f"its weights were not kept: {run_dir} holds another run"
    )
    (run_dir / "checkpoints").rename(run_dir / "elsewhere")
    lost = f"its weights are lost: {run_dir} has no checkpoint"
    assert tune._lack(run_dir, best) == lost
    (run_dir / "record.json").write_text("{}")
    assert "record.json: " in tune._lack(run_dir, best)
    (run_dir / "record.json").unlink()
    (run_dir / "record.json").mkdir()
    assert "record.json: it is not a regular file" in tune._lack(run_dir, best)
    (run_dir / "record.json").rmdir()
    assert tune._lack(run_dir, best) == "its weights were not kept"


def test_the_way_to_export_names_the_backend_and_the_user_s_modules(path, monkeypatch):
    console = Console(file=io.StringIO(), width=500)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    tune._export(path, Display(console), ["my_tasks"])
    assert console.file.getvalue() == (
        "a SavedModel needs TensorFlow: KERAS_BACKEND=tensorflow python -m trainer.export "
        f"--run_dir={path} --import=my_tasks\n"
    )


def test_an_earlier_export_is_not_called_a_new_one(path, monkeypatch):
    console = Console(file=io.StringIO(), width=500)
    monkeypatch.setattr("keras.backend.backend", lambda: "tensorflow")
    exported = []
    monkeypatch.setattr("trainer.export.export", exported.append)
    (path / "saved_model/variables").mkdir(parents=True)
    (path / "saved_model/saved_model.pb").touch()
    tune._export(path, Display(console))  # an empty file is no export
    assert exported == [path]
    console.file.truncate(0)
    console.file.seek(0)
    for name in saved_model._FILES:
        (path / "saved_model" / name).write_text("a part of it")
    tune._export(path, Display(console))
    assert exported == [path]
    assert console.file.getvalue() == (
        f"{path / 'saved_model'} is there; python -m trainer.export --run_dir={path} makes it "
        "again\n"
    )


@pytest.mark.parametrize("lost", [3, 12, None], ids=["lines", "all lines", "the file"])
def test_lost_trials_are_reported_wherever_they_are_read(path, lost):
    log_path = path / "trials.jsonl"
    lines = log_path.read_bytes().splitlines(keepends=True)
    assert " lacks " not in shown(path)
    log_path.write_bytes(b"".join(lines[lost:])) if lost else log_path.unlink()
    words = f"trials.jsonl lacks {lost or 12} trials that had ended"
    assert words in shown(path)
    rows, problems = trials.collect(path)
    assert len(rows) == (12 - lost if lost else 0)
    assert len(problems) == 1 and words in problems[0]


def test_a_study_of_an_earlier_version_without_its_fixed_values_continues(tmp_path, capsys):
    config = dataclasses.replace(CONFIG, batch_size=4)
    settings = StudyConfig(3, algorithm="random", seed=0)
    Study(tmp_path / "study", config, settings, held=()).run(Untrained())
    search = Study(tmp_path / "study", config, dataclasses.replace(settings, num_trials=5))
    assert search.run(Untrained())[1]
    found = [search.log.records[f"{number:05d}"].outside for number in range(5)]
    assert found == [[], [], [], ["batch_size"], ["batch_size"]]
    assert search.log.records["00004"].held == ["batch_size"]
    assert "rebuilt" not in capsys.readouterr().out


@pytest.mark.parametrize(("algorithm", "fits"), [("random", False), ("gp", True), (None, True)])
def test_a_random_search_has_no_trial_that_a_model_proposed(tmp_path, algorithm, fits):
    found = [
        records.record(run_id=f"0000{n}", origin=o) for n, o in enumerate(("random", "search"))
    ]
    text = consistency.foreign(tmp_path, found, {}, {}, {"algorithm": algorithm})
    assert text == "" if fits else "the first is 00001, which a model proposed" in text


def test_a_study_that_searches_the_depth_has_trials_of_several(tmp_path):
    found = [records.record(depth=depth, searched=["depth"]) for depth in (1, 3)]
    assert consistency.foreign(tmp_path, found, {"depth": 1}, {}, {}) == ""
    other = records.record(depth=3)
    assert "depth 3, not 1" in consistency.foreign(tmp_path, [other], {"depth": 1}, {}, {})


def shown(path):
    console = Console(file=io.StringIO(), width=500)
    show.FLAGS(["show"])
    show._study(path, Display(console))
    return console.file.getvalue()


def test_a_flipped_bit_of_the_log_costs_one_trial(path, capsys):
    lines = (path / "trials.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"objective":', b'"objective":1')
    (path / "trials.jsonl").write_bytes(b"".join(lines))
    lost = json.loads(lines[3])["run_id"]
    executor = Untrained()
    study(path).run(executor)
    assert list(executor.jobs) == [lost]
    assert "has 1 damaged line, the first is line 4: it does not match" in capsys.readouterr().out


def test_lost_lines_of_the_log_are_reported(path, capsys):
    lines = (path / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (path / "trials.jsonl").write_bytes(b"".join(lines[:4] + lines[7:]))
    executor = Untrained()
    study(path).run(executor)
    assert sorted(executor.jobs) == sorted(json.loads(line)["run_id"] for line in lines[4:7])
    assert "trials.jsonl lacks 3 trials that had ended; they run again" in capsys.readouterr().out


def widened(search):
    """Other learning rates in the search's space."""
    for each in search["hyperparameters"]["space"]:
        if each["config"]["name"] == "lr_init":
            each["config"] |= {"min_value": 5.0, "max_value": 50.0}


def of_another_seed(search):
    search["seed"] = 7


def with_a_trial(**values):
    """A trial that has not run yet, with these values."""

    def change(search):
        search["values"]["00012"] = search["values"]["00011"] | values
        search["start_order"].append("00012")
        search["origins"]["00012"] = "random"

    return change


@pytest.mark.parametrize(
    "change, reason",
    [
        (widened, "its space is not that of the study"),
        (of_another_seed, "its seed is 7, and that of the study 0"),
        (with_a_trial(task="memory"), "trial 00012 has the task 'memory', which is not in the"),
        (with_a_trial(train_steps=10**6), "trial 00012 has the train_steps 1000000, which is not"),
        (with_a_trial(preset="hf://a/b/c/d"), "trial 00012 has the preset 'hf://a/b/c/d', which"),
    ],
)
def test_a_search_that_is_not_the_study_s_is_set_aside(path, change, reason, tmp_path, capsys):
    """It would decide what the next trials train."""
    whole = study(shutil.copytree(path, tmp_path / "whole"), 14)
    whole.run(Untrained())
    assert not list(whole.path.rglob("*.damaged"))
    search = json.loads((path / "oracle.json").read_text()) | {"crc32": None}
    change(search)
    (path / "oracle.json").write_text(json.dumps(search))
    capsys.readouterr()
    continued = study(path, 14)
    continued.run(Untrained())
    said = capsys.readouterr().out.replace("\n", " ")
    assert "oracle.json is damaged" in said and reason in " ".join(said.split())
    values = [{k: v.config for k, v in each.log.records.items()} for each in (whole, continued)]
    assert values[0] == values[1]


def test_a_second_record_of_a_trial_is_reported_and_dropped(path, capsys):
    lines = (path / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (path / "trials.jsonl").write_bytes(b"".join([*lines, lines[0]]))
    study(path).run(Untrained())
    assert "a second record of trial" in capsys.readouterr().out
    assert len((path / "trials.jsonl").read_bytes().splitlines()) == 12


@pytest.mark.parametrize(
    "change, message",
    [
        ({"config": 5}, "config must be a dict, got 5"),
        ({"batch": "many"}, "batch must be an int, got 'many'"),
        ({"batch": 10**9}, "batch must be an int from 1 to 256, got 1000000000"),
        ({"study": {"ranges": []}}, r"study.ranges must be a dict, got \[\]"),
        ({"study": {"color": 1}}, "it has an unknown field 'color'"),
        ({"data": None}, "data must be a dict, got None"),
    ],
)
def test_an_odd_study_json_is_one_line(path, change, message):
    held = json.loads((path / "study.json").read_text())
    (path / "study.json").write_text(json.dumps(held | change | {"crc32": None}))
    before = content(path)
    for read in (lambda: identity.read(path), lambda: study(path).run(Untrained())):
        with pytest.raises(UserError, match=rf"study\.json: {message}") as error:
            read()
        assert "\n" not in str(error.value)
    assert content(path) == before


@pytest.mark.parametrize("linked", ["worst", "next"])
def test_a_trial_in_place_of_which_there_is_a_link_is_not_touched(path, tmp_path, linked):
    worst = log.ranked(log.read(path / "trials.jsonl")[0].values())[-1].run_id
    trial = path / f"trial_{worst if linked == 'worst' else '00012'}"
    shutil.rmtree(trial, ignore_errors=True)
    victim = tmp_path / "mine"
    (victim / "checkpoints").mkdir(parents=True)
    (victim / "record.json").write_text("mine")
    trial.symlink_to("../mine")
    before = content(tmp_path)
    with pytest.raises(UserError, match=rf"{trial.name} is a symbolic link"):
        study(path, 13).run(Untrained())
    assert content(tmp_path) == before and (victim / "checkpoints").exists()


def test_a_log_in_place_of_which_there_is_a_link_is_not_appended_to(tmp_path):
    (tmp_path / "mine").write_text("")
    (tmp_path / "trials.jsonl").symlink_to("mine")
    with pytest.raises(OSError, match=r"trials\.jsonl"):
        log.TrialLog(tmp_path / "trials.jsonl").append(records.record())
    assert (tmp_path / "mine").read_text() == ""

"""Studies in real processes: killed, started twice, damaged, and still with the same trials."""

import collections
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
import types

import pytest
import records
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import JAX, children, environment, python
from tensorboard_files import points
from untrained import Untrained

from trainer import Callback, TrainConfig, UserError
from trainer.cli.gin_files import profile_in
from trainer.storage.records import PRIVATE
from tuning.config import StudyConfig, seed_of
from tuning.study import log
from tuning.study.schedule import (
    default_batch,
    default_initial_points,
    next_action,
    num_known,
)
from tuning.study.study import Study

TRIALS = 9
#: A study of a few seconds; with one lane, trials are bit-identical wherever they run.
ARGUMENTS = (
    "-m",
    "tuning",
    "--task=capacity",
    "--arch=irnn",
    "--profile=smoke",
    "--num_params=400",
    "--train_steps=100",
    "--early_stopping=halving",
    "--lanes=1",
    "--workers=2",
    f"--num_trials={TRIALS}",
    "--gin_bindings=StudyConfig.batch = 3",
    "--gin_bindings=TrainConfig.task_options = {'num_inputs': 20}",
    # So few dimensions that the Gaussian process proposes more than half of the trials.
    "--gin_bindings=StudyConfig.ranges = {'num_samples': (40, 400), 'input_scale': 1.0,"
    " 'bias_init': 'constant', 'bias_scale': 0.1, 'momentum_logit': 2.0, 'l2_decay': 1e-6,"
    " 'lr_decay_rate': 0.1, 'gradient_clip_val': 1.0}",
    "--study_dir=study",
    "--log_to=tensorboard,jsonl",
)
#: The same with one worker, which starts faster.
ALONE = tuple(argument.replace("--workers=2", "--workers=1") for argument in ARGUMENTS)


def results(directory):
    """Read the values and results of every trial."""
    lines = (directory / "trials.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({record["run_id"] for record in found}) == len(found)
    return {r["run_id"]: (r["hparams"], r["objective"], r["eval_loss"], r["curve"]) for r in found}


def start(home, arguments=ARGUMENTS):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=home,
        env=environment(**JAX),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def num_ended(home):
    path = home / "study/trials.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(process, condition, timeout=180):
    deadline = time.monotonic() + timeout
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """An uninterrupted study, and its output."""
    home = tmp_path_factory.mktemp("undisturbed")
    done = python(*ALONE, cwd=home, **JAX)
    assert (done.code, done.stderr) == (0, "")
    return home / "study", done.stdout


def test_a_study_writes_its_files(undisturbed):
    study, printed = undisturbed
    records, bad = log.read(study / "trials.jsonl")
    assert len(records) == TRIALS and not bad
    ranked = sorted(records.values(), key=lambda r: (r.objective, r.run_id))
    best = ranked[0]
    assert f"trial_{best.run_id}" in printed
    assert best.objective == -best.metrics["valid"]["mutual_information"]
    kept = sorted(path.parent.name for path in study.glob("trial_*/checkpoints"))
    assert kept == sorted(f"trial_{record.run_id}" for record in ranked[:5])
    assert len(list(study.glob("trial_*"))) == TRIALS
    oracle = json.loads((study / "oracle.json").read_text())
    assert len(oracle["end_order"]) == TRIALS and not oracle["ongoing_trials"]
    fixed = ["input_scale.h", "bias_init", "bias_scale.h", "lr_decay_rate", "momentum_logit"]
    fixed += ["gradient_clip_val", "l2_decay"]
    held = json.loads((study / "study.json").read_text())
    assert held["study"]["initial_points"] == 2 and held["batch"] == 3
    origins = [records[run_id].origin for run_id in sorted(records)]
    # The first two batches are proposed without results.
    assert origins[:6] == ["random"] * 6 and set(origins[6:]) == {"search"}
    assert any(record.stopped_early for record in records.values())
    for run_id, record in records.items():
        assert record.held == fixed and not record.outside
        assert {"lr_init", "train_steps"} <= set(record.searched)
        trial = json.loads((study / f"trial_{run_id}/trial.json").read_text())
        assert trial["score"] == record.objective  # never the eval loss
    assert not (study / "lease.json").exists()
    assert not list(study.rglob(".*"))


def test_callbacks_are_called_for_trials_in_worker_processes(undisturbed):
    study, _ = undisturbed
    for run_id, record in log.read(study / "trials.jsonl")[0].items():
        run = study / f"trial_{run_id}"
        info, *rows, end = map(json.loads, (run / "log.jsonl").read_text().splitlines())
        place = {"event": "start", "study": "study", "run_dir": f"study/{run.name}"}
        assert place.items() <= info.items() and info["held"] == end["held"] == record.held
        assert end.pop("event") == "end" and end["host"]
        assert end | dict.fromkeys((*PRIVATE, "crc32")) == dataclasses.asdict(record)
        assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
        assert rows[-1]["step"] == record.steps_done
        (events,) = (run / "events").iterdir()
        curve = {step: value for step, tag, value in points(events) if tag == "train_loss"}
        assert curve == pytest.approx({row["step"]: row["train_loss"] for row in rows}, rel=1e-6)


@pytest.mark.slow
def test_trials_do_not_depend_on_the_number_of_workers(undisturbed, tmp_path):
    done = python(*ARGUMENTS, cwd=tmp_path, **JAX)
    assert done.code == 0, done.stderr
    assert results(tmp_path / "study") == results(undisturbed[0])


@pytest.mark.slow  # Workers of a sweep are killed in the default run.
@pytest.mark.parametrize("again", [False, True])
def test_a_killed_study_has_the_same_trials(undisturbed, again, tmp_path):
    rng, kills, signals = random.Random(5), 0, [signal.SIGKILL, *[signal.SIGTERM] * again]
    arguments = ARGUMENTS if again else ALONE
    for number in signals:
        process, before = start(tmp_path, arguments), num_ended(tmp_path)
        target = before + rng.randrange(1, 3)
        wait_for(process, lambda target=target: num_ended(tmp_path) >= target)
        time.sleep(rng.random() * 0.3)
        if process.poll() is None:
            workers = children(process.pid)
            kills += 1
            process.send_signal(number)
            output = process.communicate()[0]
            if number == signal.SIGTERM:
                assert process.returncode == 130, output
                assert "run the same command again" in output
            # Workers end with their study.
            deadline = time.monotonic() + 20
            while any(os.path.exists(f"/proc/{pid}") for pid in workers):
                assert time.monotonic() < deadline, workers
                time.sleep(0.05)
    assert kills == len(signals)
    # Finally, resume from a log with a truncated line, and kill a worker.
    path = tmp_path / "study/trials.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    process = start(tmp_path, arguments)
    if again:
        wait_for(process, lambda: len(children(process.pid)) >= 2)
        time.sleep(1.0)
        victims = [pid for pid in children(process.pid) if is_worker(pid)]
        if victims:
            os.kill(victims[0], signal.SIGKILL)
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 0, output
    assert "trials.jsonl.damaged-1" in output
    assert results(tmp_path / "study") == results(undisturbed[0])


def is_worker(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return "spawn_main" in file.read()
    except OSError:
        return False


@pytest.mark.slow
def test_a_finished_study_is_a_no_op_and_can_be_extended(undisturbed, tmp_path):
    study = tmp_path / "study"
    subprocess.run(["cp", "-r", undisturbed[0], study], check=True)
    before = results(study)
    done = python(*ARGUMENTS, cwd=tmp_path, **JAX)
    assert done.code == 0 and f"{TRIALS} of {TRIALS} trials were done before" in done.stdout
    assert results(study) == before
    more = ["-m", "tuning", "--resume", "--study_dir=study", f"--num_trials={TRIALS + 2}"]
    assert python(*more, cwd=tmp_path, **JAX).code == 0
    after = results(study)
    assert len(after) == TRIALS + 2 and before.items() <= after.items()
    other = [*ARGUMENTS, "--algorithm=random"]
    refused = python(*other, cwd=tmp_path, **JAX)
    assert refused.code == 2 and refused.stderr.count("\n") == 1
    assert "algorithm 'gp', not 'random'" in refused.stderr


@pytest.mark.slow
def test_a_second_process_is_refused(tmp_path):
    process = start(tmp_path)
    wait_for(process, (tmp_path / "study/lease.json").exists)
    refused = python(*ARGUMENTS, cwd=tmp_path, **JAX)
    assert refused.code == 2 and refused.stderr.count("\n") == 1
    assert str(process.pid) in refused.stderr
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_bug_is_an_error_with_its_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    import trainer.trial\n"
        "    def draw_weights(self):\n"
        "        return 1 / 0\n"
        "    trainer.trial.Trial.draw_weights = draw_weights\n"
    )
    done = python(*ALONE, cwd=tmp_path, **JAX, PYTHONPATH=path_with(tmp_path))
    assert done.code == 1
    assert "ZeroDivisionError" in done.stderr and "in draw_weights" in done.stderr
    assert not (tmp_path / "study/trials.jsonl").exists()


@pytest.mark.slow
def test_it_runs_without_tensorflow(tmp_path):
    """Neither the study's process nor its workers import it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.split('.')[0] == 'tensorflow':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    arguments = [*ALONE, "--num_trials=2"]
    done = python(*arguments, cwd=tmp_path, **JAX, PYTHONPATH=path_with(tmp_path))
    assert (done.code, done.stderr) == (0, "")
    assert "a SavedModel needs TensorFlow" in done.stdout
    assert len(results(tmp_path / "study")) == 2


def path_with(directory):
    return os.pathsep.join([str(directory), environment()["PYTHONPATH"]])


@pytest.mark.slow
def test_a_worker_that_always_dies_is_an_error(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    import trainer.trial\n"
        "    def draw_weights(self):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    trainer.trial.Trial.draw_weights = draw_weights\n"
    )
    done = python(*ALONE, cwd=tmp_path, **JAX, PYTHONPATH=path_with(tmp_path))
    assert done.code == 2 and done.stderr.count("\n") == 1
    assert "3 times" in done.stderr and "exit code -9" in done.stderr


@pytest.mark.slow
def test_a_full_disk_stops_a_study_that_can_be_continued(undisturbed, disk):
    home = disk("220k")
    done = python(*ALONE, cwd=home, **JAX)
    assert done.code == 2, done.stdout
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr
    disk("20m", ["remount"])
    done = python(*ALONE, cwd=home, **JAX)
    assert done.code == 0, done.stderr
    assert results(home / "study") == results(undisturbed[0])


def test_the_seed_follows_from_the_name_in_every_process():
    names = ["parens-gru-1-10000-gp", "parens-gru-1-10000-random", "parens-gru-2-10000-gp", ""]
    seeds = [seed_of(name) for name in names]
    assert seeds == [1683637024, 1325100366, 1165783580, 1910006305]
    code = f"from tuning.config import seed_of; print([seed_of(name) for name in {names}])"
    assert python("-c", code, cwd=".", PYTHONHASHSEED="7").stdout.strip() == str(seeds)


def test_a_study_chooses_its_settings_when_it_starts(tmp_path):
    config = TrainConfig("parens", "rnn", train_steps=100)

    def start(name, num_trials, **settings):
        study = Study(tmp_path / name, config, StudyConfig(num_trials=num_trials, **settings))
        study.run(Untrained(lanes=1, limit=1))
        held = json.loads((tmp_path / name / "study.json").read_text())
        return held["study"]["seed"], held["batch"], held["study"]["initial_points"]

    # 13 dimensions.
    assert start("a", 12) == (seed_of("a"), 1, 3)
    assert start("b", 100) == (seed_of("b"), 8, 14)
    assert start("c", 100, seed=3, batch=2, initial_points=9) == (3, 2, 9)
    # They stay when the study grows, and other ones are refused.
    assert start("a", 1000) == (seed_of("a"), 1, 3)
    with pytest.raises(UserError, match="seed 3, not 4"):
        start("c", 100, seed=4)
    with pytest.raises(UserError, match="initial_points 3, not 4"):
        start("a", 100, initial_points=4)


def test_values_of_a_configuration_made_in_python_are_held(tmp_path):
    values = {"lr_init": 0.007, "optimizer": "rmsprop", "input_scale": 0.5, "num_params": 1000}
    options = {"num_samples": 700, "num_inputs": 25}
    # The batch size is that of the task.
    config = TrainConfig("capacity", "rnn", task_options=options, batch_size=256, **values)

    def fixed(held=None, config=config, **settings):
        study = Study(tmp_path, config, StudyConfig(**settings), held=held)
        return {each.name: each.fixed for each in study.space if each.fixed is not None}

    assert fixed() == {
        "input_scale.h": 0.5,
        "optimizer": "rmsprop",
        "lr_init": 0.007,
        "task_options.num_samples": 700,
    }
    # A range is searched, and values of a first trial are a start.
    ranges = {"lr_init": (1e-3, 0.1), "optimizer": ["adam", "sgd"], "num_samples": (60, 80)}
    assert fixed(ranges=ranges) == {"input_scale.h": 0.5}
    assert fixed(first="config") == {"task_options.num_samples": 700}
    smaller = dataclasses.replace(config, batch_size=64)
    assert fixed(first="config", config=smaller) == {
        "batch_size": 64,
        "task_options.num_samples": 700,
    }
    assert fixed(held=["lr_init"], ranges={"num_samples": 700}).keys() == {
        "lr_init",
        "task_options.num_samples",
    }
    with pytest.raises(UserError, match="lr_init is set to"):
        fixed(held=["lr_init"], ranges=ranges)


def test_an_option_with_and_without_its_prefix_is_the_same_range(tmp_path):
    config = TrainConfig("memory", "rnn", train_steps=100)
    for name in ("delay", "task_options.delay"):
        study = Study(tmp_path, config, StudyConfig(3, "random", ranges={name: (4, 6)}))
        study.run(Untrained(lanes=1, limit=1))
    with pytest.raises(UserError, match=r"study\.ranges\.delay \[4, 6\], not \[4, 7\]"):
        other = StudyConfig(3, "random", ranges={"task_options.delay": (4, 7)})
        Study(tmp_path, config, other).run(Untrained(lanes=1))


def test_a_study_keeps_the_profile_with_which_it_began(tmp_path):
    for profile, number in (("smoke", 1), ("laptop", 2)):
        config, settings = TrainConfig("parens", "rnn"), StudyConfig(number, "random")
        Study(tmp_path / "a", config, settings, profile=profile).run(Untrained(lanes=1, limit=1))
        assert json.loads((tmp_path / "a/study.json").read_text())["profile"] == "smoke"
    kept = [profile_in(path) for path in (tmp_path / "a").glob("trial_*/config.gin")]
    assert set(kept) == {"smoke"}


def test_a_study_keeps_its_trials_if_fewer_are_wanted(tmp_path, capsys):
    for number in (3, 2):
        config, settings = TrainConfig("parens", "rnn"), StudyConfig(number, "random")
        study = Study(tmp_path / "a", config, settings)
        assert study.run(Untrained(lanes=1))[1]
    assert f"{tmp_path / 'a'} keeps its 3 trials, though you want 2\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "a/study.json").read_text())["num_trials"] == 3
    assert len(study.log.records) == 3


def test_the_number_of_kept_weights_follows_the_last_command(tmp_path, capsys):
    def kept(keep):
        config, settings = TrainConfig("parens", "rnn"), StudyConfig(4, "random", keep=keep)
        study = Study(tmp_path / "a", config, settings)
        assert study.run(Untrained(lanes=1))[1]
        found = (path.parent.name for path in (tmp_path / "a").glob("trial_*/checkpoints"))
        assert sorted(found) == sorted(f"trial_{best.run_id}" for best in study.ranked[:3][:keep])
        return capsys.readouterr().out

    assert "are gone" not in kept(3) + kept(3)
    assert "are gone" not in kept(1)
    config, settings = TrainConfig("parens", "rnn"), StudyConfig(4, "random", keep=2)
    Study(tmp_path / "a", config, settings).run(Untrained(lanes=1))
    said = f"{tmp_path / 'a'} kept the weights of 1 trial; others are gone\n"
    assert said in capsys.readouterr().out


def test_a_study_that_a_callback_stopped_is_continued(tmp_path):
    class Impatient(Callback):
        def on_end(self, record):
            if record["run_id"] == "00002":
                raise RuntimeError("enough")

    config, settings = TrainConfig("parens", "rnn"), StudyConfig(num_trials=6, algorithm="random")

    def study(name, callbacks=()):
        return Study(tmp_path / name, config, settings, name="same", callbacks=callbacks)

    with pytest.raises(RuntimeError, match="enough"):
        study("a", [Impatient()]).run(Untrained(lanes=1))
    assert list(log.read(tmp_path / "a/trials.jsonl")[0]) == ["00000", "00001", "00002"]
    for name in ("a", "b"):
        assert study(name).run(Untrained(lanes=1))[1]
    assert results(tmp_path / "a") == results(tmp_path / "b")


@pytest.mark.parametrize("num_trials", [1, 4, 8, 12, 24, 60, 100, 1000])
@pytest.mark.parametrize("slots", [1, 2, 16, 32])
def test_most_trials_are_proposed_from_results(num_trials, slots):
    batch = default_batch(num_trials, slots)
    uninformed = max(2 * batch, default_initial_points(num_trials, num_free=20))
    if num_trials >= 4:
        assert uninformed <= num_trials / 2
        assert default_initial_points(num_trials, num_free=20) <= max(2, num_trials / 4)
    if slots == 1 and num_trials >= 8:
        assert uninformed <= num_trials / 4
    if num_trials >= 4 * slots:
        assert batch >= min(slots, num_trials // 4)  # all slots are busy


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 7), st.randoms())
def test_proposals_do_not_depend_on_the_order_of_results(target, batch, rng):
    created, told, ended = 0, [], set()
    while len(told) < target:
        action = next_action(created, set(told).__contains__, ended.__contains__, target, batch)
        if action == "propose":
            known = max(0, created // batch - 1) * batch
            assert told == list(range(known))
            created += 1
        elif action:
            told.append(action[1])
        else:
            running = sorted(set(range(created)) - ended)
            assert running, "nothing to do and nothing in training"
            ended.add(rng.choice(running))
    assert told == list(range(target)) and created == target


def test_trials_worse_than_the_median_are_pruned(tmp_path):
    study = Study(tmp_path, TrainConfig("parens", "gru"), StudyConfig(early_stopping="median"))
    names = [str(number) for number in range(30)]

    def record(number):
        curve = [float(number)] * (5 if number == 3 else 20)
        return records.record(curve=curve, config={"task": "parens"}, train_steps=3000)

    study.log = types.SimpleNamespace(records={name: record(int(name)) for name in names})

    def limits(index):
        return study._limits(names[: num_known(index, batch=6)], study.config)

    assert limits(11) == {}
    # The results of batch 0, where one trial ended after a quarter of its steps.
    assert limits(12) == limits(17) == {0.25: 2.5, 0.5: 2.0, 0.75: 2.0}
    assert limits(18)[0.25] == 5.5
    del study.log.records["3"]
    assert limits(12) is None


@pytest.mark.parametrize(
    "choices, expected",
    [
        (["muon", "adam"], ("adam", "muon")),
        (["adam"], ("sgd", "momentum", "rmsprop", "adam")),
        ("muon", ("muon",)),
    ],
    ids=str,
)
def test_trials_say_which_optimizers_share_their_program(tmp_path, choices, expected):
    study = Study(
        tmp_path, TrainConfig("parens", "gru"), StudyConfig(ranges={"optimizer": choices})
    )
    chosen = choices if isinstance(choices, str) else choices[-1]
    study._schedule = types.SimpleNamespace(
        waiting=collections.deque(["0"]),
        known=lambda _: (),
        values=lambda _: {"optimizer": chosen},
    )
    trial = study._next_job().trial()
    assert trial.optimizers == expected
    assert trial.config.optimizer == chosen


def test_the_headline_has_no_depth_if_it_is_searched(tmp_path):
    study = Study(tmp_path, TrainConfig("parens", "gru"), StudyConfig(ranges={"depth": (1, 2)}))
    assert "depth searched   budget" in study._headline()


def test_the_headline_has_the_most_steps_of_the_search_and_its_batch(tmp_path):
    search = StudyConfig(num_trials=9, batch=2, ranges={"train_steps": (20, 60)})
    study = Study(tmp_path, TrainConfig("parens", "gru"), search)
    assert study._headline().endswith("9 trials of up to 60 steps in batches of 2")


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"thesis\.tex.*another --study_dir"):
        Study(tmp_path, TrainConfig("parens", "gru"), StudyConfig()).check()

"""A run directory belongs to one run and to one process, and losses are reported."""

import dataclasses
import io
import math
import pathlib
import shutil
import sys
import time

import numpy as np
import pytest
from rich.console import Console

import trainer
from rnn_zoo.files import write_json
from trainer import TrainConfig, UserError, initial_weights, loop, show
from trainer.display.progress import Display
from trainer.export import export, load_model
from trainer.storage import checkpoints
from trainer.storage.lease import Lease, LeaseLost
from trainer.storage.records import RunDirectory, RunRecord
from trainer.trial import Trial
from trainer.windows import window_ends

OPTIONS = {
    "task_options": {"delay": 2, "dimensions": 3},
    **{"num_params": 300, "train_steps": 400, "batch_size": 4, "eval_samples": 16},
}
STEP = 200


def config(**changes):
    return TrainConfig("memory", "gru", **OPTIONS | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Directories of two runs with different seeds, which were stopped half way."""
    home = tmp_path_factory.mktemp("runs")
    for seed in (0, 7):
        directory, trial = RunDirectory(home / f"seed_{seed}"), Trial(config(seed=seed))
        record = trial.record()
        record.steps_done = STEP
        directory.create(record, {"config.gin": "", "operative_config.gin": ""})
        state = trial.program().start(trial.draw_weights()) | {"step": np.int32(STEP)}
        checkpoints.write(directory.checkpoints, state, record.identity)
        ends = [end for end in window_ends(400) if end <= STEP]
        directory.write_metrics([{"step": end, "train_loss": 1.0} for end in ends], record.identity)
    return home


@pytest.fixture
def run(made, tmp_path):
    """A copy of the run with seed 0, and the function `resume`."""
    return RunDirectory(shutil.copytree(made / "seed_0", tmp_path / "run"))


@pytest.fixture
def resume(monkeypatch):
    """Continue a run up to its first step; return what is printed."""
    monkeypatch.setattr(loop._Run, "train", lambda self: self.record)

    def call(directory, **changes):
        console = Console(file=io.StringIO(), width=500)
        record = trainer.train(config(**changes), directory.path, True, display=Display(console))
        return record, console.file.getvalue()

    return call


def content(directory):
    return {p: p.read_bytes() for p in sorted(directory.path.rglob("*")) if p.is_file()}


def test_a_run_that_is_whole_is_continued_silently(run, resume):
    before = content(run)
    record, printed = resume(run)
    assert (record.steps_done, record.status, printed) == (STEP, "interrupted", "")
    assert content(run) == before


@pytest.mark.parametrize("name", ["checkpoints", "events"])
def test_a_run_does_not_write_through_a_link(run, resume, tmp_path, name):
    shutil.rmtree(run.path / name, ignore_errors=True)
    (tmp_path / "out").mkdir()
    (run.path / name).symlink_to("../out")
    with pytest.raises(UserError, match=rf"run/{name} is a symbolic link"):
        resume(run)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["record.json", "metrics.jsonl", "curves.png"])
@pytest.mark.parametrize("is_link", [True, False])
def test_a_file_that_cannot_be_replaced_is_named_before_the_first_step(run, resume, name, is_link):
    path, elsewhere = run.path / name, run.path.parent / "elsewhere"
    elsewhere.write_bytes(path.read_bytes() if path.exists() else b"")
    path.unlink(missing_ok=True)
    path.symlink_to(elsewhere) if is_link else path.mkdir()
    before = content(run)
    with pytest.raises(OSError, match="it is not a regular file, and is not replaced") as error:
        resume(run)
    assert error.value.filename == str(path)
    assert content(run) == before


@pytest.mark.parametrize(
    "change",
    [{"units": 9}, {"num_params": 99}, {"input_dim": 9}, {"output_dim": 9}, {"chance_loss": 5.0}],
    ids=str,
)
def test_a_record_of_another_model_is_not_continued(run, resume, change):
    own = dataclasses.asdict(run.read_record())
    run.write_record(RunRecord(**own | change))
    before = content(run)
    (name, value), *_ = change.items()
    message = f"holds a record with {name} {value}, and its configuration gives {own[name]}; "
    with pytest.raises(UserError, match=message):
        resume(run)
    assert content(run) == before


@pytest.mark.parametrize(
    "change", [{"units": 10**7}, {"units": 2**62}, {"depth": 2000}, {"input_dim": 10**9}]
)
def test_a_model_of_another_size_than_its_weights_is_not_built(run, monkeypatch, change):
    monkeypatch.setattr("rnn_zoo.model.build_model", lambda *_, **__: pytest.fail("it is built"))
    record = run.read_record()
    record.config["depth"] = change.get("depth", record.depth)
    run.write_record(dataclasses.replace(record, **change))
    with pytest.raises(UserError, match=r"has 2.. weights, and the model of .* [0-9,]{5,}$"):
        load_model(run.path)


def test_a_run_that_does_not_fit_into_memory_is_not_continued(run, resume):
    record = run.read_record()
    record.max_params = record.config["num_params"] = 10**18
    run.write_record(record)
    with pytest.raises(UserError, match=r"this training needs [0-9,]+ GiB"):
        resume(run, num_params=10**18)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_run_without_its_record_is_not_continued(run, resume, seed):
    run.record_path.unlink()
    before = content(run)
    with pytest.raises(UserError) as error:
        resume(run, seed=seed)
    assert str(error.value) == (
        f"{run.path} holds checkpoints but no run; restore its record.json, or choose another "
        "--run_dir"
    )
    assert content(run) == before


def test_checkpoints_of_another_run_are_refused(made, run, resume):
    shutil.rmtree(run.checkpoints)
    shutil.copytree(made / "seed_7/checkpoints", run.checkpoints)
    problem = "it belongs to a run of another configuration or data"
    with pytest.raises(UserError, match=r"no readable checkpoint .*; train again with another"):
        resume(run)
    with pytest.raises(UserError, match=f"no readable checkpoint .*: {problem}"):
        load_model(run.path)
    with pytest.raises(UserError, match=f"no readable checkpoint .*: {problem}"):
        Trial(config(init_from=str(run.path))).draw_weights()


def test_the_directory_of_a_trial_that_holds_another_run_is_refused(made, tmp_path):
    """But whoever looks at it is told so."""
    path, said = shutil.copytree(made / "seed_0", tmp_path / "trial_00003"), []
    problem = "trial_00003 holds the record of .*; name that run's own directory, or restore"
    with pytest.raises(UserError, match=problem):
        load_model(path)
    other = Trial(config(init_from=str(path)))
    with pytest.raises(UserError, match=problem):
        initial_weights.check(other.config, other.task)
    with pytest.raises(UserError, match=problem):
        checkpoints.latest_weights(RunDirectory(path), other.random_weights())
    load_model(path, said.append)
    assert len(said) == 1 and "trial_00003 holds the record of" in said[0]
    own = shutil.copytree(made / "seed_0", tmp_path / "elsewhere")
    load_model(own)


def test_a_trial_of_a_study_is_not_resumed_as_a_run(run, resume):
    run.write_record(dataclasses.replace(run.read_record(), origin="random"))
    with pytest.raises(UserError, match=r"run is a trial of a study, .*--init_from=.*/run"):
        resume(run)


@pytest.fixture
def of_two_checkpoints(run):
    """The run with another checkpoint, of an earlier step."""
    trial = Trial(config())
    state = trial.program().start(trial.draw_weights()) | {"step": np.int32(STEP // 2)}
    checkpoints.write(run.checkpoints, state, run.read_record().identity)
    load_model(run.path, pytest.fail)
    return run


def flip(path):
    content = bytearray(path.read_bytes())
    content[-10] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("status, done", [("ok", 400), ("interrupted", STEP)])
@pytest.mark.parametrize(
    "damage, problem",
    [
        (flip, "{newest}: its content does not match its checksum"),
        (pathlib.Path.unlink, "the record has {done} steps"),
    ],
)
def test_an_older_checkpoint_does_not_replace_the_newest_in_silence(
    of_two_checkpoints, damage, problem, status, done
):
    run, said = of_two_checkpoints, []
    run.write_record(dataclasses.replace(run.read_record(), status=status, steps_done=done))
    newest = checkpoints.paths(run.checkpoints)[-1]
    damage(newest)
    expected = f"the newest readable checkpoint of {run.path} is of step 100: {problem}"
    load_model(run.path, said.append)
    assert said == [expected.format(newest=newest, done=done)]
    for use in (load_model, lambda path: Trial(config(init_from=str(path))).draw_weights()):
        with pytest.raises(UserError) as error:
            use(run.path)
        assert str(error.value) == f"{said[0]}; train the lost steps again with --resume"


def test_a_run_that_repeats_steps_has_no_results(of_two_checkpoints, resume):
    run = of_two_checkpoints
    losses = dict.fromkeys(("train_loss", "valid_loss", "eval_loss", "objective"), 0.5)
    metrics = {"metrics": {"eval": {"loss": 0.5}}, "status": "ok", "steps_done": 400}
    run.write_record(dataclasses.replace(run.read_record(), **metrics, **losses))
    checkpoints.paths(run.checkpoints)[-1].unlink()
    record, _ = resume(run)
    assert record.status == "interrupted"
    assert (record.metrics, record.lengths) == ({}, [])
    assert [getattr(record, name) for name in losses] == [None] * 4


def test_a_stranger_of_a_later_step_does_not_hide_a_run_s_last_weights(of_two_checkpoints):
    run, said = of_two_checkpoints, []
    first, _ = checkpoints.paths(run.checkpoints)
    shutil.copy(first, run.checkpoints / "step-0000000900.safetensors")
    load_model(run.path, said.append)
    assert "is of step 200: " in said[0] and "it holds step 100, not that of its name" in said[0]
    load_model(run.path)


def test_a_checkpoint_may_be_newer_than_the_record_of_a_killed_process(of_two_checkpoints):
    run = of_two_checkpoints
    run.write_record(dataclasses.replace(run.read_record(), steps_done=STEP // 2))
    load_model(run.path)
    over = {"status": "infeasible", "infeasible_at": STEP // 2}
    run.write_record(dataclasses.replace(run.read_record(), **over))
    with pytest.raises(UserError, match="is of step 200: the record has 100 steps; train"):
        load_model(run.path)


def test_a_damaged_checkpoint_of_a_killed_process_is_not_passed_over_in_silence(of_two_checkpoints):
    run, said = of_two_checkpoints, []
    run.write_record(dataclasses.replace(run.read_record(), steps_done=STEP // 2))
    newest = checkpoints.paths(run.checkpoints)[-1]
    flip(newest)
    load_model(run.path, said.append)
    assert len(said) == 1 and f"is of step 100: {newest}: its content does not match" in said[0]
    with pytest.raises(UserError, match=r"is of step 100: .*; train the lost steps again with"):
        load_model(run.path)


def test_weights_that_are_not_finite_are_not_loaded(run):
    like = Trial(config()).draw_weights()
    like["readout"]["bias"][0] = math.nan
    state = Trial(config()).program().start(like) | {"step": np.int32(STEP)}
    checkpoints.write(run.checkpoints, state, run.read_record().identity)
    with pytest.raises(UserError, match=f"the weights of the run {run.path} are not finite"):
        load_model(run.path)


def test_a_run_that_diverged_is_not_exported(run):
    changes = {"status": "infeasible", "infeasible_at": STEP}
    run.write_record(dataclasses.replace(run.read_record(), **changes))
    load_model(run.path)
    with pytest.raises(UserError, match=f"{run.path} diverged; export another run, or "):
        export(run.path)
    assert not (run.path / "saved_model").exists()


def test_a_checkpoint_of_an_older_version_names_no_run(run, resume):
    like = Trial(config()).program().start(Trial(config()).draw_weights())
    state, _ = checkpoints.latest(run.checkpoints, like)
    checkpoints.write(run.checkpoints, state)
    assert resume(run)[1] == ""


def test_a_checkpoint_with_the_name_of_another_step_is_refused(run, resume):
    (path,) = checkpoints.paths(run.checkpoints)
    path.rename(path.with_name("step-0000000399.safetensors"))
    with pytest.raises(UserError, match="no readable checkpoint"):
        resume(run)
    with pytest.raises(UserError, match=f"it holds step {STEP}, not that of its name"):
        load_model(run.path)


def test_lost_checkpoints_are_reported(run, resume):
    shutil.rmtree(run.checkpoints)
    _, printed = resume(run)
    assert printed == (
        "the record has 200 steps, and the checkpoints 0: the others are trained again\n"
    )


@pytest.mark.parametrize(
    "sources, problem",
    [
        (("seed_7",), "line 1: it does not match its checksum or is of another run; to accept it"),
        (("seed_0", "seed_7"), "line 51: it does not match its checksum or is of another run"),
        (("seed_0", "seed_0"), "step 4 follows step 200"),
    ],
)
def test_measurements_of_another_run_and_repeated_ones_are_refused(
    made, run, resume, sources, problem
):
    texts = [RunDirectory(made / each).metrics_path.read_text() for each in sources]
    run.metrics_path.write_text("".join(texts))
    for read in (resume, lambda run: run.read_metrics(run.read_record().identity)):
        with pytest.raises(UserError) as error:
            read(run)
        assert str(error.value).startswith(f"{run.metrics_path} is damaged: {problem}")


def test_measurements_of_an_older_version_are_read(run):
    """Their checksums do not include the run."""
    identity = run.read_record().identity
    lines = run.read_metrics(identity)
    run.write_metrics(lines, "")
    assert run.read_metrics(identity) == lines and len(lines) == 50


def test_lost_measurements_are_reported(run, resume):
    lines = run.metrics_path.read_text().splitlines(keepends=True)
    run.metrics_path.write_text("".join(lines[:10] + lines[13:]))
    _, printed = resume(run)
    assert printed == f"{run.metrics_path} lacks 3 of 50 measurements; the curves have gaps\n"
    run.metrics_path.unlink()
    assert "lacks 50 of 50 measurements" in resume(run)[1]


@pytest.mark.parametrize("resumed", [False, True])
def test_a_second_process_is_refused_while_the_first_lives(run, tmp_path, resumed):
    path = run.path if resumed else tmp_path / "new"
    path.mkdir(exist_ok=True)
    with Lease(path):
        with pytest.raises(UserError, match=f"{path} is in use by process .* choose another"):
            trainer.train(config(), path, resumed)
        before = content(RunDirectory(path))
    assert resumed or [each.name for each in before] == ["lease.json"]


def test_a_process_that_lost_its_lease_writes_nothing(tmp_path):
    run = loop._Run(config(), RunDirectory(tmp_path), Display(), trainer.Callback())
    run._began = time.monotonic()
    with run.lease:
        run.directory.create(run.record, {})
        run._save()
        # As if this process had been suspended, and another one had taken over.
        write_json(tmp_path / "lease.json", {"pid": 1, "host": "elsewhere", "token": "another's"})
        before = content(run.directory)
        for change in (run._save, lambda: run._measure(1.0)):
            with pytest.raises(LeaseLost, match="does not hold the lease"):
                change()
        assert content(run.directory) == before


def test_runs_that_start_in_one_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [loop.default_run_dir(config())]
    for _ in range(3):
        pathlib.Path(paths[-1]).mkdir(parents=True)
        paths.append(loop.default_run_dir(config()))
    assert len(set(paths)) == 4


def test_a_trial_that_was_not_kept_is_explained(tmp_path):
    (tmp_path / "study/trial_00003").mkdir(parents=True)
    (tmp_path / "study/study.json").touch()
    with pytest.raises(UserError, match=r"trial_00003 is a trial that was not kept .* --keep"):
        RunDirectory(tmp_path / "study/trial_00003").read_record()
    with pytest.raises(UserError, match="trial_00004 holds no run"):
        RunDirectory(tmp_path / "study/trial_00004").read_record()


def test_the_name_of_the_current_directory_is_its_run_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert RunDirectory(".").name == tmp_path.name


def show_runs(monkeypatch, *paths):
    """Show the runs without examples."""
    options = ["--num=0"] if len(paths) == 1 else []
    monkeypatch.setattr(sys, "argv", ["show", *(f"--run_dir={path}" for path in paths), *options])
    show.FLAGS.unparse_flags()
    show.FLAGS["run_dir"].unparse()
    show.FLAGS["num"].unparse()
    with pytest.raises(SystemExit):
        show.run()


def test_a_record_in_the_place_of_another_trial_is_shown_with_a_remark(run, monkeypatch, capsys):
    path = run.path.rename(run.path.with_name("trial_00001"))
    for paths in ([path], [path, path]):
        show_runs(monkeypatch, *paths)
        assert f"{path} holds the record of trial" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("lost", [1, 50])
def test_lost_measurements_are_shown(run, monkeypatch, capsys, lost):
    lines = run.metrics_path.read_text().splitlines(keepends=True)
    run.metrics_path.write_text("".join(lines[:-lost]))
    show_runs(monkeypatch, run.path)
    expected = f"{run.metrics_path} lacks {lost} of 50 measurements; the curves have gaps"
    assert expected in " ".join(capsys.readouterr().out.split())

"""Damaged files: every command refuses one in one line, or says so, or gives the same result."""

import contextlib
import io
import json
import random
import shutil
import subprocess
import sys

import damage
import made_presets
import numpy as np
import pytest
import sweep_studies
from random_runs import write_run
from report_rows import frame
from untrained import Untrained

import rnn_zoo
import trainer.__main__
import trainer.show
import tuning.__main__
import tuning.presets
import tuning.show
import tuning.sweep.__main__
from rnn_zoo.files import write_json
from rnn_zoo.functional import draw_weights
from trainer import TrainConfig, loop
from trainer.cli import main as cli
from trainer.errors import UserError
from trainer.quantize import packed
from trainer.storage.lease import _myself
from trainer.storage.records import RunDirectory
from trainer.trial import Trial
from trainer.windows import WINDOWS, window_start
from tuning import trials
from tuning.config import StudyConfig
from tuning.report import published
from tuning.study import hparam_sets
from tuning.study.study import Study
from tuning.sweep import worker
from tuning.sweep.directory import Sweep

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SEEDS = range(10)
RUN = TrainConfig(
    "memory",
    "gru",
    task_options={"delay": 2, "dimensions": 3},
    **{"num_params": 300, "train_steps": 400, "batch_size": 4, "eval_samples": 16},
)
SEARCHED = TrainConfig("parens", "rnn", num_params=3000)
#: The first study of the sweep, which is done.
FIRST = "parens-rnn-1-3000-random"
GRID = "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'num_trials': 1}]\n"


def command(main, *arguments):
    """Run a command in this process; return its output, and raise the error that it prints."""
    main.FLAGS.unparse_flags()
    for name in main.FLAGS:
        main.FLAGS[name].unparse()
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *arguments])
        patch.setattr(sys, "path", list(sys.path))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main.run()
            except SystemExit as error:
                code = error.code
    if code == 2:
        assert err.getvalue().startswith("error: ") and err.getvalue().count("\n") == 1, err
        raise UserError(err.getvalue())
    assert code in (0, cli.INTERRUPTED), (code, err.getvalue())
    return out.getvalue()


def small_run(path):
    """A run that was interrupted in its middle."""
    write_run(path, RUN)
    run = RunDirectory(path)
    record = run.read_record()
    record.steps_done, record.curve = 200, [1.0] * 10
    record.metrics = {split: {"loss": 1.0} for split in ("train", "valid", "eval")}
    record.train_loss = record.valid_loss = record.eval_loss = 1.0
    run.write_record(record)
    steps = [window_start(number + 1, 400) for number in range(WINDOWS)]
    values = {"train_loss": 1.0, "gradient_norm": 1.0, "learning_rate": 0.1, "valid_loss": 1.0}
    run.write_metrics([{"step": step} | values for step in steps if step <= 200], record.identity)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run, a study, a sweep, presets, published trials and more, as they should be."""
    home = tmp_path_factory.mktemp("home")
    small_run(home / "run")
    settings = StudyConfig(6, algorithm="random", seed=0, batch=2)
    Study(home / "study", SEARCHED, settings, callbacks=()).run(Untrained())
    sweep = sweep_studies.make_chain(home / "sweep", [3000, 4000], num_trials=3)
    worker.run(sweep, FIRST, sweep_studies.RUNNERS["untrained"], lambda: False)
    write_json(home / "study/lease.json", _myself() | {"start": 1})  # a dead process
    shutil.copytree(home / "study", home / "archive")
    subprocess.run(["gzip", "-n", home / "archive/trials.jsonl"], check=True)
    (home / "grid.gin").write_text(GRID)
    made_presets.make(home / "presets", "capacity/gru-300", made_presets.SMALL)
    (home / "packed").mkdir()
    weights = draw_weights(Trial(RUN).cells, 3, 3, seed=0)
    record = RunDirectory(home / "run").read_record()
    packed.write(home / "packed/8bit.safetensors", record, weights, 8, "tensor", 1.0)
    rows = [{"task": "parens", "eval_loss": 0.1 * n, "objective": 0.1 * n} for n in range(4)]
    with open(home / "published.parquet", "wb") as file:
        published.write(frame(*rows), file)
    (home / "sets.json").write_text(json.dumps([{"lr_init": 0.01}, {"optimizer": "adam"}]))
    return home


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch):
    monkeypatch.setattr(loop._Run, "train", lambda run: run.record)
    monkeypatch.setattr(tuning.__main__, "Processes", lambda *_: Untrained())
    monkeypatch.setattr(tuning.__main__, "_export", lambda *_: None)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def show_run(home):
    return command(trainer.show, f"--run_dir={home}/run", "--num=0")


def show_answers(home):
    return command(trainer.show, f"--run_dir={home}/run", "--num=2")


def compare_runs(home):
    shutil.copytree(home / "run", home / "other")
    return command(trainer.show, f"--run_dir={home}/run", f"--run_dir={home}/other")


def resume_run(home):
    return command(trainer.__main__, f"--run_dir={home}/run", "--resume", "--log_to=jsonl")


def start_from_run(home):
    at = f"--init_from={home}/run"
    return command(tuning.__main__, at, f"--study_dir={home}/new", "--show_space")


def show_study(home):
    return command(tuning.show, f"--study_dir={home}/study", f"--csv={home}/trials.csv")


def resume_study(home):
    extended = "--num_trials=7"
    command(tuning.__main__, f"--study_dir={home}/study", "--resume", extended, "--log_to=jsonl")
    return found_in(home / "study")


def make_presets(home):
    return command(tuning.presets, f"--runs={home}/study", f"--out={home}/made")


def found_in(directory):
    """Return the results in a directory, and the problems with it, as a text."""
    found, problems = trials.read(directory, everything=True)
    return found.to_csv() + "\n".join(problems)


def read_run(home):
    return found_in(home / "run")


def read_study(home):
    return found_in(home / "study")


def show_archive(home):
    return command(tuning.show, f"--study_dir={home}/archive")


def make_presets_of_archive(home):
    return command(tuning.presets, f"--runs={home}/archive", f"--out={home}/made")


def read_archive(home):
    return found_in(home / "archive")


def read_sweep(home):
    return found_in(home / "sweep")


def show_sweep(home):
    return command(tuning.show, f"--study_dir={home}/sweep")


def show_status(home):
    return command(tuning.sweep.__main__, f"--status={home}/sweep")


def grow_sweep(home):
    flags = (f"--gin_file={home}/grid.gin", f"--out={home}/sweep", "--dry_run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "backend_name", lambda: "jax")  # that of the sweep
        return command(tuning.sweep.__main__, *flags)


def continue_sweep(home):
    sweep = Sweep.open(home / "sweep")
    for name in sweep.specs:
        worker.run(sweep, name, sweep_studies.RUNNERS["untrained"], lambda: False)
    notes = [sweep.state(name).note for name in sweep.specs]
    return "\n".join([found_in(sweep.path), *notes])


def sums(model):
    return str([float(np.sum(weight)) for weight in model.get_weights()])


def list_presets(home):
    return str(rnn_zoo.list_presets(directory=home / "presets"))


def read_preset(home):
    return str(rnn_zoo.preset(f"{home}/presets/capacity/gru-300"))


def load_preset(home):
    return sums(rnn_zoo.load(f"{home}/presets/capacity/gru-300"))


def start_from_preset(home):
    at = f"--preset={home}/presets/capacity/gru-300"
    return command(tuning.__main__, at, f"--study_dir={home}/new", "--show_space")


def load_packed(home):
    return sums(packed.load_model(home / "packed/8bit.safetensors"))


def read_published(home):
    return published.read(home / "published.parquet").to_csv()


def read_sets(home):
    sets = hparam_sets.read(home / "sets.json")
    return str(hparam_sets.configurations(SEARCHED, sets))


#: File -> functions that read it.
USES = {
    "run/record.json": (show_run, compare_runs, resume_run, start_from_run, read_run),
    "run/metrics.jsonl": (show_run, compare_runs, resume_run, read_run),
    "run/checkpoints/step-0000000000.safetensors": (show_answers, resume_run),
    "study/study.json": (show_study, resume_study, make_presets, read_study),
    "study/trials.jsonl": (show_study, resume_study, make_presets, read_study),
    "study/oracle.json": (resume_study,),
    "study/trial_00001/trial.json": (resume_study,),
    "study/lease.json": (show_study,),
    "archive/trials.jsonl.gz": (show_archive, make_presets_of_archive, read_archive),
    "sweep/sweep.json": (show_status, show_sweep, grow_sweep, continue_sweep, read_sweep),
    f"sweep/states/{FIRST}.json": (show_status, continue_sweep),
    f"sweep/studies/{FIRST}/trials.jsonl": (show_status, show_sweep, continue_sweep, read_sweep),
    "presets/index.json": (list_presets, read_preset),
    "presets/capacity/gru-300.json": (list_presets, read_preset, load_preset, start_from_preset),
    "presets/capacity/gru-300.safetensors": (load_preset,),
    "packed/8bit.safetensors": (load_packed,),
    "published.parquet": (read_published,),
    "sets.json": (read_sets,),
}

#: Files without a checksum: one of the user, and a lease, whose owner may live if it is unknown.
UNCHECKED = ("sets.json", "study/lease.json")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("file", [file for file in USES if file not in UNCHECKED])
def test_an_altered_file_is_refused_or_reported_or_does_not_matter(file, seed, home, tmp_path):
    rng, name = random.Random(f"{file} {seed}"), file.rpartition("/")[2]
    for use in USES[file]:
        expected, error = outcome(use, home, file, tmp_path / "intact")
        assert not error, (use.__name__, error)
        content = damage.altered((home / file).read_bytes(), rng)
        found, error = outcome(use, home, file, tmp_path / "altered", content)
        is_said = error or found.count(name) > expected.count(name)
        assert is_said or found == expected, (use.__name__, content[-300:])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("file", [file for file in USES if file.endswith((".json", ".jsonl"))])
def test_json_of_another_shape_is_no_traceback(file, seed, home, tmp_path):
    rng = random.Random(f"{file} {seed}")
    for use in USES[file]:
        content = damage.misshapen((home / file).read_bytes(), rng, file.endswith(".jsonl"))
        outcome(use, home, file, tmp_path / "odd", content)


def outcome(use, home, file, place, content=None):
    """Return (result, error) of a function on a copy of what it reads, with a file's content."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    top = file.partition("/")[0]
    for name in {top, "grid.gin"}:
        copy = shutil.copytree if (home / name).is_dir() else shutil.copy
        copy(home / name, place / name)
    if content is not None:
        (place / file).write_bytes(content)
    # In rnn_zoo a damaged preset is a ValueError.
    errors = (ValueError,) if top == "presets" else (UserError,)
    try:
        return use(place).replace(str(place), ""), None
    except errors as error:
        assert "\n" not in str(error).strip(), error
        return "", error
    except Exception as error:
        error.add_note(f"{use.__name__} of {file} with {(content or b'')[:3000]!r}")
        raise

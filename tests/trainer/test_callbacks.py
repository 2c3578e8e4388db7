"""Callbacks: their names and their files. Runs are replayed rather than trained."""

import contextlib
import dataclasses
import errno
import io
import json
import sys
import time

import pytest
from report_rows import record
from rich.console import Console
from tensorboard_files import events, points
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

import trainer
from trainer import Callback, UserError
from trainer.callbacks import CALLBACKS, Callbacks, make
from trainer.callbacks.jsonl import JsonLines
from trainer.callbacks.mlflow import MLflow
from trainer.callbacks.wandb import WandB
from trainer.cli import main as cli
from trainer.display.progress import Display
from trainer.storage import json_files
from trainer.storage.records import RunDirectory

HPARAMS = {"lr_init": 0.1, "gate_bias": {"u": 2.0}, "activation": None, "task_options": {}}


def replay(callback, run_id, losses=(3.0, 2.0, 1.0), first=0, status="ok", **facts):
    """Make the calls of a run, and yield after each, so that runs can take turns."""
    last = first + len(losses)
    start = {"date": "2026-11-27", "host": "h", "train_steps": last}
    begun = record(run_id, status="interrupted", hparams=HPARAMS, **start)
    info = dataclasses.asdict(begun) | {"run_dir": None, "study": None, "first_step": first}
    yield callback.on_start(info | facts)
    for step, loss in enumerate(losses, start=first + 1):
        row = {"run_id": run_id, "step": step, "train_loss": loss, "valid_accuracy_by_stream": [1]}
        yield callback.on_measure(row)
    diverged = {"infeasible_at": last, "objective": None} if status == "infeasible" else {}
    results = diverged | {"status": status, "steps_done": last, "eval_loss": 0.25}
    yield callback.on_end(dataclasses.asdict(dataclasses.replace(begun, **results)))


def side_by_side(*runs):
    list(zip(*runs, strict=True))


def test_callbacks_are_called_in_order_with_the_facts_of_the_run():
    heard = []

    class First(Callback):
        def on_start(self, info):
            heard.append(("first", info["run_id"], info["study"], info["run_dir"]))

    class Second(First):
        def on_start(self, info):
            heard.append("second")

        def on_end(self, record):
            heard.append(record["eval_loss"])

    both = Callbacks([First(), Second()], facts=lambda run_id: {"run_dir": f"at/{run_id}"})
    list(replay(both, "a", study="s"))
    assert heard == [("first", "a", "s", "at/a"), "second", 0.25]


@pytest.mark.parametrize("lr_init, status", [(0.01, "ok"), (1e30, "infeasible")])
def test_an_end_that_was_not_logged_is_logged_by_resume(tmp_path, monkeypatch, lr_init, status):
    """A full disk, say, may keep the callbacks from it, or the run from its curves."""
    heard = []

    class Heard(Callback):
        def on_end(self, record):
            heard.append((record["status"], record["eval_loss"]))
            if len(heard) == 1:
                raise OSError(errno.ENOSPC, "No space left on device")

    config = trainer.TrainConfig(
        "memory", "rnn", num_params=300, train_steps=100, batch_size=4, eval_samples=16,
        task_options={"delay": 2, "dimensions": 3}, lr_init=lr_init, optimizer="sgd",
    )  # fmt: skip

    def train(resume):
        display = Display(Console(file=io.StringIO()))
        return trainer.train(config, tmp_path / "run", resume, display=display, callbacks=[Heard()])

    with pytest.raises(Exception, match="No space left on device"):
        train(resume=False)
    monkeypatch.setattr("trainer.display.curves.plot", lambda *_: 1 / 0)
    # A run that diverged before its first measurement has no curves.
    with contextlib.nullcontext() if status != "ok" else pytest.raises(ZeroDivisionError):
        train(resume=True)
    monkeypatch.undo()
    record = train(resume=True)
    assert record.status == status and heard == [(status, record.eval_loss)] * 2
    assert RunDirectory(tmp_path / "run").read_record() == record


@pytest.mark.parametrize(
    "name, message",
    [
        ("tensorbord", "unknown callback 'tensorbord'; choose from tensorboard, jsonl, wandb"),
        ("nowhere.Mine", "unknown callback 'nowhere.Mine': there is no module 'nowhere'"),
        ("trainer.config.Nope", "trainer.config has no class 'Nope' with on_start, on_measure"),
        ("trainer.config.TrainConfig", "trainer.config has no class 'TrainConfig' with on_start"),
        (Callback, "an object with on_start, on_measure, on_end, or a name, not <class"),
        (3, "or a name, not 3"),
    ],
)
def test_another_name_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        make(name)


def test_an_exception_names_the_callback():
    class Impatient(Callback):
        def on_measure(self, row):
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError) as caught:
        Callbacks([Callback(), Impatient()]).on_measure({"run_id": "a"})
    with pytest.raises(RuntimeError) as of_nested:
        Callbacks([Callbacks([Impatient()])]).on_measure({"run_id": "a"})
    (note,) = caught.value.__notes__
    assert of_nested.value.__notes__ == [note]
    assert note.startswith(f"RuntimeError in the callback {__name__}.test_an_exception")
    assert note.endswith("Impatient.on_measure: enough")


def test_an_error_of_a_service_is_one_line():
    class Remote(Callback):
        service = "MLflow"

        def on_measure(self, row):
            raise RuntimeError("database or disk is full\n[SQL: INSERT ...]")

    with pytest.raises(UserError, match=r"^MLflow failed \(on_measure\): database or disk is ful"):
        Callbacks([Remote()]).on_measure({"run_id": "a"})
    for callback in (WandB, MLflow):
        assert callback.service


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named_with_its_extra(name, monkeypatch, capsys):
    from trainer.__main__ import FLAGS, main

    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", ["trainer", "--task=memory", "--arch=gru", f"--log_to={name}"])
    with pytest.raises(SystemExit):
        cli.run(main, FLAGS, "")
    FLAGS.unparse_flags()
    expected = f"error: the callback {name} needs {name}: pip install 'rnn-zoo[{name}]'\n"
    assert capsys.readouterr().err == expected


def test_callbacks_are_named_by_their_class(tmp_path, monkeypatch):
    (tmp_path / "my_callbacks.py").write_text("import trainer\nclass Mine(trainer.Callback): pass")
    monkeypatch.syspath_prepend(tmp_path)
    assert type(make("my_callbacks.Mine")).__name__ == "Mine"
    names = {name: type(make(name)).__name__ for name in ("tensorboard", "jsonl")}
    assert names == {name: CALLBACKS[name][1] for name in names}


def test_json_lines_go_to_each_run_or_to_one_file(tmp_path):
    each = make("jsonl")
    runs = [replay(each, name, run_dir=str(tmp_path / name)) for name in ("a", "b")]
    side_by_side(*runs, replay(each, "nowhere"))
    for name in ("a", "b"):
        lines = [json.loads(line) for line in (tmp_path / name / "log.jsonl").open()]
        assert [line["event"] for line in lines] == ["start", *["measure"] * 3, "end"]
        assert {line["run_id"] for line in lines} == {name}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    one = JsonLines(tmp_path / "all.jsonl")
    side_by_side(replay(one, "a"), replay(one, "b"))
    lines, problems = json_files.read_lines(tmp_path / "all.jsonl", dict)
    assert [line["run_id"] for line in lines] == ["a", "b"] * 5 and not problems
    assert (tmp_path / "all.jsonl").read_text().count('"crc32":"') == 10  # and none is null


def test_tensorboard_gets_curves_and_settings(tmp_path):
    board = make("tensorboard")
    place = str(tmp_path / "a")
    list(replay(board, "a", (3.0, 2.0), status="interrupted", run_dir=place))
    list(replay(board, "a", (1.0,), first=2, run_dir=place))
    list(replay(board, "nowhere"))
    begun, resumed = sorted((tmp_path / "a/events").iterdir())
    assert points(begun) == [(1, "train_loss", 3), (2, "train_loss", 2)]
    assert points(resumed) == [(3, "train_loss", 1), (3, "objective", -29), (3, "eval_loss", 0.25)]
    # TensorBoard drops earlier points from this step on, and no others.
    starts = [event.step for event in events(resumed) if event.WhichOneof("what") == "session_log"]
    assert starts == [3]
    (content,) = (
        each.metadata.plugin_data.content
        for event in events(resumed)
        for each in event.summary.value
        if each.tag == "_hparams_/session_start_info"
    )
    # A list of columns would hide those of other architectures: TensorBoard reads only one.
    assert "_hparams_/experiment" not in str(events(resumed))
    shown = HParamsPluginData.FromString(content).session_start_info.hparams
    words = {name: shown[name].string_value for name in ("task", "arch")}
    numbers = {name: shown[name].number_value for name in ("depth", "units", "num_params")}
    assert words == {"task": "capacity", "arch": "gru"}
    assert numbers == {"depth": 2, "units": 7, "num_params": 290}
    assert (shown["lr_init"].number_value, shown["gate_bias.u"].number_value) == (0.1, 2.0)


def scanned(path):
    """Return the records in a file of Weights & Biases, which is a log in LevelDB's format."""
    content, found, parts = path.read_bytes(), [], b""
    at = 7  # after the header
    while at + 7 <= len(content):
        left = 2**15 - at % 2**15
        if left < 7:
            at += left  # padding at the end of a block
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the whole of a record, or its last part
            found.append(parts)
            parts = b""
    return found


def test_weights_and_biases_writes_runs_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", exc_type=ImportError)
    from wandb.proto.wandb_internal_pb2 import Record

    for name, value in (("MODE", "offline"), ("DIR", str(tmp_path)), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    board = make("wandb")
    low, high = (3.0, 2.0, 1.0), (5.0, 4.0, 3.0)
    side_by_side(replay(board, "a", low, study="s"), replay(board, "b", high, study="s"))
    found = {}
    for path in tmp_path.glob("wandb/offline-run-*/*.wandb"):
        deadline, records = time.monotonic() + 60, []
        while not any(each.HasField("exit") for each in records):  # another process writes it
            assert time.monotonic() < deadline
            records = [Record.FromString(content) for content in scanned(path)]
        run = next(each.run for each in records if each.HasField("run"))
        rows = [each.history.item for each in records if each.HasField("history")]
        values = [
            {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in row}
            for row in rows
        ]
        found[run.display_name] = run, [(row["_step"], row["train_loss"]) for row in values]
    assert {name: rows for name, (_, rows) in found.items()} == {
        name: list(enumerate(losses, start=1)) for name, losses in (("a", low), ("b", high))
    }
    run, _ = found["b"]
    assert (run.project, run.run_group) == ("rnn-zoo", "s")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["task"], config["arch"], config["gate_bias.u"]) == ("capacity", "gru", 2.0)


def test_mlflow_writes_runs_to_a_file(tmp_path):
    mlflow = pytest.importorskip("mlflow", exc_type=ImportError)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    board = MLflow(tracking_uri=uri)
    high = (5.0, 4.0, 3.0)
    side_by_side(replay(board, "a", study="s"), replay(board, "b", high, status="infeasible"))
    list(replay(board, "c", status="interrupted"))
    client = mlflow.MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'rnn-zoo'")

    def runs():
        found = client.search_runs([experiment.experiment_id])
        return {run.info.run_name: run for run in found}

    def curve(run):
        found = client.get_metric_history(run.info.run_id, "train_loss")
        return sorted((point.step, point.value) for point in found)

    found = runs()
    assert [found[name].info.status for name in "abc"] == ["FINISHED", "FINISHED", "KILLED"]
    assert [found[name].data.tags["status"] for name in "ab"] == ["ok", "infeasible"]
    assert found["a"].data.tags["stopped_early"] == "False"
    assert found["a"].data.tags["study"] == "s"
    params = found["b"].data.params
    assert (params["task"], params["arch"], params["gate_bias.u"]) == ("capacity", "gru", "2.0")
    assert curve(found["b"]) == [(1, 5), (2, 4), (3, 3)]
    assert found["b"].data.metrics["eval_loss"] == 0.25
    # A killed run begins at a checkpoint before the last step that was logged.
    list(replay(MLflow(tracking_uri=uri), "c", (0.9, 0.5), first=2))
    assert sorted(runs()) == ["a", "b", "c"]
    assert runs()["c"].info.status == "FINISHED"
    assert curve(runs()["c"]) == [(1, 3), (2, 2), (3, 1), (4, 0.5)]
    # What a continued run has logged is not that of another study's run of its name.
    again = MLflow(tracking_uri=uri)
    list(replay(again, "c", (0.4,), first=4))
    list(replay(again, "c", study="other"))
    (other,) = (run for run in client.search_runs([experiment.experiment_id])
                if run.data.tags["study"] == "other")  # fmt: skip
    assert curve(other) == [(1, 3), (2, 2), (3, 1)]


def test_a_link_in_place_of_a_run_s_log_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "log.jsonl").symlink_to("mine")
    info = {"run_id": "a", "run_dir": str(tmp_path)}
    with pytest.raises(OSError, match=r"log\.jsonl"):
        JsonLines().on_start(info)
    assert (tmp_path / "mine").read_text() == "mine"
    JsonLines(tmp_path / "log.jsonl").on_start(info)  # the user's own choice
    assert (tmp_path / "mine").read_text().startswith("mine{")

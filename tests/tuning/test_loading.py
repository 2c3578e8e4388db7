"""`tuning.load`: one column per hyperparameter, field and metric."""

import dataclasses
import json

import pytest
from report_rows import record

import tuning
from tuning.rows import PRETRAINED


@pytest.fixture
def write(tmp_path):
    """Write a log with records: write(name, *records) -> the directory of the study."""

    def make(name, *records):
        path = tmp_path / name
        path.mkdir()
        lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in records]
        (path / "trials.jsonl").write_text("".join(lines))
        return path

    return make


def test_columns_tell_where_a_run_starts_and_how_it_was_measured(write, tmp_path):
    config = {"init_from": "runs/a", "precision": "tf32", "eval_samples": 512, "data_seed": 7}
    fields = {"transferred_from": "b/00001", "searched": ["lr_init"], "command": "python -m it"}
    write("a", record("00000", config=config, **fields), record("00001", output_dim=3))
    found = tuning.load(tmp_path)
    started, usual = found.to_dict("records")
    for name, value in (config | fields | {"searched": ("lr_init",)}).items():
        assert started[name] == value
    assert (started["excluded"], usual["excluded"]) == (PRETRAINED, "")
    assert found.init_from.isna().tolist() == [False, True]
    assert (usual["precision"], usual["input_dim"], usual["output_dim"]) == ("float32", 6, 3)


def test_metrics_of_a_task_are_columns(write, tmp_path):
    own = {"loss": 0.1, "variance_recovered": 0.25, "depth": 9.0, "words": ["a"], "host": 3.0}
    own |= {"lr_init": 5.0, "pair": [1.0, [2.0]]}
    write("a", record("00000", eval_loss=0.1, metrics={"eval": own}), record("00001"))
    found = tuning.load(tmp_path)
    assert found[["metrics.lr_init", "metrics.host", "pair.0", "pair.1.0"]].iloc[0].tolist() == [
        *(5, 3, 1, 2)
    ]
    assert (found.lr_init == 0.1).all()
    assert found.variance_recovered.fillna(-1).tolist() == [0.25, -1]
    assert found["metrics.depth"].tolist()[0] == 9 and found.depth.tolist() == [2, 2]
    assert not {"loss", "words", "mutual_information"} & set(found)


def test_metrics_at_other_lengths_are_columns(write, tmp_path):
    at = {"multiple": 2, "num_steps": 10, "chance_loss": 0.5}
    lengths = [at | {"metrics": {"loss": 0.25, "by_stream": [1.0]}}]
    lengths.append(at | {"multiple": 4, "num_steps": 20, "metrics": None})
    write("a", record("00000", lengths=lengths), record("00001"))
    found = tuning.load(tmp_path)
    columns = found.filter(regex="^lengths")
    expected = {"num_steps": 10, "chance_loss": 0.5, "loss": 0.25, "by_stream.0": 1.0}
    expected = {f"lengths.2.{name}": value for name, value in expected.items()}
    expected |= {"lengths.4.num_steps": 20, "lengths.4.chance_loss": 0.5}
    assert columns.iloc[0].to_dict() == expected
    assert columns.iloc[1].isna().all()


def test_no_quantity_has_two_columns(write, tmp_path):
    def trial(number, **hparams):
        options = {"task_options": hparams.pop("task_options", {}), "activation": None}
        return record(f"{number:05d}", task="memory", metrics={}, hparams=options | hparams)

    per_gate, identity = {"r": 0.5, "u": 2.0}, {"matrix_init": "identity", "recurrent_scale": 1.0}
    write("a", trial(0, recurrent_scale=per_gate), trial(1, **identity))
    write("b", dataclasses.replace(trial(0, recurrent_scale=0.7), arch="rnn"))
    write("c", trial(0, task_options={"delay": 3}), record("00001"))
    found = tuning.load(tmp_path).set_index("run")
    scales = found.filter(like="recurrent_scale").fillna(-1)
    assert set(scales) == {"recurrent_scale", "recurrent_scale.r", "recurrent_scale.u"}
    assert scales["recurrent_scale.u"].tolist() == [2.0, 1.0, -1, -1, -1]
    assert scales["recurrent_scale"].tolist() == [-1, -1, 0.7, -1, -1]
    steps = found["task_options.num_steps"].fillna(-1)
    assert steps["c/00001"] == 5 and "num_steps" not in found  # the default of capacity
    assert "num_inputs" not in found


def test_the_profile_is_that_of_the_run_the_study_or_the_sweep(write, tmp_path):
    write("a", record("00000"))
    (write("b", record("00000")) / "study.json").write_text('{"profile": "smoke"}')
    (tmp_path / "c").mkdir()
    run = dataclasses.asdict(record("c", profile="paper"))
    (tmp_path / "c/record.json").write_text(json.dumps(run))
    assert tuning.load(tmp_path).profile.fillna("-").tolist() == ["-", "smoke", "paper"]

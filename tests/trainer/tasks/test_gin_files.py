"""The gin file of every task parses in every profile, and twenty steps of training run."""

import json
import math

import pytest
from on_backend import tensorflow_only
from processes import python

from trainer.cli import gin_files
from trainer.storage.records import RunDirectory
from trainer.tasks import PAPER_TASKS, TASKS

PROFILES = ("smoke", "laptop", "paper")
#: Task -> its metrics beside the loss.
METRICS = {
    "capacity": {"accuracy", "mutual_information", "bits_per_parameter"},
    "memory": {"variance_recovered", "theoretical_loss"},
    "rcf": set(),
    "text8": {"bits_per_character", "accuracy"},
    "parens": {"accuracy", "accuracy_by_stream"},
    "arithmetic": {"character_accuracy", "answer_accuracy"},
}


def parse(name, profile, text_file):
    options = {"path": str(text_file)} if name == "text8" else {}
    return gin_files.parse({"task": name, "arch": "ugrnn"}, options, profile)


@pytest.mark.parametrize("name", PAPER_TASKS)
def test_it_parses_under_every_profile(name, text_file):
    steps = [parse(name, profile, text_file).config.train_steps for profile in PROFILES]
    assert steps[0] == 20
    assert steps == sorted(set(steps))
    config = parse(name, "laptop", text_file).config
    task = config.make_task()
    assert (config.task, type(task)) == (name, TASKS[name])
    assert config.units(task.input_dim, task.output_dim) >= 1


@tensorflow_only
@pytest.mark.parametrize(
    "name",
    [
        # The other tasks differ in details that other tests cover.
        pytest.param(name, marks=() if name == "memory" else pytest.mark.slow)
        for name in PAPER_TASKS
    ],
)
def test_twenty_steps_leave_a_record(name, text_file, tmp_path, warm_jax):
    options = parse(name, "smoke", text_file).config.task_options
    if name == "rcf":  # evaluation covers all points, so fewer points take less time
        options = options | {"num_samples": 5000}
    done = warm_jax.run(
        "trainer",
        f"--task={name}",
        "--arch=rnn",
        "--profile=smoke",
        "--run_dir=run",
        f"--gin_bindings=TrainConfig.task_options = {options}",
        cwd=tmp_path,
    )
    assert done.code == 0, done.stderr
    record = RunDirectory(tmp_path / "run").read_record()
    assert (record.status, record.steps_done, record.task) == ("ok", 20, name)
    assert record.chance_loss == pytest.approx(TASKS[name](**options).chance_loss)
    assert record.metrics.keys() == {"train", "valid", "eval"}
    for split, metrics in record.metrics.items():
        assert metrics.keys() == METRICS[name] | {"loss"}
        assert metrics["loss"] == getattr(record, f"{split}_loss")
        assert 0 < metrics["loss"] < 2 * record.chance_loss
        for value in metrics.values():
            assert all(math.isfinite(x) for x in (value if isinstance(value, list) else [value]))
        check(name, metrics, record)
    fixed = name in ("capacity", "rcf")
    assert (record.metrics["train"] == record.metrics["eval"]) == fixed
    assert (record.metrics["valid"] == record.metrics["eval"]) == fixed
    curve = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [line["step"] for line in curve] == list(range(1, 21))
    assert all(math.isfinite(line["train_loss"]) for line in curve)
    assert record.config["task_options"] == options


def check(name, metrics, record):
    """Assert that the metrics of one split agree with each other."""
    if name == "capacity":
        p, b = metrics["accuracy"], record.config["task_options"]["num_samples"]
        h = -sum(x * math.log2(x) for x in (p, 1 - p) if x > 0)
        expected = b * (1 - h) if p > 0.5 else 0
        assert metrics["mutual_information"] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        bits = metrics["bits_per_parameter"] * record.num_params
        assert bits == pytest.approx(metrics["mutual_information"], abs=1e-9)
        assert record.num_params <= 5000
    elif name == "memory":
        assert metrics["theoretical_loss"] == max(0, 1 - record.units / 64)
        assert metrics["variance_recovered"] == pytest.approx(1 - metrics["loss"], abs=1e-5)
    elif name == "text8":
        assert metrics["bits_per_character"] == pytest.approx(metrics["loss"] / math.log(2))
    elif name == "parens":
        assert len(metrics["accuracy_by_stream"]) == 10
        mean = sum(metrics["accuracy_by_stream"]) / 10
        assert metrics["accuracy"] == pytest.approx(mean, rel=1e-5)
    elif name == "arithmetic":
        assert 0 <= metrics["answer_accuracy"] <= metrics["character_accuracy"] <= 1


def test_help_lists_the_tasks_with_a_line_each(tmp_path):
    done = python("-m", "trainer", "--help", cwd=tmp_path)
    assert done.code == 0
    lines = [line.strip() for line in done.stdout.split("\n")]
    for name, task in TASKS.items():
        assert task.summary
        assert lines.count(f"{name}: {task.summary}") == 1
    assert len({task.summary for task in TASKS.values()}) == len(TASKS)

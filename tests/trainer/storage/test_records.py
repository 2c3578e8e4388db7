"""Records whose fields contradict one another are refused, whatever their checksum says."""

import dataclasses

import pytest
import records

from trainer import TrainConfig, UserError
from trainer.storage.records import RunDirectory, RunRecord

CONFIG = TrainConfig("parens", "gru", num_params=300, train_steps=60)
METRICS = {split: {"loss": 1.0} for split in ("train", "valid", "eval")}
WHOLE = records.record(
    objective=1.0,
    train_loss=1.0,
    steps_done=60,
    config=dataclasses.asdict(CONFIG) | {"eval_lengths": []},
    hparams=CONFIG.hparams,
    metrics=METRICS,
    lengths=[
        {"multiple": n, "num_steps": 9 * n, "chance_loss": 2.0, "metrics": None} for n in (2, 4)
    ],
)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"task": "rcf"}, "it has task rcf, and its configuration parens"),
        ({"arch": "lstm"}, "it has arch lstm, and its configuration gru"),
        ({"depth": 2}, "it has depth 2, and its configuration 1"),
        ({"max_params": 301}, "it has max_params 301, and its configuration 300"),
        ({"seed": 5}, "it has seed 5, and its configuration 0"),
        ({"train_steps": 61}, "it has train_steps 61, and its configuration 60"),
        (
            {"hparams": CONFIG.hparams | {"lr_init": 0.5}},
            "it has the hyperparameter lr_init 0.5, and its configuration ",
        ),
        ({"status": "infeasible"}, "its status is infeasible, and it has no infeasible_at"),
        ({"infeasible_at": 3}, "its status is ok, and it has an infeasible_at"),
        (
            {"status": "infeasible", "infeasible_at": 3},
            "its status is infeasible, and it has an objective",
        ),
        (
            {"status": "infeasible", "infeasible_at": 61, "objective": None},
            "it diverged at step 61, and has done 60 steps",
        ),
        ({"chance_loss": 0.0}, "its chance_loss is 0.0"),
        ({"chance_loss": -1.0}, "its chance_loss is -1.0"),
        (
            {"metrics": {"eval": {"mutual_information": 29.0, "bits_per_parameter": 1.0}}},
            "it has 29.0 bits on eval, and 1.0 in each of its parameters",
        ),
        ({"valid_loss": None}, "it has an objective, and no valid_loss"),
        ({"eval_loss": 0.5}, "its eval_loss is 0.5, and that of its metrics 1.0"),
        ({"train_loss": None}, "its train_loss is None, and that of its metrics 1.0"),
        ({"steps_done": 61}, "it has done 61 of 60 steps"),
        ({"steps_done": 59}, "its status is ok, and it has done 59 of 60 steps"),
        ({"seconds": -1.0}, "it took -1.0 seconds"),
        ({"lengths": WHOLE.lengths[:1] * 2}, "it has several measurements at one length"),
        ({"curve": [1.0] * 21}, "its curve has 21 points, of at most 20"),
    ],
    ids=str,
)
def test_contradictions_are_refused(tmp_path, change, message):
    run = RunDirectory(tmp_path)
    run.write_record(WHOLE)
    assert run.read_record() == dataclasses.replace(WHOLE, crc32=run.read_record().crc32)
    with pytest.raises(UserError, match=message):
        RunRecord(**dataclasses.asdict(WHOLE) | change)


def test_a_pruned_trial_has_fewer_steps():
    RunRecord(**vars(WHOLE) | {"steps_done": 9, "stopped_early": True})


def test_a_list_is_the_tuple_that_it_was():
    config = WHOLE.config | {"task_options": {"sizes": (1, 2)}}
    RunRecord(**vars(WHOLE) | {"config": config, "hparams": {"task_options": {"sizes": [1, 2]}}})


def test_the_origin_is_one_of_four(tmp_path):
    run = RunDirectory(tmp_path)
    for origin in ("search", None):
        run.write_record(dataclasses.replace(WHOLE, origin=origin))
        assert run.read_record().origin == origin
    run.write_record(dataclasses.replace(WHOLE, origin="firxt"))
    with pytest.raises(UserError, match=r"origin must be .*, got 'firxt'"):
        run.read_record()

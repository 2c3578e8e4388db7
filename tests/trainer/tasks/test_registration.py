"""Tasks of the user's: registration, names, defaults and ranges."""

import math
import sys

import pytest
from registrations import restored

from trainer import TrainConfig, UserError, names
from trainer.cli import gin_files
from trainer.tasks import TASKS, Task, register
from tuning.search.space import space


@pytest.fixture(autouse=True)
def _restored():
    with restored():
        yield


class Blank(Task):
    """A task without data.

    It has more than one line of description.
    """

    input_dim, output_dim, num_steps, chance_loss = 1, 2, 3, math.log(2)

    def __init__(self, noise=0.0):
        self.noise = noise

    def draw(self, data, split, seed, step, batch_size):
        raise NotImplementedError

    @classmethod
    def step_losses(cls, outputs, targets):
        raise NotImplementedError


def test_a_registered_task_is_a_task():
    assert register("blank", Blank) is Blank
    assert (Blank.name, Blank.summary) == ("blank", "A task without data.")
    config = TrainConfig("blank", "gru", task_options={"noise": 0.5})
    assert type(config.make_task()) is Blank and config.make_task().noise == 0.5
    with pytest.raises(UserError, match="task blank has no option 'nose'; it has noise"):
        TrainConfig("blank", "gru", task_options={"nose": 0.5})


class NoDefault(Blank):
    def __init__(self, noise):
        self.noise = noise


class NoSuchOption(Blank):
    ranges = {"nose": (0, 1)}


class NoSuchPooled(Blank):
    pooled_options = ("nose",)


class NoVocabulary(Blank):
    predicts_next = True


class FromTheStart(Blank):
    target_time_axis = 1


class NoLoss(Task):
    draw = Blank.draw


@pytest.mark.parametrize(
    "name, task, message",
    [
        ("a b", Blank, "letters, digits and underscores"),
        ("memory", Blank, "'memory' is taken by trainer.tasks.memory.Memory; choose another"),
        ("new", NoDefault, "NoDefault: the argument noise needs a default"),
        ("new", NoSuchOption, "NoSuchOption.ranges has 'nose', which is not an argument"),
        ("new", NoSuchPooled, "NoSuchPooled.pooled_options has 'nose'"),
        ("new", NoVocabulary, "NoVocabulary sets predicts_next, so it needs a vocabulary"),
        ("new", FromTheStart, "FromTheStart.target_time_axis is 1, but it is counted from the end"),
        ("new", NoLoss, "NoLoss must define step_losses"),
    ],
)
def test_a_task_that_cannot_be_registered_is_refused(name, task, message):
    with pytest.raises(ValueError, match=message):
        register(name, task)
    assert name not in TASKS or TASKS[name] is not task


def test_something_other_than_a_task_is_refused():
    with pytest.raises(TypeError, match="subclass of Task"):
        register("new", dict)


def test_a_dotted_name_imports_its_module_and_its_defaults_are_the_command_s():
    flags = {"task": "own_tasks.parity", "arch": "gru"}
    config = gin_files.parse(flags).config
    assert (config.num_params, config.train_steps, config.batch_size) == (500, 40, 64)
    assert config.make_task().num_steps == 7
    assert gin_files.parse(flags, profile="smoke").config.train_steps == 20
    given = gin_files.parse(flags | {"train_steps": 9}, bindings=["TrainConfig.num_params = 800"])
    assert (given.config.train_steps, given.config.num_params) == (9, 800)
    assert given.given == {"task", "arch", "train_steps", "num_params"}


def test_its_ranges_are_searched():
    names.load(["own_tasks"])
    found = {each.name: each for each in space(TrainConfig("own_tasks.parity", "gru"))}
    steps = found["task_options.num_steps"]
    assert (steps.distribution, steps.low, steps.high) == ("log-integer", 5, 50)
    assert found["task_options.first"].choices == ("zero", "random")


@pytest.mark.parametrize(
    "task, words",
    [
        ("sum", "unknown task 'sum'; choose one of .*parens.*see trainer.tasks.register"),
        ("no_such.parity", "'no_such.parity': there is no module 'no_such'"),
        ("own_tasks.sum", "unknown task 'own_tasks.sum'.*'own_tasks' does not register it"),
    ],
)
def test_an_unknown_task_is_refused(task, words):
    with pytest.raises(UserError, match=words):
        gin_files.parse({"task": task, "arch": "gru"})


def test_only_a_user_imports_a_module():
    with pytest.raises(
        UserError, match=r"unknown task 'own_tasks\.parity'.*commands take --import=own_tasks"
    ):
        TrainConfig("own_tasks.parity", "gru")
    assert "own_tasks" not in sys.modules


def test_a_command_answers_an_unknown_task_before_a_backend_starts(cold, tmp_path):
    for command in ("trainer", "tuning"):
        arguments = (command, "--task=no_such.task", "--arch=gru")
        done = cold.run(*arguments, cwd=tmp_path, KERAS_BACKEND="none")
        assert done.code == 2 and done.stderr.count("\n") == 1
        assert "'no_such.task'" in done.stderr and "no module 'no_such'" in done.stderr

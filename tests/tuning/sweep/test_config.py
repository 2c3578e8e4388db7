"""Grids of studies, and the paper's gin files in every profile."""

import dataclasses
import os
import pathlib
import re

import pytest
from slow import slow_except

import gin_configs
from rnn_zoo.architectures import ARCHITECTURES
from trainer import UserError
from trainer.optimizers import OPTIMIZERS
from trainer.tasks import PAPER_TASKS, corpus, text8
from tuning.search.ranges import of_study
from tuning.sweep import config
from tuning.sweep.config import parse
from tuning.sweep.growth import union

PAPER = pathlib.Path(gin_configs.__file__).parent / "paper"
FILES = (
    "figure_1",
    "figure_2a",
    "figure_2b",
    "figure_2c",
    "figure_3_text8",
    "figure_3_rcf",
    "figure_4_parens",
    "figure_4_arithmetic",
    "figure_5",
    "table_app_1",
)
ALL = {"rnn", "irnn", "ugrnn", "gru", "lstm", "+rnn"}


@pytest.fixture(scope="module", autouse=True)
def _short_text():
    """A text in place of Python's documentation, which takes seconds to collect."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_pydoc_text", lambda: b"anarchism originated " * 1000)
        text8._load.cache_clear()
        yield
    text8._load.cache_clear()


def studies(path, profile="paper", bindings=(), **flags):
    return parse(str(path), profile, bindings, flags, {"text8": {"source": "pydoc"}})[0]


@pytest.fixture
def grid(tmp_path):
    """Return a function that parses the text of a gin file."""

    def parse_grid(text, profile="laptop", bindings=(), **flags):
        path = tmp_path / "sweep.gin"
        path.write_text(text)
        return studies(path, profile, bindings, **flags)

    return parse_grid


def test_there_is_a_file_for_every_figure_and_table():
    assert sorted(path.stem for path in PAPER.glob("*.gin")) == sorted([*FILES, "decide"])


def test_the_deciding_studies_have_seeds_that_were_not_looked_at():
    specs = studies(PAPER / "decide.gin", "laptop")
    assert all(spec.config.seed > 0 for spec in specs)
    assert {spec.config.task for spec in specs} >= {"memory", "parens"}


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("name", FILES)
def test_the_paper_s_files(name, profile):
    specs = studies(PAPER / f"{name}.gin", profile)
    tasks = {spec.config.task for spec in specs}
    assert len(tasks) == 1
    archs = {spec.config.arch for spec in specs}
    if profile == "paper" and name not in ("figure_2a", "figure_2b", "table_app_1"):
        assert archs == ALL
    assert all(spec.study.batch is None and spec.study.seed is None for spec in specs)
    assert (name == "table_app_1") == all(spec.reruns for spec in specs)
    assert (name == "figure_5") == all(spec.study.algorithm == "random" for spec in specs)
    steps = {"smoke": 200, "laptop": 100_000, "paper": 5_000_000}[profile]
    assert all(spec.config.train_steps <= steps for spec in specs)
    header = (PAPER / f"{name}.gin").read_text().split("SweepConfig")[0]
    assert f"python -m tuning.sweep --gin_file=gin_configs/paper/{name}.gin" in header


@pytest.mark.parametrize("profile", slow_except(["laptop"], ["smoke", "laptop", "paper"]))
def test_the_presets_searches(profile):
    specs = studies(PAPER.parent / "presets.gin", profile)
    found = {(spec.config.task, spec.config.arch) for spec in specs}
    deep = {spec.config.arch for spec in specs if spec.config.depth == 4}
    if profile == "smoke":
        assert sum(spec.study.num_trials for spec in specs) < 10
    else:
        assert deep == {"gru", "+rnn"}
        assert found == {(task, arch) for task in PAPER_TASKS for arch in ALL}
    # An RNN learns to count with SOAP, which is not the configuration's optimizer.
    firsts = ("config", {"optimizer": "soap"}) if profile == "laptop" else (None,)
    assert all(spec.study.first in firsts for spec in specs)
    if profile == "laptop":
        large = {(s.config.task, s.config.arch) for s in specs if s.config.num_params == 30_000}
        assert large == {(t, arch) for t in ("parens", "arithmetic", "text8") for arch in ALL}
        # The shape of the shipped presets, and about their data.
        options = [spec.config.task_options for spec in specs if spec.config.task == "capacity"]
        assert options == [{"num_inputs": 16, "num_samples": 10_000}] * 6


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("name", ["figure_1", "figure_2a", "figure_2b"])
def test_sizes_of_a_capacity_figure_share_enough_inputs(name, profile):
    specs = studies(PAPER / f"{name}.gin", profile)
    largest = 0
    for spec in specs:
        searched, _ = of_study(spec.config, spec.study)
        largest = max(largest, *(h.high for h in searched if "num_samples" in h.name))
    (inputs,) = {spec.config.task_options["num_inputs"] for spec in specs}
    assert inputs >= 20
    assert largest / 2**inputs <= 1e-3


def test_the_paper_s_sizes():
    """The sizes that the paper's text states."""
    (five,) = {spec.config.num_params for spec in studies(PAPER / "figure_5.gin")}
    assert five == 200_000
    depths = {spec.config.depth for spec in studies(PAPER / "figure_5.gin")}
    assert depths == {1, 8}
    trials = {spec.study.num_trials for spec in studies(PAPER / "figure_5.gin")}
    assert trials == {1000}
    reruns = studies(PAPER / "table_app_1.gin")
    assert {(s.config.num_params, s.config.depth, s.reruns) for s in reruns} == {(100_000, 1, 100)}
    arithmetic = studies(PAPER / "figure_4_arithmetic.gin")
    assert {spec.config.depth for spec in arithmetic} == {1, 2, 4, 8}
    assert {spec.study.num_trials for spec in arithmetic} == {2500}
    # 6 architectures at 4 depths, except the +RNN at depth 1.
    assert len(arithmetic) == 23


def test_a_grid_is_a_product_over_the_project_s_files(grid):
    specs = grid(
        "SweepConfig.grid = [{'task': 'capacity', 'arch': ['rnn', '+rnn'], 'depth': [1, 2],"
        " 'num_params': 500, 'task_options': [{'num_steps': 2}, {'num_steps': 5}],"
        " 'ranges': {'lr_init': (0.001, 0.01)}, 'reruns': 3}]\n"
        "TrainConfig.batch_size = 32\nStudyConfig.keep = 2\n"
    )
    assert [spec.name for spec in specs] == [
        "capacity-rnn-1-500-gp-num_steps_2",
        "capacity-rnn-1-500-gp-num_steps_5",
        "capacity-rnn-2-500-gp-num_steps_2",
        "capacity-rnn-2-500-gp-num_steps_5",
        "capacity-+rnn-2-500-gp-num_steps_2",  # depth 1 is skipped
        "capacity-+rnn-2-500-gp-num_steps_5",
    ]
    first = specs[0]
    assert first.config.task_options["num_steps"] == 2
    assert first.config.task_options["num_inputs"] == 26  # from the task's file
    assert first.config.lr_decay_rate == 0.01  # from the task's file
    assert first.config.batch_size == 32 and first.study.keep == 2
    assert first.config.train_steps == 50_000  # from the profile
    assert first.study.ranges == {"lr_init": (0.001, 0.01), "batch_size": 32}
    assert first.reruns == 3


def test_all_architectures_can_be_named_at_once(grid, monkeypatch):
    some = ("rnn", "gru", "+rnn")
    monkeypatch.setattr(config, "ARCHITECTURES", {name: ARCHITECTURES[name] for name in some})
    text = "SweepConfig.grid = [{'task': 'memory', 'arch': 'all', 'num_params': 900}]"
    names = [spec.name for spec in grid(text)]
    assert names == ["memory-rnn-1-900-gp", "memory-gru-1-900-gp", "memory-+rnn-2-900-gp"]
    shallow = grid(text.replace("900", "900, 'depth': 1"))
    assert [spec.config.arch for spec in shallow] == ["rnn", "gru"]


def test_the_atlas_has_every_cell_in_every_column():
    points = config.points(str(PAPER.parent / "atlas.gin"), "laptop")
    columns = {}
    for values in points:
        key = values["priority"], values["seed"]
        columns.setdefault(key, []).append(values["arch"])
    assert all(archs == list(ARCHITECTURES) for archs in columns.values())
    # The capacity at one size and the tasks that the paper did not have come first, with one seed.
    assert [seed for _, seed in columns][:7] == [1] * 7
    efforts = {(each["num_trials"], each["algorithm"]) for each in points}
    assert efforts == {(6, "random")}


@pytest.mark.slow
def test_the_atlas_is_a_sweep_of_valid_studies():
    specs = studies(PAPER.parent / "atlas.gin", "laptop")
    deep = [name for name, facts in ARCHITECTURES.items() if facts.min_depth > 1]
    # Seven columns of the paper's tasks with two seeds, two of which leave out the cells that need
    # two layers, and six with one.
    assert len(specs) == 2 * (7 * len(ARCHITECTURES) - 2 * len(deep)) + 6 * len(ARCHITECTURES)
    assert {spec.config.depth for spec in specs if spec.config.arch in deep} == {2}


def test_the_sweep_of_optimizers_gives_each_the_same_effort():
    points = config.points(str(PAPER.parent / "optimizers.gin"), "laptop")
    of_cell = {}
    for values in points:
        key = values["task"], values["arch"], values["activation"]
        of_cell.setdefault(key, []).append(values["optimizer"])
    for (_, arch, activation), found in of_cell.items():
        able = [
            name
            for name, entry in OPTIMIZERS.items()
            if arch in (entry.archs or [arch]) and activation in (entry.activations or [activation])
        ]
        assert sorted(found) == sorted(able)
    assert len({(each["num_trials"], each["algorithm"], each["seed"]) for each in points}) == 1


@pytest.mark.slow
def test_the_sweep_of_optimizers_has_valid_studies():
    path = PAPER.parent / "optimizers.gin"
    assert len(studies(path, "laptop")) == len(config.points(str(path), "laptop"))


def test_a_profile_s_grid_replaces_the_general_one(grid):
    text = (
        "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'num_params': 9000}]\n"
        "smoke/SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'num_params': 3000}]\n"
    )
    assert grid(text, "smoke")[0].config.num_params == 3000
    assert grid(text, "smoke")[0].config.train_steps == 20
    assert grid(text, "laptop")[0].config.num_params == 9000


def test_the_text_of_a_sweep_gives_the_same_studies_again(tmp_path):
    path = tmp_path / "own.gin"
    path.write_text(f"SweepConfig.grid = [{ONE}]\n")
    bindings = ["TrainConfig.batch_size = 4", "StudyConfig.seed = 7"]
    flags, data = {"num_trials": 3, "train_steps": None}, {"text8": {"source": "pydoc"}}
    specs, text, _ = parse(str(path), "smoke", bindings, flags, data)
    first = "# Flags: --profile=smoke --num_trials=3 --text8_source=pydoc"
    assert text.splitlines()[0] == first
    path.write_text(text)
    assert parse(str(path), "smoke", flags=flags)[0] == specs
    assert parse(str(path), "laptop")[1] == text


def test_a_grid_in_an_included_file_is_one_of_several(tmp_path):
    first, other, grid = (tmp_path / f"{name}.gin" for name in ("first", "other", "grid"))
    grid.write_text(f"SweepConfig.grid = [{ONE}]\n")
    first.write_text(f"include '{grid}'\n")
    other.write_text(f"SweepConfig.grid = [{ONE}]\n")
    assert len(parse(str(first), "laptop")[0]) == 1
    with pytest.raises(UserError, match=f"{first} and {other} each have a SweepConfig.grid"):
        parse([str(first), str(other)], "laptop")


def test_a_scope_of_a_grid_is_a_profile(grid):
    text = f"SweepConfig.grid = [{ONE}]\nlabtop/SweepConfig.grid = [{ONE}]\n"
    message = (
        "^labtop/SweepConfig has no effect: a scope is a profile, one of smoke, laptop, paper$"
    )
    with pytest.raises(UserError, match=message):
        grid(text)


def test_only_one_of_several_files_has_a_grid(tmp_path):
    first, other, more = (tmp_path / f"{name}.gin" for name in ("first", "other", "more"))
    first.write_text(f"SweepConfig.grid = [{ONE}]\nTrainConfig.l2_decay = 1e-6\n")
    other.write_text(f"smoke/SweepConfig.grid = [{ONE}]\n")
    more.write_text("TrainConfig.l2_decay = 1e-5\n")
    (spec,), text, _ = parse([str(first), str(more)], "laptop")
    assert spec.config.l2_decay == 1e-5 and "1e-6" in text and "1e-5" in text
    message = f"{first} and {other} each have a SweepConfig.grid"
    with pytest.raises(UserError, match=re.escape(message)):
        parse([str(first), str(more), str(other)], "laptop")
    bindings = ["StudyConfig.keep = 2", "StudyConfig.keep = 3"]
    with pytest.raises(UserError, match=r"sets StudyConfig\.keep to 2 and to 3; omit one"):
        parse(str(first), "laptop", bindings)
    first.write_text(f"SweepConfig.grid = [{ONE | {'l2_decay': 1e-6}}]\n")
    with pytest.raises(UserError, match=re.escape(f"l2_decay is 1e-05 in {more} (TrainConfig")):
        parse([str(first), str(more)], "laptop")


def test_common_entries_are_shared_and_merged(grid):
    first, second = grid(
        "SweepConfig.common = {'task': 'parens', 'arch': 'gru', 'num_params': 5000,"
        " 'ranges': {'lr_init': (0.001, 0.01), 'optimizer': ['adam']}}\n"
        "SweepConfig.grid = [{'num_params': 3000}, {'ranges': {'lr_init': 0.01}}]\n"
    )
    assert (first.config.num_params, second.config.num_params) == (3000, 5000)
    assert first.study.ranges == {"lr_init": (0.001, 0.01), "optimizer": ["adam"]}
    assert second.study.ranges == {"lr_init": 0.01, "optimizer": ["adam"]}


def test_hyperparameters_that_the_grid_sets_are_held(grid):
    text = (
        "SweepConfig.common = {'task': 'capacity', 'arch': '+rnn', 'optimizer': 'muon'}\n"
        "SweepConfig.grid = [{'lr_init': [0.011, 0.022], 'gate_bias': {'gy': 1.0, 'gh': 3.0},"
        " 'task_options': {'num_samples': 5000}, 'train_steps': 70}]\n"
        "TrainConfig.l2_decay = 1e-6\n"
    )
    specs = grid(text, bindings=["TrainConfig.input_scale = 0.5"])
    assert [spec.name for spec in specs] == [
        "capacity-+rnn-2-1000-gp-lr_init_0.011",
        "capacity-+rnn-2-1000-gp-lr_init_0.022",
    ]
    for spec, rate in zip(specs, (0.011, 0.022), strict=True):
        space, _ = of_study(spec.config, spec.study)
        fixed = {each.name: each.fixed for each in space if each.fixed is not None}
        scales = {f"input_scale.{gate}": 0.5 for gate in ("y", "h", "gy", "gh")}
        assert fixed == scales | {
            "optimizer": "muon",
            "lr_init": rate,
            "gate_bias.gy": 1.0,
            "gate_bias.gh": 3.0,
            "l2_decay": 1e-6,
            "task_options.num_samples": 5000,
        }
        # The number of steps is a maximum, and is not held.
        assert spec.config.train_steps == 70


def test_values_that_the_paper_does_not_tune_are_held_unless_they_are_the_default(grid):
    text = (
        "SweepConfig.common = {'task': 'rcf', 'arch': 'irnn', 'activation': 'tanh'}\n"
        "SweepConfig.grid = [{'batch_size': [4, 128]}]\n"  # 128 is from the task's file
    )
    specs = grid(text)
    ranges = [{"activation": "tanh", "batch_size": 4}, {"activation": "tanh"}]
    assert [spec.study.ranges for spec in specs] == ranges
    assert [spec.config.batch_size for spec in specs] == [4, 128]
    new = {spec.name: spec for spec in specs}
    # A sweep of an earlier version has no such ranges.
    old = {
        name: spec._replace(study=dataclasses.replace(spec.study, ranges={}))
        for name, spec in new.items()
    }
    merged = union("out", old, new)
    assert merged.conflicts == {} and merged.specs == new
    other = grid(text.replace("tanh", "relu"))
    assert len(union("out", old, {spec.name: spec for spec in other}).conflicts) == 2


def test_values_without_effect_are_named_once_an_architecture(tmp_path):
    entry = {"task": "memory", "arch": ["rnn", "gru"], "gate_bias": 3.0, "num_params": [900, 999]}
    (tmp_path / "sweep.gin").write_text(f"SweepConfig.grid = [{entry}]\n")
    notes = parse(str(tmp_path / "sweep.gin"), "laptop")[2]
    assert notes == ["gate_bias has no effect: rnn has no gate with b^fg"]


def test_flags_and_bindings_come_last(grid):
    text = "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'num_trials': 9}]\n"
    (spec,) = grid(text, bindings=["StudyConfig.batch = 3"], num_trials=4, train_steps=77)
    assert (spec.study.num_trials, spec.config.train_steps, spec.study.batch) == (4, 77, 3)


ONE = {"task": "memory", "arch": "gru", "num_params": 1500}


@pytest.mark.parametrize(
    "entry, lines, bindings, words",
    [
        (
            {"lr_init": 0.01},
            "TrainConfig.lr_init = 0.05",
            ["TrainConfig.lr_init = 0.07"],
            ["lr_init is 0.07 in --gin_bindings", "and 0.01 in SweepConfig.grid; omit one"],
        ),
        (
            {"lr_init": [0.05, 0.02]},
            "TrainConfig.lr_init = 0.05",
            [],
            ["lr_init is 0.05 in ", "sweep.gin (TrainConfig.lr_init), and 0.02"],
        ),
        ({"depth": 2}, "TrainConfig.depth = 1", [], ["depth is 1 in", "and 2 in"]),
        ({}, "TrainConfig.arch = 'lstm'", [], ["arch is 'lstm' in", "and 'gru' in"]),
        ({}, "", ["TrainConfig.num_params = 9"], ["num_params is 9 in", "and 1500 in"]),
        ({"train_steps": 40}, "", ["TrainConfig.train_steps = 9"], ["train_steps is 9 in"]),
        (
            {"task_options": {"delay": 3}},
            "TrainConfig.task_options = {'delay': 4}",
            [],
            ["task_options.delay is 4 in"],
        ),
        ({"num_trials": 5}, "", ["StudyConfig.num_trials = 9"], ["num_trials is 9 in", "and 5"]),
        ({"algorithm": "random"}, "StudyConfig.algorithm = 'gp'", [], ["algorithm is 'gp' in"]),
        (
            {"ranges": {"delay": (3, 9)}},
            "",
            ["StudyConfig.ranges = {'task_options.delay': (3, 8)}"],
            ["task_options.delay has the range (3, 8) and also (3, 9) (--gin_bindings", "omit one"],
        ),
        (
            {"ranges": {"input_scale.u": (0.3, 1.0)}},
            "StudyConfig.ranges = {'input_scale': (0.2, 1.0)}",
            [],
            ["input_scale has the range (0.2, 1.0) and also (0.3, 1.0)"],
        ),
    ],
    ids=str,
)
def test_a_binding_and_the_grid_must_agree(grid, entry, lines, bindings, words):
    with pytest.raises(UserError) as error:
        grid(f"SweepConfig.grid = [{ONE | entry}]\n{lines}\n", bindings=bindings)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_bindings_that_agree_with_the_grid_join_it(grid):
    entry = ONE | {
        "lr_init": 0.05,
        "num_trials": 5,
        "train_steps": 90,
        "task_options": {"delay": 3},
        "ranges": {"optimizer": ["adam"], "batch_size": (8, 9)},
    }
    bindings = [
        "TrainConfig.lr_init = 0.05",
        "TrainConfig.task_options = {'dimensions': 7}",
        "TrainConfig.train_steps = 80",
        "StudyConfig.num_trials = 6",
        "StudyConfig.ranges = {'batch_size': (8, 9), 'l2_decay': (1e-8, 1e-6)}",
    ]
    # Flags override both.
    (spec,) = grid(f"SweepConfig.grid = [{entry}]", bindings=bindings, num_trials=4, train_steps=70)
    assert spec.study.ranges == {
        "batch_size": (8, 9),
        "l2_decay": (1e-8, 1e-6),
        "optimizer": ["adam"],
        "lr_init": 0.05,
    }
    assert spec.config.task_options == {"dimensions": 7, "delay": 3}
    assert (spec.study.num_trials, spec.config.train_steps) == (4, 70)


def test_only_text8_gets_text8_s_options(grid):
    text = "SweepConfig.grid = [{'task': ['text8', 'memory'], 'arch': 'gru', 'num_params': 9000}]"
    text8, memory = grid(text)
    assert text8.config.task_options == {"source": "pydoc"}
    assert memory.config.task_options == {}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "grid must be a list of dicts"),
        ("SweepConfig.grid = [{}]\nSweepConfig.common = [1]", "common must be a dict"),
        ("SweepConfig.grid = [{}]\nSweepConfig.common = {'task': 'rcf'}", "needs 'arch'"),
        ("SweepConfig.grid = 3", "grid must be a list of dicts, got 3"),
        ("SweepConfig.grid = [3]", "got 3 in it"),
        ("SweepConfig.grid = [{'arch': 'gru'}]", "needs 'task'"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'lr': 1}]", "no 'lr'; it may have"),
        ("SweepConfig.grid = [{'task': 'paren', 'arch': 'gru'}]", "unknown task 'paren'"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': 'gruu'}]", "gruu"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': '+rnn', 'depth': 1}]", "leaves no study"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': ['gru', 'gru']}]", "gives .* twice"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'num_params': 5}]", "num_params"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'reruns': -1}]", "reruns must be"),
        (
            "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'ranges': {'lr': 1}}]",
            "no hyperparameter 'lr'",
        ),
        (
            "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'lr_init': [0.01, 16]}]",
            r"lr_init must be within \[0.0001, 0.1\], got 16",
        ),
        (
            "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'input_scale': 1.0,"
            " 'ranges': {'input_scale': (0.1, 1.0)}}]",
            "input_scale.r is set to 1.0 and also has a range; omit one",
        ),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'depth': 'two'}]", "depth"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': '+rnn', 'depth': 0}]", "depth must be"),
        ("SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'num_params': []}]", "empty list"),
        ("SweepConfig.grid = [{'task': {}, 'arch': 'gru'}]", "task in .* must be a str"),
        (
            "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'task_options': 3}]",
            "task_options in .* must be a dict",
        ),
        (
            "SweepConfig.grid = [{'task': 'parens', 'arch': ['+rnn', 'gru'],"
            " 'arch_options': {'depth_activation': 'tanh'}}]",
            "gru has no option 'depth_activation'.*give the arch that has it a dict of its own",
        ),
        ("SweepConfig.gird = 3", "gird"),
        ("x = [%x]\nSweepConfig.grid = %x", "gin macro %x needs its own value"),
        ("SweepConfig.grid = [", r"gin file .*\.gin: "),
    ],
)
def test_mistakes_are_named(grid, text, message):
    with pytest.raises(UserError, match=message) as error:
        grid(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make, message",
    [
        (os.mkfifo, "cannot read gin file loop.gin: it is not a regular file"),
        (
            lambda path: path.write_text("include 'loop.gin'"),
            "gin file loop.gin: a file includes itself, or a",
        ),
    ],
)
def test_a_gin_file_that_has_no_end_is_refused(tmp_path, monkeypatch, make, message):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "loop.gin")
    with pytest.raises(UserError, match=message):
        studies("loop.gin")


def test_the_paper_s_files_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(studies("gin_configs/paper/figure_5.gin")) == 11
    with pytest.raises(UserError, match="cannot read gin file"):
        studies("gin_configs/paper/figure_6.gin")
    with pytest.raises(UserError, match="unknown profile 'desk'"):
        studies("gin_configs/paper/figure_5.gin", "desk")


def test_lengths_are_one_value_of_a_grid(grid):
    (spec,) = grid(
        "SweepConfig.grid = [{'task': 'parens', 'arch': 'gru', 'eval_lengths': (1, 2, 4)}]"
    )
    assert spec.config.eval_lengths == (1, 2, 4) and "eval" not in spec.name


def test_the_data_of_each_task_are_its_own(tmp_path, monkeypatch):
    (tmp_path / "own.csv").write_text("\n".join(str(n * n % 17) for n in range(900)))
    path = tmp_path / "sweep.gin"
    path.write_text("SweepConfig.grid = [{'task': ['series', 'text8', 'parens'], 'arch': 'gru'}]")
    data = {"series": {"path": str(tmp_path / "own.csv")}, "text8": {"source": "pydoc"}}
    specs, text, _ = parse(str(path), "laptop", data=data)
    options = {spec.config.task: spec.config.task_options for spec in specs}
    assert options == data | {"parens": {}}
    first = f"# Flags: --series_path={tmp_path}/own.csv --text8_source=pydoc"
    assert text.splitlines()[0] == first


def test_bindings_set_options_of_the_optimizer_in_the_grid(grid):
    bindings = ["TrainConfig.optimizer_options = {'weight_decay': 0.5}"]
    entry = {"task": "parens", "arch": "gru", "optimizer": "adamw"}
    (spec,) = grid(f"SweepConfig.grid = [{entry}]", bindings=bindings)
    assert spec.config.optimizer == "adamw"
    assert spec.config.optimizer_options == {"weight_decay": 0.5}

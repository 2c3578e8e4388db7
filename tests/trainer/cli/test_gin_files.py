"""Gin files: priority of sources, the project's files, errors in one line."""

import ast
import dataclasses
import inspect
import itertools
import pathlib

import pytest

import gin_configs
from trainer import TrainConfig, UserError
from trainer.cli import gin_files
from trainer.tasks import PAPER_TASKS, TASKS

DIRECTORY = pathlib.Path(gin_configs.__file__).parent
PARENS = {"task": "parens", "arch": "gru"}


def parse(**options):
    return gin_files.parse(options.pop("flags", PARENS), **options)


def refused(**options):
    with pytest.raises(UserError) as caught:
        parse(**options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Priority.


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """Project files that all set seed, and one more field each."""
    root = tmp_path / "gin_configs"
    for name, seed, own in (
        ("tasks/parens.gin", 2, "num_params"),
        ("profiles/laptop.gin", 3, "train_steps"),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"TrainConfig.seed = {seed}\nTrainConfig.{own} = 1111\n")
    monkeypatch.setattr(gin_files.importlib.resources, "files", lambda package: root)
    return root


def test_the_later_source_wins(layers, tmp_path):
    (layers / "profiles/laptop.gin").write_text("")
    (layers / "tasks/parens.gin").write_text("")
    assert parse().config.seed == 0  # the default
    (layers / "tasks/parens.gin").write_text("TrainConfig.seed = 2")
    assert parse().config.seed == 2
    (layers / "profiles/laptop.gin").write_text("TrainConfig.seed = 3")
    assert parse().config.seed == 3
    files = [tmp_path / "one.gin", tmp_path / "two.gin"]
    for seed, file in enumerate(files, start=4):
        file.write_text(f"TrainConfig.seed = {seed}")
    assert parse(files=files[:1]).config.seed == 4
    assert parse(files=files).config.seed == 5
    bindings = ["TrainConfig.seed = 6"]
    assert parse(files=files, bindings=bindings).config.seed == 6
    bindings = ["TrainConfig.seed = 7"]
    assert parse(files=files, bindings=bindings).config.seed == 7
    flags = PARENS | {"seed": 8}
    assert parse(flags=flags, files=files, bindings=bindings).config.seed == 8
    flags["seed"] = None  # not given
    assert parse(flags=flags, files=files, bindings=bindings).config.seed == 7


def test_sources_leave_alone_what_others_set(layers):
    config = parse().config
    assert (config.seed, config.num_params, config.train_steps) == (3, 1111, 1111)


def test_nothing_is_left_of_an_earlier_parsing(layers):
    parse(bindings=["TrainConfig.l2_decay = 0.5"])
    assert parse().config.l2_decay == 0


def test_task_options_given_as_flags_join_those_of_the_files():
    bindings = ["TrainConfig.task_options = {'num_steps': 7, 'path': 'a'}"]
    parsed = gin_files.parse({"task": "text8", "arch": "gru"}, {"path": "b"}, bindings=bindings)
    assert parsed.config.task_options == {"num_steps": 7, "path": "b"}


def test_a_source_sets_the_options_that_it_names(tmp_path):
    capacity = {"task": "capacity", "arch": "gru"}
    (tmp_path / "own.gin").write_text("TrainConfig.task_options = {'num_steps': 3}")
    bindings = ["b = 100", "TrainConfig.task_options = {'num_samples': %b}"]
    own = {"files": [tmp_path / "own.gin"], "bindings": bindings}
    parsed = parse(flags=capacity, **own)
    merged = {"num_inputs": 26, "num_samples": 100, "num_steps": 3}
    assert parsed.config.task_options == merged
    assert parsed.bound["task_options"] == {"num_samples": 100, "num_steps": 3}
    assert {n for n in parsed.given if "." in n} == {
        "task_options.num_samples",
        "task_options.num_steps",
    }
    (tmp_path / "config.gin").write_text(parsed.documents["config.gin"])
    assert parse(flags={}, files=[tmp_path / "config.gin"]).config == parsed.config
    assert parse(flags=capacity, bindings=["TrainConfig.task_options = {}"]).config == (
        TrainConfig(**vars(parse(flags=capacity).config) | {"task_options": {}})
    )


def test_the_written_configuration_of_a_run_has_all_of_its_options(tmp_path):
    """A run from Python has no options of the task's file."""
    run = TrainConfig("capacity", "gru", task_options={"num_samples": 100}, train_steps=9)
    lines = "TrainConfig.task = 'capacity'\nTrainConfig.arch = 'gru'\nTrainConfig.train_steps = 9\n"
    lines += "TrainConfig.task_options = {'num_samples': 100}"
    header = "# Parameters for TrainConfig:\n"
    for text, inputs in ((run.as_gin(), {}), (header + lines, {}), (lines, {"num_inputs": 26})):
        (tmp_path / "config.gin").write_text(text)
        again = {"flags": {}, "files": [tmp_path / "config.gin"]}
        assert parse(**again).config.task_options == {**inputs, "num_samples": 100}
    (tmp_path / "config.gin").write_text(run.as_gin())
    assert parse(**again).config == run
    more = parse(**again, bindings=["TrainConfig.task_options = {'num_steps': 2}"]).config
    assert more.task_options == {"num_samples": 100, "num_steps": 2}


def test_options_may_come_before_the_name_that_they_belong_to(tmp_path):
    options = "TrainConfig.optimizer_options = {'weight_decay': 0.1}"
    owner = "TrainConfig.optimizer = 'adamw'"
    for name, text in (("options", options), ("owner", owner)):
        (tmp_path / name).write_text(text)
    first, second = tmp_path / "options", tmp_path / "owner"
    ways = (
        {"bindings": [options, owner]},
        {"bindings": [owner, options]},
        {"files": [first, second]},
        {"files": [first], "bindings": [owner]},
    )
    for way in ways:
        parsed = parse(**way)
        assert parsed.config.optimizer_options == {"weight_decay": 0.1}, way
        assert "optimizer_options.weight_decay" in parsed.given
    other = [options, "TrainConfig.optimizer = 'sgd'"]
    assert "sgd has no option 'weight_decay'" in refused(bindings=other)


def test_only_a_whole_configuration_drops_the_options_that_it_lacks(tmp_path):
    text = "TrainConfig.task_options = {'num_samples': 50}\n"
    text += "TrainConfig.arch_options = {}\nTrainConfig.optimizer_options = {}"
    (tmp_path / "own.gin").write_text(text)
    capacity = {"task": "capacity", "arch": "gru"}
    for way in ({"files": [tmp_path / "own.gin"]}, {"bindings": text.split("\n")}):
        options = parse(flags=capacity, **way).config.task_options
        assert options == {"num_inputs": 26, "num_samples": 50}


def test_options_join_those_of_a_run_with_the_same_owner():
    base = TrainConfig(
        "memory", "gru", task_options={"delay": 3}, optimizer="adamw",
        optimizer_options={"weight_decay": 0.5},
    ).as_gin  # fmt: skip
    bindings = ["TrainConfig.task_options = {'dimensions': 4}"]
    assert parse(flags={}, base=base, bindings=bindings).config.task_options == {
        "delay": 3,
        "dimensions": 4,
    }
    bindings = ["TrainConfig.optimizer = 'muon'\nTrainConfig.optimizer_options = {'x': 1}"]
    assert "muon has no option 'x'" in refused(flags={}, base=base, bindings=bindings)
    bindings = ["TrainConfig.task_options = {'num_steps': 4}"]
    other = parse(flags={"task": "parens"}, base=base, bindings=bindings).config
    assert other.task_options == {"num_steps": 4}


def test_options_of_another_owner_are_dropped(tmp_path):
    """Whatever replaces it, and whether or not options are set beside it."""
    run = TrainConfig(
        "memory", "janet", task_options={"delay": 3}, arch_options={"beta": 0.5},
        optimizer="adamw", optimizer_options={"weight_decay": 0.5},
    )  # fmt: skip
    (tmp_path / "config.gin").write_text(run.as_gin())
    ways = {"base": run.as_gin}, {"files": [tmp_path / "config.gin"]}
    for way in ways:
        assert parse(flags={}, **way).config == run
        other = parse(flags={}, **way, bindings=["TrainConfig.optimizer = 'adam'"]).config
        assert other == dataclasses.replace(run, optimizer="adam", optimizer_options={})
        other = parse(flags={"task": "parens", "arch": "gru"}, **way).config
        assert (other.task_options, other.arch_options) == ({}, {})
        assert other.optimizer_options == {"weight_decay": 0.5}
        assert parse(flags={"arch": "janet"}, **way).config == run
    # Those of the task's own file are kept.
    text = "TrainConfig.task = 'memory'\nTrainConfig.task_options = {'delay': 3}\n"
    (tmp_path / "own.gin").write_text(text)
    usual = {"task": "capacity", "arch": "gru"}
    mixed = parse(flags=usual, files=[tmp_path / "own.gin"])
    assert mixed.config == parse(flags=usual).config
    assert "task_options.delay" not in mixed.given


def test_the_names_that_the_user_set_are_known(layers, tmp_path):
    assert parse().given == {"task", "arch"}
    assert parse(base=lambda: "TrainConfig.lr_init = 0.5").given == {"task", "arch"}
    file = tmp_path / "own.gin"
    file.write_text("rate = 0.5\nTrainConfig.lr_init = %rate\nTrainConfig.depth = 2\n")
    parsed = parse(
        flags=PARENS | {"seed": 3, "depth": None},
        files=[file],
        bindings=["TrainConfig.task_options = {'num_steps': 7}"],
    )
    own = {"lr_init", "depth", "seed", "task_options.num_steps"}
    assert parsed.given == {"task", "arch"} | own


def test_an_option_given_as_a_flag_is_the_only_one_that_the_user_set():
    text8 = gin_files.parse({"task": "text8", "arch": "gru"}, {"path": "b"})
    assert text8.given == {"task", "arch", "task_options.path"}


# The project's files.


def test_there_is_a_file_for_every_task_and_profile():
    assert {path.stem for path in DIRECTORY.glob("tasks/*.gin")} == set(PAPER_TASKS)
    assert {path.stem for path in DIRECTORY.glob("profiles/*.gin")} == set(gin_files.PROFILES)


@pytest.mark.parametrize("task, profile", itertools.product(TASKS, gin_files.PROFILES))
def test_every_task_parses_in_every_profile(task, profile):
    config = parse(flags={"task": task, "arch": "lstm"}, profile=profile).config
    assert (config.task, config.arch) == (task, "lstm")
    assert config.train_steps > 0


def test_profiles_go_from_little_work_to_much():
    for task in PAPER_TASKS:
        flags = {"task": task, "arch": "lstm"}
        steps = [parse(flags=flags, profile=name).config.train_steps for name in gin_files.PROFILES]
        assert steps == sorted(set(steps)), task


def test_the_smoke_profile_makes_nothing_larger(monkeypatch):
    sizes = {"num_params": 800, "train_steps": 9, "batch_size": 8, "eval_samples": 100}
    monkeypatch.setattr(TASKS["memory"], "defaults", sizes, raising=False)
    monkeypatch.setitem(TASKS, "small", TASKS["memory"])
    small = parse(flags={"task": "small", "arch": "gru"}, profile="smoke").config
    assert (small.num_params, small.train_steps, small.batch_size) == (800, 9, 8)
    assert small.eval_samples == 64
    assert parse(flags={"task": "small", "arch": "gru"}, profile="paper").config.train_steps == 9
    assert parse(flags=PARENS, profile="smoke").config.num_params == 5000


def test_a_profile_is_compared_with_a_run_that_is_resumed():
    command = {"profile": "smoke", "flags": PARENS | {"num_params": 1500}}
    run = parse(**command).config
    for flags in ({}, command["flags"]):
        assert parse(flags=flags, base=run.as_gin, profile="smoke").config == run
    other = parse(flags={}, base=run.as_gin, profile="paper").config
    assert other == dataclasses.replace(run, train_steps=1_000_000)
    larger = dataclasses.replace(run, batch_size=64)
    assert parse(flags={}, base=larger.as_gin, profile="smoke").config == run
    assert "unknown profile 'huge'" in refused(flags={}, base=run.as_gin, profile="huge")


@pytest.mark.parametrize("path", sorted(DIRECTORY.rglob("*.gin")), ids=lambda path: path.stem)
def test_every_file_says_what_it_is_for(path):
    assert path.read_text().startswith("# ")


# Round trips.


@pytest.mark.parametrize("task, profile", itertools.product(TASKS, gin_files.PROFILES))
def test_the_written_configuration_gives_the_same_again(task, profile, tmp_path):
    bindings = [
        "TrainConfig.input_scale = {'y': 0.5, 'h': 1.0, 'gy': 2.0, 'gh': 1e-3}",
        "TrainConfig.activation = 'relu'",
    ]
    flags = {"task": task, "arch": "+rnn", "depth": 4, "seed": 9}
    first = parse(flags=flags, profile=profile, bindings=bindings)
    for name, text in first.documents.items():
        (tmp_path / name).write_text(text)
    assert set(first.documents) == {"config.gin", "operative_config.gin"}
    for name in first.documents:
        assert parse(flags={}, base=(tmp_path / name).read_text).config == first.config
    again = parse(flags={}, base=(tmp_path / "config.gin").read_text)
    assert again.documents["config.gin"] == first.documents["config.gin"]


def test_the_operative_configuration_has_every_field():
    text = parse().documents["operative_config.gin"]
    for field in dataclasses.fields(gin_files.TrainConfig):
        assert f"TrainConfig.{field.name} = " in text or "_options" in field.name


def test_flags_change_a_written_configuration(tmp_path):
    (tmp_path / "config.gin").write_text(parse().documents["config.gin"])
    config = parse(flags={"seed": 5}, base=(tmp_path / "config.gin").read_text).config
    assert dataclasses.replace(config, seed=0) == parse().config
    assert config.seed == 5


def test_a_written_configuration_may_have_macros_that_nothing_uses(tmp_path):
    (tmp_path / "config.gin").write_text(parse(profile="smoke").documents["config.gin"])
    again = parse(files=[tmp_path / "config.gin"])
    assert again.config == parse(profile="smoke").config
    other = parse(files=[tmp_path / "config.gin"], base=TrainConfig("memory", "rnn").as_gin)
    assert other.config == again.config
    assert parse(bindings=["laptop_steps = 70"]).config.train_steps == 70


# Errors.

WRONG = {
    "no task": ({"flags": {"arch": "gru"}}, ["--task", "parens", "text8"]),
    "no architecture": ({"flags": {"task": "parens"}}, ["arch"]),
    "task": ({"flags": PARENS | {"task": "paren"}}, ["'paren'", "parens", "text8"]),
    "architecture": ({"flags": PARENS | {"arch": "gur"}}, ["'gur'", "gru", "ugrnn", "+rnn"]),
    "profile": ({"profile": "huge"}, ["'huge'", "smoke", "laptop", "paper"]),
    "field": ({"bindings": ["TrainConfig.learning_rate = 1"]}, ["learning_rate", "lr_init"]),
    "configurable": ({"bindings": ["Config.lr_init = 1"]}, ["Config", "TrainConfig"]),
    "value": ({"bindings": ["TrainConfig.optimizer = 'sdg'"]}, ["'sdg'", "sgd", "adam"]),
    "syntax": ({"bindings": ["TrainConfig.lr_init = = 1"]}, ["gin"]),
    "not a literal": ({"bindings": ["TrainConfig.lr_init = abc"]}, ["gin"]),
    "macro": (
        {"bindings": ["TrainConfig.lr_init = %nowhere"]},
        ["gin macro %nowhere has no value"],
    ),
    "reference": ({"bindings": ["TrainConfig.lr_init = @nowhere"]}, ["gin", "nowhere"]),
    "reference to itself": (
        {"bindings": ["TrainConfig.lr_init = @TrainConfig()"]},
        ["gin: @TrainConfig() is no value; a value is a number"],
    ),
    "reference in a macro": (
        {"bindings": ["x = [@TrainConfig]\nTrainConfig.lr_init = %x"]},
        ["TrainConfig is no value; a value is a number"],
    ),
    "macro of itself": (
        {"bindings": ["x = %x\nTrainConfig.lr_init = %x"]},
        ["gin macro %x needs its own value"],
    ),
    "macros in a circle": (
        {"bindings": ["x = [%y]\ny = {'a': %x}\nTrainConfig.lr_init = %x"]},
        ["gin macro %x needs its own value"],
    ),
    "NUL": (
        {"bindings": ["TrainConfig.init_from = 'a\\x00'"]},
        ["init_from contains a NUL character"],
    ),
    "task option": (
        {"bindings": ["TrainConfig.task_options = {'steps': 1}"]},
        ["'steps'", "num_steps"],
    ),
    "another optimizer's option": (
        {"bindings": ["TrainConfig.optimizer_options = {'weight_decay': 0.1}"]},
        ["option of adamw", "StudyConfig.ranges = {'optimizer_options.weight_decay': 0.1}"],
    ),
    "task options": ({"bindings": ["TrainConfig.task_options = 5"]}, ["task_options", "5"]),
    "import": ({"bindings": ["import nowhere"]}, ["nowhere"]),
    "twice": (
        {"bindings": ["TrainConfig.seed = 6", "trainer.config.TrainConfig.seed = 7"]},
        ["--gin_bindings sets TrainConfig.seed to 6 and to 7; omit one"],
    ),
    "macro twice": ({"bindings": ["a = 1\nTrainConfig.seed = %a", "a = 2"]}, ["a to 1 and to 2"]),
    "a field as a macro": ({"bindings": ["lr_init = 0.1"]}, ["'lr_init'", "TrainConfig.lr_init ="]),
    "a field as a macro, resumed": (
        {"bindings": ["lr_init = 0.1"], "base": lambda: "TrainConfig.task = 'rcf'"},
        ["TrainConfig.lr_init ="],
    ),
    "a macro without a use": (
        {"bindings": ["rate = 0.1", "TrainConfig.lr_init = %rate", "rat = 0.2"]},
        ["nothing uses the gin macro 'rat'", "TrainConfig.FIELD ="],
    ),
    "a scope": (
        {"bindings": ["smoke/TrainConfig.lr_init = 0.1"]},
        ["smoke/TrainConfig has no effect", "omit 'smoke/'"],
    ),
    "include": ({"bindings": ["include 'nowhere.gin'"]}, ["nowhere.gin"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_line_with_the_value_and_the_choices(what):
    options, parts = WRONG[what]
    message = refused(**options)
    assert all(part in message for part in parts), message


def test_a_missing_file_a_directory_and_what_is_no_text_are_named(tmp_path):
    (tmp_path / "binary.gin").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.gin", ".", "binary.gin"):
        assert str(tmp_path / name) in refused(files=[tmp_path / name])


def test_a_missing_file_is_said_once(caplog):
    refused(bindings=["include 'nowhere.gin'"])
    assert not caplog.records


def test_an_error_leaves_no_bindings_behind():
    refused(bindings=["TrainConfig.l2_decay = 0.5", "TrainConfig.optimizer = 'sdg'"])
    assert parse().config.l2_decay == 0


def test_a_configuration_made_in_python_is_written_as_gin_too(tmp_path):
    config = TrainConfig(
        task="memory", arch="+rnn", input_scale=0.5, task_options={"delay": 3}, l2_decay=1e-8
    )
    path = tmp_path / "config.gin"
    path.write_text(config.as_gin())
    assert gin_files.parse({}, base=path.read_text).config == config


def test_an_architecture_may_have_defaults_of_its_own():
    files = {path.stem for path in (DIRECTORY / "archs").iterdir()}
    assert files == set(gin_files.ARCHITECTURE_FILES)
    general = parse(flags={"task": "memory", "arch": "rnn"}).config
    irnn = {"task": "memory", "arch": "irnn"}
    assert parse(flags=irnn).config.lr_init < general.lr_init
    assert parse(flags=irnn | {"lr_init": 0.02}).config.lr_init == 0.02
    for task, gate, depth in (("memory", 5.0, 1.0), ("parens", 3.0, 0.0), ("rcf", 0.0, 1.0)):
        assert parse(flags={"task": task, "arch": "gru"}).config.gate_bias == gate
        plus = parse(flags={"task": task, "arch": "plus_rnn"}).config
        assert plus.gate_bias == {"gy": depth, "gh": gate}
    bindings = ["TrainConfig.gate_bias = 2.0"]
    assert parse(flags={"task": "parens", "arch": "+rnn"}, bindings=bindings).config.gate_bias == 2


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_no_file_restates_a_default(task):
    lines = [
        line.split(" = ", 1)
        for path in (*DIRECTORY.glob("archs/*"), *DIRECTORY.glob("profiles/*"))
        for line in [*path.read_text().splitlines(), *read_task(task)]
        if line.startswith("TrainConfig.") and "%" not in line
    ]
    defaults = {f"TrainConfig.{f.name}": f.default for f in dataclasses.fields(TrainConfig)}
    assert len(lines) > 3
    for name, value in lines:
        assert ast.literal_eval(value) != defaults[name], name
    options = parse(flags={"task": task, "arch": "gru"}).config.task_options
    parameters = inspect.signature(TASKS[task]).parameters
    assert not [name for name, value in options.items() if value == parameters[name].default]


def read_task(task):
    return (DIRECTORY / "tasks" / f"{task}.gin").read_text().splitlines()

"""Modules that a user names are imported; those in data are not, and messages name the option."""

import hashlib
import sys

import pytest

from trainer import TrainConfig, UserError, names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine", "see rnn_zoo.register; commands take --import=MODULE$"),
        ("no_such.mine", "after `import no_such`; commands take --import=no_such$"),
        ("json.mine", "the module 'json' does not register it$"),
    ],
)
def test_an_unknown_name_says_how_a_command_finds_it(name, words):
    with pytest.raises(
        UserError, match=f"unknown architecture '{name}'; choose one of gru; .*{words}"
    ):
        names.find("architecture", name, {"gru": 1}, "rnn_zoo.register")


def test_all_modules_that_are_missing_are_named_at_once():
    task, others = {"task": "mine.lag"}, {"optimizer": ["adam", "yours.lion", "ours.yogi"]}
    message = "unknown 'mine.lag', 'ours.cell', 'yours.lion', 'ours.yogi'; they are known after "
    message += "`import mine, ours, yours`; commands take --import=mine --import=ours --import="
    with pytest.raises(UserError, match=message):
        names.check_imported([task | {"arch": "ours.cell"}, {"ranges": others}])
    names.check_imported([task])  # its own error lists the choices
    names.check_imported([task | {"arch": "json.gru"}])
    with pytest.raises(UserError, match=r"--import=mine --import=ours$"):
        TrainConfig("mine.lag", "ours.cell")


def test_other_processes_import_what_registered_and_what_was_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(names, "_named", {})
    monkeypatch.setattr(names.names, "_homes", {"json": None, "gone": None})
    (tmp_path / "named_alone.py").write_text("")
    names.load(["named_alone"])
    monkeypatch.delitem(sys.modules, "named_alone", raising=False)
    assert names.loaded() == ["json"]
    names.load(["named_alone"])
    assert names.loaded() == ["json", "named_alone"]
    monkeypatch.setattr(names, "_looked_at", [])
    monkeypatch.chdir(tmp_path)
    names.look_at(["run"])
    told = names.known()
    names.look_at([])
    monkeypatch.delitem(sys.modules, "named_alone")
    monkeypatch.chdir("/")
    names.adopt(told)
    assert "named_alone" in sys.modules
    assert names.is_looked_at(tmp_path / "run") and not names.is_looked_at(tmp_path)


def test_the_code_of_a_users_task_and_cell_has_a_version(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_versioned.py").write_text("size = 1")
    names.load(["my_versioned"])
    fields = {"task": "my_versioned.parity", "arch": "gru", "optimizer": "gone.lion"}
    digest = hashlib.sha256(b"size = 1").hexdigest()
    assert names.code_of(fields) == {"my_versioned": digest[:8]}
    names._digest.cache_clear()  # as in a process that starts after the edit
    (tmp_path / "my_versioned.py").write_text("size = 2")
    assert names.code_of(fields) != {"my_versioned": digest[:8]}
    assert names.code_of(fields | {"task": "parens"}) == {}
    assert names.edited({"my_versioned": digest[:8]}, fields) == (
        f"edited after that run: my_versioned ({digest[:8]}, now "
        f"{names.code_of(fields)['my_versioned']})"
    )
    for held in ({}, {"my_versioned": None}, names.code_of(fields)):  # older runs have none
        assert names.edited(held, fields) == ""


@pytest.mark.parametrize(
    "module", ["no_such", "json.no_such", "json.decoder.no_such", "", "a b", "../x"]
)
def test_modules_that_do_not_exist_are_named(module):
    with pytest.raises(UserError, match=r"there is no module .* on Python.s path"):
        names.load([module])


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A directory that is only looked at, below one on Python's path."""
    (tmp_path / "run/package").mkdir(parents=True)
    (tmp_path / "outside.py").write_text("")
    for place in ("evil_cells.py", "package/__init__.py", "__init__.py"):
        (tmp_path / "run" / place).write_text("raise SystemExit('it ran')")
    (tmp_path / "linked").symlink_to("run")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("run", "linked", "package", "outside"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(names, "_looked_at", [])
    monkeypatch.setattr(names, "_named", {})
    return tmp_path / "run"


@pytest.mark.parametrize("named", ["run", "linked"])
@pytest.mark.parametrize(
    "module", ["run.evil_cells", "run", "linked.evil_cells", "evil_cells", "package.more"]
)
def test_a_module_in_data_is_never_imported(named, module, data, monkeypatch):
    """By no path to it and no name of its directory, and none of its packages either."""
    monkeypatch.syspath_prepend(data)
    names.look_at([data.parent / named])
    with pytest.raises(UserError, match="is not imported, as it lies in a directory that this"):
        names.load([module])
    names.load(["outside"])


def test_links_to_one_another_can_be_looked_at(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    names.look_at([tmp_path / "a"])
    assert names.is_looked_at(tmp_path / "a/module.py")
    assert not names.is_looked_at(tmp_path / "module.py")
    names.look_at([])


@pytest.mark.parametrize(
    "file, place",
    [
        ("study.json", "trial_00001"),
        ("sweep.json", "studies/one"),
        ("sweep.json", "studies/one/trial_00001"),
    ],
)
def test_a_module_beside_a_trial_is_not_imported(file, place, data):
    """The study of a trial and the sweep of a study are data too."""
    (data / place).mkdir(parents=True)
    (data / file).write_text("{}")
    names.look_at([data / place])
    with pytest.raises(UserError, match="is not imported, as it lies"):
        names.load(["run.evil_cells"])
    names.load(["outside"])


def test_a_module_in_data_without_a_package_is_not_imported(data):
    names.look_at([data])
    (data / "__init__.py").unlink()
    with pytest.raises(UserError, match="is not imported, as it lies"):
        names.load(["run.evil_cells"])


@pytest.mark.parametrize("text", ["import no_such_module_of_theirs", "int('oops')", "1 / 0"])
def test_a_bug_in_the_module_is_shown_with_its_place(text, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_cells", raising=False)
    (tmp_path / "broken_cells.py").write_text(f"\n{text}\n")
    place = "(no_such_module_of_theirs|oops|ZeroDivisionError).*broken_cells.py, line 2"
    with pytest.raises(UserError, match=place):
        names.load(["broken_cells"])

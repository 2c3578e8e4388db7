"""The Markdown and reStructuredText that docs/ext makes."""

import inspect
import pathlib
import re

import pytest

import rnn_zoo
from trainer import TrainConfig
from trainer.tasks import TASKS

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _extensions(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "ext")


def test_indented_blocks_of_docstrings_are_literal():
    import docstrings

    lines = ["Sums.", "", "    a   b", "    c", "", "Args:", "    units: N.", "        More."]
    lines += ["", "Example:", "    f(*x)", "", "    g(x)", ""]
    assert docstrings.mark(lines) == [
        *("Sums.", "", ".. code-block:: text", "", "    a   b", "    c", ""),
        *("Args:", r"    units: \N.", "        More.", "", "Example:"),
        *("    .. code-block:: python", "", "        f(*x)", "", "        g(x)", ""),
    ]


def test_the_atlas_shows_its_results_once_there_are_any(tmp_path):
    import atlas

    assert atlas.section(tmp_path) == "No results of the atlas are in the repository yet."
    for name in ("figures/atlas.png", "tables/atlas.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("| cell |")
    text = atlas.section(tmp_path)
    assert text.endswith("| cell |") and "{figure} ../results/report/figures/atlas.png" in text
    assert "{download}`The atlas's page <../results/report/atlas.html>`" in text


@pytest.mark.parametrize("name", ["optimizers", "tuned_gap"])
def test_gaps_are_shown_once_there_are_results(tmp_path, name):
    import gap

    assert gap.section(name, tmp_path) == "The repository has no results of these studies yet."
    for path in (f"figures/{name}.png", f"tables/{name}.md"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text("| task |")
    text = gap.section(name, tmp_path)
    assert text.endswith("| task |") and f"{{figure}} ../results/report/figures/{name}.png" in text


def test_presets_have_a_row_each():
    import presets

    preset = rnn_zoo.preset("parens/gru-10k")
    _, _, *rows = presets.table({"parens/one": preset, "parens/two": preset}).split("\n")
    cells = f"parens | gru | 1 | {preset.units} | {preset.num_params:,} | "
    cells += f"{preset.scores['eval']:.4g} | {preset.scores['chance']:.4g} | yes |"
    assert rows == [f"| [`parens/{n}`](#preset-parens/{n}) | {cells}" for n in ("one", "two")]


def test_a_card_s_headings_come_below_the_page_s():
    import presets

    card = presets.card("# One\n\nText.\n\n## Use\n\n```bash\n# a comment\n```")
    assert card == "### One\n\nText.\n\n#### Use\n\n```bash\n# a comment\n```"


def _rows(table):
    """Name -> (type, default, range, meaning)."""
    rows = [re.split(r" (?<!\\)\| ", line[2:-2]) for line in table.split("\n")[2:]]
    return {name.strip("`"): cells for name, *cells in rows}


def test_every_field_of_a_configuration_has_a_row():
    import parameters

    rows = _rows(parameters.train_config())
    assert list(rows) == list(inspect.signature(TrainConfig).parameters)
    assert all(len(cells) == 4 and cells[-1] for cells in rows.values())
    *lr, meaning = rows["lr_init"]
    assert lr == ["float", "`0.01`", "> 0; searched log-uniform [0.0001, 0.1]"]
    assert "learning rate" in meaning
    choices = "None, identity, orthogonal, normal; searched {identity, orthogonal, normal}"
    assert rows["matrix_init"][:3] == [r"str \| None", "`None`", choices]
    assert rows["bias_init"][2] == "searched {constant, normal}"
    assert rows["task_options"][:3] == ["dict", "`{}`", ""]
    assert rows["seed"][2] == "0 to 2147483647"
    assert _rows(parameters.study_config())["algorithm"][2] == "gp, random, keras_tuner, optuna"
    assert _rows(parameters.sweep_config())["grid"][3].startswith("list of dicts")


def test_every_task_s_arguments_have_rows():
    import parameters

    parts = re.split(r"### (\w+)\n\n", parameters.tasks())[1:]
    tables = {name: _rows(text.strip()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    assert list(tables) == list(TASKS)
    for name, task in TASKS.items():
        assert list(tables[name]) == list(inspect.signature(task).parameters)
    searched = "≥ 1; searched log-integer [100, 10000]"
    assert tables["capacity"]["num_samples"][:3] == ["int", "`20000`", searched]
    assert tables["capacity"]["presentation"][2] == "searched {first, every}"
    assert tables["rcf"]["num_samples"][2] == "≥ 1"
    assert tables["arithmetic"]["compute_steps"][2] == "1 to 6; searched integer [1, 6]"

"""Gaps are named, with commands that fill them."""

import shlex

from report_rows import capacity, frame, trial

from tuning.report import gaps
from tuning.report.figures import FIGURES
from tuning.report.tables import TABLES
from tuning.sweep import config


def test_nothing_is_missing_from_the_full_grid(planted):
    assert gaps.find(planted, "runs") == []


def test_everything_is_missing_from_nothing():
    found = gaps.find(frame(), "runs")
    assert {gap.what for gap in found} == {f"figure {name}" for name in FIGURES} | {
        f"table {name}" for name in TABLES
    }


def test_each_command_makes_what_it_says(tmp_path):
    for gap in gaps.find(frame(), "runs"):
        python, dash, module, *flags = shlex.split(gap.command)
        assert (python, dash, module) == ("python", "-m", "tuning.sweep")
        values = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        assert values.keys() <= {"gin_file", "out", "profile"}
        points = config.points(values["gin_file"], values.get("profile", "laptop"))
        names = ("arch", "depth", "num_params")
        assert set(gap.cells) <= {tuple(point[name] for name in names) for point in points}


def test_what_a_laptop_can_fill_is_not_left_to_the_papers_grid():
    found = {gap.what: gap for gap in gaps.find(frame(capacity(1.0)), "runs")}
    gap = found["figure 1b"]
    assert gap.command == (
        "python -m tuning.sweep --gin_file=gin_configs/paper/figure_1.gin --out=runs/figure_1"
    )
    assert str(gap) == (
        "figure 1b: IRNN, UGRNN, GRU, LSTM at depth 1 with 500 1,000 2,000 parameters; RNN at "
        "depth 1 with 500 2,000 parameters"
    )
    deep = found["figure 1d"]
    assert deep.command.endswith("--out=runs/figure_1_paper --profile=paper")
    assert str(deep).startswith(
        "figure 1d: RNN, IRNN, UGRNN, GRU, LSTM, +RNN at depth 4 with 1,000 3,000 10,000"
    )


def test_another_profile_gets_a_directory_of_its_own(tmp_path):
    (tmp_path / "figure_1").mkdir()
    (tmp_path / "figure_1/sweep.json").write_text('{"profile": "smoke"}')
    found = {gap.what: gap for gap in gaps.find(frame(), tmp_path)}
    assert found["figure 1b"].command.endswith(f"--out={tmp_path}/figure_1_laptop")
    (tmp_path / "figure_1/sweep.json").write_text('{"profile": "paper"}')
    found = {gap.what: gap for gap in gaps.find(frame(), tmp_path)}
    assert found["figure 1d"].command.endswith(f"--out={tmp_path}/figure_1 --profile=paper")


def test_no_sweep_is_made_in_another(tmp_path):
    (tmp_path / "figure_5").mkdir()
    (tmp_path / "figure_5/sweep.json").write_text('{"profile": "laptop"}')
    found = {gap.what: gap for gap in gaps.find(frame(), tmp_path / "figure_5")}
    assert found["figure 1b"].command.endswith(f"--out={tmp_path}/figure_1")


def test_random_trials_fill_tables_and_searches_do_not():
    rows = [
        trial("parens", 1.0, algorithm="random", max_params=10_000),
        trial("parens", 1.0, arch="gru", max_params=10_000),
    ]
    found = gaps.find(frame(*rows), "runs")
    missing = {what: set() for what in ("figure 5a", "figure 4a")}
    for gap in found:
        missing.setdefault(gap.what, set()).update(gap.cells)
    assert ("rnn", 1, 10_000) not in missing["figure 5a"]
    assert ("gru", 1, 10_000) in missing["figure 5a"]
    assert ("gru", 1, 10_000) not in missing["figure 4a"]
    assert ("rnn", 1, 10_000) in missing["figure 4a"]


def test_smoke_runs_fill_nothing():
    rows = [trial("parens", 1.0, algorithm="random", max_params=10_000, profile="smoke")]
    assert gaps.find(frame(*rows), "runs") == gaps.find(frame(), "runs")


def test_commands_come_once_and_can_be_pasted():
    found = gaps.commands(gaps.find(frame(), "my runs"))
    assert len(found) < 20
    assert "--out='my runs/figure_1'" in next(iter(found))
    assert next(iter(found.values()))[0].what == "figure 1a"

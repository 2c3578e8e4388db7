"""The atlas: its numbers by hand, its picture, its files and its page."""

import csv
import dataclasses
import itertools
import json

import numpy as np
import pytest
from browsing import load, needs_chromium, press, texts
from matplotlib.text import Text
from report_rows import capacity, frame, record, trial

from rnn_zoo.architectures import ARCHITECTURES
from trainer.display.progress import Display
from trainer.errors import UserError
from tuning.report import atlas, atlas_figure, build
from tuning.report.claims.floors import LEARNED

ATLAS = atlas.standard()
BITS, OTHER_BITS = (f"bits per parameter at {size}" for size in ("2,500", "1,000"))
VARIANCE = "variance recovered / (units / 64)"


def study(column, arch, results, seed=1, **values):
    """The trials of a study of the atlas, from their losses over chance or their stored bits.

    The first trial has the defaults and the others are random; None stands for divergence.
    """
    wanted = ATLAS.studies
    (row,) = wanted[
        (wanted.column == column) & (wanted.arch == arch) & (wanted.seed == seed)
    ].to_dict("records")
    names = ("arch", "depth", "max_params", "max_steps", "algorithm")
    facts = {name: row[name] for name in names} | {"fixed": row["limits"]}
    facts |= {"setting": row["options"]}
    facts |= {"seed": seed, "study": f"{column}-{arch}-{seed}", "device": "cpu"} | values
    made = []
    for number, result in enumerate(results):
        own = {"origin": "random" if number else "first", "chance_loss": 2.0, "iteration": number}
        own |= facts | {"run_id": f"{number:05d}"} | values
        if row["task"] == "capacity" and result is not None:
            made.append(capacity(float(result), **{"eval_loss": 2.0 - result / 1000} | own))
        else:
            made.append(trial(row["task"], None if result is None else 2.0 * result, **own))
    return made


def table(*studies):
    return ATLAS.table(atlas.complete(ATLAS.select(frame(*itertools.chain(*studies)))))


PARENS = "parens, depth 1: loss / chance"


def test_a_result_is_the_median_seed_s_best_trial_with_the_range_of_the_seeds():
    cells = table(
        study(BITS, "rnn", [99, 990, None, 5, 4, 3]),
        study(BITS, "rnn", [198, 9, 8, 7, 6, 1980], seed=2),
        study(PARENS, "rnn", [0.5, 0.75, 1, 1, 1, 1]),
        study(PARENS, "mgu", [None] * 6),
        study(PARENS, "gru", [0.5] * 6),
        study(PARENS, "gru", [None] * 6, seed=2),
    )
    # capacity() has 990 parameters.
    assert cells.loc["rnn", BITS][:3] == (1.5, 1.0, 2.0)
    assert cells.loc["rnn", BITS].run == f"{BITS}-rnn-2/00005"
    assert cells.loc["rnn", PARENS][:3] == (0.5, 0.5, 0.5)
    assert np.isnan(cells.loc["mgu", PARENS].value)
    text = atlas.in_words(cells)
    assert text.loc["rnn", BITS] == "1.5 (1 to 2)"
    assert text.loc["mgu", PARENS] == "all diverged"
    assert text.loc["gru", PARENS] == "some seeds diverged (0.5)"
    assert text.loc["mgu", BITS] == text.loc["lstm", PARENS] == "not run"
    assert list(cells.index) == list(ARCHITECTURES)
    assert text.loc["mgu", "equations from":"states"].tolist() == ["Zhou et al.", "2016", "h"]


def test_recovered_variance_is_divided_by_the_share_of_numbers_with_a_unit():
    cells = table(
        study(VARIANCE, "rnn", [0.75, 1, 1, 1, 1, 1], units=20),
        study(VARIANCE, "indrnn", [0.75, 1, 1, 1, 1, 1], units=80),
    )
    assert cells.loc["rnn", VARIANCE].value == pytest.approx(0.25 / (20 / 64))
    assert cells.loc["indrnn", VARIANCE].value == pytest.approx(0.25)


def test_shares_are_of_random_trials_in_the_columns_of_all_cells():
    below = LEARNED - 0.01
    cells = table(
        # Of five random trials, two learn and one diverges; the first trial is not random.
        study(PARENS, "rnn", [0.1, below, 0.2, LEARNED, 1.2, None]),
        study(PARENS, "mgu", [None, 1, 1, 1, 1, 1]),
        study(VARIANCE, "rnn", [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]),  # not run for the MGU
    )
    assert cells.loc["rnn", atlas.LEARNS].value == pytest.approx(40)
    assert cells.loc["rnn", atlas.DIVERGES].value == pytest.approx(20)
    # Wilson's interval of 2 of 5.
    assert cells.loc["rnn", atlas.LEARNS][1:3] == pytest.approx((11.762, 76.928), abs=1e-3)
    assert cells.loc["mgu", atlas.LEARNS].value == cells.loc["mgu", atlas.DIVERGES].value == 0


def test_a_cell_without_a_depth_does_not_keep_its_columns_from_the_shares():
    deep = "parens, depth 2: loss / chance"
    rows = (
        study(PARENS, "rnn", [1] * 6) + study(deep, "rnn", [1] * 6) + study(deep, "+rnn", [1] * 6)
    )
    found = ATLAS.select(frame(*rows))
    assert ATLAS.pooled(found) == [PARENS, deep]
    alone = ATLAS.select(frame(*study(PARENS, "rnn", [1] * 6), *study(BITS, "mgu", [1] * 6)))
    assert len(ATLAS.pooled(alone)) == 1


def test_speed_is_the_median_with_the_range_of_the_seeds():
    rows = study(BITS, "rnn", [1] * 6) + study(BITS, "rnn", [1] * 6, seed=2)
    for row, speed in zip(rows, [10, 20, 30, 40, 50, 60, 1, 2, 3, 4, 5, 6], strict=True):
        row["steps_per_second"] = speed
    assert table(rows).loc["rnn", atlas.SPEED][:3] == (8.0, 3.5, 35.0)


@pytest.mark.parametrize(
    "values",
    [
        {"max_steps": 7},
        {"algorithm": "gp"},
        {"profile": "smoke"},
        {"held": '["optimizer"]'},
        {"fixed": '{"train_steps range": "[3000, 4000]"}'},
        {"fixed": '{"optimizer range": "{adam, rmsprop}"}'},
        {"fixed": '{"early_stopping": "halving"}'},
        {"outside": '["arch_options.slope"]'},
    ],
)
def test_only_the_atlas_s_own_studies_are_used(values):
    assert not len(ATLAS.select(frame(*study(PARENS, "rnn", [0.5] * 6, **values))))


def test_the_ranges_of_the_gin_file_are_those_of_its_studies():
    """Data sets of another size hold another number of bits."""
    rows = study(BITS, "rnn", [9] * 6, outside='["task_options.num_samples"]')
    assert len(ATLAS.select(frame(*rows))) == 6
    other = '{"num_samples range": "[500, 1500]"}'
    assert not len(ATLAS.select(frame(*study(BITS, "rnn", [9] * 6, fixed=other))))


def test_a_study_of_other_task_options_is_not_used():
    digits = "digits, permuted: loss / chance"
    rows = study(digits, "rnn", [0.5] * 6) + study(digits, "mgu", [0.5] * 6, setting="{}")
    assert set(ATLAS.select(frame(*rows)).arch) == {"rnn"}


@pytest.fixture
def longer(monkeypatch):
    """An atlas in which parens is also measured at four times the trained length."""
    name, columns = "parens, depth 1 at 4 times the length: loss / chance", {}
    for column, source in ATLAS.columns.items():
        columns |= {column: source} | ({name: (PARENS, 4)} if column == PARENS else {})
    monkeypatch.setattr(ATLAS, "columns", columns)
    return name


def test_a_longer_column_has_the_trial_that_is_best_at_the_trained_length(longer):
    def at(*losses):
        return json.dumps([
            {"multiple": n, "num_steps": n, "chance_loss": 5.0, "metrics": loss and {"loss": loss}}
            for n, loss in zip((1, 4), losses, strict=True)
        ])  # fmt: skip

    rows = {
        arch: study(PARENS, arch, [0.5, 0.6, 0.7, 0.8, 0.9, 1], lengths=at(1.0, 0.5))
        for arch in ("rnn", "mgu", "gru")
    }
    rows["rnn"][0]["lengths"], rows["mgu"][0]["lengths"] = at(1.0, 4.0), at(1.0, None)
    cells = table(*rows.values())
    assert list(ATLAS.columns)[list(ATLAS.columns).index(PARENS) + 1] == longer
    assert cells.loc["rnn", PARENS].value == cells.loc["mgu", PARENS].value == 0.5
    assert cells.loc["rnn", longer][:3] == (0.8, 0.8, 0.8)
    assert cells.loc["gru", longer].value == 0.1
    assert atlas.in_words(cells).loc["mgu", longer] == "all diverged"
    found = ATLAS.select(frame(*itertools.chain(*rows.values())))
    assert ATLAS.pooled(found) == [PARENS]
    assert "Columns at a multiple of the length" in ATLAS.notes(found)[-1]
    # Speeds are the first column's, which has not run.
    assert not [each for each in ATLAS.notes(found) if "Steps per second" in each]


def test_an_option_of_the_gin_file_may_be_held_or_the_default():
    """As they are of custom tasks, whose ranges a search would use otherwise."""
    digits, option = "digits, permuted: loss / chance", "task_options.permuted"
    rows = [
        *study(digits, "rnn", [0.5] * 6, held=json.dumps([option])),
        *study(digits, "gru", [0.5] * 6, setting="{}", hparams=json.dumps({option: True})),
        *study(digits, "mgu", [0.5] * 6, setting="{}", hparams=json.dumps({option: False})),
        *study(digits, "lstm", [0.5] * 6, setting='{"permuted": true, "num_steps": 7}'),
    ]
    assert set(ATLAS.select(frame(*rows)).arch) == {"rnn", "gru"}


def test_a_gin_file_may_hold_hyperparameters(tmp_path):
    """Two optimizers are two columns, and trials that hold another value belong to none."""
    (tmp_path / "mine.gin").write_text(
        "SweepConfig.grid = [{'task': 'parens', 'arch': ['rnn'], 'num_params': 10_000, "
        "'train_steps': 4000, 'seed': [1], 'algorithm': 'random', 'num_trials': 6, "
        "'first': 'config', 'optimizer': ['adam', 'muon'], 'arch_options': [{'layer_norm': True}]}]"
    )
    mine = atlas.Atlas([str(tmp_path / "mine.gin")])
    column = "parens, arch_options.layer_norm True, optimizer {}: loss / chance"
    assert list(mine.columns) == [column.format("adam"), column.format("muon")]

    def trials(optimizer, is_normed=True):
        hparams = {"optimizer": optimizer, "arch_options.layer_norm": is_normed}
        values = {"hparams": json.dumps(hparams), "held": json.dumps(list(hparams))}
        values |= {"outside": '["optimizer"]'}  # as of one of the user's own
        return study(PARENS, "rnn", [0.5] * 6, study=f"{optimizer}-{is_normed}", **values)

    found = mine.select(frame(*trials("adam"), *trials("sgd"), *trials("muon", is_normed=False)))
    assert set(found.study) == {"adam-True"} and len(found) == 6
    assert set(found.column) == {column.format("adam")}


def test_a_study_is_used_once_it_is_finished():
    found = ATLAS.select(frame(*study(PARENS, "rnn", [0.5] * 5), *study(PARENS, "mgu", [0.5] * 7)))
    assert atlas.complete(found).arch.value_counts().to_dict() == {"mgu": 6}


def test_a_random_study_of_another_sweep_is_none_of_it():
    """Its trials would be missing from the paper's figures and claims."""
    other = study(PARENS, "gru", [0.5] * 8, study="elsewhere", origin="random")
    found = ATLAS.select(frame(*study(PARENS, "rnn", [0.5] * 6), *other))
    assert set(found.arch) == {"rnn"}


OWN = """
SweepConfig.common = {'algorithm': 'random', 'num_trials': 3, 'first': 'config', 'seed': 1}
SweepConfig.grid = [{
    'task': 'my_lab.Majority',
    'arch': ['rnn', 'my_lab.Slow'],
    'num_params': 500,
    'train_steps': 40,
    'eval_lengths': (1, 2),
}]
"""


@pytest.fixture
def own(tmp_path):
    """A gin file, and the trials of its studies."""
    path = tmp_path / "own.gin"
    path.write_text(OWN)
    facts = {"max_params": 500, "max_steps": 40, "chance_loss": 2.0, "seed": 1, "num_params": 490}
    facts |= {"setting": '{"num_steps": "searched"}', "algorithm": "random", "fixed": "{}"}
    rows = [
        trial(
            "my_lab.Majority", loss, arch=arch, study=arch, iteration=number,
            origin="random" if number else "first", run_id=f"{number:05d}", **facts,
        )
        for arch, losses in (("rnn", (2, 1.5, 1)), ("my_lab.Slow", (2, 2, 0.5)))
        for number, loss in enumerate(losses)
    ]  # fmt: skip
    return str(path), rows


def test_the_tasks_and_cells_of_another_gin_file_join_the_atlas(own):
    path, rows = own
    wide, column = atlas.Atlas((atlas.FILE, path)), "my_lab.Majority: loss / chance"
    longer = column.replace(":", " at 2 times the length:")
    assert list(wide.columns) == [*ATLAS.columns, column, longer]
    assert not len(ATLAS.select(frame(*rows)))
    rows = [*rows, *study(PARENS, "rnn", [0.5] * 6)]
    cells = wide.table(atlas.complete(wide.select(frame(*rows))))
    found = cells[column].dropna().map(lambda each: each.value)
    assert found.to_dict() == {"rnn": 0.5, "my_lab.Slow": 0.25}
    assert cells.loc["my_lab.Slow", "cell":"states"].tolist() == ["my_lab.Slow", "", "", ""]
    assert cells.loc["rnn", PARENS].value == 0.5
    (note,) = [each for each in wide.notes(wide.select(frame(*rows))) if "num_steps" in each]
    assert note.startswith("Each trial of my_lab.Majority: loss / chance has drawn its own num_st")


def test_a_report_with_another_gin_file_has_its_trials_in_figures_too(own, tmp_path, monkeypatch):
    path, rows = own
    other, said = tmp_path / "other.gin", []
    other.write_text(OWN.replace("500", "700"))
    found = frame(*rows, *study(PARENS, "rnn", [0.5] * 6))
    monkeypatch.setattr(build.trials, "read", lambda runs, everything: (found, ["a\nb"]))
    monkeypatch.setattr(Display, "say", lambda self, text: said.append(text))
    options = {"figures": ["my_lab.Majority-trials"], "atlas_files": [path, str(other)]}
    build.run(tmp_path, tmp_path / "out", None, Display(), **options)
    assert f"{other} adds nothing to the atlas: these runs have no study of it" in said
    assert not [line for line in said if line.startswith(path)]
    assert r"a\nb" in said
    assert "my_lab.Slow" in (tmp_path / "out/tables/atlas.md").read_text()
    drawn = {each.stem for each in (tmp_path / "out/figures").iterdir()}
    assert drawn == {"my_lab.Majority-trials"}
    with pytest.raises(UserError, match="unknown figure parens-trials"):  # of the atlas alone
        build.run(tmp_path, tmp_path / "out", None, Display(), figures=["parens-trials"])


def test_captions_count_the_trials_of_the_atlas_and_of_the_optimizers(tmp_path, monkeypatch):
    facts = {"depth": 1, "max_params": 10_000, "max_steps": 4000, "seed": 1, "algorithm": "random"}
    facts |= {"activation": "tanh", "optimizer": "muon", "setting": "{}", "fixed": "{}"}
    facts |= {"held": '["activation", "optimizer"]', "study": "muon"}
    found = frame(
        *study(PARENS, "rnn", [0.5] * 6), trial("parens", 1.0), trial("parens", 2.0, **facts)
    )
    monkeypatch.setattr(build.trials, "read", lambda runs, everything: (found, []))
    build.run(tmp_path, tmp_path / "out", None, Display(), figures=["parens-parameters"])
    left = "Not drawn: 6 in the atlas alone, 1 in the comparison of optimizers alone."
    assert left in (tmp_path / "out/index.html").read_text()


def test_a_study_of_the_atlas_needs_its_budgets(tmp_path):
    path = tmp_path / "own.gin"
    path.write_text(OWN.replace("'num_params': 500,", "").replace("'seed': 1", ""))
    with pytest.raises(
        UserError, match=r"own\.gin: a study of the atlas needs num_params, seed in"
    ):
        atlas.Atlas((str(path),))


def test_names_in_the_picture_do_not_cover_each_other():
    archs = ("rnn", "gru", "lstm", "mgu", "janet")
    cells = table(*(study(BITS, arch, [1500, 1, 1, 1, 1, 1]) for arch in archs))
    chart = atlas_figure.draw(cells, ATLAS.first)
    names = [text for text in chart.axes.texts if text.get_text()]
    assert {text.get_text() for text in names} == {"RNN", "GRU", "LSTM", "mgu", "janet"}
    chart.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in names]  # without their lines
    assert sum(box.count_overlaps(boxes) for box in boxes) == len(boxes)  # each with itself
    marks = [line for line in chart.axes.lines if len(line.get_xdata()) == 1]
    assert {(*line.get_xdata(), *line.get_ydata()) for line in marks} == {(0.0, 1500 / 990)}
    assert atlas_figure.draw(table(study(PARENS, "rnn", [0.5] * 6)), ATLAS.first) is None


@pytest.fixture(scope="module")
def written(once):
    """The report of the records of three cells' capacity studies, one of them of another size."""

    def make(home):
        for arch, bits, size in (
            ("rnn", 5000.0, 2500),
            ("mgu", 7500.0, 2500),
            ("gru", 900.0, 1000),
        ):
            place = home / f"runs/atlas/studies/{arch}"
            place.mkdir(parents=True)
            config = {"task": "capacity", "arch": arch, "depth": 1, "num_params": size}
            config |= {"train_steps": 50_000}
            samples = [5000, 15000] if size == 2500 else [2000, 6000]
            search = {"algorithm": "random", "ranges": {"num_samples": samples}}
            facts = {"study": search, "config": config}
            (place / "study.json").write_text(json.dumps(facts))
            own = {"arch": arch, "depth": 1, "max_params": size, "num_params": size, "seed": 1}
            lines = []
            for number in range(6):
                metrics = {"mutual_information": bits, "bits_per_parameter": bits / size}
                each = record(
                    f"{number:05d}", **own, objective=-bits, metrics={"eval": metrics},
                    origin="random" if number else "first", device="cpu",
                )  # fmt: skip
                lines.append(json.dumps(dataclasses.asdict(each)))
                bits -= 100
            (place / "trials.jsonl").write_text("\n".join(lines) + "\n")
        build.run(home / "runs", home / "out", None, Display(), figures=[])

    return once("atlas", make) / "out"


def test_the_report_has_the_atlas_beside_the_other_page(written):
    names = {path.relative_to(written).as_posix() for path in written.rglob("*atlas*")}
    pictures = {f"figures/atlas.{kind}" for kind in ("pdf", "png", "svg")}
    assert names == pictures | {"atlas.html", "tables/atlas.csv", "tables/atlas.md"}
    with open(written / "tables/atlas.csv") as file:
        rows = {row["cell"]: row for row in csv.DictReader(file)}
    assert (rows["mgu"][BITS], rows["RNN"][f"{BITS}: low"]) == ("3.0", "2.0")
    assert rows["GRU"][BITS] == rows["mgu"][OTHER_BITS] == ""
    # Cells and columns without results are left out, and the columns named.
    assert len(rows) == 3 and not [name for row in rows.values() for name in row if PARENS in name]
    html = (written / "atlas.html").read_text()
    assert "The atlas: 3 recurrent cells at" in html and "No cell has run yet: parity: loss" in html
    # Its trials enter no table of the paper.
    with open(written / "tables/1.csv") as file:
        assert {row["trials"] for row in csv.DictReader(file)} == {"0"}
    assert 'href="atlas.html"' in (written / "index.html").read_text()


@needs_chromium
@pytest.mark.slow
def test_the_table_sorts_by_a_heading(browser, written):
    load(browser, written, page="atlas.html")

    def sorted_by(number):
        press(browser, f"thead th:nth-child({number}) button")
        first = texts(browser, "tbody td:first-child")
        return first, texts(browser, f"tbody td:nth-child({number})")

    names, values = sorted_by(5)
    assert (names[:2], values[:2]) == (["RNN", "mgu"], ["2", "3"])
    assert values[2:] == ["not run"]
    names, values = sorted_by(5)
    assert (names[:2], values[:3]) == (["mgu", "RNN"], ["3", "2", "not run"])
    link = browser.find_element("css selector", "tbody a").get_attribute("href")
    assert link.endswith("index.html#run=atlas%2Fstudies%2Fmgu%2F00000")
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]

"""`python -m tuning.report` as a real process, on the runs of a real sweep."""

import csv
import dataclasses
import itertools
import json
import os
import pickle
import re

import numpy as np
import pytest
from processes import python, without_tensorflow
from records import write_run
from report_rows import record

from trainer.display.progress import Display
from trainer.errors import UserError
from tuning.report import build
from tuning.report.__main__ import FLAGS, main
from tuning.report.chart import METADATA, Chart
from tuning.study.log import read


@pytest.fixture(scope="module")
def home(once, swept):
    """A directory with the report of the runs of a real sweep, made on JAX alone."""

    def make(home):
        done = without_tensorflow(
            "-m", "tuning.report", f"--runs={swept}", "--out=report", cwd=home
        )
        assert (done.code, done.stderr) == (0, "")
        (home / "printed").write_text(done.stdout)

    return once("small_report", make)


def records(swept, pattern):
    paths = sorted((swept / "sweep/studies").glob(pattern))
    return list(itertools.chain.from_iterable(read(path)[0].values() for path in paths))


def table(home, name):
    with open(home / f"report/tables/{name}.csv") as file:
        return list(csv.DictReader(file))


def test_it_says_what_there_is_and_how_to_get_the_rest(home):
    printed = (home / "printed").read_text()
    assert "report/index.html: 12 of 45 figures, 3 tables, 23 claims" in printed
    assert "(23 not enough runs)" in printed
    assert "missing in figure 5b" in printed
    assert "python -m tuning.sweep --gin_file=gin_configs/paper/figure_4_arithmetic.gin" in printed


@pytest.mark.parametrize("name", ["figures", "tables"])
def test_a_report_is_not_written_through_a_link(name, swept, tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/2a.pdf").touch()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / name).symlink_to("../victim")
    with pytest.raises(UserError, match=f"report/{name} is a symbolic link"):
        build.run(swept, tmp_path / "report", None, Display())
    assert [path.name for path in (tmp_path / "victim").iterdir()] == ["2a.pdf"]


def test_no_file_is_written_before_all_are_made(swept, tmp_path, monkeypatch):
    """Otherwise a kill could leave an old page beside new figures."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/1b.pdf").write_text("old")
    original = Chart.picture

    def picture(chart, kind, name):
        if kind == list(METADATA)[-1] and name == "5a":
            raise KeyboardInterrupt
        return original(chart, kind, name)

    monkeypatch.setattr(Chart, "picture", picture)
    with pytest.raises(KeyboardInterrupt):
        build.run(swept, tmp_path, None, Display(), figures=["1b", "5a"])
    assert [path.name for path in tmp_path.rglob("*.*")] == ["1b.pdf"]
    assert (tmp_path / "figures/1b.pdf").read_text() == "old"


def test_files_are_those_of_figures_that_have_runs(home):
    drawn = {path.name for path in (home / "report/figures").iterdir()}
    names = ["1b", "1f", "2a", "5a", "App.1", "capacity-bits"]
    names += [
        f"{task}-{x}" for task in ("capacity", "parens") for x in ("parameters", "units", "trials")
    ]
    assert drawn == {f"{name}.{kind}" for name in names for kind in ("pdf", "png", "svg")}
    written = {path.name for path in (home / "report/tables").iterdir()}
    assert written == {f"{n}.{k}" for n in ("1", "App.1", "App.2", "claims") for k in ("csv", "md")}


def test_the_infeasible_shares_are_those_of_the_records(home, swept):
    rows = {row["architecture"]: row for row in table(home, "1") if row["depth"] == "1"}
    found = records(swept, "parens-rnn-*/trials.jsonl")
    share = sum(record.status == "infeasible" for record in found) / len(found)
    assert (int(rows["RNN"]["trials"]), float(rows["RNN"]["infeasible"])) == (3, share)
    assert rows["LSTM"]["trials"] == "0" and rows["LSTM"]["paper"] == "0.12"


def test_the_reruns_are_those_of_the_records(home, swept):
    rows = {row["architecture"]: row for row in table(home, "App.1")}
    losses = [record.eval_loss for record in records(swept, "parens-rnn-*/reruns.jsonl")]
    assert float(rows["RNN"]["mean"]) == pytest.approx(np.mean(losses))
    best = min(
        (r for r in records(swept, "parens-rnn-*/trials.jsonl") if r.objective is not None),
        key=lambda record: record.objective,
    )
    assert float(rows["RNN"]["original"]) == best.eval_loss


def test_markdown_has_the_same_rows(home):
    lines = (home / "report/tables/App.2.md").read_text().splitlines()
    assert len(lines) == 2 + 25 and lines[0].startswith("| pair")
    assert len((home / "report/tables/claims.md").read_text().splitlines()) == 2 + 23
    shares = [row.split("|")[4].strip() for row in (home / "report/tables/1.md").open()][2:]
    numbers = [row["infeasible"] for row in table(home, "1")]
    assert shares == [f"{float(x):.1%}" if x else "" for x in numbers] and "" in shares


@pytest.mark.slow
def test_a_figure_that_lost_its_runs_loses_its_file(swept, tmp_path):
    (tmp_path / "runs").symlink_to(swept / "sweep/studies")
    stale = tmp_path / "report/figures/4a.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    done = python("-m", "tuning.report", "--runs=runs", "--out=report", cwd=tmp_path)
    assert done.code == 0 and not stale.exists()


def test_only_the_chosen_figures_are_drawn_in_the_users_style(swept, tmp_path, capsys):
    mine, few = tmp_path / "mine.mplstyle", tmp_path / "few"
    mine.write_text("savefig.dpi: 50\n")

    def report(*flags):
        FLAGS.unparse_flags()
        for flag in FLAGS:
            FLAGS[flag].unparse()
        FLAGS(["report", f"--runs={swept}", f"--out={few}", *flags])
        main()

    report("--figures=5a,capacity-units", f"--style={mine}")
    assert f"{few}/index.html: 2 of 2 figures" in capsys.readouterr().out
    assert {path.stem for path in (few / "figures").iterdir()} == {"5a", "capacity-units"}
    width = (few / "figures/5a.png").read_bytes()[16:20]
    assert int.from_bytes(width) == 230  # 4.6 inches at 50 dots per inch
    with pytest.raises(UserError, match=r"unknown figure 6a; choose from 1a, 1b, .*units, "):
        report("--figures=5a,6a")


def test_runs_that_are_left_out_are_counted_with_their_reasons(tmp_path, monkeypatch, capsys):
    def write(name, **values):
        write_run(tmp_path / "runs" / name, record(name, **values))

    def report():
        build.run(".", "../report", None, Display(), figures=figures)
        return (tmp_path / "report/index.html").read_text()

    figures = None
    write("tuned", config={"init_from": "elsewhere"})
    monkeypatch.chdir(tmp_path / "runs")
    with pytest.raises(build.NoRuns, match="holds no run to show; left out: 1 trial from trained"):
        report()
    write("begun", status="interrupted")
    write("done")
    figures = ["capacity-units"]
    page, printed = report(), capsys.readouterr().out
    for reason in ("from trained weights", "not finished"):
        sentence = f"left out: 1 trial {reason} (1 of capacity)"
        assert sentence in printed and f"<li>{sentence}</li>" in page
    assert "Not drawn: 1 from trained weights, 1 not finished." in page
    assert "in <code>runs</code>" in page


def test_what_the_paper_lacks_takes_one_line_if_no_run_belongs_to_it(tmp_path, capsys):
    write_run(tmp_path / "runs/mine", record("mine", task="mine.parity", metrics={}))
    build.run(tmp_path / "runs", tmp_path / "out", None, Display(), figures=["mine.parity-units"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[1].startswith("no run belongs to a figure of the paper;")


def test_a_directory_of_runs_may_have_any_name(tmp_path, capsys):
    runs = tmp_path / os.fsdecode(b"runs-\xff")
    (runs / "mine").mkdir(parents=True)
    text = json.dumps(dataclasses.asdict(record("mine", task="mine.parity", metrics={})))
    (runs / "mine/record.json").write_text(text)
    build.run(runs, tmp_path / "out", None, Display(), figures=["mine.parity-units"])
    assert rb"runs-\udcff</code>" in (tmp_path / "out/index.html").read_bytes()


@pytest.mark.slow
def test_the_authors_trials_are_converted_and_laid_under_or_stand_alone(swept, tmp_path):
    types = [("architecture", object), ("task_type", object), ("hparams", object)]
    types += [(name, int) for name in ("n_layers", "hyper_iter", "max_params", "num_params")]
    types += [(name, float) for name in ("train_loss", "valid_loss", "eval_loss")]
    rows = [("gru", "text8", {"lr_init": 0.1}, 1, 0, 10_000, 9_990, 1.9, 1.9, 1.875)]
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/fig3.p").write_bytes(pickle.dumps(np.array(rows, types), protocol=2))
    convert = (
        "-m",
        "tuning.report.convert_published",
        "--published=theirs",
        "--out=theirs.parquet",
    )
    done = python(*convert, cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    alone = ("-m", "tuning.report", "--published=theirs.parquet", "--out=alone")
    done = python(*alone, cwd=tmp_path)
    assert "alone/index.html: 5 of 41 figures" in done.stdout, done.stderr
    both = (*alone[:3], f"--runs={swept}", "--out=both")
    done = python(*both, cwd=tmp_path)
    assert "both/index.html: 17 of 48 figures" in done.stdout, done.stderr
    pages = [(tmp_path / name / "index.html").read_text() for name in ("alone", "both")]
    one, two = (re.sub(r"<[^>]*>|\s+", " ", page) for page in pages)
    theirs = re.compile(r"1 published trial of 1 study +in +theirs\.parquet")
    assert re.search(rf"from +{theirs.pattern}", one) and " fainter" not in one
    assert re.search(
        rf"\d trials of \d+ studies .* and +{theirs.pattern} *; tables and claims leave out", two
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runs=."], "--out is missing"),
        (["--out=x"], "--runs is missing"),
        (["--runs=nowhere", "--out=x"], "--runs is not a directory: nowhere"),
        (["--plan", "--out=x", "--figures=1a"], "--figures is for reports, not for --plan"),
        (["--plan", "--out=x", "--published=y"], "--published is for reports, not for --plan"),
        (["--runs=.", "--out=x", "--style=nowhere"], "--style is not a file: nowhere"),
        (["--published=nowhere", "--out=x"], "--published is not a file: nowhere"),
        (["--published=.", "--out=x"], "convert_published --published=. --out=published.parquet"),
        (["--runs=.", "--out=x"], "holds no finished run; make some, e.g. python -m tuning.sweep"),
        (
            ["--runs=.", "--out=x", "--watch", "--every=0"],
            "greater than 0 and at most 1e+09, got 0",
        ),
        (["--runs=.", "--out=x", "--watch", "--every=inf"], "and at most 1e+09, got inf"),
        (["--runs=.", "--out=x", "--hours=3"], "--hours has no effect without --plan; omit it"),
        (["--runs=.", "--out=x", "--every=3"], "--every has no effect without --watch; omit it"),
        (["--out=x", "--plan", "--text8_path=nowhere"], "/nowhere cannot be read"),
        (["--out=x", "--plan", "--claims=relu,nothing"], "unknown claim nothing; choose from"),
        (["--runs=.", "--out=x", "--claims=relu"], "--claims has no effect without --plan"),
        (["--runs=.", "--out=x", "more"], "unexpected argument 'more'"),
    ],
)
def test_mistakes_are_one_line(cold, tmp_path, flags, message):
    done = cold.run("tuning.report", *flags, cwd=tmp_path)
    assert done.code == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert not (tmp_path / "x").exists()


def test_what_is_not_installed_is_named_with_the_extra(tmp_path):
    hide = "import sys; sys.modules['tabulate'] = None"
    run = "from tuning.report.__main__ import run; sys.argv[1:] = ['--runs=.', '--out=x']; run()"
    done = python("-c", f"{hide}; {run}", cwd=tmp_path)
    assert done.code == 2
    assert done.stderr == "error: the report needs tabulate: pip install 'rnn-zoo[report]'\n"


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_of_a_report(swept, tmp_path):
    fill = (
        "import errno, os\n"
        "def full(descriptor): raise OSError(errno.ENOSPC, 'No space left on device', 'report')\n"
        "os.fsync = full\n"
        "import sys; from tuning.report.__main__ import run\n"
        f"sys.argv[1:] = ['--runs={swept}', '--out=report']; run()"
    )
    done = python("-c", fill, cwd=tmp_path)
    assert (done.code, done.stderr) == (2, "error: cannot use report: No space left on device\n")
    assert not list((tmp_path / "report").rglob("*.*"))

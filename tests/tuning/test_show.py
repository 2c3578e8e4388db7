"""`python -m tuning.show`: the table of the best trials, CSV and Parquet."""

import dataclasses
import json
import sys
import warnings

import pandas
import pytest
import sweep_studies
from processes import python

from trainer import TrainConfig, UserError
from trainer.display.progress import Display
from trainer.storage.lease import Lease
from trainer.storage.records import RunRecord
from tuning import __main__ as tune
from tuning import show


def record(number, objective, seed=0):
    """Return a record as a dict; its objective is None if it diverged."""
    rate = 0.001 * (number + 1)
    config = TrainConfig("parens", "gru", lr_init=rate, seed=seed, train_steps=40)
    made = RunRecord(
        run_id=f"{number:05d}",
        task="parens",
        arch="gru",
        depth=1,
        units=50,
        max_params=30_000,
        num_params=29_000,
        hparams=config.hparams,
        seed=seed,
        train_steps=40,
        input_dim=1,
        output_dim=1,
        chance_loss=2.0,
        config=dataclasses.asdict(config),
        data={},
        backend="jax",
        versions={},
        objective=objective,
        valid_loss=objective,
        eval_loss=objective,
        infeasible_at=40 if objective is None else None,
        status="infeasible" if objective is None else "ok",
        steps_done=40,
        curve=[2.0, 1.0],
        stopped_early=number == 1,
        origin="search" if number == 3 else "random" if number == 1 else None,
    )
    return dataclasses.asdict(made)


@pytest.fixture
def study(tmp_path):
    directory = tmp_path / "study"
    directory.mkdir()
    objectives = [3.0, 1.5, None, 2.25]
    with open(directory / "trials.jsonl", "w") as file:
        for number, objective in enumerate(objectives):
            file.write(json.dumps(record(number, objective)) + "\n")
        file.write('{"run_id": "000')  # a running study, in the middle of a line
    return directory


def test_the_best_trials_come_first(study):
    done = python("-m", "tuning.show", "--study_dir=study", "--num=2", cwd=study.parent)
    assert (done.code, done.stderr) == (0, "")
    assert (
        "4 trials, 1 infeasible (25.0%), 1 stopped early, 1 proposed by the search" in done.stdout
    )
    rows = [line.split("│")[1:5] for line in done.stdout.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["00001", "random", "1.5000", "1.5000"],
        ["00003", "search", "2.2500", "2.2500"],
    ]
    assert "trials.jsonl has 1 damaged line, the first is line 5: it is not JSON" in done.stdout


def test_searched_options_are_a_column(capsys):
    records = [RunRecord(**record(number, 1.0 + number)) for number in range(2)]
    display = Display()
    show.show(records, 2, display)
    records[1].hparams["task_options"] = {"num_steps": 6}
    records[1].hparams["optimizer_options"] = {"beta_2": 0.93713, "beta_3": 0.5}
    records[1].searched = ["lr_init", "task_options.num_steps", "optimizer_options.beta_2"]
    show.show(records, 2, display)
    printed = capsys.readouterr().out
    assert printed.count("options") == 1 and "beta_3" not in printed
    last = [line.split("│")[-2].strip() for line in printed.splitlines() if line.startswith("│")]
    assert last[-2:] == ["-", "num_steps 6, beta_2 0.937"]
    records[1].depth, records[1].searched = 2, ["depth", "batch_size"]
    show.show(records, 2, display)
    printed = capsys.readouterr().out
    assert "depth 1, batch_size 64" in printed and "depth 2, batch_size 64" in printed


def test_trials_of_edited_code_are_named(capsys):
    records = [RunRecord(**record(number, 1.0 + number)) for number in range(2)]
    for made, version in zip(records, "12", strict=True):
        made.task, made.versions = "mine.lag", {"mine": version}
    show.show(records, 2, Display())
    assert "mine: edited between the trials, 2 versions" in capsys.readouterr().out
    records[1] = RunRecord(**record(1, 2.0))  # with another optimizer, say
    show.show(records, 2, Display())
    assert "edited" not in capsys.readouterr().out


def test_given_sets_show_the_options_that_differ(capsys):
    records = [RunRecord(**record(number, 1.0 + number)) for number in range(2)]
    for each, rate in zip(records, (0.5, 0.75), strict=True):
        each.hparams["arch_options"] = {"rate": rate, "shape": "minus"}
    show.show(records, 2, Display())
    printed = capsys.readouterr().out
    last = [line.split("│")[-2].strip() for line in printed.splitlines() if line.startswith("│")]
    assert last == ["rate 0.5", "rate 0.75"]


def test_a_bias_of_gates_that_an_architecture_lacks_is_not_shown(capsys):
    records = [RunRecord(**record(number, 1.0 + number)) for number in range(2)]
    records[1].arch = "rnn"
    show.show(records, 2, Display())
    printed = capsys.readouterr().out
    last = [line.split("│")[-2].strip() for line in printed.splitlines() if line.startswith("│")]
    assert last == ["1.00", "-"]


def test_all_trials_are_exported(cold, study):
    flags = ("--study_dir=study", "--csv=all.csv", "--parquet=all.parquet")
    done = cold.run("tuning.show", *flags, cwd=study.parent)
    assert done.code == 0, done.stderr
    for frame in (
        pandas.read_csv(study.parent / "all.csv", dtype={"run_id": str}),
        pandas.read_parquet(study.parent / "all.parquet"),
    ):
        assert list(frame["run_id"]) == ["00000", "00001", "00002", "00003"]
        assert frame["objective"].isna().tolist() == [False, False, True, False]
        # No column repeats another, except where a trial cannot tell them apart.
        assert not [name for name in frame if name.startswith(("config.", "hparams."))]
        assert len(set(frame)) == len(frame.columns)
        assert frame["lr_init"].tolist() == pytest.approx([0.001, 0.002, 0.003, 0.004])
    assert sorted(path.name for path in study.parent.iterdir()) == [
        "all.csv",
        "all.parquet",
        "study",
    ]


def test_a_csv_file_holds_no_formula_and_no_control_character(study):
    """In texts; numbers and names with a sign stay."""
    odd = ["=1+1", '+HYPERLINK("x")', "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "+rnn", "-0.5"]
    hosts = "\x1b]0;x\a", "\u202eabc"
    with open(study / "trials.jsonl", "w") as file:
        for number, name in enumerate(odd):
            names = {"backend": name, "host": hosts[number % 2]}
            file.write(json.dumps(record(number, -1.5) | names) + "\n")
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        show.export(study, str(study / "all.csv"), "csv")
    assert not [each for each in given if each.filename == show.__file__]
    found = pandas.read_csv(study / "all.csv", dtype={"backend": str})
    assert found["backend"].tolist() == [f"'{name}" for name in odd[:5]] + odd[5:]
    assert found["objective"].tolist() == [-1.5] * 7
    assert found["host"].tolist()[:2] == ["\\x1b]0;x\\x07", "\\u202eabc"]


@pytest.fixture
def shown(monkeypatch, capsys):
    """Call the main in this process: shown(*flags) -> (exit code, standard output, errors)."""

    def call(*arguments):
        show.FLAGS.unparse_flags()
        monkeypatch.setattr(sys, "argv", ["show", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            show.run()
        return ended.value.code, *capsys.readouterr()

    return call


def test_a_study_is_shown_before_its_first_trial_has_finished(tmp_path, shown):
    where = f"--study_dir={tmp_path}"
    code, _, err = shown(where)
    assert code == 2 and f"{tmp_path} holds no study" in err
    with Lease(tmp_path):  # as when the process has just started
        code, out, err = shown(where)
        assert (code, err) == (0, "")
        assert out == "the study is running; no trial has finished yet\n"
        settings = {"config": dataclasses.asdict(TrainConfig("parens", "gru")), "num_trials": 1}
        (tmp_path / "study.json").write_text(json.dumps(settings))
        _, out, _ = shown(where)
        assert "task parens   architecture gru" in out and "0 of 1 trial\n" in out
        (tmp_path / "trials.jsonl").write_text(json.dumps(record(0, 1.5)) + "\n")
        _, out, _ = shown(where)
        assert "1 of 1 trial\nthe study is running\n1 trial, 0 infeasible" in out
        settings["study"] = {"ranges": {"depth": [1, 2]}}
        (tmp_path / "study.json").write_text(json.dumps(settings))
        assert "depth searched   budget" in shown(where)[1]
    (tmp_path / "trials.jsonl").unlink()
    assert "no trial has finished; run the study's command again" in shown(where)[1]


def test_a_study_that_lost_its_settings_is_named(study, shown):
    words = f"{study} has lost its study.json, so its ranges are unknown"
    assert words not in shown(f"--study_dir={study}")[1]
    (study / "oracle.json").write_text('{"end_order": []}')
    code, out, err = shown(f"--study_dir={study}")
    assert code == 0 and words in out.replace("\n", " ") and not err


def test_a_new_study_is_found_while_its_backend_starts(tmp_path, shown, monkeypatch):
    def start():
        seen.append(shown(f"--study_dir={tmp_path / 'a'}")[1])
        raise UserError("no backend")

    seen = []
    monkeypatch.setattr(tune.cli, "start_backend", start)
    tune.FLAGS.unparse_flags()
    tune.FLAGS(["tune", "--task=parens", "--arch=rnn", f"--study_dir={tmp_path / 'a'}"])
    with pytest.raises(UserError, match="no backend"):
        tune.main()
    assert seen == ["the study is running; no trial has finished yet\n"]
    assert shown(f"--study_dir={tmp_path / 'a'}")[0] == 2


def test_a_sweep_is_shown_as_its_studies_with_the_best_trial_of_each(tmp_path, shown):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    path = sweep.study_path("study-001")
    path.mkdir(parents=True)
    lines = [
        json.dumps(record(n, value, seed=1)) + "\n" for n, value in enumerate([3.0, 1.5, None])
    ]
    (path / "trials.jsonl").write_text("".join(lines))
    code, out, err = shown(f"--study_dir={sweep.path}", f"--csv={tmp_path / 'all.csv'}")
    assert (code, err) == (0, "")
    rows = [line.split("│")[1:6] for line in out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["study-000", "0/6", "-", "-", "-"],
        ["study-001", "3/6", "00001", "random", "1.5000"],
    ]
    assert "2 studies: 3 trials, 1 infeasible (33.3%), 1 stopped early" in out
    assert len(pandas.read_csv(tmp_path / "all.csv")) == 3
    assert "of another study" not in out
    foreign = record(0, 3.0, seed=1)
    foreign["arch"] = foreign["config"]["arch"] = "rnn"
    (path / "trials.jsonl").write_text(json.dumps(foreign))
    words = "has 1 trial of another study, the first is 00000 with arch rnn, not gru"
    assert words in " ".join(shown(f"--study_dir={sweep.path}")[1].split())


def test_runs_of_given_sets_are_shown(tmp_path, shown):
    lines = [json.dumps(record(n, value)) + "\n" for n, value in enumerate([3.0, 1.5])]
    (tmp_path / "given.jsonl").write_text("".join(lines))
    code, out, err = shown(f"--study_dir={tmp_path}", f"--csv={tmp_path / 'all.csv'}")
    assert (code, err) == (0, "")
    rows = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert rows == ["00001", "00000"] and "2 trials, 0 infeasible" in out
    assert len(pandas.read_csv(tmp_path / "all.csv")) == 2


def test_mistakes_are_one_line(cold, study):
    cases = [((), "--study_dir"), (("--study_dir=nowhere",), "nowhere holds no study")]
    cases += [(("--study_dir=study", "--num=-1"), "-1")]
    cases += [(("--study_dir=study", "--csv=no/such/file"), "no/such")]
    for arguments, words in cases:
        done = cold.run("tuning.show", *arguments, cwd=study.parent)
        assert done.code == 2 and done.stderr.count("\n") == 1, done
        assert words in done.stderr


def test_values_that_parquet_cannot_hold_are_one_line(study, shown):
    odd = record(4, 1.0)
    for place in (odd["hparams"], odd["config"]):
        place["batch_size"] = ["64"]
    with open(study / "trials.jsonl", "a") as file:
        file.write("\n" + json.dumps(odd) + "\n")
    code, _, err = shown(f"--study_dir={study}", f"--parquet={study / 'all.parquet'}")
    assert code == 2 and err.count("\n") == 1 and "use --csv" in err

"""The files of a sweep, and the states of its studies."""

import dataclasses
import errno
import io
import json
import os
import shutil
import subprocess
import sys

import pytest
import records
import sweep_studies
from processes import environment
from rich.console import Console

from trainer import UserError, names
from trainer.storage import json_files
from tuning.study.log import TrialLog
from tuning.sweep import growth, status, worker
from tuning.sweep.directory import State, Sweep

#: State of a study without trials whose own file is damaged.
DAMAGED = State(note="study-000.json was damaged, and its times are lost")


def test_a_sweep_is_read_back(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 3)
    assert Sweep.open(sweep.path).specs == sweep.specs
    Sweep(sweep.path, sweep.specs.values()).create()  # creating it again is allowed
    state = State("failed", 4, failures=("one", "two"), deaths=1, seconds=2.5)
    sweep.write_state("study-001", state)
    assert sweep.state("study-001") == state


@pytest.mark.parametrize("choices", [{}, {"batch": 2}, {"initial_points": 3}], ids=str)
@pytest.mark.parametrize("held", [False, True])
def test_a_study_that_repeats_another_one_is_named(tmp_path, choices, held):
    """A list of seeds gives the seed that a sweep has without a list another name."""
    (spec,) = sweep_studies.make(tmp_path / "made", 1).specs.values()
    Sweep(tmp_path / "sweep", [changed(spec, **choices) if held else spec]).create()
    seeds = [
        changed(spec, seed=n, **({} if held else choices))._replace(name=f"study-seed_{n}")
        for n in (0, 1)
    ]
    merged = Sweep(tmp_path / "sweep", seeds).create()
    assert merged.repeats == {"study-seed_0": "study-000"} and len(merged.specs) == 3
    assert (
        "1 study repeats one of out with the same settings, as study-seed_0 does study-000, and "
        "will count as more seeds; to add seeds, list the new ones alone"
    ) in growth.kept("out", merged)


def test_a_sweep_that_lost_its_settings_is_not_replaced(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    sweep.create()
    sweep_studies.end(sweep, "study-000")
    (sweep.path / "sweep.json").unlink()
    with pytest.raises(UserError, match=r"sweep lost its sweep\.json; restore it, or choose anoth"):
        sweep_studies.make(sweep.path, 1)
    assert not (sweep.path / "sweep.json").exists()


@pytest.mark.parametrize("held", [False, True])
def test_a_study_that_repeats_one_of_the_same_command_is_named(tmp_path, held):
    (spec,) = sweep_studies.make(tmp_path / "made", 1).specs.values()
    if held:
        Sweep(tmp_path / "sweep", [spec]).create()
    seeds = [changed(spec, seed=n)._replace(name=f"study-seed_{n}") for n in (0, 1)]
    merged = Sweep(tmp_path / "sweep", [spec, *seeds]).union()
    assert merged.repeats == {"study-seed_0": "study-000"} and len(merged.specs) == 3


def test_studies_with_trials_of_edited_code_are_named(tmp_path, monkeypatch):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    monkeypatch.setattr(names, "code_of", lambda fields: {"mine": str(fields["seed"])})
    for name, spec in sweep.specs.items():
        sweep.study_path(name).mkdir(parents=True)
        log, config = TrialLog(sweep.study_path(name) / "trials.jsonl"), vars(spec.config)
        for number, version in enumerate(("1", "0")):
            versions = {"keras": "3", "mine": version}
            config = config | {"task": "mine.parity"}
            log.append(records.record(str(number), 0.5, config=config, versions=versions))
    assert list(sweep.edited()) == [
        "study-000: 1 trial ran other code, the last one 0, edited after that run: mine (1, now 0)",
        "study-001: 1 trial ran other code, the last one 1, edited after that run: mine (0, now 1)",
    ]


def changed(spec, **values):
    """Return the study with other values of its configuration or of its search."""
    train = {name: values.pop(name) for name in list(values) if hasattr(spec.config, name)}
    config = dataclasses.replace(spec.config, **train)
    return spec._replace(config=config, study=dataclasses.replace(spec.study, **values))


def test_a_sweep_grows(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 3)
    specs = list(sweep.specs.values())
    more = changed(specs[1], num_trials=9)._replace(reruns=2)
    merged = Sweep(sweep.path, [more, specs[2]._replace(name="study-003")]).create()
    assert merged.unnamed == ["study-000", "study-002"] and not merged.conflicts
    held = Sweep.open(sweep.path).specs
    assert set(held) == {f"study-{number:03d}" for number in range(4)}
    assert (held["study-001"].study.num_trials, held["study-001"].reruns) == (9, 2)
    assert next(iter(held)) == "study-001"  # the longest is the first
    # The larger numbers stay.
    again = Sweep(sweep.path, specs[:2]).create()
    assert again.specs == held
    assert growth.kept("out", again) == [
        "out keeps 2 more studies that the gin file does not name",
        "out keeps more runs of 1 study than you want: study-001 has 11 runs",
    ]


def test_a_study_that_differs_is_refused(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 3)
    specs = list(sweep.specs.values())
    text = (sweep.path / "sweep.json").read_text()
    wanted = [changed(specs[0], num_trials=9), changed(specs[1], train_steps=7)]
    message = r"holds study-001 with config\.train_steps 3000, not 7; choose another --out"
    with pytest.raises(UserError, match=message):
        Sweep(sweep.path, wanted).create()
    message = r"StudyConfig\.seed None, not 9; choose another --out, or omit StudyConfig\.seed"
    with pytest.raises(UserError, match=message):
        seeded = dataclasses.replace(specs[1].study, seed=9)
        Sweep(sweep.path, [specs[1]._replace(study=seeded)]).create()
    with pytest.raises(UserError, match=r"study\.algorithm 'gp', not 'random'"):
        Sweep(sweep.path, [changed(specs[1], algorithm="random")]).create()
    with pytest.raises(UserError, match="not 'jax'; set KERAS_BACKEND=tensorflow"):
        Sweep(sweep.path, specs, "jax").create()
    with pytest.raises(UserError, match="holds a sweep with profile 'laptop', not 'smoke'"):
        Sweep(sweep.path, specs, profile="smoke").create()
    merged = Sweep(sweep.path, wanted).union()
    assert list(merged.conflicts) == ["study-001"]
    assert merged.specs["study-000"].study.num_trials == 9
    assert merged.specs["study-001"] == specs[1]
    assert (sweep.path / "sweep.json").read_text() == text


def test_a_done_study_is_reopened_when_it_grows(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    runner = sweep_studies.RUNNERS["instant"]
    for name in sweep.specs:
        worker.run(sweep, name, runner, lambda: False)
    before = {p: p.read_bytes() for p in sweep.path.rglob("*study-001*/*") if p.is_file()}
    assert before
    grown = sweep_studies.add(sweep.path, [0], 8)
    assert [grown.state(name).status for name in sorted(sweep.specs)] == ["waiting", "done"]
    assert sweep.state("study-000").is_over  # as it was read before
    sweep.refresh()
    assert not sweep.state("study-000").is_over
    assert next(worker.free_studies(sweep, lambda: False)) == ("study-000", None)
    state = worker.run(sweep, "study-000", runner, lambda: False)
    assert (state.status, state.trials, state.wanted) == ("done", 8, 8)
    assert sweep_studies.found(sweep) == sweep_studies.expected(grown)
    assert before == {p: p.read_bytes() for p in before}


def test_an_exhausted_study_is_reopened_only_for_more(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep_studies.end(sweep, "study-000", 3, wanted=6)
    assert sweep.state("study-000").is_over and not sweep.problem("study-000")
    assert not sweep_studies.add(sweep.path, [0], 7).state("study-000").is_over


def test_a_study_without_a_state_is_done_if_its_results_are_complete(tmp_path):
    """The states are not kept in results/."""
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    done = worker.run(sweep, "study-000", sweep_studies.RUNNERS["instant"], lambda: False)
    (sweep.path / "states/study-000.json").unlink()
    state = sweep.state("study-000")
    assert (state.status, state.trials, state.best) == ("done", 6, done.best)
    assert (state.infeasible, state.proposed) == (0, 0)
    assert sweep_studies.add(sweep.path, [0], 7).state("study-000") == State("waiting", 6)


def test_every_gin_file_is_kept(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    for number, text in enumerate(["one", "two", "one", "two"]):
        spec = sweep.specs["study-000"]._replace(name=f"study-{number + 1:03d}")
        Sweep(sweep.path, [spec]).create(text)
    found = {path.name: path.read_text() for path in sweep.path.glob("*.gin")}
    assert found == {"sweep.gin": "one", "sweep-2.gin": "two"}


def test_a_manifest_of_an_older_version_is_continued(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    path = sweep.path / "sweep.json"
    held = json.loads(path.read_text())
    del (
        held["crc32"],
        held["studies"][0]["config"]["precision"],
        held["studies"][0]["study"]["early_stopping"],
    )
    path.write_text(json.dumps(held))
    assert sweep_studies.add(sweep.path, [0, 1], 7).specs["study-000"].study.num_trials == 7


def test_processes_add_to_a_sweep_at_once(tmp_path):
    """Each adds its own studies, one at a time; none is lost."""
    code = (
        "import sys, sweep_studies\n"
        "for number in range(int(sys.argv[2]), 60, 3):\n"
        "    sweep_studies.add(sys.argv[1], [number])\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "sweep"), str(start)], env=environment()
        )
        for start in range(3)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    expected = {f"study-{number:03d}" for number in range(60)}
    assert Sweep.open(tmp_path / "sweep").specs.keys() == expected


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"thesis\.tex but no sweep"):
        Sweep(tmp_path, []).create()
    with pytest.raises(UserError, match="holds no sweep"):
        Sweep.open(tmp_path)
    (tmp_path / "sweep.json").write_text('{"studies": [{}]}')
    with pytest.raises(UserError, match=r"sweep\.json: it has no backend, profile"):
        Sweep.open(tmp_path)


@pytest.mark.parametrize("place", ["studies", "states", "studies/study-000"])
def test_a_sweep_does_not_write_through_a_link(tmp_path, place):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    shutil.rmtree(sweep.path / place, ignore_errors=True)
    (sweep.path / place).symlink_to(tmp_path)
    with pytest.raises(UserError, match=rf"sweep/{place} is a symbolic link"):
        sweep.create()


def test_a_damaged_state_is_replaced(tmp_path):
    """Nothing is lost: the results are in the study's files."""
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    for text in ("", "{", '{"failures": 3}', '{"seconds": -5}', '{"core_seconds": 1e300}'):
        (sweep.path / "states/study-000.json").write_text(text)
        assert sweep.state("study-000") == DAMAGED
    (sweep.path / "states/study-000.json").write_text('{"status": "done"}')  # of no trial
    note = "study-000.json is not of these trials, and its times are lost"
    assert sweep.state("study-000") == State(note=note)
    (sweep.path / "states/study-000.json").unlink()
    (sweep.path / "states/study-000.json").mkdir()
    note = "study-000.json cannot be read: it is not a regular file"
    assert sweep.state("study-000") == State(note=note)


def lose(sweep):
    shutil.rmtree(sweep.study_path("study-000"))


def cut(sweep):
    log = sweep.study_path("study-000") / "trials.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[2:]))


def flip(sweep):
    log = sweep.study_path("study-000") / "trials.jsonl"
    log.write_bytes(log.read_bytes().replace(b"0.123456", b"0.123457", 1))


def swap_studies(sweep):
    shutil.rmtree(sweep.study_path("study-000"))
    shutil.copytree(sweep.study_path("study-001"), sweep.study_path("study-000"))


def swap_published_studies(sweep):
    """Results are published without the states."""
    swap_studies(sweep)
    (sweep.path / "states/study-000.json").unlink()


def swap_states(sweep):
    shutil.copy(sweep.path / "states/study-001.json", sweep.path / "states/study-000.json")


def alter_state(sweep):
    path = sweep.path / "states/study-000.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"proposed": state["proposed"] + 1, "crc32": None}))


def test_a_study_that_lost_its_settings_is_named(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.create()
    sweep_studies.end(sweep, "study-000")
    (sweep.study_path("study-000") / "study.json").unlink()
    assert sweep.problem("study-000") == "its study.json is lost"


@pytest.mark.parametrize("pack", [False, True])
def test_a_damaged_log_of_a_published_study_is_named(tmp_path, pack):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.create()
    sweep_studies.end(sweep, "study-000")
    path = sweep.study_path("study-000") / "trials.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"objective":0', b'"objective":1', 1))
    if pack:
        subprocess.run(["gzip", path], check=True)
    shutil.rmtree(sweep.path / "states")
    problem = sweep.problem("study-000")
    assert "trials.jsonl" + ".gz" * pack + " has 1 damaged line, the first is line 1: " in problem
    assert (sweep.state("study-000").status, sweep.state("study-000").trials) == ("waiting", 5)


def test_damaged_settings_of_a_study_are_named(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.create()
    sweep_studies.end(sweep, "study-000")
    assert sweep.problem("study-000") == ""
    (sweep.study_path("study-000") / "study.json").write_text("")
    assert sweep.problem("study-000") == "its study.json is damaged"


def test_packed_logs_are_read(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.create()
    sweep_studies.end(sweep, "study-000")
    study, before = sweep.study_path("study-000"), sweep.state("study-000")
    subprocess.run(["gzip", study / "trials.jsonl"], check=True)
    assert sweep.state("study-000") == before and sweep.num_ended("study-000") == 6
    shutil.rmtree(sweep.path / "states")  # as it may be published
    derived = Sweep.open(sweep.path).state("study-000")
    assert (derived.status, derived.trials, derived.best) == ("done", 6, before.best)
    (study / "study.json").unlink()
    assert sweep.problem("study-000") == "its study.json is lost"


@pytest.mark.parametrize(
    "change, trials, problem",
    [
        (lose, 0, "trials.jsonl lost 6 of its 6 finished runs"),
        (cut, 4, "trials.jsonl lost 2 of its 6 finished runs"),
        (flip, 5, "trials.jsonl lost 1 of its 6 finished runs"),
        (swap_studies, 6, "trials.jsonl has 6 trials of another study, the first is 0 with arch"),
        (swap_published_studies, 6, "trials.jsonl has 6 trials of another study, the first is 0"),
        (swap_states, 6, "study-000.json is not of these trials, and its times are lost"),
        (alter_state, 6, "study-000.json is not of these trials, and its times are lost"),
    ],
)
def test_a_done_study_is_compared_with_its_trials(tmp_path, change, trials, problem):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    other = changed(sweep_studies.spec(1), arch="lstm")
    sweep = Sweep(sweep.path, [sweep.specs["study-000"], other])
    sweep.create()
    for name in sweep.specs:
        sweep_studies.end(sweep, name)
        assert sweep.state(name).is_over and not sweep.problem(name)
    change(sweep)
    state, of_state = sweep.state("study-000"), (swap_states, alter_state)
    assert (state.trials, state.is_over) == (trials, change in of_state)
    assert problem in state.note and problem in sweep.problem("study-000")
    console = io.StringIO()
    status.show(sweep, status.SweepDisplay(Console(file=console, width=200)))
    assert "1 study has damaged or lost files, the first is study-000: " in console.getvalue()
    if change not in (swap_studies, swap_published_studies, *of_state):
        sweep.study_path("study-000").mkdir(exist_ok=True)
        (sweep.study_path("study-000") / "study.json").write_text('{"num_trials": 6}')
        worker.run(sweep, "study-000", sweep_studies.RUNNERS["instant"], lambda: False)
        assert sweep.state("study-000").is_over and not sweep.problem("study-000")
        assert sweep_studies.found(sweep) == sweep_studies.expected(sweep)


def test_deaths_are_counted_only_without_progress():
    state = State().taken(0)
    assert (state.status, state.deaths) == ("running", 0)
    state = state.taken(0).taken(0)
    assert state.deaths == 2
    state = state.failed("an error", is_final=False)
    assert state.deaths == 0
    state = state.taken(3)  # the last owner had finished three trials
    assert (state.deaths, state.trials, state.failures) == (0, 3, ())
    for _ in range(19):
        state = state.taken(3)
    assert (state.status, state.deaths) == ("running", 19)
    state = state.taken(3)
    assert state.status == "failed" and "died 20 times" in state.failures[-1]


def test_failed_studies_can_be_retried(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    sweep.write_state("study-000", State("failed", 2, failures=("a", "b"), deaths=3, seconds=4.0))
    sweep_studies.end(sweep, "study-001")
    done = sweep.state("study-001")
    for name in sweep.specs:
        sweep.study_path(name).mkdir(exist_ok=True)
        sweep.retry(name)
    assert sweep.state("study-000") == State("waiting", 2, seconds=4.0)
    assert sweep.state("study-001") == done


def test_errors_are_retried_a_few_times():
    state = State("running").failed("one", is_final=False)
    assert (state.status, state.failures) == ("waiting", ("one",))
    state = state.failed("two", is_final=False).failed("three", is_final=False)
    assert (state.status, state.failures) == ("failed", ("one", "two", "three"))
    assert State("running").failed("fix it", is_final=True).status == "failed"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "../../x"}, r"studies.0.name must be a file name .*, got '\.\./\.\./x'"),
        ({"config": None}, "studies.0.config must be a dict, got None"),
        ({"reruns": "2"}, "studies.0.reruns must be an int, got '2'"),
        (
            {"reruns": 10**12},
            "studies.0.reruns must be an int from 0 to 100,000, got 1000000000000",
        ),
        ({"study": {"ranges": {"lr_init": {}}}}, "it describes no StudyConfig: KeyError"),
        ({"extra": 1}, "it has an unknown field 'extra'"),
        ({"transfer": "x"}, "studies.0.transfer must be null or one of .*, got 'x'"),
        ({"name": "study-001"}, "it has two studies of one name"),
        ({"study": {"num_trials": None}}, "studies.0.study.num_trials must be an int, got None"),
    ],
)
def test_an_odd_manifest_is_one_line(tmp_path, change, message):
    sweep = sweep_studies.make(tmp_path / "sweep", 2)
    held = json.loads((sweep.path / "sweep.json").read_text())
    held["studies"][0] |= change
    del held["crc32"]
    (sweep.path / "sweep.json").write_text(json.dumps(held))
    for lenient in (False, True):
        with pytest.raises(UserError, match=rf"sweep\.json: {message}") as error:
            Sweep.open(sweep.path, lenient)
        assert "\n" not in str(error.value)


def test_an_altered_state_is_derived_from_the_results(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.write_state("study-000", State("done", 4, wanted=6))
    path = sweep.path / "states/study-000.json"
    altered = path.read_text().replace('"trials": 4', '"trials": 6')
    path.write_text(altered)
    assert sweep.state("study-000") == DAMAGED
    for odd in ({"best": "x"}, {"failures": "ab"}, {"status": "gone"}, {"trials": 10**20}):
        values = dataclasses.asdict(State("done", 4, wanted=6)) | odd
        path.write_text(json.dumps(values))
        assert sweep.state("study-000") == DAMAGED


def test_a_link_in_place_of_a_log_is_not_followed(tmp_path):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    (tmp_path / "mine").write_text("mine")
    sweep.log_path("study-000").symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match=r"cannot use .*study-000\.txt"):
        worker.run(sweep, "study-000", worker.Studies(), lambda: False)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x81", None])
def test_a_gin_file_that_cannot_be_read_is_kept(tmp_path, content):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    first = sweep.path / "sweep.gin"
    first.write_bytes(content) if content else os.mkfifo(first)
    specs = [sweep_studies.spec(number) for number in range(2)]
    Sweep(sweep.path, specs).create("new")
    assert (sweep.path / "sweep-2.gin").read_text() == "new"
    assert first.read_bytes() == content if content else first.is_fifo()


def test_reruns_of_a_former_best_trial_do_not_count(tmp_path):
    """A study whose best trial changed has reruns of both, and needs those of the new one."""
    spec = sweep_studies.spec(0, num_trials=1)._replace(reruns=2)
    sweep = Sweep(tmp_path / "sweep", [spec])
    sweep.create()
    study = sweep.study_path("study-000")

    def add(file, run_id, objective, lr, *seeds):
        config = {"lr_init": lr, "seed": seeds[0], "data_seed": seeds[1]}
        values = {"max_params": spec.config.num_params, "config": config}
        TrialLog(study / file).append(records.record(run_id, objective, **values))

    study.mkdir()
    add("trials.jsonl", "0", 0.5, 0.1, 0, None)
    add("reruns.jsonl", "0001-a", 0.6, 0.1, 1, 1)
    add("reruns.jsonl", "0002-a", 0.7, 0.1, 2, 2)
    assert sweep.state("study-000") == State("done", 3, 0, 0, 0.5)
    sweep.write_state("study-000", dataclasses.replace(sweep.state("study-000"), wanted=3))

    grown = Sweep(sweep.path, [changed(spec, num_trials=2)])
    grown.create()
    assert grown.state("study-000").status == "waiting"
    add("trials.jsonl", "1", 0.4, 0.2, 0, None)  # the new best
    assert (grown.state("study-000").status, grown.num_ended("study-000")) == ("waiting", 2)
    add("reruns.jsonl", "0001-b", 0.6, 0.2, 1, 1)
    add("reruns.jsonl", "0002-c", 0.6, 0.2, 2, 0)  # with another seed for the weights only
    assert (grown.state("study-000").status, grown.num_ended("study-000")) == ("waiting", 3)
    add("reruns.jsonl", "0002-b", 0.6, 0.2, 2, 2)
    state = grown.state("study-000")
    assert (state.status, state.trials, state.best) == ("done", 4, 0.4)


def test_reruns_do_not_stand_for_trials(tmp_path):
    spec = sweep_studies.spec(0, num_trials=3)._replace(reruns=1)
    sweep = Sweep(tmp_path / "sweep", [spec])
    sweep.create()
    study = sweep.study_path("study-000")
    study.mkdir()
    for seed in range(6):
        values = {"config": {"seed": seed, "data_seed": seed}}
        log = TrialLog(study / ("reruns.jsonl" if seed else "trials.jsonl"))
        log.append(records.record(f"{seed}", 0.5, max_params=spec.config.num_params, **values))
    assert sweep.state("study-000") == State("waiting", 2)


def test_a_state_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    sweep = sweep_studies.make(tmp_path / "sweep", 1)
    sweep.create()
    read = json_files.read

    def refuse(path, *arguments):
        if path.parent.name == "states":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *arguments)

    monkeypatch.setattr(json_files, "read", refuse)
    note = "study-000.json cannot be read: Permission denied"
    assert sweep.state("study-000") == State(note=note)


def test_reruns_that_the_sweep_does_not_want_are_no_damage(tmp_path):
    spec = sweep_studies.spec(0, num_trials=1)
    sweep = Sweep(tmp_path / "sweep", [spec])
    sweep.create()
    study = sweep.study_path("study-000")
    study.mkdir()

    def add(file, seed):
        values = {"config": {"seed": seed, "data_seed": seed}}
        record = records.record(f"{seed}", 0.5, max_params=spec.config.num_params, **values)
        TrialLog(study / file).append(record)

    add("trials.jsonl", 0)
    state = dataclasses.replace(sweep.state("study-000"), seconds=7.0, wanted=1)
    sweep.write_state("study-000", state)
    add("reruns.jsonl", 1)
    assert sweep.state("study-000") == state and not state.note
    assert sweep.num_ended("study-000") == 1

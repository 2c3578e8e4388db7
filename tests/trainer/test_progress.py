"""The status line: what it says and when, with a clock that the tests set."""

import io
import itertools
import threading
import time

import pytest
import records
from absl import flags
from rich.console import Console

from trainer.cli import main as cli
from trainer.display.progress import Display, Steps
from trainer.display.words import count, duration
from trainer.errors import UserError
from trainer.export import __main__ as export_command
from tuning.sweep import __main__ as sweep_command


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def display(clock, is_terminal=False):
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=100, highlight=False)
    return Display(console, clock), file


@pytest.fixture
def by_hand(monkeypatch):
    """Let no thread look at the status line."""
    monkeypatch.setattr("trainer.display.progress.TICK", 1e9)
    wait = threading.Event.wait
    monkeypatch.setattr(threading.Event, "wait", lambda self, _=None: wait(self))


def test_a_log_is_never_silent_for_more_than_three_seconds(clock, by_hand):
    shown, file = display(clock)
    lines = []
    with shown.phase("compiling"):
        for tick in range(1, 361):
            clock.now = tick / 2
            shown.tick()
            new = file.getvalue().splitlines()[len(lines) :]
            lines += [(clock.now, line) for line in new]
    times = [0.0, *(at for at, _ in lines), 180.0]
    assert max(b - a for a, b in itertools.pairwise(times)) <= 3.0
    assert len(lines) < 180 / 2
    assert lines[0] == (0.5, "compiling, 0 s")
    assert lines[1] == (3.0, "compiling, 3 s")


def test_commands_name_what_they_wait_for(monkeypatch, capsys):
    def slow(*_):
        time.sleep(0.1)
        return "there"

    def refuse():
        slow()
        raise UserError("refused")

    monkeypatch.setattr("trainer.display.progress.TICK", 0.01)
    monkeypatch.setattr("trainer.display.progress.INTERVALS", (0.0, 0.0))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(cli, "start_backend", slow)
    monkeypatch.setattr(export_command, "export", slow)
    monkeypatch.setattr(export_command.RunDirectory, "read_record", lambda _: records.record())
    export_command.FLAGS(["export", "--run_dir=run", "--format=saved_model"])
    export_command.main()
    printed = capsys.readouterr().out
    assert "starting tensorflow, 0 s" in printed and "converting to saved_model, 0 s" in printed
    assert printed.endswith("exported there\n")
    monkeypatch.setattr(sweep_command, "_studies", refuse)
    sweep_command.FLAGS(["sweep"])
    with pytest.raises(UserError, match="refused"):
        sweep_command.main()
    assert "reading the studies, 0 s" in capsys.readouterr().out


def test_a_long_log_has_few_lines(clock, by_hand):
    shown, file = display(clock)
    with shown.status(lambda: "on"):
        for tick in range(2 * 3600):
            clock.now = tick / 2
            shown.tick()
    # One per 10 s, and about 240 more in the first quarter of an hour.
    assert 400 <= len(file.getvalue().splitlines()) <= 520


def test_a_message_postpones_the_line(clock, by_hand):
    shown, file = display(clock)
    with shown.status(lambda: "on"):
        shown.say("message")
        clock.now = 2.0
        shown.tick()
        assert file.getvalue() == "message\n"
        clock.now = 2.5
        shown.tick()
        assert file.getvalue() == "message\non\n"


def test_an_inner_phase_replaces_the_line_of_the_outer_one(clock, by_hand):
    shown, file = display(clock)
    with shown.phase("training"):
        with shown.phase("measuring"):
            shown.tick()
        clock.now = 3.0
        shown.tick()
    assert file.getvalue() == "measuring, 0 s\ntraining, 3 s\n"


def test_a_terminal_is_redrawn_at_every_look(clock, by_hand):
    shown, file = display(clock, is_terminal=True)
    with shown.phase("compiling"):
        for clock.now in (0.5, 1.2, 2.4):
            shown.tick()
    for text in ("compiling, 0 s", "compiling, 1 s", "compiling, 2 s"):
        assert text in file.getvalue()


def test_a_thread_shows_the_line_while_the_program_is_busy(monkeypatch):
    monkeypatch.setattr("trainer.display.progress.TICK", 0.001)
    called, (shown, file) = threading.Event(), display(Clock())
    with shown.status(lambda: called.set() or "busy"):
        assert called.wait(10)
    assert "busy\n" in file.getvalue()


def test_a_rate_is_shown_once_the_program_is_compiled(clock):
    steps = Steps(1000, 0, clock)
    clock.now = 12.0
    assert steps.line() == "compiling, 12 s"
    steps.update(100, 2.0, 50.0)
    assert steps.line() == "step 100/1,000  loss 2.0000  50.0 steps/s  18 s to go"
    clock.now = 22.0
    # Its last call is fast, but with measurements it has done 20 steps per second.
    steps.update(300, 1.0, 40.0)
    assert steps.line() == "step 300/1,000  loss 1.0000  40.0 steps/s  35 s to go"


def test_a_continued_run_counts_only_the_steps_since_it_is_warm(clock):
    steps = Steps(1000, 500, clock, width=10)
    steps.update(510, 2.0, 10.0)
    clock.now = 10.0
    steps.update(610, 2.0, 10.0)
    assert steps.line() == "step 610/1,000  ━━━━━━┄┄┄┄  loss 2.0000  10.0 steps/s  39 s to go"


def test_numbers_agree_with_their_nouns():
    assert count(1, "trial") == "1 trial"
    assert count(1200, "study", "studies") == "1,200 studies"
    assert [duration(s) for s in (99, 100, 6000, 48 * 3600)] == [
        "99 s",
        "2 min",
        "1.7 h",
        "2.0 days",
    ]


#: Brackets are rich's markup, and the others move the cursor, change the title or the direction.
ODD = "no :b: [/b] in [red]x[/red] \x1b]0;title\x07 \x1b[2J\u202e\x9b31m\r"


def test_odd_texts_are_printed_as_they_are_and_move_no_cursor(clock):
    for is_terminal in (False, True):
        shown, file = display(clock, is_terminal)
        shown.console.width = 200
        shown.say(f"a\tb {ODD}")
        shown.table(("name", ODD), [(ODD, "1")])
        with shown.phase(ODD):
            clock.now += 60
            shown.tick()
        text = file.getvalue()
        escaped = r"\x1b]0;title\x07 \x1b[2J\u202e\x9b31m\r"
        assert text.count(f"no :b: [/b] in [red]x[/red] {escaped}") >= 4
        assert not {"\x07", "\u202e", "\x9b"} & set(text) and "\x1b]" not in text


def test_an_error_moves_no_cursor(capsys):
    with pytest.raises(SystemExit):
        cli.fail(ValueError(f"it\nis {ODD}"))
    assert capsys.readouterr().err.startswith(
        r"error: it is no :b: [/b] in [red]x[/red] \x1b]0;title\x07"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 143572000000153752 bytes."),
        ValueError("OOM when allocating tensor with shape[9,9]"),
    ],
)
def test_too_little_memory_is_one_line(error, monkeypatch, capsys):
    def main():
        raise error

    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        cli.run(main, flags.FlagValues(), "")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: out of memory; use a smaller --batch_size")


def test_a_full_disk_is_one_line_with_what_tensorflow_says(monkeypatch, capsys):
    def main():
        raise RuntimeError("/data/variables_temp; No space left on device\nnode x")

    monkeypatch.setattr("sys.argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        cli.run(main, flags.FlagValues(), "")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: no space left for a file: free some, raise the limit of ulimit -f, or set "
        "RNN_ZOO_CACHE=off "
        "(/data/variables_temp; No space left on device node x)\n"
    )

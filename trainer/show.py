"""python -m trainer.show --run_dir=DIR: shows a run, or compares several."""

import functools
import io
import sys
from typing import Any

from absl import flags

from trainer import backend, names
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import TrainConfig, check_choice, check_range, is_registered, read_config
from trainer.errors import UserError
from trainer.storage.records import RunDirectory, RunRecord
from trainer.tasks import TASKS
from trainer.tasks.base import SPLITS

USAGE = """Shows a run: its model, its learning curve, and its answers to examples of its task.

  python -m trainer.show --run_dir=runs/NAME --num=3

Several runs are compared: the settings that differ, their results, and their curves in one picture.

  python -m trainer.show --run_dir=runs/A --run_dir=runs/B --out=curves.png

Flags:"""

FLAGS = flags.FlagValues()
_COMMON: dict[str, Any] = {"flag_values": FLAGS}
flags.DEFINE_multi_string(
    "run_dir", [], "directory of the run, or of a study's trial; several are compared", **_COMMON
)
flags.DEFINE_string("out", None, "PNG file of the curves of compared runs", **_COMMON)
flags.DEFINE_integer("num", 5, "number of examples to show", **_COMMON)
flags.DEFINE_string("split", "eval", f"split of the examples: {', '.join(SPLITS)}", **_COMMON)
flags.DEFINE_integer("seed", 0, "chooses the examples, and the text that is written", **_COMMON)
flags.DEFINE_string("prompt", None, "text8: text to continue; default: a held-out text", **_COMMON)
flags.DEFINE_integer("length", 200, "text8: number of characters to write", **_COMMON)
flags.DEFINE_float(
    "temperature", 0.8, "text8: 1 draws characters as predicted, 0 takes the likeliest", **_COMMON
)
train_flags.define_data(FLAGS)
cli.define_import(FLAGS)

#: Flags that show the answers of one run.
_OF_ONE_RUN = ("num", "split", "seed", "prompt", "length", "temperature", *train_flags.DATA)
#: Largest seed and length.
LARGEST = 2**31 - 1
#: Maximum number of examples, which are answered in one batch and must fit into memory.
MOST_EXAMPLES = 1000


def main() -> None:
    _check_flags()
    # A terminal that cannot show bars or special characters shows question marks.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if len(FLAGS.run_dir) > 1:
        _compare()
        return
    directory = RunDirectory(FLAGS.run_dir[0])
    record = directory.read_record()
    # A run of something that is not registered is shown too, except for its answers.
    config = _config(record) if is_registered(record.config) else None
    writes = config and TASKS[config.task].predicts_next and FLAGS.length > 0
    if FLAGS.num or writes:
        backend.check(cli.backend_name())
    from trainer.display.progress import Display
    from trainer.display.training import show_training

    display = Display()
    if edited := names.edited(record.code, record.config):
        display.say(edited)
    measurements = directory.read_metrics(record.identity)
    show_training(display, record, measurements)
    say = functools.cache(display.say)  # `load_model` has the same sentence
    if stranger := directory.stranger(record):
        say(stranger)
    if gaps := directory.gaps(record, record.steps_done, measurements):
        display.say(gaps)
    if FLAGS.num or writes:
        _answer(display, say, directory, record, config or _config(record), writes)


def _answer(display, say, directory, record, config, writes):
    """Print answers of the model to a few examples, and text that it writes."""
    if not directory.has_checkpoint:
        _refuse(display, record, f"no readable checkpoint in {directory.checkpoints}")
        return
    # Continuing a prompt needs no data.
    task = config.make_task() if FLAGS.num or FLAGS.prompt is None else None
    if task:
        record.check_data(task.describe(), directory.path)
    with display.phase(f"starting {cli.backend_name()}"):
        cli.start_backend()
    from trainer.export import load_model

    try:
        model, _ = load_model(FLAGS.run_dir[0], say)
    except UserError as problem:
        _refuse(display, record, problem)
        return
    if record.status == "infeasible":
        display.say("\nanswers of the last weights before the run diverged:")
    from trainer.display.answers import show_examples, show_text

    if task and FLAGS.num:
        show_examples(display, model, record, task, FLAGS.split, FLAGS.num, FLAGS.seed)
    if writes:
        how = (FLAGS.prompt, FLAGS.length, FLAGS.temperature, FLAGS.seed)
        show_text(display, model, record, task, *how)


def _compare() -> None:
    """Print what differs between several runs, and plot their curves."""
    from trainer.display import comparison
    from trainer.display.progress import Display
    from trainer.display.training import curve_points

    runs, display = [], Display()
    for path, name in zip(FLAGS.run_dir, comparison.names(FLAGS.run_dir), strict=True):
        directory = RunDirectory(path)
        record = directory.read_record()
        if stranger := directory.stranger(record):
            display.say(stranger)
        measurements = directory.read_metrics(record.identity)
        runs.append(comparison.Run(name, record, measurements or curve_points(record)))
    comparison.show_comparison(display, runs)
    if FLAGS.out:
        from trainer.display import curves

        curves.plot_comparison(FLAGS.out, runs)
        display.say(f"wrote {FLAGS.out}")
    else:
        display.say("--out=FILE plots their curves in one picture")


def _check_flags() -> None:
    """Refuse flags that are invalid for every run."""
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to show")
    if len(FLAGS.run_dir) > 1:
        for name in _OF_ONE_RUN:
            if FLAGS[name].present:
                raise UserError(
                    f"--{name} is for one run, and --run_dir names {len(FLAGS.run_dir)}"
                )
    elif FLAGS.out:
        raise UserError("--out is for the curves of compared runs: give --run_dir more than once")
    check_range("--num", FLAGS.num, 0, MOST_EXAMPLES, whole=True)
    check_choice("split", FLAGS.split, SPLITS)
    check_range("--seed", FLAGS.seed, 0, LARGEST, whole=True)
    check_range("--length", FLAGS.length, 0, LARGEST, whole=True)
    check_range("--temperature", FLAGS.temperature, 0, float("inf"))


def _config(record: RunRecord) -> TrainConfig:
    """Return the run's configuration; flags can replace the place of its data.

    Raises:
        UserError: a flag does not apply to the run's task, or the prompt has a character that is
            not in its vocabulary.
    """
    config = read_config(record.config, RunDirectory(FLAGS.run_dir[0]).record_path)
    task, prompt = TASKS[config.task], FLAGS.prompt
    vocabulary = task.vocabulary or ()
    for name in ("prompt", "length", "temperature"):
        if FLAGS[name].present and not task.predicts_next:
            raise UserError(
                f"--{name} is for text8 and other tasks that predict their next input, and the "
                f"task of this run is {config.task}; omit it"
            )
    for character in prompt or "":
        if character not in vocabulary:
            raise UserError(
                f"--prompt has {character!r}, not one of the {len(vocabulary)} symbols of "
                f"{config.task}: {''.join(vocabulary)!r}"
            )
    return train_flags.with_data(config, train_flags.data_of(FLAGS, config.task))


def _refuse(display, record, problem):
    """Print why a diverged run has no answers.

    Raises:
        UserError: the run did not diverge, so it should have answers.
    """
    if record.status != "infeasible":
        raise UserError(str(problem))
    display.say(f"\nthe run diverged and has no answers: {problem}")


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""python -m trainer.show --run_dir=DIR: what a run is, how it learned, and what it answers."""

import itertools
import statistics
import sys

from absl import flags

from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import TrainConfig, check_choice, check_range
from trainer.errors import UserError
from trainer.storage.records import RunDirectory
from trainer.tasks import TASKS
from trainer.tasks.base import SPLITS

USAGE = """Shows a run: its model, its learning curve, and its answers to examples of its task.

  python -m trainer.show --run_dir=runs/NAME --num=3

Flags:"""

FLAGS = flags.FlagValues()
_COMMON = {"flag_values": FLAGS}
flags.DEFINE_string("run_dir", None, "the directory of the run, or of a study's trial", **_COMMON)
flags.DEFINE_integer("num", 5, "how many examples to show; 0 for none", **_COMMON)
flags.DEFINE_string("split", "eval", f"of which split: {', '.join(SPLITS)}", **_COMMON)
flags.DEFINE_integer("seed", 0, "another number shows other examples and other text", **_COMMON)
flags.DEFINE_string("prompt", None, "text8: what to continue; a held-out text if none", **_COMMON)
flags.DEFINE_integer("length", 200, "text8: how many characters to write", **_COMMON)
flags.DEFINE_float(
    "temperature", 0.8, "text8: 1 draws characters as predicted, 0 takes the likeliest", **_COMMON
)
flags.DEFINE_string("text8_path", None, "the text8 file, if it is elsewhere by now", **_COMMON)
flags.DEFINE_string("text8_source", None, "pydoc: text from Python's documentation", **_COMMON)

#: No seed, step or number of samples may be above.
LARGEST = 2**31 - 1
#: Examples are drawn and answered in one batch, which this keeps within any memory.
MOST_EXAMPLES = 1000
BARS = "▁▂▃▄▅▆▇█"
#: Losses of a measurement -> what they are called.
LOSSES = {"train_loss": "training loss", "valid_loss": "validation loss"}
#: Points of a curve: as bars, and as rows of a table.
NUM_BARS, NUM_ROWS = 50, 10


def main():
    _check_flags()
    # A terminal that knows neither bars nor all parentheses shows question marks.
    sys.stdout.reconfigure(errors="replace")
    directory = RunDirectory(FLAGS.run_dir)
    record = directory.read_record()
    config = _config(record)
    writes = TASKS[config.task].predicts_next and FLAGS.length > 0
    from trainer.display.progress import Display

    display = Display()
    show_training(display, record, directory.read_metrics())
    if not FLAGS.num and not writes:
        return
    if not any(directory.checkpoints.glob("*.safetensors")):
        _refuse(display, record, f"no readable checkpoint in {directory.checkpoints}")
        return
    task = config.make_task() if FLAGS.num or FLAGS.prompt is None else None
    cli.start_backend()
    try:
        model = _load_finite()
    except UserError as problem:
        _refuse(display, record, problem)
        return
    if record.status == "infeasible":
        display.say("\nwhat follows are the answers of the last weights before it diverged")
    if FLAGS.num:
        _show_examples(display, model, config, task, record.units)
    if writes:
        _show_text(display, model, config, task)


def _check_flags():
    """Refuses what is wrong whatever the run is."""
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to show")
    check_range("--num", FLAGS.num, 0, MOST_EXAMPLES, whole=True)
    check_choice("split", FLAGS.split, SPLITS)
    check_range("--seed", FLAGS.seed, 0, LARGEST, whole=True)
    check_range("--length", FLAGS.length, 0, LARGEST, whole=True)
    check_range("--temperature", FLAGS.temperature, 0, float("inf"))


def _config(record):
    """The run's configuration, with the text that flags name in place of its own.

    Raises:
        UserError: the run is of a task to which a flag does not apply, or a character of the
            prompt is none of its symbols.
    """
    config = TrainConfig(**record.config)
    task, prompt = TASKS[config.task], FLAGS.prompt
    if prompt is not None and not task.predicts_next:
        raise UserError(f"--prompt is for text8, and this run is of the task {config.task}")
    if prompt == "":
        raise UserError("--prompt is empty; give a character at least, or leave it out")
    for character in prompt or "":
        if character not in task.vocabulary:
            raise UserError(
                f"--prompt has {character!r}, which is none of the {len(task.vocabulary)} symbols "
                f"of {config.task}: {''.join(task.vocabulary)!r}"
            )
    return train_flags.with_text8(config, FLAGS)


def show_training(display, record, measurements):
    """Prints what a run is, how far it came, its learning curve, and its losses.

    Args:
        display: a `progress.Display`.
        record: the `RunRecord`.
        measurements: list of dicts, the lines of `metrics.jsonl`; none for a trial of a study.
    """
    from trainer.display.progress import headline

    display.say(headline(record))
    display.say(status_line(record))
    measurements = measurements or curve_points(record)
    for name, label in LOSSES.items():
        losses = [m[name] for m in measurements if m.get(name) is not None]
        if losses:
            display.say(f"{label} {losses[0]:.4f} {bars(losses)} {losses[-1]:.4f}")
    if measurements:
        display.table(*curve_table(measurements))
    if record.metrics:
        display.splits(record)
    else:
        display.say(f"no losses on splits; the loss of chance is {record.chance_loss:.4f}")


def status_line(record):
    """How far a run came, as one line."""
    parts = [f"steps {record.steps_done:,} of {record.train_steps:,}"]
    if record.infeasible_at is None:
        parts.append(f"status {record.status}" + ", stopped early" * record.stopped_early)
    else:
        parts.append(f"status {record.status}: diverged at step {record.infeasible_at:,}")
    parts.append(f"{record.seconds:,.1f} s")
    if record.steps_per_second is not None:
        parts.append(f"{record.steps_per_second:,.1f} steps/s")
    return "   ".join([*parts, f"{record.backend}, seed {record.seed}"])


def curve_points(record):
    """The measurements that a record's `curve` holds: mean losses of the twentieths of its steps.

    A training of fewer than twenty steps has a point for each.
    """
    ends = {-(-part * record.train_steps // 20) for part in range(1, 21)}
    pairs = zip(sorted(ends), record.curve, strict=False)
    return [{"step": step, "train_loss": loss} for step, loss in pairs]


def bars(values):
    """A bar a value, as high as it lies between the lowest and the highest of them.

    More than `NUM_BARS` values are averaged in neighbourhoods: bars([3, 1, 2]) is "█▁▅".
    """
    num = min(len(values), NUM_BARS)
    ends = [index * len(values) // num for index in range(num + 1)]
    means = [statistics.fmean(values[a:b]) for a, b in itertools.pairwise(ends)]
    low, span = min(means), max(means) - min(means)
    levels = [(mean - low) / span if span else 0.0 for mean in means]
    return "".join(BARS[round(level * (len(BARS) - 1))] for level in levels)


def curve_table(measurements):
    """The measurements of a validation loss, or of the training loss where there is none.

    Returns:
        (names of columns, a few rows of text, the last measurement among them).
    """
    validated = [m for m in measurements if m.get("valid_loss") is not None]
    names = ("train_loss", "valid_loss") if validated else ("train_loss",)
    rows = validated or measurements
    stride = -(-len(rows) // NUM_ROWS)
    chosen = rows[::-1][::stride][::-1]  # from the end, as the last must be there
    cells = [(f"{m['step']:,}", *(f"{m[name]:.4f}" for name in names)) for m in chosen]
    return ("step", *(LOSSES[name] for name in names)), cells


def _refuse(display, record, problem):
    """Says of a diverged run why it has no answers; that another has none is a mistake.

    Raises:
        UserError: the run did not diverge.
    """
    if record.status != "infeasible":
        raise UserError(str(problem))
    display.say(f"\nit diverged and has no answers: {problem}")


def _load_finite():
    """The run's model.

    Raises:
        UserError: it has no readable checkpoint, or one of numbers that are not finite.
    """
    import keras
    import numpy as np

    from rnn_zoo.model import get_weights
    from trainer.export import load_model

    model, _ = load_model(FLAGS.run_dir)
    if not all(np.isfinite(array).all() for array in keras.tree.flatten(get_weights(model))):
        raise UserError(f"the weights in {FLAGS.run_dir} are not finite numbers")
    return model


def _show_examples(display, model, config, task, units):
    from keras import ops

    batch = _sample(config, task, FLAGS.split, FLAGS.num)
    outputs = ops.convert_to_numpy(model(batch.inputs))
    same = ", the one data set of all splits" if task.num_samples is not None else ""
    display.say(f"\nexamples of the split {FLAGS.split}{same}")
    for index in range(FLAGS.num):
        finite = bool(ops.all(ops.isfinite(outputs[index])))
        display.say(
            f"\n{task.answer(batch, index, outputs, units)}"
            if finite
            else f"\n{task.example(batch, index)}\nno answer: its outputs are not finite numbers"
        )


def _show_text(display, model, config, task):
    from keras import ops

    from trainer.generate import generate

    vocabulary = TASKS[config.task].vocabulary
    if FLAGS.prompt is None:
        inputs = _sample(config, task, "eval", 1).inputs[0]
        codes = [int(code) for code in ops.convert_to_numpy(ops.argmax(inputs, axis=-1))]
    else:
        codes = [vocabulary.index(character) for character in FLAGS.prompt]
    added = generate(model, codes, FLAGS.length, FLAGS.temperature, FLAGS.seed)
    before, after = ("".join(vocabulary[code] for code in part) for part in (codes, added))
    whence = "a held-out text" if FLAGS.prompt is None else "the prompt"
    display.say(
        f'\n{whence}, "{before}", continued at temperature {FLAGS.temperature:g}, '
        f'seed {FLAGS.seed}\n"{after}"'
    )
    if len(added) < FLAGS.length:
        display.say("here its outputs stopped being finite numbers")


def _sample(config, task, split, num):
    """Samples as the run drew them: a fixed data set would be another under another seed."""
    seed = config.seed if config.data_seed is None else config.data_seed
    return task.sample(split, seed, num, step=FLAGS.seed)


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""python -m trainer.export --run_dir=DIR: a trained run in a form that loads without us."""

import os

from absl import flags

from rnn_zoo.quantization import GRANULARITIES, MAX_BITS, MIN_BITS
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import check_choice, check_range
from trainer.errors import UserError
from trainer.export import FORMATS, check_format, export
from trainer.storage.records import RunDirectory

USAGE = """Exports a trained run, into the run's directory.

  python -m trainer.export --run_dir=runs/NAME
  python -m trainer.export --run_dir=runs/NAME --format=litert,onnx --bits=8

Flags:"""

FLAGS = flags.FlagValues()
_COMMON = {"flag_values": FLAGS}
flags.DEFINE_string("run_dir", None, "the directory of the run", **_COMMON)
flags.DEFINE_multi_string(
    "format", ["saved_model"], f"{', '.join(FORMATS)}, or several with commas between", **_COMMON
)
flags.DEFINE_integer(
    "bits", None, f"round the weights to so many bits each, {MIN_BITS} to {MAX_BITS}", **_COMMON
)
flags.DEFINE_string(
    "granularity", "row", f"one scale for each of these: {', '.join(GRANULARITIES)}", **_COMMON
)
flags.DEFINE_integer("batch_size", 1, "litert: sequences that are answered at once", **_COMMON)
flags.DEFINE_integer("time_steps", None, "litert: of a sequence; the task's if none", **_COMMON)


def main():
    formats = _checked_formats()
    RunDirectory(FLAGS.run_dir).read_record()
    # Weights are the same on every backend; the formats are written by TensorFlow.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    cli.start_backend()
    for format in formats:
        path = export(
            FLAGS.run_dir,
            format,
            FLAGS.bits,
            FLAGS.granularity,
            FLAGS.batch_size,
            FLAGS.time_steps,
        )
        print(f"exported {path}")


def _checked_formats():
    """The formats asked for, with all flags checked that can be before a backend starts."""
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to export")
    formats = [name for value in FLAGS.format for name in value.split(",")]
    for name in formats:
        check_format(name)
    check_choice("--granularity", FLAGS.granularity, GRANULARITIES)
    if FLAGS.bits is not None:
        check_range("--bits", FLAGS.bits, MIN_BITS, MAX_BITS, whole=True)
    train_flags.check_positive(FLAGS, "batch_size", "time_steps")
    return formats


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

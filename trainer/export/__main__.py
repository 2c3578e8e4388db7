"""python -m trainer.export --run_dir=DIR: exports a trained run to other formats."""

import os
from typing import Any

from absl import flags

from rnn_zoo.quantization import GRANULARITIES, MAX_BITS, MIN_BITS
from trainer import names
from trainer.cli import main as cli
from trainer.config import check_choice, check_range
from trainer.errors import UserError
from trainer.export import FORMATS, check_format, export
from trainer.export.litert import MOST_VALUES
from trainer.storage.records import RunDirectory

USAGE = """Exports a trained run, into the run's directory.

  python -m trainer.export --run_dir=runs/NAME
  python -m trainer.export --run_dir=runs/NAME --format=litert,onnx --bits=8

Flags:"""

FLAGS = flags.FlagValues()
_COMMON: dict[str, Any] = {"flag_values": FLAGS}
flags.DEFINE_string("run_dir", None, "directory of the run", **_COMMON)
flags.DEFINE_multi_string(
    "format", ["saved_model"], f"comma-separated list of {', '.join(FORMATS)}", **_COMMON
)
flags.DEFINE_integer(
    "bits", None, f"number of bits to round weights to, {MIN_BITS} to {MAX_BITS}", **_COMMON
)
flags.DEFINE_string("granularity", "row", f"one scale per: {', '.join(GRANULARITIES)}", **_COMMON)
flags.DEFINE_integer("batch_size", 1, "litert: number of sequences per call; 0: any", **_COMMON)
flags.DEFINE_integer(
    "time_steps", None, "litert: length of a sequence; 0: any; default: the task's", **_COMMON
)
cli.define_import(FLAGS)


def main() -> None:
    formats = _checked_formats()
    record = RunDirectory(FLAGS.run_dir).read_record()
    # TensorFlow writes all formats, whatever backend trained the weights.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from trainer.display.progress import Display

    display = Display()
    if edited := names.edited(record.code, record.config):
        display.say(edited)
    with display.phase("starting tensorflow"):
        cli.start_backend()
    for format in formats:
        with display.phase(f"converting to {format}"):
            path = export(
                FLAGS.run_dir,
                format,
                FLAGS.bits,
                FLAGS.granularity,
                FLAGS.batch_size,
                FLAGS.time_steps,
            )
        display.say(f"exported {path}")


def _checked_formats():
    """Return the requested formats; check all flags without starting a backend."""
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to export")
    formats = [name for value in FLAGS.format for name in value.split(",")]
    for name in formats:
        check_format(name)
    check_choice("--granularity", FLAGS.granularity, GRANULARITIES)
    cli.check_owners(FLAGS, {"granularity": "bits"})
    if FLAGS.bits is not None:
        check_range("--bits", FLAGS.bits, MIN_BITS, MAX_BITS, whole=True)
    for name in ("batch_size", "time_steps"):
        if FLAGS[name].value is not None:
            check_range(f"--{name} (0: any)", FLAGS[name].value, 0, MOST_VALUES, whole=True)
        if FLAGS[name].present and "litert" not in formats:
            raise UserError(f"--{name} has no effect on {', '.join(formats)}, only on litert")
    return formats


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""python -m trainer.quantize --run_dir=DIR: the loss of a run for each number of bits a weight."""

import csv
import pathlib

from absl import flags

from rnn_zoo.quantization import GRANULARITIES, MAX_BITS, MIN_BITS
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import TrainConfig, check_choice, check_range
from trainer.errors import UserError
from trainer.storage.files import whole
from trainer.storage.records import RunDirectory

USAGE = """Rounds a finished run's weights to few bits each and measures the eval loss again.

  python -m trainer.quantize --run_dir=runs/NAME --bits=8,6,5,4,3

writes losses.csv, losses.png and a packed model a line of the table, as 5bit_row.safetensors.

Flags:"""

FLAGS = flags.FlagValues()
_COMMON = {"flag_values": FLAGS}
flags.DEFINE_string("run_dir", None, "the directory of the run", **_COMMON)
flags.DEFINE_list("bits", ["8", "6", "5", "4", "3", "2"], "bits a weight, several", **_COMMON)
flags.DEFINE_list(
    "granularity",
    list(GRANULARITIES),
    f"one scale for each of these: {', '.join(GRANULARITIES)}, or both",
    **_COMMON,
)
flags.DEFINE_string("out", None, "where to write; quantized/ in the run's if none", **_COMMON)
flags.DEFINE_string("text8_path", None, "the text8 file, if it is elsewhere by now", **_COMMON)
flags.DEFINE_string("text8_source", None, "pydoc: text from Python's documentation", **_COMMON)


def main():
    bits = _checked_bits()
    directory = RunDirectory(FLAGS.run_dir)
    record = directory.read_record()
    config = train_flags.with_text8(TrainConfig(**record.config), FLAGS)
    if record.eval_loss is None:
        way_out = "take another" if record.status == "infeasible" else "finish it with --resume"
        raise UserError(f"{directory.path} has no eval loss: it is {record.status}; {way_out}")
    cli.start_backend()
    from trainer.quantize.measure import MeasuredRun
    from trainer.quantize.plot import plot

    run = MeasuredRun(directory, record, config)
    out = pathlib.Path(FLAGS.out or directory.path / "quantized")
    out.mkdir(parents=True, exist_ok=True)
    rows = measure(run, bits, FLAGS.granularity, out)
    write_table(out / "losses.csv", rows)
    plot(out / "losses.png", record, rows)
    show(rows, record, out)


def measure(run, bits, granularities, out):
    """Measures a run with its weights quantised in several ways, and packs each.

    Args:
        run: the `MeasuredRun`.
        bits: list of bits a weight.
        granularities: list of them.
        out: path of the directory for the packed models.

    Returns:
        list of dicts of bits, granularity, loss and the task's other metrics, bytes (of the file)
        and storage_bits (8 · bytes / parameters); the first is of the weights as they are. Of a
        model whose loss is not finite, the metrics are None.
    """
    from rnn_zoo.quantization import quantize
    from trainer.quantize import packed

    rows = [_row(run, 32, "", run.metrics, 4 * run.record.num_params)]
    for granularity in granularities:
        for number in bits:
            metrics = run.measure(quantize(run.weights, number, granularity))
            path = out / f"{number}bit_{granularity}.safetensors"
            loss = metrics and metrics["loss"]
            packed.write(path, run.record, run.weights, number, granularity, loss)
            rows.append(_row(run, number, granularity, metrics, path.stat().st_size))
    return rows


def _row(run, bits, granularity, metrics, num_bytes):
    scalars = [name for name, value in run.metrics.items() if isinstance(value, float)]
    return {
        "bits": bits,
        "granularity": granularity,
        **{name: metrics and metrics[name] for name in scalars},
        "bytes": num_bytes,
        "storage_bits": 8 * num_bytes / run.record.num_params,
    }


def write_table(path, rows):
    """Writes the rows of `measure` as CSV; what is None is left empty."""
    with whole(path, "w") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def show(rows, record, out):
    """Prints the rows of `measure`, and where their files are."""
    from trainer.display.progress import Display

    display = Display()
    names = [name for name in rows[0] if name not in ("bits", "granularity", "bytes")]
    table = [
        (
            str(row["bits"]),
            row["granularity"],
            *("not finite" if row[name] is None else f"{row[name]:.4f}" for name in names),
            f"{row['bytes']:,}",
        )
        for row in rows
    ]
    display.table(("bits", "scale per", *names, "bytes"), table)
    display.say(f"the loss of chance is {record.chance_loss:.4f}; all files are in {out}")


def _checked_bits():
    """The numbers of bits, with all flags checked that can be before a backend starts."""
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to quantise")
    for value in FLAGS.bits:
        check_range("--bits", int(value) if value.isdecimal() else value, MIN_BITS, MAX_BITS, True)
    for value in FLAGS.granularity:
        check_choice("--granularity", value, GRANULARITIES)
    return [int(value) for value in FLAGS.bits]


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""python -m trainer.quantize --run_dir=DIR: measures a run's loss at fewer bits per weight."""

import csv
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from rnn_zoo.files import whole
from rnn_zoo.quantization import GRANULARITIES, MAX_BITS, MIN_BITS
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import check_choice, check_range, read_config
from trainer.errors import UserError
from trainer.storage.files import refuse_link
from trainer.storage.records import RunDirectory, RunRecord

if TYPE_CHECKING:
    from trainer.quantize.measure import MeasuredRun

USAGE = """Rounds a finished run's weights to a few bits and measures the eval loss again.

  python -m trainer.quantize --run_dir=runs/NAME --bits=8,6,5,4,3

writes losses.csv, losses.png and a packed model per line of the table, such as
5bit_row.safetensors.

Flags:"""

FLAGS = flags.FlagValues()
_COMMON: dict[str, Any] = {"flag_values": FLAGS}
flags.DEFINE_string("run_dir", None, "directory of the run", **_COMMON)
flags.DEFINE_list(
    "bits", ["8", "6", "5", "4", "3", "2"], "comma-separated numbers of bits per weight", **_COMMON
)
flags.DEFINE_list(
    "granularity",
    list(GRANULARITIES),
    f"one scale per: comma-separated list of {', '.join(GRANULARITIES)}",
    **_COMMON,
)
flags.DEFINE_string("out", None, "directory to write; default: quantized/ in the run's", **_COMMON)
train_flags.define_data(FLAGS)
cli.define_import(FLAGS)


def main() -> None:
    bits = _checked_bits()
    directory = RunDirectory(FLAGS.run_dir)
    out = pathlib.Path(FLAGS.out or directory.path / "quantized")
    if not FLAGS.out:
        refuse_link(out)
    record = directory.read_record()
    config = read_config(record.config, directory.record_path)
    config = train_flags.with_data(config, train_flags.data_of(FLAGS, config.task))
    if record.eval_loss is None:
        way_out = "choose another" if record.status == "infeasible" else "finish it with --resume"
        raise UserError(f"{directory.path} has no eval loss, as it is {record.status}; {way_out}")
    cli.start_backend()
    from trainer.quantize.measure import MeasuredRun
    from trainer.quantize.plot import plot

    run = MeasuredRun(directory, record, config)
    out.mkdir(parents=True, exist_ok=True)
    rows = measure(run, bits, dict.fromkeys(FLAGS.granularity), out)
    write_table(out / "losses.csv", rows)
    plot(out / "losses.png", record, rows)
    show(rows, record, out)


def measure(
    run: "MeasuredRun", bits: Sequence[int], granularities: Iterable[str], out: pathlib.Path
) -> list[dict]:
    """Measure a run with weights quantised in several ways, and write the packed models.

    Args:
        run: the run.
        bits: numbers of bits per weight.
        granularities: names in `GRANULARITIES`.
        out: directory of the packed models.

    Returns:
        A dict per model, the original one first: bits, granularity, loss and the task's other
        metrics (None if the loss is not finite), bytes of the file, and storage_bits (8 · bytes /
        parameters).
    """
    from rnn_zoo.quantization import quantize
    from trainer.quantize import packed

    rows = [_row(run, 32, "", run.metrics, 4 * run.record.num_params)]
    for granularity in granularities:
        for number in bits:
            metrics = run.measure(quantize(run.weights, number, granularity))
            path = out / _file_name(number, granularity)
            loss = metrics["loss"] if metrics else None
            packed.write(path, run.record, run.weights, number, granularity, loss)
            rows.append(_row(run, number, granularity, metrics, path.stat().st_size))
    return rows


def _file_name(bits, granularity):
    return f"{bits}bit_{granularity}.safetensors"


def _row(run, bits, granularity, metrics, num_bytes):
    scalars = [name for name, value in run.metrics.items() if isinstance(value, float)]
    return {
        "bits": bits,
        "granularity": granularity,
        **{name: metrics and metrics[name] for name in scalars},
        "bytes": num_bytes,
        "storage_bits": 8 * num_bytes / run.record.num_params,
    }


def write_table(path: pathlib.Path, rows: Sequence[dict]) -> None:
    """Write the rows of `measure` as CSV; None is empty."""
    with whole(path, "w") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def show(rows: Sequence[dict], record: RunRecord, out: pathlib.Path) -> None:
    """Print the rows of `measure` and the directory of the files."""
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
    display.say(f"the chance loss is {record.chance_loss:.4f}; all files are in {out}")
    found = {path.name for path in out.glob(_file_name("*", "*"))}
    if older := sorted(found - {_file_name(row["bits"], row["granularity"]) for row in rows}):
        display.say(f"packed by an earlier call, and not in losses.csv: {', '.join(older)}")


def _checked_bits():
    """Return the numbers of bits; check all flags without starting a backend."""
    if not FLAGS.run_dir:
        raise UserError("--run_dir is missing: the directory of the run to quantise")
    for value in FLAGS.bits:
        check_range("--bits", int(value) if value.isdecimal() else value, MIN_BITS, MAX_BITS, True)
    for value in FLAGS.granularity:
        check_choice("--granularity", value, GRANULARITIES)
    return list(dict.fromkeys(map(int, FLAGS.bits)))


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

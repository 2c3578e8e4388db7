"""python -m tuning.show --study_dir=DIR: shows the best trials of a study, even while it runs."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from absl import flags

from trainer.cli import main as cli
from trainer.errors import UserError
from trainer.storage.files import whole
from trainer.storage.records import RunRecord
from tuning.study import log

if TYPE_CHECKING:
    from trainer.display.progress import Display

USAGE = """Shows the best trials of a study and exports all of them.

  python -m tuning.show --study_dir=studies/NAME --csv=trials.csv

Flags:"""

FLAGS = flags.FlagValues()
flags.DEFINE_string("study_dir", None, "directory of the study", flag_values=FLAGS)
flags.DEFINE_integer("num", 10, "number of trials to show", flag_values=FLAGS)
flags.DEFINE_string("csv", None, "CSV file to write all trials to", flag_values=FLAGS)
flags.DEFINE_string("parquet", None, "Parquet file to write all trials to", flag_values=FLAGS)


def main():
    if not FLAGS.study_dir:
        raise UserError("--study_dir is missing: the directory of the study to show")
    path = pathlib.Path(FLAGS.study_dir, "trials.jsonl")
    if not path.exists():
        raise UserError(f"{FLAGS.study_dir} holds no study (no trials.jsonl)")
    if FLAGS.num < 0:
        raise UserError(f"--num must be at least 0, got {FLAGS.num}")
    records, bad = log.read(path)
    from trainer.display.progress import Display

    display = Display()
    if bad:
        display.say(f"{path}: {bad} line{'s'[: bad > 1]} incomplete or damaged")
    show(records.values(), FLAGS.num, display)
    for kind in ("csv", "parquet"):
        if FLAGS[kind].value:
            export(records.values(), FLAGS[kind].value, kind)
            display.say(f"wrote {len(records)} trials to {FLAGS[kind].value}")


def show(records: Iterable[RunRecord], num: int, display: "Display") -> None:
    """Prints the number of trials and a table of the best ones."""
    records = list(records)
    infeasible = sum(record.status == "infeasible" for record in records)
    early = sum(record.stopped_early for record in records)
    share = infeasible / len(records) if records else 0.0
    display.say(
        f"{len(records)} trials, {infeasible} infeasible ({share:.1%})"
        + (f", {early} stopped early" if early else "")
        + f", {num_proposed(records)} proposed by the search"
    )
    ranked = log.ranked(records)
    if not ranked or not num:
        return
    columns = "trial,origin,objective,eval loss,steps,optimizer,lr_init,s(),b^fg".split(",")
    rows = [
        (
            record.run_id,
            record.origin or "-",
            f"{record.objective:.4f}",
            f"{record.eval_loss:.4f}",
            f"{record.steps_done:,}",
            record.hparams["optimizer"],
            f"{record.hparams['lr_init']:.2e}",
            str(record.hparams["activation"] or "-"),
            _numbers(record.hparams["gate_bias"]),
        )
        for record in ranked[:num]
    ]
    display.table(columns, rows)


def num_proposed(records: Iterable[RunRecord]) -> int:
    """Counts the trials that the search's model proposed; the others were drawn or given."""
    return sum(record.origin == "search" for record in records)


def _numbers(value):
    """Formats a number, or those of a dict, to two decimal places."""
    numbers = value.values() if isinstance(value, dict) else [value]
    return ", ".join(f"{number:.2f}" for number in numbers) or "-"


def export(records: Iterable[RunRecord], path: str, kind: str) -> None:
    """Writes one row per trial, with one column per nested value (`hparams.lr_init`).

    Args:
        records: the trials.
        path: the file to write.
        kind: "csv" or "parquet".

    Raises:
        UserError: pandas or pyarrow is not installed.
    """
    try:
        import pandas

        if kind == "parquet":
            import pyarrow  # noqa: F401 - pandas needs it to write Parquet
    except ImportError as error:
        raise UserError(
            f"--csv and --parquet need {error.name}: pip install 'rnn-zoo[report]'"
        ) from None
    frame = pandas.json_normalize([dataclasses.asdict(record) for record in records])
    with whole(path) as file:
        if kind == "csv":
            frame.to_csv(file, index=False, mode="wb")
        else:
            frame.to_parquet(file, index=False)


def run():
    """Runs the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

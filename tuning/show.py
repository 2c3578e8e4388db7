"""python -m tuning.show --study_dir=DIR: shows a study or a sweep, even while it runs."""

import math
import pathlib
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from absl import flags

from rnn_zoo.files import whole
from trainer.cli import main as cli
from trainer.config import OPTIONS, without_effect
from trainer.display.words import cell, count
from trainer.errors import UserError, extra
from trainer.storage.differences import flat
from trainer.storage.lease import Watch
from trainer.storage.records import RunRecord
from tuning.study import consistency, identity, log

if TYPE_CHECKING:
    from trainer.display.progress import Display

USAGE = """Shows the best trials of a study, or the best of each study of a sweep, and exports all.

  python -m tuning.show --study_dir=studies/NAME --csv=trials.csv

Flags:"""

#: Columns of the table of trials. The last has depth, batch size and options of task, cell and
#: optimizer, and is left out if no search chose any.
COLUMNS = "trial,origin,objective,eval loss,steps,optimizer,lr_init,s(),b^fg,options".split(",")

FLAGS = flags.FlagValues()
flags.DEFINE_string("study_dir", None, "directory of the study, or of a sweep", flag_values=FLAGS)
flags.DEFINE_integer("num", 10, "number of trials to show", flag_values=FLAGS)
flags.DEFINE_string("csv", None, "CSV file to write all trials to", flag_values=FLAGS)
flags.DEFINE_string("parquet", None, "Parquet file to write all trials to", flag_values=FLAGS)
cli.define_import(FLAGS)


def main():
    if not FLAGS.study_dir:
        raise UserError("--study_dir is missing: the directory of the study or sweep to show")
    if FLAGS.num < 0:
        raise UserError(f"--num must be at least 0, got {FLAGS.num}")
    from trainer.display.progress import Display

    path, display = pathlib.Path(FLAGS.study_dir), Display()
    (_sweep if (path / "sweep.json").exists() else _study)(path, display)
    for kind in ("csv", "parquet"):
        if out := FLAGS[kind].value:
            display.say(f"wrote {count(export(path, out, kind), 'trial')} to {out}")


def _study(path, display):
    """Show a study, which may not have finished a trial yet."""
    # A study that is starting has a lease alone.
    files = (log.TRIALS, "study.json", "lease.json", log.GIVEN)
    if not any(log.file_of(path / name).exists() for name in files):
        raise UserError(f"{path} holds no study (no study.json) and no sweep (no sweep.json)")
    settings = identity.read(path, identity.Facts) or {}
    if identity.is_lost(path):
        display.say(f"{path} has lost its study.json, so its ranges are unknown")
    held = settings.get("config")
    records = _said(consistency.read(path, held), display)
    if not held and log.file_of(path / log.GIVEN).exists():
        records += _said(consistency.read_log(path / log.GIVEN), display)
    reruns = _said(consistency.read_log(path / log.RERUNS), display)
    if held:
        wanted = count(settings.get("num_trials", len(records)), "trial")
        ranges = settings.get("study", {}).get("ranges", {})
        depth = "searched" if "depth" in ranges else held["depth"]
        display.say(
            f"task {held['task']}   architecture {held['arch']}   depth {depth}   budget "
            f"{held['num_params']:,}   {len(records)} of {wanted}"
            + (f"   {count(len(reruns), 'rerun')}" if reruns else "")
        )
    if not Watch().is_free(path):
        display.say("the study is running" + ("; no trial has finished yet" * (not records)))
    elif not records:
        display.say("no trial has finished; run the study's command again to continue it")
    if records:
        show(records, FLAGS.num, display)


def _sweep(path, display):
    """Show the studies of a sweep with the best trial of each."""
    from tuning.sweep.directory import Sweep
    from tuning.sweep.status import say_problems

    with display.phase(f"reading {path}"):
        sweep, found = Sweep.open(path, lenient=True), {}
        for name, spec in sweep.specs.items():
            config = vars(spec.config) if spec.is_known else None
            found[name] = _said(consistency.read(sweep.study_path(name), config), display)
    rows = []
    for name, records in found.items():
        done = f"{len(records)}/{sweep.specs[name].study.num_trials}"
        best = log.ranked(records)[:1]
        cells = _row(best[0], _listed(records)) if best else "-" * len(COLUMNS)
        rows.append((name, done, *cells))
    _table(display, ("study", "trials", *COLUMNS), rows)
    every = [record for records in found.values() for record in records]
    display.say(f"{count(len(rows), 'study', 'studies')}: {_counts(every)}")
    say_problems(sweep, display)
    display.say(f"states and times: python -m tuning.sweep --status {path}")


def _said(found, display):
    """Return the records of a log; report those damaged, lost or of another study."""
    for problem in found.problems:
        display.say(problem)
    return list(found.records.values())


def show(records: Iterable[RunRecord], num: int, display: "Display") -> None:
    """Print the number of trials and a table of the best ones."""
    records = list(records)
    display.say(_counts(records))
    versions: dict[str, set[str | None]] = {}
    for record in records:
        for module, version in record.code.items():
            versions.setdefault(module, set()).add(version)
    for module, found in versions.items():
        if len(found) > 1:
            display.say(f"{module}: edited between the trials, {len(found)} versions")
    ranked, names = log.ranked(records), _listed(records)
    if ranked and num:
        _table(display, COLUMNS, [_row(record, names) for record in ranked[:num]])


def _table(display, columns, rows):
    end = None if any(row[-1] != "-" for row in rows) else -1
    display.table(columns[:end], [row[:end] for row in rows])


def _counts(records):
    """Describe the trials of a study in one line."""
    infeasible = sum(record.status == "infeasible" for record in records)
    early = sum(record.stopped_early for record in records)
    share = infeasible / len(records) if records else 0.0
    return (
        f"{count(len(records), 'trial')}, {infeasible} infeasible ({share:.1%})"
        + (f", {early} stopped early" if early else "")
        + f", {num_proposed(records)} proposed by the search"
    )


def _row(record, names):
    """Return a trial's cells of `COLUMNS`, the last with the values of these names."""
    return (
        record.run_id,
        record.origin or "-",
        f"{record.objective:.4f}",
        f"{record.eval_loss:.4f}",
        f"{record.steps_done:,}",
        record.hparams.get("optimizer", "-"),
        f"{record.hparams.get('lr_init', math.nan):.2e}",
        str(record.hparams["activation"] or "-"),
        _gate_bias(record),
        _options(record, names),
    )


def _gate_bias(record):
    is_idle = "gate_bias" in without_effect({"arch": record.arch} | record.hparams)
    return "-" if is_idle else _numbers(record.hparams.get("gate_bias", {}))


def _listed(records):
    """Return the names that the column of options shows, if these were searched.

    Given sets of hyperparameters come from no search: there it shows those that differ.
    """
    names = dict.fromkeys(name for record in records for name in record.searched)
    if not names:
        every = [_values(record) for record in records]
        found = dict.fromkeys(name for values in every for name in values)
        names = [n for n in found if len({repr(values.get(n)) for values in every}) > 1]
    return [n for n in names if n in ("depth", "batch_size") or n.partition(".")[0] in OPTIONS]


def _values(record):
    """Return the hyperparameters of a trial, one per option, and its depth."""
    return {"depth": record.depth} | flat(record.hparams)


def _options(record, names):
    """Return the values of these names in words."""
    values, found = _values(record), []
    for name in names:
        option = name.rpartition(".")[2]
        if name in values:
            value = values[name]
            found.append(
                f"{option} {value:.3g}" if isinstance(value, float) else f"{option} {value}"
            )
    return ", ".join(found) or "-"


def num_proposed(records: Iterable[RunRecord]) -> int:
    """Count the trials that the search's model proposed; the others were drawn or given."""
    return sum(record.origin == "search" for record in records)


def _numbers(value):
    """Format a number, or those of a dict, to two decimal places."""
    numbers = value.values() if isinstance(value, dict) else [value]
    return ", ".join(f"{number:.2f}" for number in numbers) or "-"


def export(path: str | pathlib.Path, out: str, kind: str) -> int:
    """Write the table of `tuning.load`: one row per trial, and a column per hyperparameter.

    Args:
        path: the study or sweep.
        out: the file to write.
        kind: "csv" or "parquet".

    Returns:
        The number of trials.

    Raises:
        UserError: there is no trial yet, pandas or pyarrow is not installed, or Parquet cannot hold
            the values.
    """
    from tuning.loading import load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # damaged lines, which are reported above
        frame = load(path)
    with whole(out) as file:
        if kind == "csv":
            is_text = frame.dtypes.map(lambda dtype: dtype.kind == "O")
            texts = {name: frame[name].map(cell) for name in frame.columns[is_text]}
            frame.assign(**texts).rename(columns=cell).to_csv(file, index=False, mode="wb")
        else:
            try:
                with extra("report", "--parquet"):
                    frame.to_parquet(file, index=False)
            except (TypeError, ValueError) as error:  # a column of several types
                reason = str(error).splitlines()[0]
                raise UserError(f"cannot write {out}: {reason}; use --csv") from None
    return len(frame)


def run():
    """Run the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""python -m tuning.presets --runs=DIR --out=rnn_zoo/presets: makes presets from sweeps.

Each combination of task, architecture, depth and budget that was searched gives one preset: the
hyperparameters of its best trial on the `valid` split. Presets that match `--train` are trained
again with these hyperparameters and get weights. Other presets that already have weights are left
unchanged.
"""

import dataclasses
import fnmatch
import importlib
import json
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from absl import flags

from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from rnn_zoo.files import locked, whole, write_json
from rnn_zoo.presets import INDEX, Preset, files_of, preset, sha256_of
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import check_range, config_of, read_config
from trainer.errors import UserError
from trainer.storage import json_files
from trainer.storage.files import refuse_link
from trainer.storage.records import RunRecord
from tuning import options
from tuning.study import consistency, identity, log

USAGE = """Makes presets from the best trials of sweeps and studies.

  python -m tuning.presets --runs=runs/presets --out=rnn_zoo/presets --train='parens/*'

Flags:"""

FLAGS = flags.FlagValues()


def _define():
    common = {"flag_values": FLAGS}
    flags.DEFINE_list("runs", [], "comma-separated directories of sweeps and studies", **common)
    flags.DEFINE_string(
        "out", None, "directory of the presets; rnn_zoo/presets in the package", **common
    )
    flags.DEFINE_list(
        "train", [], "presets that get weights: names, where * matches any text", **common
    )
    flags.DEFINE_string("work", "runs/presets_trained", "directory to train them in", **common)
    flags.DEFINE_float(
        "longer", 1.0, "factor from the best trial's training steps to theirs", **common
    )
    train_flags.define_data(FLAGS)
    cli.define_import(FLAGS)


_define()


def main():
    for name in ("runs", "out"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing")
    found = best_trials(FLAGS.runs)
    if not found:
        raise UserError(f"no feasible trial in {', '.join(FLAGS.runs)}")
    for pattern in FLAGS.train:
        if not fnmatch.filter(found, pattern):
            raise UserError(f"--train: no preset matches {pattern}; there are {', '.join(found)}")
    check_range("--longer", FLAGS.longer, 0, math.inf, open_below=True)
    chosen = {name for pattern in FLAGS.train for name in fnmatch.filter(found, pattern)}
    _check_surroundings(found, chosen)
    if chosen:
        cli.start_backend()
    for name, (record, search) in found.items():
        weights = None
        if name not in chosen and pathlib.Path(FLAGS.out, f"{name}.safetensors").exists():
            print(f"{name}: has weights; kept as it is")
            continue
        if name in chosen:
            record, weights = trained(name, record)
        made = card(name, record, search)
        ending = (", with weights" if weights else "") + _replaced(FLAGS.out, made)
        write(FLAGS.out, made, weights)
        loss = f"eval loss {record.eval_loss:.4g}{_words(options.changed(record))}"
        print(f"{name}: {loss}{ending}")


def _words(values):
    return "".join(f", {option} {value}" for option, value in values.items())


def _replaced(out, made):
    """Describes the preset that another one replaces; "" if there is none, or an equal one."""
    try:
        old = preset(pathlib.Path(out, made.name))
    except ValueError:  # none, or one that is damaged
        return ""
    if (old.config, old.scores["eval"]) == (made.config, made.scores["eval"]):
        return ""
    before, now = (each.config["task_options"] for each in (old, made))
    differing = {n: before.get(n) for n in {**before, **now} if before.get(n) != now.get(n)}
    return f"; replaces the preset with eval loss {old.scores['eval']:.4g}{_words(differing)}"


def _check_surroundings(names, chosen):
    """Checks for errors that would otherwise surface only after hours of training.

    Raises:
        UserError: a package is missing, or a link is in place of a directory to write into.
        OSError: --out is not writable.
    """
    try:
        importlib.import_module("tuning.report.paper")
    except ImportError as error:
        raise UserError(f"presets need {error.name}: pip install 'rnn-zoo[report]'") from None
    out = pathlib.Path(FLAGS.out)
    written = [out / name for name in names] + [pathlib.Path(FLAGS.work, name) for name in chosen]
    for path in written:
        refuse_link(path.parent)
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        write_json(out / INDEX, _known(out))


def best_trials(
    directories: Iterable[str], say: Callable[[str], object] = print
) -> dict[str, tuple[RunRecord, dict[str, Any]]]:
    """Finds the best trial of each task, architecture, depth and budget.

    Trials that started from the weights of a preset or a run are ignored. Losses in different
    settings of the task cannot be compared: of several, that of the task's defaults is used. The
    trials of all studies that searched the same options are one setting.

    Args:
        directories: directories of studies or sweeps, or directories that contain them.
        say: called with a sentence for each log with damaged or lost trials, for each log that is
            left out because it has trials of another study, and for each preset that is left out
            because it has several settings without the defaults.

    Returns:
        Dict from preset name to (record, summary of its search), in alphabetical order.

    Raises:
        UserError: a directory does not exist, or a best trial cannot become a preset.
    """
    found: dict[str, dict[str, tuple[RunRecord, dict[str, Any]]]] = {}
    for directory in directories:
        root = pathlib.Path(directory)
        if not root.is_dir():
            raise UserError(f"--runs: there is no directory {directory}")
        studies = (place for place, names in log.record_files(root) if log.TRIALS in names)
        for study in studies:
            for best, search in _best_of(study, say):
                of_name = found.setdefault(name_of(best), {})
                setting = json.dumps(options.setting(best))
                held = of_name.get(setting)
                if held is None or log.rank(best)[0] < log.rank(held[0])[0]:
                    of_name[setting] = best, search
    return _of_one_setting(dict(sorted(found.items())), say)


def _of_one_setting(found, say):
    """Returns the best trial of one setting of each preset: of the only one, or the defaults."""
    chosen = {}
    for name, settings in found.items():
        usual = [each for each in settings if json.loads(each).keys() <= {options.CORPUS}]
        if len(settings) == 1 or len(usual) == 1:
            chosen[name] = settings[(usual or [*settings])[0]]
        else:
            say(
                f"{name}: left out, since losses with different options of the task cannot be "
                f"compared: {' and '.join(settings)}; give --runs of one of them"
            )
    return chosen


def _best_of(study, say):
    """Yields the best trial of a study and a summary of its search, if it has a feasible trial."""
    path, facts = study / log.TRIALS, identity.read(study, identity.Facts) or {}
    read = consistency.read(study, facts.get("config"))
    for problem in read.problems:
        say(problem)
    if read.foreign:
        return
    # Otherwise a preset could be made from a trial that started from its own weights.
    records = [
        record
        for record in read.records.values()
        if not (record.config.get("preset") or record.config.get("init_from"))
    ]
    for best in log.ranked(records)[:1]:
        config_of(best, path)  # its names must be registered
        if "eval" not in best.metrics:
            raise UserError(f"{path}: trial {best.run_id} has no metrics of the split eval")
        search = {
            "algorithm": facts.get("study", {}).get("algorithm"),
            "num_trials": len(records),
            "infeasible": sum(record.status == "infeasible" for record in records),
        }
        yield best, search


def name_of(record: RunRecord) -> str:
    """Returns <task>/<architecture>[-depth<D>]-<budget>, such as parens/gru-10k."""
    at_least = ARCHITECTURES[canonical_name(record.arch)].min_depth
    depth = f"-depth{record.depth}" if record.depth != at_least else ""
    thousands, rest = divmod(record.max_params, 1000)
    return f"{record.task}/{record.arch}{depth}-" + (
        str(record.max_params) if rest else f"{thousands}k"
    )


def trained(name: str, record: RunRecord) -> tuple[RunRecord, Any]:
    """Trains the hyperparameters of a record again, or resumes that training.

    Returns:
        (the new record, the weights).

    Raises:
        UserError: training diverged, or the task's data are missing.
        KeyboardInterrupt: a signal stopped it; the same command resumes it.
    """
    from rnn_zoo.model import get_weights
    from trainer.export import load_model
    from trainer.loop import train

    config = read_config(record.config, name)
    steps = max(1, round(FLAGS.longer * config.train_steps))
    config = dataclasses.replace(config, train_steps=steps)
    config = train_flags.with_data(config, train_flags.data_options(FLAGS).get(config.task, {}))
    # The name changes with the best trial and with --longer.
    run_dir = pathlib.Path(FLAGS.work, f"{name}-{sha256_of(config.as_gin().encode())[:8]}")
    refuse_link(run_dir)
    again = train(config, run_dir, resume=run_dir.exists())
    if again.status == "interrupted":
        raise KeyboardInterrupt
    if again.eval_loss is None:
        raise UserError(f"{name} diverged at step {again.infeasible_at}; try another --longer")
    return again, get_weights(load_model(run_dir)[0])


def card(name: str, record: RunRecord, search: dict[str, Any]) -> Preset:
    """Makes the preset of a record."""
    config = read_config(record.config, name)
    # The text's path is valid only on the machine that trained the model.
    task_options = {k: v for k, v in config.task_options.items() if k != "path"}
    return Preset(
        name=name,
        **{n: getattr(record, n) for n in ("task", "arch", "depth", "units", "num_params")},
        **{n: getattr(record, n) for n in ("max_params", "input_dim", "output_dim")},
        options=config.cell_options(),
        config=record.config | {"task_options": task_options},
        scores={
            **{n: getattr(record, f"{n}_loss") for n in ("train", "valid", "eval", "chance")},
            "metrics": record.metrics["eval"],
        },
        training={
            "steps": record.steps_done,
            **{n: getattr(record, n) for n in ("seconds", "curve", "backend", "versions")},
        },
        search=search,
        paper=_paper(record),
    )


def _paper(record):
    """Quotes the paper's result for the same task, architecture and depth."""
    from tuning.report.paper import TABLE_APP_1

    if record.task == "parens" and record.depth == 1 and record.arch in TABLE_APP_1.index:
        loss = TABLE_APP_1.original[record.arch]
        return f"eval loss {loss:.3g} at 100,000 parameters, the best of some 1500 trials (App. C)"
    return None


def write(out: str | pathlib.Path, card: Preset, weights: Any = None) -> None:
    """Writes a preset: its weights, its card, then the card's SHA-256 into the index.

    Each file is replaced atomically. If the process is killed between card and index, the preset is
    refused as changed until it is written again.

    Args:
        out: the directory of all presets.
        card: the preset.
        weights: as from `rnn_zoo.model.get_weights`; None for hyperparameters alone.

    Raises:
        UserError: the directory of the task is a link.
    """
    out = pathlib.Path(out)
    refuse_link(out / card.task)
    (out / card.task).mkdir(parents=True, exist_ok=True)
    with _locked(out):
        for name, content in files_of(card, weights).items():
            with whole(out / name) as file:
                file.write(content)
        known = _known(out) | {card.name: sha256_of((out / f"{card.name}.json").read_bytes())}
        write_json(out / INDEX, dict(sorted(known.items())))
        if weights is None:
            (out / f"{card.name}.safetensors").unlink(missing_ok=True)


def _locked(out):
    """Locks the presets for a change: another process may make some, too."""
    return locked(out / f".{INDEX}.lock", patience=60.0)


def _known(out):
    """Reads the index: the SHA-256 of each preset's card, by name."""
    try:
        return json_files.read(out / INDEX, dict[str, str])
    except FileNotFoundError:
        return {}


def run():
    """Runs the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

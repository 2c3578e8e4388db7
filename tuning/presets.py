"""python -m tuning.presets --runs=DIR --out=rnn_zoo/presets: makes presets from sweeps.

With --upload=hf://OWNER/NAME it uploads those of --out to the Hugging Face Hub.

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
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from absl import flags

from rnn_zoo.architectures import ARCHITECTURES, canonical_name
from rnn_zoo.presets import Preset, hub, list_presets, preset, read_files, read_weights
from rnn_zoo.presets.reading import INDEX, read_index, sha256_of
from rnn_zoo.presets.writing import prepare, write
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import check_range, read_config
from trainer.display.words import count
from trainer.errors import UserError, extra, user_errors
from trainer.storage.files import refuse_link
from trainer.storage.records import RunRecord
from tuning import options, studies
from tuning.study import consistency, identity, log

#: Files that a new repository on the Hub may have.
_OF_NEW_REPOSITORIES = {".gitattributes", "README.md"}

USAGE = """Makes presets from the best trials of sweeps and studies.

  python -m tuning.presets --runs=runs/presets --out=rnn_zoo/presets --train='parens/*'
  python -m tuning.presets --out=presets --upload=hf://owner/name

Flags:"""

FLAGS = flags.FlagValues()


def _define():
    common = {"flag_values": FLAGS}
    flags.DEFINE_list("runs", [], "comma-separated directories of sweeps and studies", **common)
    flags.DEFINE_string(
        "out", None, "directory of the presets; the package's are in rnn_zoo/presets", **common
    )
    flags.DEFINE_list(
        "train", [], "presets that get weights: names, where * matches any text", **common
    )
    flags.DEFINE_string(
        "upload",
        None,
        "upload the presets of --out to hf://OWNER/NAME, with or without --runs",
        **common,
    )
    flags.DEFINE_bool(
        "private", False, "make the repository private if --upload creates it", **common
    )
    flags.DEFINE_string(
        "work", "runs/presets_trained", "directory of the runs of --train", **common
    )
    flags.DEFINE_float(
        "longer",
        1.0,
        "factor by which --train multiplies the best trial's training steps",
        **common,
    )
    train_flags.define_data(FLAGS)
    cli.define_import(FLAGS)


_define()


def main():
    from trainer.display.progress import Display

    say = Display().say
    if not FLAGS.out:
        raise UserError("--out is missing")
    if FLAGS.upload:
        with user_errors():
            hub.parse(FLAGS.upload)
            hub.library()
    elif not FLAGS.runs:
        raise UserError("--runs is missing: the directories of sweeps and studies")
    elif FLAGS.private:
        raise UserError("--private has no effect without --upload")
    cli.check_owners(FLAGS, dict.fromkeys(("longer", "work", *train_flags.DATA), "train"))
    if FLAGS.train and not FLAGS.runs:
        raise UserError("--train has no effect without --runs, whose best trials it trains again")
    if FLAGS.runs:
        _make(say)
    if FLAGS.upload:
        say(upload(FLAGS.out, FLAGS.upload, FLAGS.private))


def _make(say):
    """Make presets of --runs in --out."""
    found = best_trials(FLAGS.runs, say)
    if not found:
        raise UserError(f"no feasible trial in {', '.join(FLAGS.runs)}")
    for pattern in FLAGS.train:
        if not fnmatch.filter(found, pattern):
            raise UserError(f"--train: no preset matches {pattern}; there are {', '.join(found)}")
    check_range("--longer", FLAGS.longer, 0, math.inf, open_below=True)
    chosen = {name for pattern in FLAGS.train for name in fnmatch.filter(found, pattern)}
    _check_surroundings(found, chosen)
    trained_before = _trained(set(found) - chosen)
    if chosen:
        cli.start_backend()
    for name, (record, search) in found.items():
        weights = None
        if name in trained_before:
            say(f"{name}: has weights; kept as it is")
            continue
        ending = ""
        if name in chosen:
            before = record.eval_loss
            record, weights = trained(name, record)
            search |= {"eval": before}
            ending = _compared(record, before)
        made = card(name, record, search)
        ending += _replaced(FLAGS.out, made)
        with user_errors():
            write(FLAGS.out, made, weights)
        loss = f"eval loss {record.eval_loss:.4g}{_words(options.changed(record))}"
        say(f"{name}: {loss}{ending}")


def _compared(record, before):
    """Say how good a run is beside that of the search."""
    words = f", with weights; the search had {before:.4g}"
    if record.eval_loss - before > 0.02 * record.chance_loss:
        words += " (a trial alone rounds differently than in lanes; try another --longer)"
    return words


def _words(values):
    return "".join(f", {option} {value}" for option, value in values.items())


def _replaced(out, made):
    """Describe the preset that another one replaces; "" if there is none, or an equal one."""
    try:
        old = preset(pathlib.Path(out, made.name))
    except ValueError:  # none, or one that is damaged
        return ""
    if old.scores is None or old.config is None:
        return "; replaces a preset that was saved from a model"
    if (old.config, old.scores["eval"]) == (made.config, made.scores["eval"]):
        return ""
    before, now = (each.config["task_options"] for each in (old, made))
    differing = {n: before.get(n) for n in {**before, **now} if before.get(n) != now.get(n)}
    return f"; replaces the preset with eval loss {old.scores['eval']:.4g}{_words(differing)}"


def _check_surroundings(names, chosen):
    """Check for errors that would otherwise surface only after hours of training.

    Raises:
        UserError: a package is missing, or a link is in place of a directory to write into.
        OSError: --out is not writable.
    """
    with extra("report", "making presets"):
        importlib.import_module("tuning.report.paper")
    out = pathlib.Path(FLAGS.out)
    written = [out / name for name in names] + [pathlib.Path(FLAGS.work, name) for name in chosen]
    for path in written:
        refuse_link(path.parent)
    with user_errors():
        prepare(out)


def _trained(names):
    """Return which of these presets --out holds with weights.

    Raises:
        UserError: it holds one that is damaged, whose weights would be lost.
    """
    found = set()
    for name in sorted(names & read_index(pathlib.Path(FLAGS.out)).keys()):
        path = pathlib.Path(FLAGS.out, name)
        try:
            if preset(path).weights is not None:
                read_weights(path)
                found.add(name)
        except ValueError as error:
            raise UserError(f"{error}, or train it again with --train={name}") from None
    return found


def best_trials(
    directories: Iterable[str], say: Callable[[str], object] = print
) -> dict[str, tuple[RunRecord, dict[str, Any]]]:
    """Find the best trial of each task, architecture, depth and budget.

    Trials that started from the weights of a preset or a run are ignored. Losses in different
    settings of the task cannot be compared: of several, that of the task's defaults is used. The
    trials of all studies that searched the same options are one setting.

    Args:
        directories: directories of studies or sweeps, or directories that contain them.
        say: called with a sentence for each log or study with damaged or lost trials, for each
            directory that cannot be read, for each log that is left out because it has trials of
            another study, and for each preset that is left out because it has several settings
            without the defaults.

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
        problems: list[str] = []
        found_in = list(log.record_files(root, problems))
        for problem in problems + _lost(root, [place for place, _ in found_in]):
            say(problem)
        for study in [place for place, names in found_in if log.TRIALS in names]:
            for best, search in _best_of(study, say):
                of_name = found.setdefault(name_of(best), {})
                setting = json.dumps(options.setting(best))
                held = of_name.get(setting)
                if held is None or log.rank(best)[0] < log.rank(held[0])[0]:
                    of_name[setting] = best, search
    return _of_one_setting(dict(sorted(found.items())), say)


def _lost(root, found):
    """Return a sentence for each study at or below a directory that has lost trials."""
    counts = {path: log.num_lines(path) or 0 for path in found}
    sweeps = {path.parent.parent for path in found if path.parent.name == "studies"}
    sweeps |= {path for path in (root, *root.iterdir()) if os.path.isfile(path / "sweep.json")}
    problems: list[str] = []
    lost = [text for each in sorted(sweeps) for text in studies.lost(each, root, counts, problems)]
    facts: dict[pathlib.Path, Any] = {}
    for path, number in counts.items():
        # `_best_of` reports what else is wrong with its files.
        lost += studies.unfinished(path, studies.read(path, root, facts, []), number)
    return problems + lost


def _of_one_setting(found, say):
    """Return the best trial of one setting of each preset: of the only one, or the defaults."""
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
    """Yield the best trial of a study and a summary of its search, if it has a feasible trial."""
    path, facts = study / log.TRIALS, identity.read(study, identity.Facts) or {}
    read = consistency.read(study, facts.get("config"))
    for problem in read.problems:
        say(problem)
    if identity.is_lost(study):
        say(f"{study} has lost its study.json, so its algorithm is unknown")
    if read.foreign:
        return
    # Otherwise a preset could be made from a trial that started from its own weights.
    records = [
        record
        for record in read.records.values()
        if not (record.config.get("preset") or record.config.get("init_from"))
    ]
    for best in log.ranked(records)[:1]:
        read_config(best.config, path)  # its names must be registered
        if "eval" not in best.metrics:
            raise UserError(f"{path}: trial {best.run_id} has no metrics of the split eval")
        search = {
            "algorithm": facts.get("study", {}).get("algorithm"),
            "num_trials": len(records),
            "infeasible": sum(record.status == "infeasible" for record in records),
        }
        yield best, search


def name_of(record: RunRecord) -> str:
    """Return <task>/<architecture>[-depth<D>]-<budget>, such as parens/gru-10k."""
    at_least = ARCHITECTURES[canonical_name(record.arch)].min_depth
    depth = f"-depth{record.depth}" if record.depth != at_least else ""
    thousands, rest = divmod(record.max_params, 1000)
    return f"{record.task}/{record.arch}{depth}-" + (
        str(record.max_params) if rest else f"{thousands}k"
    )


def trained(name: str, record: RunRecord) -> tuple[RunRecord, Any]:
    """Train the hyperparameters of a record again, or resume that training.

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
    """Make the preset of a record."""
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
    """Quote the paper's result for the same task, architecture and depth."""
    from tuning.report.paper import TABLE_APP_1

    if record.task == "parens" and record.depth == 1 and record.arch in TABLE_APP_1.index:
        loss = TABLE_APP_1.original[record.arch]
        return f"eval loss {loss:.3g} at 100,000 parameters, the best of some 1500 trials (App. C)"
    return None


def upload(directory: str | pathlib.Path, target: str, private: bool = False) -> str:
    """Upload the presets of a directory to the Hugging Face Hub, in one commit.

    Each file is checked first. The repository is made if it is missing. Presets of its index that
    the directory does not have are removed, and its other files stay, but for README.md, which
    becomes the model card.

    Args:
        directory: the directory.
        target: hf://OWNER/NAME.
        private: whether a repository that is made is private.

    Returns:
        The commit's URL.

    Raises:
        UserError: no presets, a damaged file, a malformed target, a repository of other files, or
            the Hub refuses or ignores a file.
    """
    with user_errors():
        repository, rest = hub.parse(target)
        if rest or repository.revision:
            raise ValueError(f"--upload must have the form hf://OWNER/NAME, got {target}")
        files = read_files(directory)
        library, name = hub.library(), repository.repository
    files["README.md"] = _model_card(target, directory).encode()
    try:
        api = library.HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        there = set(api.list_repo_files(name))
        if INDEX not in there and there - _OF_NEW_REPOSITORIES:
            raise UserError(
                f"{target} holds other files and no presets; give a repository of its own"
            )
        obsolete = sorted((_presets_at(repository, there) & there) - files.keys())
        changes = [library.CommitOperationDelete(file) for file in obsolete]
        changes += [library.CommitOperationAdd(file, content) for file, content in files.items()]
    except UserError:
        raise
    except Exception as error:  # of the library or the network
        raise UserError(f"{target}: nothing was uploaded: {hub.reason(error)}") from None
    try:
        message = f"Upload {count(len(files) - 1, 'file')} of presets"
        url = str(api.create_commit(name, changes, commit_message=message).commit_url)
        ignored = sorted(files.keys() - set(api.list_repo_files(name)))
    except Exception as error:
        raise UserError(f"{target}: may not have been uploaded: {hub.reason(error)}") from None
    if ignored:
        raise UserError(
            f"{target}: {', '.join(ignored)} not uploaded: its .gitignore excludes such files"
        )
    return url


def _presets_at(repository, there):
    """Return the files of the presets in a repository's index; none if it has none, or damaged."""
    try:
        names = read_index(repository) if INDEX in there else {}
    except ValueError:
        return set()
    return {f"{name}.{kind}" for name in names for kind in ("json", "safetensors")}


def _model_card(target, directory):
    """Render a repository's README.md."""
    names = list_presets(directory=directory)
    cards = [preset(name) for name in names]
    which = "" if len(cards) == 1 else f"/{cards[0].name}"
    tags = dict.fromkeys(["rnn-zoo", "rnn", *(each.arch for each in cards)])
    listed = "".join(f"\n- {json.dumps(tag)}" for tag in tags)
    head = f"---\nlibrary_name: keras\ntags:{listed}\n---\n\n# {target.rpartition('/')[2]}"
    use = f'```python\nimport rnn_zoo\n\nmodel = rnn_zoo.load("{target}{which}")\n```'
    return "\n\n".join([head, use, *map(str, cards)]) + "\n"


def run():
    """Run the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

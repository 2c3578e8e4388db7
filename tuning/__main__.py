"""python -m tuning --task=parens --arch=gru --num_params=10000 --num_trials=60"""

import contextlib
import dataclasses
import functools
import os
import pathlib

from absl import flags

from trainer import backend
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import NO_TF32, TrainConfig, check_range
from trainer.display.words import count
from trainer.errors import UserError
from trainer.storage.files import is_full
from trainer.storage.lease import Lease, LeaseLost
from trainer.storage.records import RunDirectory
from tuning.config import EARLY_STOPPING, MAX_RERUNS, study_config
from tuning.robustness import robustness
from tuning.search import ranges, space
from tuning.search.algorithms import ALGORITHMS
from tuning.show import show
from tuning.study import consistency, hparam_sets, identity, log, reruns
from tuning.study.executors import Processes
from tuning.study.places import gpus
from tuning.study.progress import StudyDisplay
from tuning.study.study import Study

USAGE = """Searches hyperparameters as in the paper. To continue a study that was stopped or killed,
run the same command again.

  python -m tuning --task=parens --arch=gru --num_params=10000 --num_trials=60

Flags:"""

FLAGS = flags.FlagValues()
#: Flags that may change when a study continues with its own settings.
RESUMABLE = (
    *("resume", "study_dir", "num_trials", "keep", "workers", "lanes"),
    *("show_space", "rerun_best", "vary", "hparams", "log_to", "import"),
)


def _define():
    text = functools.partial(flags.DEFINE_string, flag_values=FLAGS)
    whole = functools.partial(flags.DEFINE_integer, flag_values=FLAGS)
    yes = functools.partial(flags.DEFINE_boolean, flag_values=FLAGS)
    whole("num_trials", None, "number of trials; a finished study can be continued")
    text("algorithm", None, f"search algorithm: {', '.join(ALGORITHMS)}; default: gp")
    text("early_stopping", None, f"pruning of trials: {', '.join(EARLY_STOPPING)}; default: none")
    whole("keep", None, "number of best trials whose weights are kept; default: 5")
    whole("workers", None, "number of processes; default: one per GPU or core")
    whole("lanes", None, "trials that each process trains at once; default: by machine and model")
    text("study_dir", None, "directory of the study; default: a directory in studies/")
    yes("resume", False, "continue the study in --study_dir with its own settings")
    yes("show_space", False, "print the search space and exit")
    whole("rerun_best", None, "number of reruns of the study's best hyperparameters")
    flags.DEFINE_list(
        "vary",
        ["init", "data"],
        "seeds that reruns change: init (initial weights), data, or init,data",
        flag_values=FLAGS,
    )
    text("hparams", None, "JSON file of hyperparameter sets to train, in our or published names")


train_flags.define(FLAGS)
_define()


def main():
    _check_flags()
    display = StudyDisplay()
    config, study, documents, given = _resumed() if _is_resumed() else _parsed()
    for line in ranges.without_effect(config, study, given):
        display.say(line)
    for name in ("hparams", "rerun_best"):
        if FLAGS.show_space and FLAGS[name].value:
            raise UserError(f"--show_space does not apply with --{name}, which searches no space")
    if FLAGS.show_space:  # before `Study`, which may have to download data
        display.say(space.table(ranges.of_study(config, study)[0]))
        return 0
    algorithm = "given" if FLAGS.hparams else study.algorithm
    default = default_study_dir(config, algorithm, study.first is not None)
    directory = FLAGS.study_dir or default
    name, callbacks = os.path.basename(default), train_flags.callbacks_of(FLAGS)
    profile = train_flags.profile_of(FLAGS)
    settings = {"callbacks": callbacks, "profile": profile, "held": ()}  # `study` has them
    search = Study(directory, config, study, documents, name, **settings)
    sets, marks = _sets(config, study, given) if FLAGS.hparams else ([], [])
    backend.check(cli.backend_name())
    # Leave the GPUs to the workers: list them before hiding them from this process.
    if not gpus() and config.precision == "tf32":
        display.say(NO_TF32)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        with contextlib.nullcontext() if sets or FLAGS.rerun_best else _begun(search.path) as lease:
            with display.phase(f"starting {cli.backend_name()}"):
                cli.start_backend()
            if sets:
                is_complete = _train_given(directory, sets, marks, display)
            elif FLAGS.rerun_best:
                is_complete = _rerun(search, display)
            else:
                is_complete = _search(search, display, lease)
    except LeaseLost as error:
        raise UserError(f"{error}; another process continues the study") from None
    except OSError as error:
        if is_full(error):
            raise UserError(
                f"{directory}: {os.strerror(error.errno)}; the study is intact: free some space "
                "and run the same command again"
            ) from None
        raise
    if not is_complete:
        display.say("interrupted; run the same command again to continue")
    return 0 if is_complete else cli.INTERRUPTED


def _check_flags():
    train_flags.check_positive(FLAGS, "workers", "lanes")
    if FLAGS.rerun_best is not None:
        check_range("--rerun_best", FLAGS.rerun_best, 1, MAX_RERUNS, whole=True)
        reruns.check_vary(FLAGS.vary)
    elif FLAGS["vary"].present:
        raise UserError("--vary has no effect without --rerun_best")


def _begun(path):
    """Return the lease on a new study, by which `tuning.show` finds it while the backend starts.

    Errors are left to `Study.run`, and so is the lease on a study that has begun before.
    """
    with contextlib.suppress(OSError):
        path.mkdir(parents=True, exist_ok=True)
        if all("lease" in each.name for each in path.iterdir()):
            return Lease(path)
    return contextlib.nullcontext()


def default_study_dir(config: TrainConfig, algorithm: str, begins_known: bool = False) -> str:
    """Return `studies/<task>-<arch>-<depth>-<budget>-<algorithm>`.

    The name depends only on the command, so that running it again continues the study. It ends in
    -tuned if training starts from given weights, or else in -known if the first trial is given.
    """
    parts = [config.task, config.arch, config.depth, config.num_params, algorithm]
    parts += ["tuned"] if config.weights_from else ["known"] if begins_known else []
    return os.path.join("studies", "-".join(map(str, parts)))


def _parsed():
    """Read the configurations from gin files and flags."""
    parsed = train_flags.parse(FLAGS)
    names = ("num_trials", "algorithm", "early_stopping", "keep")
    study = study_config(parsed, {name: FLAGS[name].value for name in names})
    config, study = ranges.hold(parsed.config, parsed.given, study, parsed.batch_size)
    begins = FLAGS.preset or FLAGS.init_from
    first = "config" if begins and study.first is None else study.first
    study = dataclasses.replace(study, first=first)
    return config, study, {"config.gin": parsed.documents["config.gin"]}, parsed.given


def _sets(config, study, given):
    """Return the configurations that --hparams names, and marks for their records."""
    for name in ("num_trials", "algorithm", "early_stopping", "keep", "rerun_best"):
        if FLAGS[name].present:
            raise UserError(f"--{name} does not apply with --hparams, which trains each set once")
    config = ranges.with_fixed(config, study)
    mark = functools.partial(ranges.of_set, config, study, given)
    made = hparam_sets.configurations(config, hparam_sets.read(FLAGS.hparams), mark)
    profile = {"profile": train_flags.profile_of(FLAGS)}
    return made, [mark(each) | profile for each in made]


def _is_resumed():
    """Return whether a study continues with the settings that it holds, not those of flags."""
    if not FLAGS.resume:
        return False
    if not FLAGS.study_dir:
        raise UserError("--resume needs --study_dir, the directory of the study to continue")
    given = [name for name in FLAGS if FLAGS[name].present and name not in RESUMABLE]
    if given and not (FLAGS.task or FLAGS.preset or FLAGS.init_from):
        raise UserError(
            f"--resume keeps the study's own settings: omit --{given[0]}, or give the whole "
            "command, whose settings are then compared with the study's"
        )
    return not given


def _resumed():
    """Read the configurations of the study in --study_dir; --num_trials and --keep override it."""
    held = identity.read(FLAGS.study_dir)
    if held is None:
        raise UserError(f"{FLAGS.study_dir} holds no study (no study.json)")
    given = {name: FLAGS[name].value for name in ("num_trials", "keep")}
    free = {n: held[n] if value is None else value for n, value in given.items()}
    return held["config"], dataclasses.replace(held["study"], **free), {}, frozenset()


def _search(search, display, lease):
    """Run the study; like `_rerun` and `_train_given`, return whether it is complete."""
    best, is_complete = search.run(Processes(FLAGS.workers, FLAGS.lanes), display, lease)
    if not is_complete:
        return False
    show(search.log.records.values(), 5, display)
    if best is None:
        display.say("no trial was feasible")
        return True
    run_dir = search.trial_path(best.run_id)
    lack = _lack(run_dir, best)
    display.say(
        f"the best, trial {best.run_id}: valid loss {best.valid_loss:.4f}, eval loss "
        f"{best.eval_loss:.4f}, chance {best.chance_loss:.4f}; {lack or f'its run is in {run_dir}'}"
    )
    if not lack:
        _export(run_dir, display, best.code)
    return True


def _lack(run_dir, best):
    """Say why a directory does not hold the run of the best trial; "" if it does."""
    directory = RunDirectory(run_dir)
    if not directory.record_path.exists():
        return "its weights were not kept"
    try:
        held = directory.read_record()
    except UserError as error:
        return f"its run is damaged: {error}"
    except OSError as error:
        return f"its run is damaged: {error.filename}: {error.strerror}"
    if (held.identity, held.objective) != (best.identity, best.objective):
        return f"its weights were not kept: {run_dir} holds another run"
    return "" if directory.has_checkpoint else f"its weights are lost: {run_dir} has no checkpoint"


def _export(run_dir, display, modules=()):
    import keras

    if keras.backend.backend() != "tensorflow":
        imports = "".join(f" --import={name}" for name in modules)
        display.say(
            "a SavedModel needs TensorFlow: KERAS_BACKEND=tensorflow python -m trainer.export "
            f"--run_dir={run_dir}{imports}"
        )
        return
    from trainer.export import export, saved_model

    path = run_dir / "saved_model"
    if saved_model.is_there(path) and not path.is_symlink():
        display.say(f"{path} is there; python -m trainer.export --run_dir={run_dir} makes it again")
        return
    with display.phase("exporting the best trial"):
        export(run_dir)
    display.say(f"exported {path}")


def _rerun(search, display):
    """Rerun the best hyperparameters with other seeds, for a row of Table App.1."""
    search.check()
    found = consistency.read(search.path, vars(search.config))
    if found.foreign:
        raise UserError(f"{found.foreign}; {consistency.WAY_OUT}")
    for problem in found.problems:
        display.say(problem)
    ranked = log.ranked(found.records.values())
    if not ranked:
        kind = "feasible" if found.records else "finished"
        way_out = "" if found.records else "; search first, without --rerun_best"
        raise UserError(f"{search.path} has no {kind} trial to rerun{way_out}")
    if search.config.weights_from and "init" in FLAGS.vary:
        raise UserError("the study starts from given weights: reruns need --vary=data")
    best = ranked[0]
    if best.stopped_early:
        display.say(
            f"the best, trial {best.run_id}, was stopped early, after {best.steps_done:,} of "
            f"{count(best.train_steps, 'step')}; its reruns train all of them"
        )
    configs = reruns.variations(TrainConfig(**best.config), FLAGS.rerun_best, FLAGS.vary)
    executor = Processes(FLAGS.workers, FLAGS.lanes)
    path, marks = search.path / log.RERUNS, reruns.repeated(best, len(configs))
    callbacks = train_flags.callbacks_of(FLAGS)
    records = reruns.train_all(
        path, configs, executor, display, keep=False, marks=marks, callbacks=callbacks
    )
    if len(records) < len(configs):
        return False
    row = robustness(best.eval_loss, [each.eval_loss for each in records])
    cells = {name: "-" if value is None else f"{value:.4g}" for name, value in row.items()}
    cells["infeasible"] = f"{row['infeasible']:.1%}"
    display.table(cells.keys(), [cells.values()])
    return True


def _train_given(directory, configs, marks, display):
    path = pathlib.Path(directory, log.GIVEN)
    executor = Processes(FLAGS.workers, FLAGS.lanes)
    callbacks = train_flags.callbacks_of(FLAGS)
    records = reruns.train_all(path, configs, executor, display, marks=marks, callbacks=callbacks)
    if len(records) < len(configs):
        return False
    show(records, len(records), display)
    return True


def run():
    """Run the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

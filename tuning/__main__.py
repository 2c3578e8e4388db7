"""python -m tuning --task=parens --arch=gru --num_params=10000 --num_trials=60"""

import dataclasses
import functools
import json
import os
import pathlib

from absl import flags

from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.storage.files import is_full
from tuning.config import EARLY_STOPPING, StudyConfig, study_config
from tuning.robustness import robustness
from tuning.search import space
from tuning.search.algorithms import ALGORITHMS
from tuning.show import show
from tuning.study import hparam_sets, log, reruns
from tuning.study.executors import Processes
from tuning.study.lease import LeaseLost
from tuning.study.places import gpus
from tuning.study.progress import StudyDisplay
from tuning.study.study import Study

USAGE = """Searches hyperparameters as the paper did. Stopped or killed, the same command goes on.

  python -m tuning --task=parens --arch=gru --num_params=10000 --num_trials=60

Flags:"""

FLAGS = flags.FlagValues()


def _define():
    text = functools.partial(flags.DEFINE_string, flag_values=FLAGS)
    whole = functools.partial(flags.DEFINE_integer, flag_values=FLAGS)
    yes = functools.partial(flags.DEFINE_boolean, flag_values=FLAGS)
    whole("num_trials", None, "number of trials; a finished study can be continued")
    text("algorithm", None, f"the search: {', '.join(ALGORITHMS)}; gp if not given")
    text("early_stopping", None, f"pruning of trials: {', '.join(EARLY_STOPPING)}")
    whole("keep", None, "number of best trials whose weights are kept; 5 if not given")
    whole("workers", None, "processes; one a core or a GPU if not given")
    whole("lanes", None, "trials that each trains at once; chosen if not given")
    text("study_dir", None, "where; a directory in studies/ if not given")
    yes("resume", False, "continue the study in --study_dir with its own settings")
    yes("show_space", False, "print the search space and end")
    whole("rerun_best", None, "train the study's best hyperparameters again, so often")
    flags.DEFINE_list("vary", ["init", "data"], "what reruns vary: init,data", flag_values=FLAGS)
    text("hparams", None, "train the sets of a JSON file, ours or as published")


train_flags.define(FLAGS)
_define()


def main():
    train_flags.check_positive(FLAGS, "workers", "lanes", "rerun_best")
    config, study, documents = _resumed() if FLAGS.resume else _parsed()
    if FLAGS.show_space:  # Needs no data, which a study may have to fetch.
        print(space.table(space.of_study(config, study)[0]))
        return 0
    algorithm = "given" if FLAGS.hparams else study.algorithm
    directory = FLAGS.study_dir or default_study_dir(config, algorithm, study.first is not None)
    search = Study(directory, config, study, documents)
    sets = (
        hparam_sets.configurations(config, hparam_sets.read(FLAGS.hparams)) if FLAGS.hparams else []
    )
    # The workers have the GPUs; what this process would take of one they would lack.
    gpus()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    cli.start_backend()
    display = StudyDisplay()
    try:
        if sets:
            is_complete = _train_given(directory, sets, display)
        elif FLAGS.rerun_best:
            is_complete = _rerun(search, display)
        else:
            is_complete = _search(search, display)
    except LeaseLost as error:
        raise UserError(f"{error}; another process goes on with it") from None
    except OSError as error:
        if is_full(error):
            raise UserError(
                f"{directory}: {os.strerror(error.errno)}; the study is intact: free some space "
                "and run the same command again"
            ) from None
        raise
    if not is_complete:
        display.say("interrupted; the same command goes on")
    return 0 if is_complete else cli.INTERRUPTED


def default_study_dir(config, algorithm, begins_known=False):
    """`studies/<task>-<arch>-<depth>-<budget>-<algorithm>`: the same command, the same study.

    One with a first trial that is given ends in -known, one from a preset's weights in -tuned.
    """
    parts = [config.task, config.arch, config.depth, config.num_params, algorithm]
    parts += ["tuned"] if config.preset else ["known"] if begins_known else []
    return os.path.join("studies", "-".join(map(str, parts)))


def _parsed():
    """The configurations that files and flags give."""
    parsed = train_flags.parse(FLAGS)
    names = ("num_trials", "algorithm", "early_stopping", "keep")
    study = study_config({name: FLAGS[name].value for name in names})
    if FLAGS.preset and study.first is None:
        study = dataclasses.replace(study, first="config")
    return parsed.config, study, {"config.gin": parsed.documents["config.gin"]}


def _resumed():
    """The configurations of the study that --study_dir holds, and --num_trials."""
    if not FLAGS.study_dir:
        raise UserError("--resume needs --study_dir, the directory of the study to continue")
    path = pathlib.Path(FLAGS.study_dir, "study.json")
    try:
        held = json.loads(path.read_text())
        given = {name: FLAGS[name].value for name in ("num_trials", "keep")}
        free = {n: held[n] if value is None else value for n, value in given.items()}
        return TrainConfig(**held["config"]), StudyConfig(**held["study"], **free), {}
    except FileNotFoundError:
        raise UserError(f"{FLAGS.study_dir} holds no study (no study.json)") from None
    except UserError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is not a study's: {error}") from None


def _search(search, display):
    """Runs the study; returns whether it is complete, as do the others below."""
    best, is_complete = search.run(Processes(FLAGS.workers, FLAGS.lanes), display)
    if not is_complete:
        return False
    show(search.log.records.values(), 5, display)
    if best is None:
        display.say("no trial was feasible")
    else:
        run_dir = search.trial_path(best.run_id)
        display.say(
            f"the best, trial {best.run_id}: valid loss {best.valid_loss:.4f}, eval loss "
            f"{best.eval_loss:.4f}, chance {best.chance_loss:.4f}; its run is in {run_dir}"
        )
        _export(run_dir, display)
    return True


def _export(run_dir, display):
    import keras

    if keras.backend.backend() != "tensorflow":
        display.say(f"a SavedModel needs TensorFlow: python -m trainer.export --run_dir={run_dir}")
        return
    from trainer.export import export

    path = run_dir / "saved_model"
    display.say(f"exported {path if path.exists() else export(run_dir)}")


def _rerun(search, display):
    """Appendix C: the best hyperparameters from other seeds, as a row of Table App.1."""
    search.check()
    ranked = log.ranked(log.read(search.path / "trials.jsonl")[0].values())
    if not ranked:
        raise UserError(f"{search.path} has no feasible trial to run again")
    if ranked[0].config.get("preset") and "init" in FLAGS.vary:
        raise UserError("the study starts from a preset's weights: --vary=data alone can vary")
    configs = reruns.variations(TrainConfig(**ranked[0].config), FLAGS.rerun_best, FLAGS.vary)
    trainer = Processes(FLAGS.workers, FLAGS.lanes)
    records = reruns.train_all(search.path / log.RERUNS, configs, trainer, display, keep=False)
    if len(records) < len(configs):
        return False
    row = robustness(ranked[0].eval_loss, [each.eval_loss for each in records])
    cells = ["-" if value is None else f"{value:.4g}" for value in row.values()]
    display.table(row.keys(), [cells])
    return True


def _train_given(directory, configs, display):
    path = pathlib.Path(directory, "given.jsonl")
    records = reruns.train_all(path, configs, Processes(FLAGS.workers, FLAGS.lanes), display)
    if len(records) < len(configs):
        return False
    show(records, len(records), display)
    return True


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

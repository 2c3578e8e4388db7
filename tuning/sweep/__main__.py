"""python -m tuning.sweep --gin_file=gin_configs/paper/figure_4_parens.gin --out=DIR"""

import functools
import os

from absl import flags

from trainer import backend
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import NO_TF32
from trainer.display.words import count
from trainer.errors import UserError
from tuning.study.places import gpus
from tuning.sweep import dry_run, local, worker
from tuning.sweep.config import parse
from tuning.sweep.directory import FAILED, Sweep
from tuning.sweep.growth import kept, union
from tuning.sweep.status import SweepDisplay, show

USAGE = """Runs the studies behind a figure or a table. To continue a sweep that was stopped or
killed, run the same command again; to share the work, run it on machines that share the directory.
Another gin file, or more trials, in the same --out adds to the sweep.

  python -m tuning.sweep --gin_file=gin_configs/paper/figure_4_parens.gin --out=DIR
  python -m tuning.sweep --status DIR

Flags:"""

ENGINES = ("local", "ray")
FLAGS = flags.FlagValues()


def _define():
    text = functools.partial(flags.DEFINE_string, flag_values=FLAGS)
    whole = functools.partial(flags.DEFINE_integer, flag_values=FLAGS)
    yes = functools.partial(flags.DEFINE_boolean, flag_values=FLAGS)
    flags.DEFINE_multi_string(
        "gin_file",
        [],
        "gin file of the studies: one of gin_configs/paper, or your own; if there are "
        "several, later ones override earlier ones, and only one has a grid",
        flag_values=FLAGS,
    )
    text("out", None, "directory of the sweep")
    text("status", None, "print the progress of the sweep in this directory and exit")
    yes("dry_run", False, "print the estimated cost of the work that is left in --out and exit")
    text("engine", "local", f"engine that runs it: {', '.join(ENGINES)}")
    whole("workers", None, "number of processes; default: one per GPU or core")
    whole("lanes", None, "trials that each process trains at once; default: by machine and model")
    whole("num_trials", None, "number of trials of every study")
    whole("train_steps", None, "maximum number of training steps per trial")
    whole("max_megabytes", 4000, "memory above which a process is replaced between studies")
    yes("retry_failed", False, "retry failed studies")
    text("ray_address", None, "a running Ray cluster, such as auto; default: start one")
    flags.DEFINE_float(
        "gpus_per_study", None, "share of a GPU that Ray reserves per study", flag_values=FLAGS
    )


train_flags.define_surroundings(FLAGS)
_define()


def main():
    display = SweepDisplay()
    for name in ("status", "dry_run"):
        if FLAGS.retry_failed and FLAGS[name].value:
            raise UserError(f"--retry_failed has no effect with --{name}; omit one of the two")
    if FLAGS.status:
        show(Sweep.open(FLAGS.status, lenient=True), display)
        return 0
    with display.phase("reading the studies"):
        specs, text, notes = _studies()
    for note in notes:
        display.say(note)
    # Ray's machines may have GPUs that this one lacks.
    if any(s.config.precision == "tf32" for s in specs) and FLAGS.engine == "local" and not gpus():
        display.say(NO_TF32)
    if not FLAGS.out:
        if not FLAGS.dry_run:
            raise UserError("--out is missing: the directory of the sweep")
        merged = union("", {}, {spec.name: spec for spec in specs})
        dry_run.show(None, merged, FLAGS.workers, FLAGS.lanes, display)
        return 0
    backend.check(cli.backend_name())
    sweep = Sweep(FLAGS.out, specs, cli.backend_name(), FLAGS.profile)
    merged = sweep.union() if FLAGS.dry_run else sweep.create(text)
    for line in [*kept(FLAGS.out, merged), *sweep.edited()]:
        display.say(line)
    if FLAGS.dry_run:
        dry_run.show(sweep, merged, FLAGS.workers, FLAGS.lanes, display)
        return 0
    for name in sweep.specs if FLAGS.retry_failed else ():
        sweep.retry(name)
    return _run(sweep, display)


def _studies():
    """Parse and check the studies; return the results of `parse`."""
    if FLAGS.engine not in ENGINES:
        raise UserError(f"unknown engine {FLAGS.engine!r}; choose one of {', '.join(ENGINES)}")
    names = ("workers", "lanes", "num_trials", "train_steps", "max_megabytes")
    train_flags.check_positive(FLAGS, *names)
    train_flags.callbacks_of(FLAGS)  # an error in them would come only in the workers
    if not FLAGS.gin_file:
        raise UserError("--gin_file is missing, such as gin_configs/paper/figure_4_parens.gin")
    given = {name: FLAGS[name].value for name in ("num_trials", "train_steps")}
    for name in ("ray_address", "gpus_per_study"):
        if FLAGS[name].present and FLAGS.engine != "ray":
            raise UserError(f"--{name} has no effect without --engine=ray; omit it, or add that")
    if FLAGS.ray_address and FLAGS.workers:
        raise UserError(
            f"--workers={FLAGS.workers} has no effect with --ray_address: the cluster has its own "
            "number; omit it"
        )
    if FLAGS.gpus_per_study is not None and not FLAGS.gpus_per_study >= 0:
        raise UserError(f"--gpus_per_study must be at least 0, got {FLAGS.gpus_per_study}")
    data = train_flags.data_options(FLAGS)
    for options in data.values():
        # Other processes may have other working directories and home directories.
        if "path" in options and not options["path"].startswith("~"):
            options["path"] = os.path.abspath(options["path"])
    return parse(FLAGS.gin_file, FLAGS.profile, FLAGS.gin_bindings, given, data)


def _run(sweep, display):
    runner = worker.Studies(FLAGS.lanes, tuple(FLAGS.log_to))
    display.begin(sweep)
    try:
        if FLAGS.engine == "ray":
            from tuning.sweep import ray_core

            cluster = ray_core.Settings(
                FLAGS.ray_address, FLAGS.workers, FLAGS.gpus_per_study, FLAGS.max_megabytes
            )
            is_over = ray_core.run(sweep, runner, cluster, display)
        else:
            is_over = local.run(sweep, runner, FLAGS.workers, FLAGS.max_megabytes, display)
    finally:
        display.end()
    show(sweep, display)
    if not is_over:
        display.say("interrupted; run the same command again to continue")
        return cli.INTERRUPTED
    failed = sum(sweep.state(name).status == FAILED for name in sweep.specs)
    if failed:
        display.say(
            f"{count(failed, 'study', 'studies')} failed; see the errors in "
            f"{sweep.path / 'logs'}, and retry with --retry_failed"
        )
    return 1 if failed else 0


def run():
    """Run the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

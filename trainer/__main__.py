"""python -m trainer --task=parens: trains one recurrent network on one of the paper's tasks."""

from absl import flags

from trainer import backend, initial_weights
from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.config import NO_TF32, TrainConfig, read_config, without_effect
from trainer.errors import UserError
from trainer.storage.records import RunDirectory

USAGE = """Trains one recurrent network on one task.

  python -m trainer --task=parens --arch=ugrnn

Flags:"""

FLAGS = flags.FlagValues()

train_flags.define(FLAGS)
flags.DEFINE_string(
    "run_dir", None, "directory to write; default: a new one in runs/", flag_values=FLAGS
)
flags.DEFINE_boolean("resume", False, "continue the run in --run_dir", flag_values=FLAGS)


def main() -> int:
    directory, parsed = _settings()
    callbacks = train_flags.callbacks_of(FLAGS)
    backend.check(cli.backend_name())
    from trainer.display.progress import Display

    display = Display()
    for notice in _without_effect(parsed):
        display.say(notice)
    with display.phase(f"starting {cli.backend_name()}"):
        cli.start_backend()
        from trainer.loop import train
    if parsed.config.precision == "tf32" and backend.current().device_name() == "cpu":
        display.say(NO_TF32)
    record = train(
        parsed.config,
        directory,
        FLAGS.resume,
        parsed.documents,
        display,
        callbacks,
        profile=train_flags.profile_of(FLAGS),
    )
    return cli.INTERRUPTED if record.status == "interrupted" else 0


def _without_effect(parsed):
    """Sentences about values that the user set and that change nothing."""
    config = parsed.config
    return [
        f"{name} has no effect: {reason}"
        for name, reason in without_effect(vars(config)).items()
        # The config.gin of a run sets all fields, most of them to their defaults.
        if name in parsed.given and getattr(config, name) != getattr(TrainConfig, name)
    ]


def _settings():
    """Return the run directory and the parsed settings, checked without starting a backend."""
    if FLAGS.resume and not FLAGS.run_dir:
        raise UserError("--resume needs --run_dir, the directory of the run to continue")
    directory = RunDirectory(FLAGS.run_dir) if FLAGS.run_dir else None
    record = directory and directory.check(FLAGS.resume)
    if FLAGS.resume and record is None and not (FLAGS.task or FLAGS.gin_file or FLAGS.preset):
        raise UserError(
            f"{FLAGS.run_dir} holds no run to resume; to start one there, give --task and --arch"
        )
    # Not config.gin: a gin file can import modules, and a run's directory is data.
    base = record and (lambda: read_config(record.config, directory.record_path).as_gin())
    parsed = train_flags.parse(FLAGS, base)
    task = parsed.config.make_task()
    has_started = directory and directory.has_checkpoint
    if has_started:
        parsed.config.units(task.input_dim, task.output_dim)
    else:
        initial_weights.check(parsed.config, task)
    return FLAGS.run_dir, parsed


def run() -> None:
    """Entry point of the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""python -m trainer --task=parens --arch=ugrnn"""

from absl import flags

from rnn_zoo.architectures import ARCHITECTURES
from trainer import cli, parsing
from trainer.errors import UserError
from trainer.records import RunDirectory
from trainer.tasks import TASKS

USAGE = """Trains one recurrent network on one of the paper's tasks.

  python -m trainer --task=parens --arch=ugrnn

Flags:"""

FLAGS = flags.FlagValues()

#: Exit code of a run that a signal stopped, as a shell gives it for Ctrl-C.
INTERRUPTED = 130


def _define():
    def listed(table):
        return "".join(f"\n        {name}: {entry.summary}" for name, entry in table.items())

    common = {"flag_values": FLAGS}
    flags.DEFINE_string("task", None, f"the task, one of{listed(TASKS)}", **common)
    flags.DEFINE_string("arch", None, f"the architecture, one of{listed(ARCHITECTURES)}", **common)
    flags.DEFINE_integer(
        "depth", None, "number of layers; 1, or 2 for +rnn, if not given", **common
    )
    flags.DEFINE_integer("num_params", None, "parameter budget; the units follow from it", **common)
    flags.DEFINE_integer("train_steps", None, "number of updates", **common)
    flags.DEFINE_integer("batch_size", None, "samples an update", **common)
    flags.DEFINE_integer("seed", None, "of initial weights and batches", **common)
    flags.DEFINE_string(
        "run_dir", None, "where to write; a new directory in runs/ if not given", **common
    )
    flags.DEFINE_boolean("resume", False, "continue the run that --run_dir holds", **common)
    flags.DEFINE_string(
        "profile", "laptop", f"amount of work: {', '.join(parsing.PROFILES)}", **common
    )
    flags.DEFINE_multi_string("gin_file", [], "a gin file to parse after the task's", **common)
    flags.DEFINE_multi_string(
        "gin_bindings", [], "a binding, as TrainConfig.lr_init=0.01", **common
    )
    flags.DEFINE_string("text8_path", None, "a text8 file: plain, .gz or .zip", **common)
    flags.DEFINE_string("text8_source", None, "pydoc: text from Python's documentation", **common)


_define()


def main():
    directory, parsed = _settings()
    cli.start_backend()
    from trainer.loop import train

    record = train(parsed.config, directory, FLAGS.resume, parsed.documents)
    return INTERRUPTED if record.status == "interrupted" else 0


def _settings():
    """The run directory and the configuration, checked as far as is possible without a backend."""
    if FLAGS.resume and not FLAGS.run_dir:
        raise UserError("--resume needs --run_dir, the directory of the run to continue")
    fields = ("task", "arch", "depth", "num_params", "train_steps", "batch_size", "seed")
    text8 = {"path": FLAGS.text8_path, "source": FLAGS.text8_source}
    directory = RunDirectory(FLAGS.run_dir) if FLAGS.run_dir else None
    if directory:
        directory.check(FLAGS.resume)
    begun = FLAGS.resume and directory.config_path.exists()
    parsed = parsing.parse(
        {name: FLAGS[name].value for name in fields},
        {name: value for name, value in text8.items() if value is not None},
        FLAGS.profile,
        FLAGS.gin_file,
        FLAGS.gin_bindings,
        base=directory.config_path if begun else None,
    )
    task = parsed.config.make_task()
    parsed.config.units(task.input_dim, task.output_dim)
    return FLAGS.run_dir, parsed


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

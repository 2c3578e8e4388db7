"""python -m tuning.report --runs=DIR --out=DIR"""

import pathlib

from absl import flags

from trainer.cli import main as cli
from trainer.errors import UserError

USAGE = """Makes every figure, table and claim of the paper from the runs that there are.

  python -m tuning.report --runs=runs --out=report

Flags:"""

FLAGS = flags.FlagValues()
flags.DEFINE_string("runs", None, "a directory of sweeps, studies or runs", flag_values=FLAGS)
flags.DEFINE_string("out", None, "the directory to write the report to", flag_values=FLAGS)
flags.DEFINE_string(
    "published",
    None,
    "a directory of the authors' unpacked trials, laid under ours",
    flag_values=FLAGS,
)


def main():
    if not FLAGS.out:
        raise UserError("--out is missing: the directory to write the report to")
    if not FLAGS.runs and not FLAGS.published:
        raise UserError("--runs is missing: a directory of sweeps, studies or runs")
    for name in ("runs", "published"):
        path = FLAGS[name].value
        if path and not pathlib.Path(path).is_dir():
            raise UserError(f"--{name} is no directory: {path}")
    try:
        import jinja2  # noqa: F401 - what the page is made with
        import pandas  # noqa: F401 - what all of it is
        import tabulate  # noqa: F401 - what pandas writes Markdown with
    except ImportError as error:
        raise UserError(f"the report needs {error.name}: pip install 'rnn-zoo[report]'") from None
    from trainer.display.progress import Display
    from tuning.report import build

    build.run(FLAGS.runs, FLAGS.out, FLAGS.published, Display())


def run():
    """The console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

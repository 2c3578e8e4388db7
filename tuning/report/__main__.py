"""python -m tuning.report --runs=DIR --out=DIR"""

import functools
import pathlib

from absl import flags

from trainer.cli import main as cli
from trainer.cli import train_flags
from trainer.errors import UserError, extra

USAGE = """Draws the paper's figures and checks its claims, from a directory of runs; or plans the
runs that decide the most claims.

  python -m tuning.report --runs=runs --out=report
  python -m tuning.report --runs=runs --out=report --watch
  python -m tuning.report --runs=runs --out=report --figures=1a,2c --style=mine.mplstyle
  python -m tuning.report --runs=runs --out=plan --plan --hours=25 --claims=linear,relu

Flags:"""

#: Flags that have an effect with another one alone.
_OF_FLAG = {
    **dict.fromkeys(("hours", "claims", "text8_path", "text8_source"), "plan"),
    "every": "watch",
}
#: Longest time between checks for changes; `time.sleep` fails for much longer ones.
MOST_SECONDS = 1e9

FLAGS = flags.FlagValues()
flags.DEFINE_string("runs", None, "directory of sweeps, studies or runs", flag_values=FLAGS)
flags.DEFINE_string("out", None, "directory to write the report or plan to", flag_values=FLAGS)
flags.DEFINE_boolean(
    "watch", False, "rebuild the report when runs change, until Ctrl-C", flag_values=FLAGS
)
flags.DEFINE_float(
    "every", 10.0, "seconds between checks for changes, with --watch", flag_values=FLAGS
)
flags.DEFINE_list("figures", None, "names of figures to draw, all if not given", flag_values=FLAGS)
flags.DEFINE_string(
    "style", None, "Matplotlib style file that changes the look of figures", flag_values=FLAGS
)
flags.DEFINE_multi_string(
    "atlas", [], "gin file of a sweep whose tasks join the atlas, or several", flag_values=FLAGS
)
flags.DEFINE_boolean("plan", False, "plan runs instead of reporting them", flag_values=FLAGS)
flags.DEFINE_float("hours", 25.0, "core-hours that a plan may take", flag_values=FLAGS)
flags.DEFINE_list("claims", None, "claims to plan for, all if not given", flag_values=FLAGS)
for name, text in train_flags.DATA.items():
    if name.startswith("text8"):  # a plan measures how long its task takes
        flags.DEFINE_string(name, None, f"{text}, for --plan", flag_values=FLAGS)
flags.DEFINE_string(
    "published",
    None,
    "Parquet file of the authors' trials, drawn under yours; made by python -m "
    "tuning.report.convert_published",
    flag_values=FLAGS,
)


def main():
    _check_flags()
    with extra("report", "the report"):
        import jinja2  # noqa: F401 - renders the page
        import pandas  # noqa: F401 - holds all trials
        import pyarrow  # noqa: F401 - reads Parquet for pandas
        import tabulate  # noqa: F401 - writes Markdown for pandas
    from trainer.display.progress import Display
    from tuning.report import build, plan, watch

    options = {"figures": FLAGS.figures, "style_file": FLAGS.style, "atlas_files": FLAGS.atlas}
    report = functools.partial(build.run, FLAGS.runs, FLAGS.out, FLAGS.published, **options)
    if FLAGS.plan:
        given = {"path": FLAGS.text8_path, "source": FLAGS.text8_source}
        text8 = {name: value for name, value in given.items() if value is not None}
        plan.run(FLAGS.runs, FLAGS.out, FLAGS.hours, text8, Display(), FLAGS.claims)
    elif FLAGS.watch:
        watch.run(FLAGS.runs, FLAGS.out, report, Display(), FLAGS.every)
    else:
        report(display=Display())


def _check_flags():
    if not FLAGS.out:
        raise UserError("--out is missing: the directory to write the report or plan to")
    if FLAGS.plan and not FLAGS.hours > 0:
        raise UserError(f"--hours must be greater than 0, got {FLAGS.hours}")
    if FLAGS.watch and (FLAGS.plan or not FLAGS.runs):
        raise UserError("--watch rebuilds a report: give --runs, and no --plan")
    if not 0 < FLAGS.every <= MOST_SECONDS:
        raise UserError(
            f"--every must be greater than 0 and at most {MOST_SECONDS:g}, got {FLAGS.every:g}"
        )
    if not FLAGS.runs and not (FLAGS.published or FLAGS.plan):
        raise UserError("--runs is missing: a directory of sweeps, studies or runs")
    if FLAGS.runs and not pathlib.Path(FLAGS.runs).is_dir():
        raise UserError(f"--runs is not a directory: {FLAGS.runs}")
    cli.check_owners(FLAGS, _OF_FLAG)
    for name in ("figures", "style", "atlas", "published"):
        if FLAGS.plan and FLAGS[name].present:
            raise UserError(f"--{name} is for reports, not for --plan; omit it")
    if FLAGS.style and not pathlib.Path(FLAGS.style).is_file():
        raise UserError(f"--style is not a file: {FLAGS.style}")
    if FLAGS.published:
        _check_published(FLAGS.published)


def _check_published(path):
    if pathlib.Path(path).is_dir():
        raise UserError(
            f"--published takes a Parquet file, and {path} is a directory; convert it once: python "
            f"-m tuning.report.convert_published --published={path} --out=published.parquet"
        )
    if not pathlib.Path(path).is_file():
        raise UserError(f"--published is not a file: {path}")


def run():
    """Run the command line."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

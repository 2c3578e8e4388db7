"""python -m tuning.report.convert_published --published=DIR --out=FILE.parquet"""

import pathlib

from absl import flags

from trainer.cli import main as cli
from trainer.display.words import count
from trainer.errors import UserError, extra

USAGE = """Converts the trials that the paper's authors published to one Parquet file.

  python -m tuning.report.convert_published --published=DIR --out=published.parquet

Flags:"""

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "published", None, "directory of the authors' unpacked files (*.p)", flag_values=FLAGS
)
flags.DEFINE_string("out", None, "Parquet file to write", flag_values=FLAGS)


def main():
    for name in ("published", "out"):
        if not FLAGS[name].value:
            raise UserError(f"--{name} is missing: the {FLAGS[name].help}")
    if not pathlib.Path(FLAGS.published).is_dir():
        raise UserError(f"--published is not a directory: {FLAGS.published}")
    with extra("report", "the conversion"):
        import pandas  # noqa: F401 - holds the table
        import pyarrow  # noqa: F401 - writes Parquet for pandas
    from rnn_zoo.files import whole
    from tuning.report import authors, published

    found = authors.read(FLAGS.published)
    with whole(FLAGS.out) as file:
        published.write(found, file)
    made = f"{FLAGS.out}: {count(len(found), 'trial')}"
    print(f"{made}; python -m tuning.report --published={FLAGS.out}")


def run():
    """Run the command line."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

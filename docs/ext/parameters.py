"""Tables of all parameters: name, type, default, range, meaning.

Types and defaults come from signatures, meanings from docstrings, ranges from the errors that an
invalid value raises and from the search space.
"""

import inspect
import re
import textwrap

from rnn_zoo.architectures import ARCHITECTURES
from trainer.config import TrainConfig
from trainer.errors import UserError
from trainer.tasks import TASKS
from tuning.config import StudyConfig
from tuning.search import space
from tuning.sweep.config import SweepConfig

HEADER = ("name", "type", "default", "range", "meaning")
#: Arguments with which a class can be constructed, where it needs any.
NEEDED = {
    TrainConfig: {"task": "memory", "arch": "gru"},
    TASKS["text8"]: {"source": "pydoc"},
}


def train_config():
    """Markdown: the table of `TrainConfig`."""
    return _table(TrainConfig, "Attributes", _searched("memory"))


def study_config():
    """Markdown: the table of `StudyConfig`."""
    return _table(StudyConfig, "Attributes")


def sweep_config():
    """Markdown: the table of `SweepConfig`."""
    return _table(SweepConfig, "Attributes")


def tasks():
    """Markdown: a heading and a table for each task's constructor."""
    parts = []
    for name, task in TASKS.items():
        searched = {
            key.removeprefix("task_options."): text for key, text in _searched(name).items()
        }
        parts.append(f"### {name}\n\n{_table(task, 'Args', searched)}")
    return "\n\n".join(parts)


def _table(cls, section, searched=None):
    meanings, rows = _meanings(cls.__doc__, section), [HEADER, ["---"] * len(HEADER)]
    for name, parameter in inspect.signature(cls).parameters.items():
        allowed, tuned = _allowed(cls, name), (searched or {}).get(name, "")
        ranges = [
            "" if tuned == f"{{{allowed}}}" else allowed,
            f"searched {tuned}" if tuned else "",
        ]
        rows.append(
            (
                f"`{name}`",
                _type(parameter),
                _default(parameter),
                "; ".join(filter(None, ranges)),
                meanings[name],
            )
        )
    return "\n".join(f"| {' | '.join(map(_escape, row))} |" for row in rows)


def _escape(cell):
    return cell.replace("|", r"\|")


def _meanings(docstring, section):
    """A docstring's section as a dict from name to text; an entry may name several."""
    body = inspect.cleandoc(docstring).partition(f"{section}:\n")[2]
    body = re.split(r"^\S", body, maxsplit=1, flags=re.M)[0]
    entries = re.split(r"^(?=\S)", textwrap.dedent(body), flags=re.M)
    pairs = (entry.partition(":")[::2] for entry in entries if entry.strip())
    return {
        name: " ".join(text.split()) for names, text in pairs for name in re.split(", *", names)
    }


def _type(parameter):
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return type(parameter.default).__name__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(parameter):
    if parameter.default is parameter.empty:
        return "required"
    default = parameter.default
    # A dataclass's signature shows a factory as an object without a readable name.
    return "`{}`" if "factory" in repr(default) else f"`{default!r}`"


def _allowed(cls, name):
    """The values that the error for an invalid one lists; empty if the type says it all."""
    try:
        cls(**NEEDED.get(cls, {}) | {name: object()})
    except (UserError, TypeError) as error:
        if choices := re.search("choose one of ([^;]*)", str(error)):
            return choices[1]
        if limits := re.search(
            "number (at least|greater than) (\\S+?)(,| and at most (\\d+))", str(error)
        ):
            kind, low, _, high = limits.groups()
            return f"{low} to {high}" if high else f"{'≥' if kind == 'at least' else '>'} {low}"
        if limits := re.search(r"must be (\d+ to \d+)", str(error)):
            return limits[1]
    return ""


def _searched(task):
    """The searched ranges of a task, of all architectures: field, or task_options.NAME -> text."""
    found = {}
    for arch in ARCHITECTURES:
        for each in space.space(TrainConfig(task, arch, num_params=1000, train_steps=1000)):
            field, _, _ = each.name.partition(".")
            name = each.name if field == "task_options" else field
            kind = each.distribution
            text = str(each) if kind == "categorical" else f"{kind} {each}"
            # The RNN's choices of matrices are a part of the others'.
            found[name] = max(text, found.get(name, ""), key=len)
    return found

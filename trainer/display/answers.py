"""Prints a model's answers to examples of its task, and its continuation of a text."""

from typing import Any

from keras import ops

from trainer.display.progress import Display
from trainer.generate import generate
from trainer.storage.records import RunRecord
from trainer.tasks import TASKS
from trainer.tasks.base import Batch, Task


def show_examples(
    display: Display, model: Any, record: RunRecord, task: Task, split: str, num: int, seed: int
) -> None:
    """Print examples of a split, each with the model's answer.

    Args:
        display: where to print.
        model: the run's model.
        record: the run.
        task: the run's task.
        split: "train", "valid" or "eval".
        num: number of examples.
        seed: chooses the examples.
    """
    batch = _sample(record, task, split, num, seed)
    outputs = ops.convert_to_numpy(model(batch.inputs))
    same = ", the one data set of all splits" if task.num_samples is not None else ""
    display.say(f"\nexamples of the split {split}{same}")
    for index in range(num):
        finite = bool(ops.all(ops.isfinite(outputs[index])))
        display.say(
            f"\n{task.answer(batch, index, outputs, record.units)}"
            if finite
            else f"\n{task.example(batch, index)}\nno answer: its outputs are not finite numbers"
        )


def show_text(
    display: Display,
    model: Any,
    record: RunRecord,
    task: Task | None,
    prompt: str | None,
    length: int,
    temperature: float,
    seed: int,
) -> None:
    """Print the model's continuation of a text.

    Args:
        display: where to print.
        model: a model that predicts the next character.
        record: the run.
        task: the run's task; only needed without a prompt.
        prompt: the text to continue; None for a text of the eval split.
        length: number of characters to add.
        temperature: as for `trainer.generate.generate`.
        seed: chooses the text of the eval split, and the characters.
    """
    vocabulary = TASKS[record.task].vocabulary or ()
    if prompt is None:
        inputs = _sample(record, task, "eval", 1, seed).inputs[0]
        codes = [int(code) for code in ops.convert_to_numpy(ops.argmax(inputs, axis=-1))]
    else:
        codes = [vocabulary.index(character) for character in prompt]
    added = generate(model, codes, length, temperature, seed)
    before, after = ("".join(vocabulary[code] for code in part) for part in (codes, added))
    source = "a held-out text" if prompt is None else "the prompt"
    display.say(
        f'\n{source}, "{before}", continued at temperature {temperature:g}, seed {seed}\n"{after}"'
    )
    if len(added) < length:
        display.say("here its outputs stopped being finite numbers")


def _sample(record: RunRecord, task: Any, split: str, num: int, step: int) -> Batch:
    """Draw samples with the run's own seed, which determines a random data set."""
    seed = record.config.get("data_seed")
    seed = record.seed if seed is None else seed
    return task.sample(split, seed, num, step=step)

"""python -m tuning.advise --task_bits=20000: advises a cell, its size and first hyperparameters.

The rules are those that the paper ends with (sections 2 and 5). Each comes with the paper's source,
with what the trials of --runs show, and with the verdict on the paper's claim.
"""

import functools
import math
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags

from rnn_zoo.algebra import divisor
from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.presets import Preset, list_presets, preset
from rnn_zoo.sizing import count_params
from trainer.cli import main as cli
from trainer.config import check_choice, check_range
from trainer.display.words import count
from trainer.errors import UserError, extra

if TYPE_CHECKING:
    import pandas as pd

USAGE = """Advises a cell, its size and first hyperparameters, each with its evidence.

  python -m tuning.advise --task_bits=20000 --train_budget=20
  python -m tuning.advise --inputs_to_remember=300 --depth=4 --input_dim=27 --output_dim=27

Flags:"""

CHEAP, EXPENSIVE = "cheap", "expensive"
#: Probability with which at least one of the training runs should learn.
SURE = 0.9
#: Least bits per parameter of a capacity trial that stored something.
_STORED = 0.01
#: Least and largest value of each number of `Needs`.
_RANGES = {
    "task_bits": (0, 1e12),
    "inputs_to_remember": (0, 10**6),
    "depth": (1, 1000),
    "train_budget": (1, 10**9),
    "input_dim": (1, 10**6),
    "output_dim": (1, 10**6),
}

FLAGS = flags.FlagValues()


def _define():
    whole = functools.partial(flags.DEFINE_integer, flag_values=FLAGS)
    text = functools.partial(flags.DEFINE_string, flag_values=FLAGS)
    flags.DEFINE_float(
        "task_bits", 0.0, "bits about its task that the network has to store", flag_values=FLAGS
    )
    whole("inputs_to_remember", 0, "numbers that it has to remember at once")
    whole("depth", 1, "number of layers")
    whole("train_budget", 1, "training runs that you can afford")
    text("inference", CHEAP, f"cost of running the network: {CHEAP} or {EXPENSIVE}")
    whole("input_dim", 1, "features of each time step")
    whole("output_dim", 1, "number of outputs")
    text("runs", "results", "directory of trials that serve as evidence")


_define()


class Needs(NamedTuple):
    """The requirements of a network.

    Attributes:
        task_bits: bits that it has to store about its task: for labels that follow no rule, the
            number of samples times the entropy of a label.
        inputs_to_remember: real numbers of its inputs that it has to hold at once.
        depth: number of layers.
        train_budget: number of training runs, with other hyperparameters each, that one can
            afford.
        inference: "expensive" if running the network costs more than training it, or "cheap".
        input_dim, output_dim: features of its inputs and outputs.
    """

    task_bits: float = 0.0
    inputs_to_remember: int = 0
    depth: int = 1
    train_budget: int = 1
    inference: str = CHEAP
    input_dim: int = 1
    output_dim: int = 1


class Reason(NamedTuple):
    """One piece of advice.

    Attributes:
        text: the advice, in a sentence or two.
        paper: its source in the paper; "" if it has none.
        here: what the trials show, with the names of their studies or runs; "" without trials.
        claims: names of the paper's claims that it rests on, as in `tuning.report.claims.CLAIMS`.
    """

    text: str
    paper: str = ""
    here: str = ""
    claims: tuple[str, ...] = ()


class Advice(NamedTuple):
    """A network and how to begin to train it.

    Attributes:
        arch, depth, units, num_params: the network; without a number of units if the needs say
            nothing about its size.
        start: the preset with the hyperparameters to begin with; None if the cell has none.
        reasons: the reasons for all of these.
    """

    arch: str
    depth: int
    units: int | None
    num_params: int | None
    start: Preset | None
    reasons: list[Reason]


def advise(needs: Needs, trials: "pd.DataFrame") -> Advice:
    """Apply the paper's rules.

    Args:
        needs: what the network has to do.
        trials: evidence, from `tuning.trials.read`; it may be empty.
    """
    random = _random(trials, needs.depth)
    arch, of_cell = _cell(needs, trials, random)
    units, of_size = _size(arch, needs, trials)
    ends = needs.input_dim, needs.output_dim
    total = units and count_params(arch, needs.depth, units, *ends)
    start = _nearest(arch, needs.depth, total or 1)
    return Advice(
        arch,
        needs.depth,
        units,
        total,
        start,
        [of_cell, *_odds(arch, needs, random), *of_size, *_start(start)],
    )


def _cell(needs, trials, random):
    """Return an architecture and the reason for it."""
    from tuning.report import paper

    many = paper.TRIALS["capacity"]
    if needs.inference == EXPENSIVE and needs.train_budget >= many:
        text = (
            "The RNN: where running the network is expensive, and one can afford searches as large "
            f"as the paper's, of {many:,} training runs or more, the paper advises the cell "
            "without gates, which stores the most per parameter."
        )
        source = "section 5; section 2.1.2, figure 1"
        here = _capacities(trials, needs.depth)
        return "rnn", Reason(text, source, here, ("capacity_order", "ungated_solve"))
    if needs.depth > 1:
        text = "The +RNN: among deep networks, it was the easiest to train in the paper."
        claims = ("plus_rnn_most_trainable", "plus_rnn_untuned")
        arch, source = "+rnn", "section 5; section 4, figures 4 and 5b"
    else:
        text = (
            "The GRU: gated cells are easier to train than the RNN, and at depth 1 the GRU was the "
            "easiest in the paper."
        )
        claims = ("gated_easier", "gru_most_trainable", "gru_untuned")
        arch, source = "gru", "section 5; section 4, figures 4 and 5a"
    if needs.inference == EXPENSIVE:
        text += f" From {many:,} training runs on, the RNN would be cheaper to run."
    return arch, Reason(text, source, _shares(random), claims)


def _random(trials, depth):
    """Return the trials of parens with random hyperparameters at one budget."""
    from tuning.report import comparisons
    from tuning.report.selection import untuned

    return untuned(comparisons.without(trials), depth)


def _learned(random):
    """Return architecture -> (trials that learned, number of them, studies)."""
    from tuning.report.claims.searches import capped

    return {
        arch: (int((capped(part) < 1).sum()), len(part), sorted(part.study.unique()))
        for arch, part in random.groupby("arch", observed=True)
    }


def _shares(random):
    from tuning.report import paper, statistics

    if not len(random):
        return ""
    found = _learned(random)
    shares = [
        f"{paper.label(arch)} {_percent(statistics.share(*found[arch][:2]))} of {found[arch][1]}"
        for arch in paper.in_order(found)
    ]
    shown = f"{', '.join(shares)} {_places(random.study)}"
    return f"random trials that learned parens at {random.max_params.iloc[0]:,} parameters: {shown}"


def _odds(arch, needs, random):
    """Yield how likely it is that at least one of the training runs learns."""
    from tuning.report import statistics

    learned, total, studies = _learned(random).get(arch, (0, 0, []))
    if not learned:
        return
    shares = statistics.share(learned, total)
    odds = statistics.Estimate(*(1 - (1 - p) ** needs.train_budget for p in shares))
    enough = math.ceil(math.log(1 - SURE) / math.log1p(-shares.value)) if shares.value < 1 else 1
    runs, sure = count(needs.train_budget, "training run"), f"{100 * SURE:.0f} %"
    text = (
        f"Of {runs} at random hyperparameters, at least one learns a task as hard as parens "
        f"with a probability of {_percent(odds)}; it takes {enough} for {sure}."
    )
    yield Reason(text, "", f"{learned} of {total} trials learned {_places(studies)}")


def _size(arch, needs, trials):
    """Return a number of units and the reasons for it."""
    from tuning.report import paper

    reasons, wanted = [], 0
    if needs.task_bits:
        wanted, reason = _parameters(arch, needs, trials)
        reasons.append(reason)
    if needs.inputs_to_remember:
        units = count(needs.inputs_to_remember, "unit")
        text = f"At least {units} per layer: a network remembers about one real number per unit."
        here = _errors(trials, needs.depth)
        reasons.append(Reason(text, "section 2.2, figure 2c", here, ("number_per_unit",)))
    if not reasons:
        least, most = paper.BITS_PER_PARAMETER
        text = (
            f"For a size, say what it has to hold: a network stores {least:g} to {most:g} bits per "
            "parameter about its task (--task_bits), and remembers one number per unit "
            "(--inputs_to_remember)."
        )
        return None, [Reason(text, "section 2")]
    step = divisor(ARCHITECTURES[arch].gates)
    units = max(1, -(-needs.inputs_to_remember // step)) * step

    def size(units):
        return count_params(arch, needs.depth, units, needs.input_dim, needs.output_dim)

    # N grows to the first size that is enough, by doubling, and then by halves.
    high = units
    while size(high) < wanted:
        units, high = high, 2 * high
    while high - units > step:
        middle = units + (high - units) // (2 * step) * step
        units, high = (middle, high) if size(middle) < wanted else (units, middle)
    return high, reasons


def _parameters(arch, needs, trials):
    """Return the number of parameters that store the task's bits, and the reason for it."""
    from tuning.report import paper
    from tuning.report.selection import by_optimizer

    # Those with other optimizers took a million steps each, which few can afford.
    found = _bests(by_optimizer(trials)[""], needs.depth)
    rate, many = paper.TYPICAL_BITS, paper.TRIALS["capacity"]
    number = math.ceil(needs.task_bits / rate)
    text = (
        f"At {rate:g} bits per parameter, as in the paper after {many:,} trials, "
        f"{needs.task_bits:,.0f} bits need {count(number, 'parameter')}."
    )
    here, fewest, source = "", paper.BITS_PER_PARAMETER[0], "the paper's least"
    if arch in found.index:
        fewest, source = found.bits_per_parameter[arch], "the best here with the paper's optimizers"
        here = (
            f"the best of {count(found.trials[arch], 'trial')} of the {paper.label(arch)} stored "
            f"{fewest:.2f} bits per parameter ({found.run[arch]})"
        )
    if needs.train_budget < many and fewest < rate:
        number = math.ceil(needs.task_bits / fewest)
        text += f" With fewer trials, {number:,} are safer: {fewest:.2f} bits each, {source}."
    return number, Reason(text, "section 2.1.2, figure 1", here, ("five_bits", "linear"))


def _bests(trials, depth):
    """Return the best capacity trial of each architecture, with the number of its trials."""
    from tuning.report.selection import capacity

    found = capacity(trials, depth)
    found = found.assign(trials=found.groupby("arch", observed=True).run.transform("size"))
    found = found[found.bits_per_parameter >= _STORED]
    order = found.sort_values("bits_per_parameter", ascending=False)
    return order.drop_duplicates("arch").set_index("arch")


def _capacities(trials, depth):
    from tuning.report import paper

    found = _bests(trials, depth)
    archs = [arch for arch in paper.CAPACITY_ORDER if arch in found.index]
    bits = [f"{paper.label(a)} {found.bits_per_parameter[a]:.2f} ({found.run[a]})" for a in archs]
    return f"most bits per parameter so far: {', '.join(bits)}" if bits else ""


def _errors(trials, depth):
    """Say how far the memory task's best errors are above max(0, 1 - n / dimensions)."""
    from tuning.report import paper, statistics
    from tuning.report.selection import dimensions, searched

    found = searched(trials, "memory", depth)
    if not len(found):
        return ""
    bests = statistics.best(found, ["arch", "units"])
    ideal = (1 - bests.units / dimensions(bests)).clip(lower=0)
    above = (bests.eval_loss - ideal).groupby(bests.arch, observed=True).max()
    said = [f"{paper.label(arch)} {above[arch]:.2f}" for arch in paper.in_order(above.index)]
    return (
        f"largest error above max(0, 1 - units / dimensions): {', '.join(said)} "
        f"{_places(bests.study)}"
    )


def _nearest(arch, depth, num_params):
    """Return the card of the preset with the most similar network, or None."""
    cards = [preset(name) for name in list_presets()]
    own = [card for card in cards if card.arch == arch and card.config]
    hard = [card for card in own if card.task in ("parens", "arithmetic")] or own

    def distance(card):
        ratio = abs(math.log(card.max_params / num_params))
        trials = (card.search or {}).get("num_trials", 0)
        return abs(card.depth - depth), card.weights is None, ratio, -trials, card.name

    return min(hard, key=distance, default=None)


def _start(card):
    if card is None:
        return
    names = ("optimizer", "lr_init", "lr_decay_rate", "gradient_clip_val", "l2_decay", "gate_bias")
    values = {name: card.config[name] for name in (*names, "activation") if name in card.config}
    search = card.search or {}
    trials = f", the best of {count(search['num_trials'], 'trial')}" if search else ""
    yield Reason(
        f"Begin with the hyperparameters of the preset {card.name}{trials}: {_said(values)}, ....",
        "",
        f"rnn_zoo.preset({card.name!r}) has all of them, its scores and its search",
    )


def _said(values):
    def text(value):
        if isinstance(value, dict):
            return " ".join(f"{gate} {text(each)}" for gate, each in value.items())
        return f"{value:.2g}" if isinstance(value, float) else str(value)

    return ", ".join(f"{name} {text(value)}" for name, value in values.items())


def _percent(estimate):
    value, low, high = (f"{100 * x:.0f} %" for x in estimate)
    return f"{value} [{low}, {high}]"


def _places(studies: Iterable[str]) -> str:
    """Name studies by their directories and tasks, such as (figure_5/studies/parens-*)."""
    starts = {re.sub(r"([^/-]+)-[^/]*$", r"\1-*", str(study)) for study in studies}
    return f"({', '.join(sorted(starts))})"


def lines(needs: Needs, advice: Advice, trials: "pd.DataFrame", runs: str) -> Iterator[str]:
    """Yield the advice as text, with a command to begin with."""
    from tuning.report import comparisons, paper

    size, judged = "", comparisons.without(trials)
    if advice.units and advice.num_params:
        size = f" of {count(advice.units, 'unit')}, {count(advice.num_params, 'parameter')}"
        size += f", for {count(needs.input_dim, 'input')} and {count(needs.output_dim, 'output')}"
    yield f"{paper.label(advice.arch)}, {count(advice.depth, 'layer')}{size}"
    for reason in advice.reasons:
        yield f"\n{reason.text}"
        if reason.paper:
            yield f"  paper: {reason.paper}"
        if reason.here:
            yield f"  here: {reason.here}"
        yield from (f"  claim: {text}" for text in _verdicts(reason.claims, judged))
    options = {"task": "TASK", "arch": advice.arch, "depth": advice.depth}
    options |= {"num_params": advice.num_params} if advice.num_params else {}
    words = [f"--preset={advice.start.name} --scratch"] if advice.start else []
    words += [f"--{name}={value}" for name, value in options.items()]
    words += [f"--num_trials={needs.train_budget}"] if needs.train_budget > 1 else []
    program = "tuning" if needs.train_budget > 1 else "trainer"
    yield f"\nTo begin: python -m {program} {' '.join(words)}"
    if len(trials):
        yield f"Studies and runs are in {runs}; python -m tuning.report --runs={runs} draws all."
    else:
        yield f"{runs} has no trials; the advice is the paper's alone."


def _verdicts(names: Iterable[str], judged: "pd.DataFrame") -> Iterator[str]:
    from tuning.report.claims import CLAIMS

    for name in names if len(judged) else ():
        verdict = CLAIMS[name].check(judged).verdict
        yield f"{CLAIMS[name].text.rstrip('.')}: {verdict} ({name})"


def _needs() -> Needs:
    values: dict[str, Any] = {name: FLAGS[name].value for name in Needs._fields}
    check_choice("--inference", values["inference"], (CHEAP, EXPENSIVE))
    for name, (low, high) in _RANGES.items():
        check_range(f"--{name}", values[name], low, high)
    return Needs(**values)


def main():
    with extra("report", "advice"):
        import pandas  # noqa: F401 - holds all trials
    from trainer.display.progress import Display
    from tuning import trials as files

    needs, display = _needs(), Display()
    if FLAGS["runs"].present and not os.path.isdir(FLAGS.runs):
        raise UserError(f"--runs is not a directory: {FLAGS.runs}")
    with display.phase(f"reading {FLAGS.runs}"):
        found, problems = files.read(FLAGS.runs)
    for problem in problems:
        display.say(problem)
    for line in lines(needs, advise(needs, found), found, FLAGS.runs):
        display.say(line)


def run():
    """Run the console script."""
    cli.run(main, FLAGS, USAGE)


if __name__ == "__main__":
    run()

"""Synthetic results of all nine sweeps, in the format of real ones.

A report must recover `TRUTH` from them. The grid comes from gin_configs/paper.
"""

import dataclasses
import json
import math
import pathlib

import numpy as np

from rnn_zoo import sizing
from rnn_zoo.architectures import ARCHITECTURES
from trainer.storage.records import RunRecord
from tuning.sweep import config

SWEEPS = (
    "figure_1 figure_2b figure_2c figure_3_text8 figure_3_rcf figure_4_parens figure_4_arithmetic "
    "figure_5 table_app_1"
).split()
#: Inputs, outputs and chance loss of the tasks.
_TASKS = {
    "capacity": (32, 1, math.log(2)),
    "memory": (64, 64, 1.0),
    "rcf": (50, 1, 1.0),
    "text8": (27, 27, 2.853),
    "parens": (300, 100, 18.2085),
    "arithmetic": (14, 14, 1.023),
}
#: Properties of the synthetic results.
TRUTH = {
    # Bits per parameter of the best trial, and of the best ReLU trial, at any size and depth.
    "bits": {"rnn": 5.4, "irnn": 3.5, "ugrnn": 5.2, "gru": 5.0, "lstm": 4.8, "+rnn": 4.6},
    "relu_bits": 3.5,
    # Bits per parameter at T steps are `bits` times 1 - 2^-T over 1 - 2^-5.
    "samples_over_bits": 1.1,
    # Each architecture's parameters relative to the RNN's at equal loss, and the slope in ln N.
    "text8_factor": {"rnn": 1.0, "irnn": 1.2, "ugrnn": 1.1, "gru": 1.25, "lstm": 1.3, "+rnn": 1.4},
    "text8_slope": -0.1,
    # Mean log10 loss of searches and of random hyperparameters.
    "log_loss": {"rnn": 0.6, "irnn": 0.5, "ugrnn": -0.2, "gru": -0.6, "lstm": 0.0, "+rnn": -0.3},
    "log_loss_at_8": {
        "rnn": 1.2,
        "irnn": 1.1,
        "ugrnn": -0.1,
        "gru": -0.2,
        "lstm": 0.1,
        "+rnn": -0.6,
    },
    # Shares of infeasible trials with random hyperparameters, by depth.
    "infeasible": {
        1: {"rnn": 0.2, "irnn": 0.5, "ugrnn": 0.2, "gru": 0.15, "lstm": 0.05},
        8: {"rnn": 0.2, "irnn": 0.45, "ugrnn": 0.1, "gru": 0.02, "lstm": 0.1, "+rnn": 0.1},
    },
    # Mean ratio of a rerun's loss to the original's.
    "rerun_ratio": 1.5,
}


def write(directory, scale=1.0, seed=0, sweeps=SWEEPS):
    """Write the sweeps' directories as `python -m tuning.sweep` does.

    Args:
        directory: parent of one directory per sweep.
        scale: factor of the numbers of trials.
        seed: random seed.
        sweeps: names of the sweeps.

    Returns:
        The number of trials and reruns.
    """
    generator, count = np.random.default_rng(seed), 0
    for sweep in sweeps:
        path = pathlib.Path(directory, sweep)
        studies = list(_studies(sweep, scale, generator))
        for name, study, records, reruns in studies:
            place = path / "studies" / name
            place.mkdir(parents=True)
            (place / "study.json").write_text(json.dumps({"study": study}))
            for file, lines in (("trials.jsonl", records), ("reruns.jsonl", reruns)):
                if lines:
                    text = "".join(json.dumps(dataclasses.asdict(each)) + "\n" for each in lines)
                    (place / file).write_text(text)
                count += len(lines)
        (path / "sweep.json").write_text(json.dumps({"profile": "paper"}))
    return count


def _studies(sweep, scale, generator):
    """Yield (name, entries of study.json, records, records of reruns)."""
    for number, point in enumerate(config.points(f"gin_configs/paper/{sweep}.gin", "paper")):
        if point["depth"] < ARCHITECTURES[point["arch"]].min_depth:
            continue
        trials = max(2, round(scale * point["num_trials"]))
        records = [_record(point, f"{i:05d}", generator) for i in range(trials)]
        _RESULTS[point["task"]](records, point, generator)
        reruns = _reruns(records, round(scale * point.get("reruns", 0)), generator)
        name = f"{point['task']}-{point['arch']}-{point['depth']}-{number}"
        yield name, {"algorithm": point.get("algorithm", "gp")}, records, reruns


def _record(point, run_id, generator):
    task, arch, depth = point["task"], point["arch"], point["depth"]
    inputs, outputs, chance = _TASKS[task]
    units = sizing.units_for_budget(arch, depth, point["num_params"], inputs, outputs)
    hparams = {
        "task_options": dict(point.get("task_options", {})),
        "train_steps": 50_000,
        "activation": "relu" if arch == "irnn" else "tanh",
        "optimizer": "adam",
    }
    for name in ("lr_init", "lr_decay_rate", "momentum_logit", "gradient_clip_val", "l2_decay"):
        hparams[name] = generator.random()
    for name in ("input_scale", "recurrent_scale", "bias_scale"):
        hparams[name] = {gate: generator.random() for gate in ARCHITECTURES[arch].gates}
    return RunRecord(
        run_id=run_id,
        task=task,
        arch=arch,
        depth=depth,
        units=units,
        max_params=point["num_params"],
        num_params=sizing.count_params(arch, depth, units, inputs, outputs),
        hparams=hparams,
        seed=0,
        train_steps=50_000,
        input_dim=inputs,
        output_dim=outputs,
        chance_loss=chance,
        config=hparams,
        data={},
        backend="tensorflow",
        versions={},
        steps_done=50_000,
        status="ok",
    )


def _end(record, loss, objective=None, **metrics):
    record.train_loss = record.valid_loss = record.eval_loss = float(loss)
    record.objective = float(loss if objective is None else objective)
    record.metrics = {"eval": metrics}
    # Noise keeps the curve from compressing better than a real one.
    noise = math.sin(1e5 * loss) / 3
    record.curve = [float(f"{loss * (1 + (1 + noise * step % 1) / step):.5g}") for step in _TWENTY]


_TWENTY = range(1, 21)


def _diverge(record):
    record.status, record.infeasible_at = "infeasible", 17


def _worse(records, generator):
    """Draw each trial's share of the best result; one trial has a share of 1."""
    shares = generator.uniform(0.2, 0.95, len(records))
    shares[generator.integers(0, len(records))] = 1.0
    return shares


def _capacity(records, point, generator):
    bits, shares = TRUTH["bits"][point["arch"]], _worse(records, generator)
    steps = point.get("task_options", {}).get("num_steps", 5)
    bits *= (1 - 2.0**-steps) / (1 - 2.0**-5)
    relu = int(np.argmin(shares))
    for number, (record, share) in enumerate(zip(records, shares, strict=True)):
        if number == relu and point["arch"] != "irnn":
            record.hparams["activation"] = "relu"
            share = TRUTH["relu_bits"] / bits
        stored = bits * share * record.num_params
        samples = round(stored * TRUTH["samples_over_bits"])
        record.hparams["task_options"]["num_samples"] = samples
        information = {
            "mutual_information": stored,
            "bits_per_parameter": stored / record.num_params,
        }
        _end(record, 0.5, -stored, **information)


def _memory(records, point, generator):
    left = max(0.0, 1 - records[0].units / 64)
    for record, share in zip(records, _worse(records, generator), strict=True):
        _end(record, left + (1 - share))


def _falling(records, point, generator, level, by_character):
    factor, slope = TRUTH["text8_factor"][point["arch"]], TRUTH["text8_slope"]
    for record, share in zip(records, _worse(records, generator), strict=True):
        loss = level + slope * math.log(record.num_params / factor) + (1 - share)
        extra = {"bits_per_character": loss} if by_character else {}
        _end(record, loss * (math.log(2) if by_character else 1), **extra)


def _text8(records, point, generator):
    _falling(records, point, generator, 3.5, by_character=True)


def _rcf(records, point, generator):
    _falling(records, point, generator, 1.8, by_character=False)


def _hard(records, point, generator):
    """Assign log-normal losses; of random trials, exactly the share in `TRUTH` diverges."""
    at = "log_loss_at_8" if point["depth"] == 8 else "log_loss"
    level = TRUTH[at][point["arch"]]
    if point["task"] == "arithmetic":
        level -= 1.2
    random = point.get("algorithm") == "random"
    share = TRUTH["infeasible"][point["depth"]][point["arch"]] if random else 0.05
    diverged = set(generator.permutation(len(records))[: round(share * len(records))].tolist())
    losses = 10 ** generator.normal(level, 0.35, len(records))
    if not random and (point["depth"] == 1 or point["arch"] not in ("rnn", "irnn")):
        losses[len(losses) // 2] = 1e-4  # The search solves it.
        diverged.discard(len(losses) // 2)
    for number, (record, loss) in enumerate(zip(records, losses, strict=True)):
        if number in diverged:
            _diverge(record)
        else:
            _end(record, loss)


def _reruns(records, count, generator):
    """Return reruns of the best trial; loss ratios have the mean in `TRUTH`, spread by 0.1."""
    if not count:
        return []
    best = min((r for r in records if r.objective is not None), key=lambda r: r.objective)
    ratios = generator.normal(0, 0.1, count)
    ratios += TRUTH["rerun_ratio"] - ratios.mean()
    again = [dataclasses.replace(best, run_id=f"{i:04d}-planted") for i in range(count)]
    for record, ratio in zip(again, ratios, strict=True):
        _end(record, best.eval_loss * ratio)
    return again


_RESULTS = {
    "capacity": _capacity,
    "memory": _memory,
    "text8": _text8,
    "rcf": _rcf,
    "parens": _hard,
    "arithmetic": _hard,
}

"""python -m benchmarks.steps: training steps per second, against the alternatives of a user.

The candidates take turns: each trains the same model on the same task, at the same batch size, in
separate processes that have the whole machine. In a candidate's first setting all its arrangements
are tried (one process with all threads, or one process per core with one thread each; for `fit`
several `steps_per_execution`), and the best is used from then on. `reset_after` of Keras's GRU is
always tried both ways. Rates are steps per second of the whole machine. Candidates:

    ours            the trainer's compiled loop, on TensorFlow
    ours_jax        the same, on JAX
    fit             `keras.Model.fit` with the stock layer (GRU also with reset_after=False)
    fit_cell        `keras.Model.fit` with `keras.layers.RNN(cell)` and a cell of `rnn_zoo`, where
                    there is no stock layer, and for the GRU
    torch           a plain PyTorch loop with `nn.RNN/GRU/LSTM`, a hand-written loop for the UGRNN
    jax             `lax.scan` with automatic gradients, and optax

Peers cycle through 16 ready-made batches, drawn before the clock starts. The trainer draws its
batches inside the program, and its time includes that.

Results: steps.csv and steps.png in --out. A row has the medians over --repeats, the compile time,
the peak memory, and the trainer's best rate divided by the row's. Rows of the trainer also have
the share of the machine's matrix-product rate that a step's products reach. Products are counted
from the equations. Products with one-hot inputs are counted in full, although they are only looked
up, so a share may exceed 1.
"""

import argparse
import csv
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

from benchmarks import machine, table

TASKS = ("capacity", "memory", "rcf", "text8", "parens", "arithmetic")
ARCHS = ("rnn", "irnn", "ugrnn", "gru", "lstm", "+rnn")
CANDIDATES = ("ours", "ours_jax", "fit", "fit_cell", "torch", "jax")
#: Further arrangements of a candidate, as values of its worker's --variant.
VARIANTS = {
    "fit": ("spe20", "spe100"),
    "fit_cell": ("spe20", "spe100"),
}
FIELDS = (
    "task arch budget units candidate variant processes threads steps_per_second "
    "samples_per_second compile_seconds peak_megabytes ours_over_it matmul_share"
).split()


def supported(candidate, arch):
    """Return whether a candidate supports this architecture."""
    if candidate == "fit":
        return arch in ("rnn", "irnn", "gru", "lstm")
    if candidate == "fit_cell":
        return arch in ("ugrnn", "+rnn", "gru")
    if candidate == "torch":
        return arch in ("rnn", "irnn", "ugrnn", "gru", "lstm")
    return True


def measure(setting, candidate, variant, processes, seconds, repeats):
    """Run one arrangement; return its row, or print the error and return None."""
    threads = max(1, machine.cores() // processes)
    command = [
        *(sys.executable, "-m", "benchmarks.step_worker", "--candidate", candidate),
        *("--variant", variant, "--seconds", str(seconds), "--repeats", str(repeats)),
        *("--task", setting["task"], "--arch", setting["arch"], "--budget", str(setting["budget"])),
    ]
    environment = machine.environment(threads)
    if candidate in ("ours_jax", "jax"):
        environment["KERAS_BACKEND"] = "jax"
    workers = [
        subprocess.Popen(
            [*command, "--core", str(core) if processes > 1 else "-1"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for core in range(processes)
    ]
    outputs = [worker.communicate() for worker in workers]
    if any(worker.returncode for worker in workers):
        print(f"{candidate} {variant} failed: {outputs[0][1].strip().splitlines()[-1:]}")
        return None
    results = [json.loads(out.strip().splitlines()[-1]) for out, _ in outputs]
    rate = sum(result["steps_per_second"] for result in results)
    return {
        **setting,
        "units": results[0]["units"],
        "candidate": candidate,
        "variant": results[0].get("variant", variant),
        "processes": processes,
        "threads": threads,
        "steps_per_second": rate,
        "samples_per_second": rate * results[0]["batch_size"],
        "compile_seconds": statistics.median(result["compile_seconds"] for result in results),
        "peak_megabytes": sum(result["peak_megabytes"] for result in results),
        "flops_per_step": results[0]["flops_per_step"],
    }


class Arrangements:
    """Best arrangement of each candidate, once it is known."""

    def __init__(self, seconds, repeats):
        self.timing, self.best = (seconds, repeats), {}

    def measure(self, setting, candidate):
        """Return the row of a candidate in one setting, or None if it fails."""
        known = self.best.get(candidate)
        variants = [known[0]] if known else VARIANTS.get(candidate, ("",))
        processes = [known[1]] if known else sorted({1, machine.cores()})
        if candidate == "fit" and setting["arch"] == "gru":
            variants = [*variants, *(f"{variant}after" for variant in variants)]
        rows = [
            measure(setting, candidate, variant, count, *self.timing)
            for variant in variants
            for count in processes
        ]
        row = max(filter(None, rows), key=lambda row: row["steps_per_second"], default=None)
        if row:
            self.best[candidate] = (row["variant"].removesuffix("after"), row["processes"])
        return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tasks", nargs="*", default=["capacity", "memory"], choices=TASKS)
    parser.add_argument("--archs", nargs="*", default=["rnn", "gru"], choices=ARCHS)
    parser.add_argument("--budgets", nargs="*", type=int, default=[1000, 10_000])
    parser.add_argument("--candidates", nargs="*", default=list(CANDIDATES), choices=CANDIDATES)
    parser.add_argument("--seconds", type=float, default=0.5, help="duration of each timed repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="benchmarks/results/steps")
    parser.add_argument(
        "--plot", nargs="*", help="measure nothing, plot the results in these folders"
    )
    args = parser.parse_args()
    if args.plot:
        plot(
            pathlib.Path(args.out) / "steps.png", [row for each in args.plot for row in read(each)]
        )
        return
    os.makedirs(args.out, exist_ok=True)
    peak = machine.matmul_rate()
    print(f"{machine.describe()}; matrix products run at {peak / 1e9:.0f} GFLOP/s")
    arrangements = Arrangements(args.seconds, args.repeats)
    rows = []
    for task in args.tasks:
        for arch in args.archs:
            for budget in args.budgets:
                setting = {"task": task, "arch": arch, "budget": budget}
                found = [
                    arrangements.measure(setting, candidate)
                    for candidate in args.candidates
                    if supported(candidate, arch)
                ]
                rows += compare([row for row in found if row], peak)
                table.save(args.out, "steps", FIELDS, rows, matmul_gflops=round(peak / 1e9, 1))
    plot(pathlib.Path(args.out) / "steps.png", rows)
    for line in summary(rows):
        print(line)


def read(directory):
    """Yield the rows of a steps.csv, with the numbers that `plot` needs."""
    with open(pathlib.Path(directory) / "steps.csv") as file:
        for row in csv.DictReader(file):
            yield row | {"budget": int(row["budget"]), "ours_over_it": float(row["ours_over_it"])}


def compare(rows, peak):
    """Add our ratio to each row, and the share of the peak to our rows; print them."""
    ours = [row for row in rows if row["candidate"].startswith("ours")]
    best = max((row["steps_per_second"] for row in ours), default=0.0)
    for row in rows:
        # The ratio is 0, slower than all others, where the trainer failed.
        row["ours_over_it"] = best / row["steps_per_second"]
        flops = row.pop("flops_per_step")
        mine = row["candidate"].startswith("ours")
        row["matmul_share"] = row["steps_per_second"] * flops / peak if mine else ""
        print(
            f"{row['task']:10} {row['arch']:6} {row['budget']:7,} {row['candidate']:9} "
            f"{row['variant']:8} {row['processes']}x{row['threads']} "
            f"{row['steps_per_second']:10.1f} steps/s   ours {row['ours_over_it']:5.2f}x",
            flush=True,
        )
    return rows


def summary(rows):
    """Yield the geometric mean of our ratio to each peer, per budget, then all slower settings."""
    peers = [candidate for candidate in CANDIDATES if not candidate.startswith("ours")]
    for budget in sorted({row["budget"] for row in rows}):
        here = [row for row in rows if row["budget"] == budget]
        keras = {}
        for row in here:
            if row["candidate"].startswith("fit"):
                place = (row["task"], row["arch"])
                keras[place] = min(keras.get(place, math.inf), row["ours_over_it"])
        ratios = {
            peer: [r["ours_over_it"] for r in here if r["candidate"] == peer] for peer in peers
        }
        for name, values in ({"fit or fit_cell": list(keras.values())} | ratios).items():
            if values:
                mean = statistics.geometric_mean(max(value, 1e-9) for value in values)
                yield f"{budget:7,} parameters: {mean:5.2f}x {name}, from {min(values):.2f}x on"
    for row in rows:
        if row["ours_over_it"] < 1:
            yield (
                f"slower: {row['task']} {row['arch']} {row['budget']:,} than {row['candidate']}: "
                f"{row['ours_over_it']:.2f}x"
            )


def plot(path, rows):
    """Plot our ratio to each peer: a panel per budget, a line per task and architecture."""
    from matplotlib.figure import Figure

    budgets = sorted({row["budget"] for row in rows})
    places = [(task, arch) for task in TASKS for arch in ARCHS]
    places = [p for p in places if any((row["task"], row["arch"]) == p for row in rows)]
    figure = Figure(figsize=(1.5 + 4.5 * len(budgets), 1.4 + 0.19 * len(places)))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(budgets), squeeze=False, sharey=True)[0]
    largest = max(row["ours_over_it"] for row in rows)
    ticks = [2**power for power in range(int(math.log2(largest)) + 1)]
    peers = [candidate for candidate in CANDIDATES if not candidate.startswith("ours")]
    colours = dict(zip(peers, ("#0072B2", "#56B4E9", "#D55E00", "#009E73"), strict=True))
    for panel, budget in zip(panels, budgets, strict=True):
        for peer, marker in zip(peers, "osD^", strict=True):
            points = [
                (row["ours_over_it"], places.index((row["task"], row["arch"])))
                for row in rows
                if row["budget"] == budget and row["candidate"] == peer
            ]
            if points:
                panel.plot(
                    *zip(*points, strict=True), marker, color=colours[peer], label=peer, ms=4
                )
        panel.axvline(1, color="0.4", lw=1)
        panel.set_xscale("log")
        panel.set_xticks(ticks, map(str, ticks))
        panel.minorticks_off()
        panel.grid(axis="y", color="0.92")
        panel.set_xlim(0.7, 1.2 * largest)
        panel.set_title(f"{budget:,} parameters", loc="left")
        panel.set_xlabel("steps per second, ours over the peer's")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(places)), [" ".join(place) for place in places])
    panels[0].invert_yaxis()
    panels[-1].legend(frameon=False, loc="center right")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

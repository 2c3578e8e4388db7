"""python -m benchmarks.gpu --minutes=9 --out=DIR: measures one GPU within a number of minutes.

Sections run in order of importance, each within its share of the time. DIR always holds
`results.jsonl` with every figure measured so far. After each section it also holds `table.md`, and
`archive.tar.gz` with both files, the studies and the compiled programs.
"""

import argparse
import importlib
import os
import pathlib
import signal
import sys
import tarfile
import tempfile
import time

from benchmarks import machine
from benchmarks.gpu import fleet, journal, tables
from benchmarks.gpu.sections import SHARES
from rnn_zoo.files import whole

#: Seconds reserved for the last table and archive.
ENDING_SECONDS = 5.0


def main():
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    log = journal.Journal(out / "results.jsonl")
    with tempfile.TemporaryDirectory(prefix="rnn-zoo-gpu-") as scratch:
        scratch = pathlib.Path(scratch)
        os.environ.update(environment(scratch))
        platform = fleet.warm_up()
        if platform != "gpu" and not args.smoke:
            sys.exit(f"JAX computes on {platform}, not on a GPU; --smoke runs on any device")
        given = deadlines(args.sections, 60 * args.minutes, began, args.smoke)
        for section, deadline in given:
            print(f"{section}: {deadline - time.monotonic():.0f} s", flush=True)
            try:
                run(section, deadline, log, args, lambda: pack(out, log, scratch))
            finally:
                pack(out, log, scratch)
    print((out / "table.md").read_text())


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", required=True, help="directory of the results")
    parser.add_argument("--minutes", type=float, help="9 if not given; 1.5 with --smoke")
    parser.add_argument(
        "--sections", default=",".join(SHARES), help="comma-separated; all if not given"
    )
    parser.add_argument("--smoke", action="store_true", help="toy sizes, on any device")
    parser.add_argument(
        "--workers", type=int, default=min(machine.cores(), 14), help="processes that compile"
    )
    parser.add_argument(
        "--slow_compiler",
        type=float,
        default=0.0,
        help="seconds to wait before each compilation, to test that shares of time are kept",
    )
    args = parser.parse_args()
    args.minutes = args.minutes or (1.5 if args.smoke else 9.0)
    args.sections = args.sections.split(",")
    for name in args.sections:
        if name not in SHARES:
            parser.error(f"unknown section {name!r}; choose among {', '.join(SHARES)}")
    return args


def environment(scratch):
    """Environment of all workers: JAX, its cache on disk, and no preallocation of GPU memory."""
    return {
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "RNN_ZOO_GPU_SCRATCH": str(scratch),
    }


def deadlines(sections, seconds, began, smoke=False):
    """Yield (section, time of `time.monotonic` by which it must end).

    Args:
        sections: names, in order.
        seconds: duration of the whole run.
        began: time at which the run began. The last section gets the time that others leave unused.
        smoke: whether sizes are toy, so that shares are equal but for that of "steps".
    """
    end = began + seconds - min(ENDING_SECONDS, seconds / 10)
    shares = {name: 1 + (name == "steps") for name in sections} if smoke else SHARES
    for section in sections[:-1]:
        share = shares[section] / sum(shares.values())
        yield section, min(end, time.monotonic() + share * seconds)
    yield sections[-1], end


def run(section, deadline, log, args, pack):
    """Run a section; log its failure in the journal, so that the other sections go on."""

    def write(**fields):
        log.write(section, **fields)
        if section == "evidence":
            pack()  # A study takes long, so it is archived as soon as it ends.

    try:
        module = importlib.import_module(f"benchmarks.gpu.sections.{section}")
        items, options = module.items(args.smoke), {"workers": args.workers}
        options |= getattr(module, "RUNNING", {})
        size = min(options.pop("workers"), len(items))
        with fleet.Fleet(size, args.slow_compiler) as workers:
            workers.run(module.__name__, items, deadline, write, **options)
    except Exception as error:
        write(error=fleet.describe(error))


def pack(out, log, scratch):
    """Write the tables of all results so far, and the archive of everything."""
    try:
        text = tables.markdown(journal.read(log.path)) if log.path.exists() else ""
    except Exception as error:
        text = f"The tables failed: {fleet.describe(error)}\n"
    with whole(out / "table.md", "w") as file:
        file.write(text)
    with whole(out / "archive.tar.gz") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for path in (log.path, out / "table.md", scratch / "artefacts"):
            if path.exists():
                archive.add(path, path.name)


if __name__ == "__main__":
    main()

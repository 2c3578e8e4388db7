"""python -m benchmarks.kills: sweeps whose processes are killed, against undisturbed ones.

Runs each of the paper's gin files twice per engine in one profile: once undisturbed, and once with
random kills of the processes that own a study and of the command itself. Then compares the
hyperparameters and losses of all trials. Prints one line per file, with the times; exits with 1 if
any trial differs.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from tuning.study.log import RERUNS, read

FILES = sorted(path.stem for path in pathlib.Path("gin_configs/paper").glob("*.gin"))


def trials(path):
    """Return a sweep's trials: (study, log, run id) -> (hyperparameters, seed, losses)."""
    found = {}
    for log in sorted(path.glob("studies/*/*.jsonl")):
        assert log.name in ("trials.jsonl", RERUNS), log
        records, bad = read(log)
        assert not bad and log.read_bytes().count(b"\n") == len(records), log
        for run_id, record in records.items():
            losses = (record.train_loss, record.valid_loss, record.eval_loss, record.curve)
            found[log.parent.name, log.name, run_id] = (record.hparams, record.seed, losses)
    return found


def run(command, log):
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def owners(path):
    """Yield the processes on this machine that own a study."""
    for lease in path.glob("studies/*/lease.json"):
        try:
            pid = json.loads(lease.read_text())["pid"]
        except (OSError, ValueError):
            continue
        if os.path.exists(f"/proc/{pid}"):
            yield pid


def disturb(command, path, log, rng, interval, driver_every):
    """Run a sweep to the end under kills; return (kills, kills of the command itself)."""
    kills = drivers = 0
    process = run(command, log)
    while True:
        code, deadline = process.poll(), time.monotonic() + interval * (0.5 + rng.random())
        if code is None:
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            victims = list(owners(path))
            if process.poll() is None and victims:
                if kills % driver_every == driver_every - 1:
                    process.kill()
                    process.wait()
                    drivers += 1
                    process = run(command, log)
                else:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                kills += 1
        elif code == 0:
            return kills, drivers
        else:
            raise SystemExit(f"{' '.join(command)} ended with {code}; see {log.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--files", nargs="*", default=list(FILES), choices=FILES)
    parser.add_argument("--engines", nargs="*", default=["local", "ray"], choices=["local", "ray"])
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--interval", type=float, default=15.0, help="mean seconds between kills")
    parser.add_argument(
        "--driver_every", type=int, default=5, help="every n-th kill is the command's"
    )
    parser.add_argument("--out", required=True, help="an empty directory")
    parser.add_argument("--sweep_flags", nargs="*", default=["--text8_source=pydoc"])
    args = parser.parse_args()
    rng, out, wrong = random.Random(0), pathlib.Path(args.out), 0
    out.mkdir(parents=True)
    for engine in args.engines:
        for name in args.files:
            seconds, found, counts = [], [], (0, 0)
            for kind in ("undisturbed", "killed"):
                path = out / engine / kind / name
                path.parent.mkdir(parents=True, exist_ok=True)
                command = [sys.executable, "-m", "tuning.sweep", f"--out={path}"]
                command += [f"--gin_file=gin_configs/paper/{name}.gin", f"--engine={engine}"]
                command += [f"--profile={args.profile}", *args.sweep_flags]
                began = time.monotonic()
                with open(f"{path}.log", "w") as log:
                    if kind == "killed":
                        arguments = (rng, args.interval, args.driver_every)
                        counts = disturb(command, path, log, *arguments)
                    elif code := run(command, log).wait():
                        raise SystemExit(f"{' '.join(command)} ended with {code}; see {log.name}")
                seconds.append(time.monotonic() - began)
                found.append(trials(path))
            same = found[0] == found[1]
            wrong += not same
            print(
                f"{engine:6} {name:20} {len(found[0]):3} trials: {seconds[0]:4.0f} s; "
                f"{counts[0]} kills, {counts[1]} of them of the command: {seconds[1]:4.0f} s, "
                f"{'the same trials' if same else 'OTHER TRIALS'}",
                flush=True,
            )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

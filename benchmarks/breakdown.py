"""python -m benchmarks.breakdown: time of a training step by kind of operation, on one core.

Times some steps of a setting of `benchmarks.steps`, profiles as many more with TensorFlow's
profiler, and sums the operations of the compiled program by kind, in milliseconds per step. With
--operations=N it also prints the N longest ones.
"""

import argparse
import collections
import glob
import os
import tempfile
import time

#: Kind -> predicate on an operation's name. The first kind that matches is used.
KINDS = {
    None: lambda name: name.startswith(
        ("while", "Thunk", "_train", "Eager", "TFE", "__inference", "CpuExec", "BlockU", "call")
    ),
    "products in loops": lambda name: name.lower().startswith("matmul"),
    "products after loops": lambda name: name.startswith("dot"),
    "copies, transpositions": lambda name: any(
        word in name for word in ("copy", "transpose", "concat", "slice")
    ),
    "other": lambda name: True,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--task", default="text8")
    parser.add_argument("--arch", default="lstm")
    parser.add_argument("--budget", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--operations", type=int, default=0)
    args = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import tensorflow as tf

    from benchmarks.step_worker import Setting
    from trainer.trial import Trial

    trial = Trial(Setting(args.task, args.arch, args.budget).config)
    program = trial.program()
    hparams, data = trial.hparams(program), trial.task.device_data
    state = program.run(program.start(trial.draw_weights()), hparams, data, args.steps)
    began = time.perf_counter()
    state = program.run(state, hparams, data, 2 * args.steps)
    print(f"{1e3 * (time.perf_counter() - began) / args.steps:.1f} ms per step, of which")
    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(directory)
        int(program.run(state, hparams, data, 3 * args.steps)["step"])
        tf.profiler.experimental.stop()
        (path,) = glob.glob(f"{directory}/**/*.xplane.pb", recursive=True)
        found, sums = times(path), collections.Counter()
        for name, seconds in found.items():
            sums[kind_of(name)] += seconds
        for name, seconds in [*sums.items(), *found.most_common(args.operations)]:
            print(f"{1e3 * seconds / args.steps:6.1f} ms  {name}")


def kind_of(name):
    """Return the kind of an operation, or None if it contains others."""
    return next(kind for kind, matches in KINDS.items() if matches(name))


def times(path):
    """Return operation -> seconds of a profile, without operations that contain others."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space, sums = xplane_pb2.XSpace(), collections.Counter()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if kind_of(name) is not None:
                    sums[name] += event.duration_ps / 1e12
    return sums


if __name__ == "__main__":
    main()

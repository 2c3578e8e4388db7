"""python -m benchmarks.torch_loop: layers on PyTorch against hand-written loops and fused kernels.

Each row is a layer of `rnn_zoo.layers` in this process, on 16 features, beside what one would write
in PyTorch without Keras: `nn.LSTM`, `nn.GRU` and `nn.RNN` where they have the cell's equations, and
else a loop with one input product for all steps. The two run in turn, and a time is the least over
--repeats. Training is a forward and a backward pass of the sum of squares of all outputs.

Results: torch_loop.csv in --out. Ratios are PyTorch's time divided by ours. With --profile, nothing
is written. Printed are the times of a prediction by what Keras's call adds to the loop, and the
operations of a training step: of our layer, of the same without learned initial states, of
PyTorch's, and of PyTorch's with 300 µs of other work between the two passes.
"""

import argparse
import os
import statistics
import time

from benchmarks import machine, table

#: Units, batch size, time steps.
SHAPES = ((32, 32, 50), (64, 64, 50), (128, 64, 100), (256, 64, 50))
FEATURES = 16
LAYERS = ("UGRNN", "GRU", "LSTM", "GRUResetAfter", "RNN")
FIELDS = (
    *("layer", "units", "batch_size", "time_steps", "train_ms", "torch_train_ms", "train_ratio"),
    *("predict_ms", "torch_predict_ms", "predict_ratio"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--layers", nargs="*", default=LAYERS, choices=LAYERS)
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many of the shapes")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out", default="benchmarks/results/torch_loop")
    parser.add_argument("--profile", action="store_true", help="print operations, write nothing")
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "torch"
    print(machine.describe())
    rows = []
    for layer in args.layers:
        for shape in SHAPES[: args.shapes]:
            if args.profile:
                profile(layer, *shape, args.repeats)
                continue
            rows.append(measure(layer, *shape, args.repeats))
            table.save(args.out, "torch_loop", FIELDS, rows)
            values = rows[-1].values()
            print("  ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in values))
    for ratio in ("train_ratio", "predict_ratio") if rows else ():
        values = [row[ratio] for row in rows]
        mean = statistics.geometric_mean(values)
        print(f"{ratio}: {mean:.2f}, {min(values):.2f} to {max(values):.2f}")


def measure(name, units, batch_size, time_steps, repeats):
    """Return the row of a layer and a shape."""
    import torch

    x, kinds = _kinds(name, units, batch_size, time_steps)
    least = {}
    for _ in range(repeats):
        for kind, (function, weights) in kinds.items():
            began = time.perf_counter()
            torch.autograd.grad(function(x).square().sum(), weights)
            trained = time.perf_counter()
            with torch.no_grad():
                function(x)
            times = {"train_ms": trained - began, "predict_ms": time.perf_counter() - trained}
            for column, seconds in times.items():
                column = kind + column
                least[column] = min(least.get(column, float("inf")), 1e3 * seconds)
    ratios = {
        f"{each}_ratio": least[f"torch_{each}_ms"] / least[f"{each}_ms"]
        for each in ("train", "predict")
    }
    shape = {"units": units, "batch_size": batch_size, "time_steps": time_steps}
    values = {"layer": name} | shape | least | ratios
    return {field: values[field] for field in FIELDS}


def profile(name, units, batch_size, time_steps, repeats):
    """Print what a prediction and a training step consist of, in microseconds."""
    import torch

    import rnn_zoo
    from rnn_zoo.unroll import unroll

    x, kinds = _kinds(name, units, batch_size, time_steps)
    (layer, _), (plain, of_plain) = kinds[""], kinds["torch_"]
    print(f"{name}, {units} units, a prediction:")
    calls = {
        "our layer": lambda: layer(x),
        "  without Keras's Layer.__call__": lambda: layer.call(x),
        "  without its RNN.call": lambda: unroll(layer.cell, layer.cell.fused(), x),
        "PyTorch": lambda: plain(x),
    }
    with torch.no_grad():
        for label, call in calls.items():
            print(f"  {1e6 * min(_seconds(call) for _ in range(10 * repeats)):8.1f}  {label}")
    zeros = getattr(rnn_zoo.layers, name)(units, return_sequences=True, learned_initial_state=False)
    zeros(x)
    steps = {
        "our layer": (*kinds[""], 0),
        "our layer, initial states of zeros": (
            *(zeros, [weight.value for weight in zeros.trainable_variables]),
            0,
        ),
        "PyTorch": (plain, of_plain, 0),
        "PyTorch, other work between the passes": (plain, of_plain, 3e-4),
    }
    for label, (function, weights, pause) in steps.items():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            for _ in range(repeats):
                total = function(x).square().sum()
                ends = time.perf_counter() + pause
                while time.perf_counter() < ends:
                    pass
                torch.autograd.grad(total, weights)
        print(f"a training step, {label}:")
        events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
        for event in events[:12]:
            took, calls = event.self_cpu_time_total / repeats, event.count / repeats
            print(f"  {took:8.1f}  {calls:5.1f} calls  {event.key}")
        print(f"  {sum(event.self_cpu_time_total for event in events) / repeats:8.1f}  in all")


def _seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _kinds(name, units, batch_size, time_steps):
    """Return inputs, and our layer and PyTorch's with their weights, by prefix of their columns."""
    import torch

    import rnn_zoo

    torch.manual_seed(0)
    x = torch.randn(batch_size, time_steps, FEATURES)
    layer = getattr(rnn_zoo.layers, name)(units, return_sequences=True)
    layer(x)
    plain = _plain(name, units)
    return x, {
        "": (layer, [weight.value for weight in layer.trainable_variables]),
        "torch_": (plain, list(plain.parameters())),
    }


def _plain(name, units):
    """Return a PyTorch module from (B, T, I) to (B, T, N)."""
    from torch import nn

    kernels = {"LSTM": nn.LSTM, "GRUResetAfter": nn.GRU, "RNN": nn.RNN}
    if name not in kernels:
        return _loops()[name](units)
    module = kernels[name](FEATURES, units, batch_first=True)
    module.register_forward_hook(lambda module, given, found: found[0])  # without the states
    return module


def _loops():
    import torch
    from torch import nn

    class UGRNN(nn.Module):
        def __init__(self, units):
            super().__init__()
            self.units = units
            self.kernel = nn.Parameter(0.1 * torch.randn(FEATURES, 2 * units))
            self.recurrent = nn.Parameter(0.1 * torch.randn(units, 2 * units))
            self.bias = nn.Parameter(torch.zeros(2 * units))

        def forward(self, x):
            h, outputs = x.new_zeros(len(x), self.units), []
            for z in (x.transpose(0, 1) @ self.kernel + self.bias).unbind():
                c, g = (z + h @ self.recurrent).chunk(2, -1)
                g = torch.sigmoid(g)
                h = g * h + (1 - g) * torch.tanh(c)
                outputs.append(h)
            return torch.stack(outputs, 1)

    class GRU(nn.Module):
        def __init__(self, units):
            super().__init__()
            self.units = units
            self.kernel = nn.Parameter(0.1 * torch.randn(FEATURES, 3 * units))
            self.of_gates = nn.Parameter(0.1 * torch.randn(units, 2 * units))
            self.of_candidate = nn.Parameter(0.1 * torch.randn(units, units))
            self.bias = nn.Parameter(torch.zeros(3 * units))

        def forward(self, x):
            h, outputs, width = x.new_zeros(len(x), self.units), [], 2 * self.units
            for z in (x.transpose(0, 1) @ self.kernel + self.bias).unbind():
                r, u = torch.sigmoid(z[:, :width] + h @ self.of_gates).chunk(2, -1)
                c = torch.tanh(z[:, width:] + (r * h) @ self.of_candidate)
                h = u * h + (1 - u) * c
                outputs.append(h)
            return torch.stack(outputs, 1)

    return {"UGRNN": UGRNN, "GRU": GRU}


if __name__ == "__main__":
    main()

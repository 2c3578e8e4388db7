"""The scales of path-SGD for ReLU RNNs.

Source: B. Neyshabur, Y. Wu, R. Salakhutdinov and N. Srebro, Path-normalized optimization of
recurrent neural networks with ReLU activations, 2016, arXiv:1605.07154.

The network is unrolled over the task's time steps. A path leads from an input of any step, a bias
or a learned initial state, all of them nodes with the value 1, to an output of a step that is
scored. γ² is the sum over all paths of the product of their squared weights, and the scale of a
weight w is κ = ½ ∂²γ²/∂w². With s = w² for all weights, γ² = F(s) is the output of a linear network
whose weights are s and whose inputs are ones, so

    κ = κ⁽¹⁾ + κ⁽²⁾,   κ⁽¹⁾ = ∂F/∂s,   κ⁽²⁾ = 2 s ∂²F/∂s².

κ⁽¹⁾ takes one forward and one backward pass. κ⁽²⁾ is about pairs of edges in one path that share
their weight, which only recurrent matrices have. With S = W_h² of the layer, h its states in that
linear network, and b_t = ∂F/∂h_t over all paths from h_t,

    κ⁽²⁾_jk = 4 S_jk Σ_{t < t'} h_{t-1,j} (S^{t'-1-t})_kj b_{t',k}.

κ grows without bound if the powers of S do. Where it overflows, a weight stays or the trial is
infeasible.

Legend: T time, F features of a layer's input, N units, O output; "..." lane axes.
"""

from typing import Any

from trainer import lazy_ops as ops

Tensor = Any

#: Smallest divisor of a gradient. A weight in no path has κ = 0 and no gradient, and stays.
FLOOR = 1e-12


def scales(model: Any, weights: Any, second_term: Tensor, **_: Any) -> Any:
    """Return κ of all weights, in their structure.

    Args:
        model: the `trainer.optimizers.Model`, of RNN cells with ReLU.
        weights: nested structure of arrays (..., shape), as for `rnn_zoo.functional.forward`.
        second_term: (...) factor of κ⁽²⁾, which is computed only if it is not 0 in some lane.
    """
    import keras

    squares = keras.tree.map_structure(lambda weight: weight * weight, weights)
    readout, layers = squares["readout"], squares["layers"]
    lanes, features = readout["bias"].shape[:-1], layers[0]["input"]["h"].shape[-2]
    x = ops.ones((*lanes, model.num_steps, features))
    passes = []
    for layer in layers:
        states = _states(layer, x)
        passes.append((layer, x, states))
        x = states[..., 1:, :]
    is_scored = ops.convert_to_tensor(_is_scored(model)[:, None], x.dtype)
    ones = ops.ones_like(readout["kernel"])
    from_readout = {
        "kernel": ones * ops.sum(x * is_scored, axis=-2)[..., :, None],
        "bias": ops.ones_like(readout["bias"]) * ops.sum(is_scored),
    }
    above = is_scored * ops.sum(readout["kernel"], axis=-1)[..., None, :]
    found: list[dict] = []
    for layer, x, states in reversed(passes):
        b = _backward(layer, above)
        kappa = _of_layer(layer, x, states, b)
        kappa["recurrent"]["h"] += _second(layer["recurrent"]["h"], states, b, second_term)
        found.insert(0, kappa)
        above = ops.matmul(b, _transposed(layer["input"]["h"]))
    return {"layers": found, "readout": from_readout}


def _is_scored(model):
    import numpy as np

    scored = np.zeros(model.num_steps, bool)
    scored[model.output_steps] = True
    return scored


def _states(layer, x):
    """Return the states (..., T + 1, N), the initial one first, for inputs (..., T, F)."""
    drive = ops.matmul(x, layer["input"]["h"]) + layer["bias"]["h"][..., None, :]
    matrix, (first,) = layer["recurrent"]["h"], layer["initial_state"]
    states = _recurrence(first, drive, matrix)
    return ops.concatenate([first[..., None, :], states], axis=-2)


def _backward(layer, above):
    """Return b (..., T, N) from its part ∂F/∂h_t of paths that leave the layer at t."""
    matrix = _transposed(layer["recurrent"]["h"])
    return _recurrence(ops.zeros_like(above[..., 0, :]), above, matrix, reverse=True)


def _recurrence(carry, drive, matrix, reverse=False):
    """Return h_t = drive_t + h_{t-1} matrix (..., T, N), or with h_{t+1} if reversed."""
    from trainer import backend

    def move(carry, drive):
        h = drive + ops.matmul(carry[0][..., None, :], matrix)[..., 0, :]
        return [h], [h]

    time_major = ops.moveaxis(drive, -2, 0)
    scan = backend.current().scan
    _, (states,) = scan(move, [carry], time_major, [time_major.shape[1:]], reverse=reverse)
    return ops.moveaxis(states, 0, -2)


def _of_layer(layer, x, states, b):
    """Return κ⁽¹⁾ of a layer's weights."""
    into_first = ops.matmul(b[..., :1, :], _transposed(layer["recurrent"]["h"]))
    return layer | {
        "input": {"h": ops.matmul(_transposed(x), b)},
        "recurrent": {"h": ops.matmul(_transposed(states[..., :-1, :]), b)},
        "bias": {"h": ops.sum(b, axis=-2)},
        "initial_state": [into_first[..., 0, :]],
    }


def _second(matrix, states, b, factor):
    """Return the factor times κ⁽²⁾ of a recurrent matrix with the squares S."""
    from trainer import backend

    before, num_steps = _transposed(states[..., :-1, :]), b.shape[-2]

    def add(carry, _):
        power, later, total = carry
        total = total + ops.matmul(before, later) * _transposed(power)
        return [ops.matmul(power, matrix), _next_step(later), total], []

    def compute():
        identity = matrix * 0 + ops.eye(matrix.shape[-1])
        carry = [identity, _next_step(b), matrix * 0]
        carry, _ = backend.current().scan(add, carry, ops.arange(num_steps), [])
        return 4 * factor[..., None, None] * matrix * carry[-1]

    return ops.cond(ops.any(factor != 0), compute, lambda: matrix * 0)


def _next_step(b):
    """Return b_{t+1} at t, and 0 after the last step."""
    return ops.concatenate([b[..., 1:, :], b[..., :1, :] * 0], axis=-2)


def _transposed(matrices):
    return ops.swapaxes(matrices, -2, -1)

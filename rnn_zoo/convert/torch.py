"""Conversion from and to PyTorch modules; PyTorch is imported on the first call.

PyTorch stores kernels transposed, (G N, I) and (G N, N), and two biases, which it adds.
"""

from typing import Any

import keras
import numpy as np

from rnn_zoo import layers
from rnn_zoo.convert import arrays

_NONLINEARITIES = {keras.activations.tanh: "tanh", keras.activations.relu: "relu"}
#: Options that a module lacks, beside those of `arrays.LACKING`.
_LACKING = ("stateful", "zero_output_for_mask")
_LACKING_IN_TRAINING = (
    *("dropout", "recurrent_dropout", "activity_regularizer"),
    *(f"{part}_{kind}" for part in ("kernel", "recurrent", "bias")
      for kind in ("regularizer", "constraint")),
)  # fmt: skip


def from_torch(
    module: Any, return_state: bool = False, learned_initial_state: bool = False
) -> list[layers.CellLayer]:
    """Return layers with the weights of a PyTorch module, one per layer of the module.

    Args:
        module: a `torch.nn.RNN`, `GRU` or `LSTM`. Its `batch_first` is ignored: inputs of the
            layers are always (B, T, I).
        return_state: whether the layers return their final states, as the module does.
        learned_initial_state: whether the initial states, zero in PyTorch, are trainable.

    Returns:
        List of layers of `rnn_zoo.layers`, first to last, with `gate_bias=0` and
        `return_sequences=True`, in the module's precision.

    Raises:
        ValueError: another module, or one with dropout, a projection, two directions, or a layer
            of which only a part is frozen.
        ImportError: PyTorch is not installed.

    Example:
        model = keras.Sequential(rnn_zoo.convert.from_torch(torch.nn.LSTM(27, 64, num_layers=2)))
    """
    kind = _kind(module)

    def array(name):
        return getattr(module, name).detach().cpu().double().numpy()

    converted = []
    for index in range(module.num_layers):
        ours = kind(
            module.hidden_size,
            activation=getattr(module, "nonlinearity", "tanh"),
            gate_bias=0.0,
            learned_initial_state=learned_initial_state,
            return_sequences=True,
            return_state=return_state,
            dtype=str(module.weight_ih_l0.dtype).removeprefix("torch."),
        )
        kernel, recurrent = array(f"weight_ih_l{index}").T, array(f"weight_hh_l{index}").T
        biases = [np.zeros(kernel.shape[1])] * 2
        if module.bias:
            biases = [array(f"bias_ih_l{index}"), array(f"bias_hh_l{index}")]
        given = [_reordered(kind, each) for each in (kernel, recurrent, *biases)]
        ours.trainable = _is_trainable(module, index)
        converted.append(arrays.filled(ours, *given))
    return converted


def to_torch(
    stack: layers.CellLayer | list[layers.CellLayer] | tuple[layers.CellLayer, ...],
    batch_first: bool = True,
    drop_initial_state: bool = False,
    inference_only: bool = False,
) -> Any:
    """Return a PyTorch module with the weights of layers; invert `from_torch`.

    Args:
        stack: a layer, or a list of layers from first to last, each built: all
            `rnn_zoo.layers.LSTM` or all `GRUResetAfter`, of `activation="tanh"`, or all `RNN` or
            `IRNN` of one activation, tanh or relu.
        batch_first: the module's option; by default the module takes (B, T, I), like the layers.
        drop_initial_state: whether to drop a learned initial state that is not zero.
        inference_only: whether to drop what acts in training alone: `truncate`, all dropout, noise,
            regularizers and constraints.

    Returns:
        A `torch.nn.RNN`, `GRU` or `LSTM` with the precision of the layers' weights. `bias_ih` is
        the whole bias, b^fg included; `bias_hh` is zero, but for the bias of a GRU's product that
        its reset gate multiplies. The module returns all outputs and the
        final states, and does not support masks.

    Raises:
        ValueError: other layers, layers that do not fit into one module, or an initial state or an
            option that would be lost.
        ImportError: PyTorch is not installed.

    Example:
        stack = [model.get_layer(f"layer_{i}") for i in range(2)]
        module = rnn_zoo.convert.to_torch(stack, drop_initial_state=True)
    """
    torch = _torch()
    stack = list(stack) if isinstance(stack, (list, tuple)) else [stack]
    _check_stack(stack, drop_initial_state, inference_only)
    cell, ours = stack[0].cell, type(stack[0])
    weights = [[_reordered(ours, each) for each in arrays.joined(layer)] for layer in stack]
    kinds = {layers.LSTM: torch.nn.LSTM, layers.GRUResetAfter: torch.nn.GRU}
    kind, options = kinds.get(ours, torch.nn.RNN), {}
    if kind is torch.nn.RNN:
        options["nonlinearity"] = _NONLINEARITIES[cell.activation]
    module = kind(
        len(weights[0][0]),
        cell.units,
        len(stack),
        batch_first=batch_first,
        dtype=getattr(torch, cell.variable_dtype),
        **options,
    )
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    for index, arrays_of_layer in enumerate(weights):
        for name, value in zip(names, arrays_of_layer, strict=True):
            parameter = getattr(module, f"{name}_l{index}")
            parameter.data.copy_(torch.from_numpy(np.ascontiguousarray(value.T)))
            parameter.requires_grad_(stack[index].trainable)
    return module


def _reordered(kind, array):
    """Swap the gates r and z of a GRU, whose order in PyTorch is the opposite of Keras's."""
    if kind is not layers.GRUResetAfter:
        return array
    first, second, third = np.split(array, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


def _torch():
    try:
        import torch
    except ImportError:
        raise ImportError("PyTorch is missing: pip install torch") from None
    return torch


def _kind(module):
    """Return the layer class equivalent to a module; refuse modules without one."""
    torch = _torch()
    kinds = {
        torch.nn.RNN: layers.RNN,
        torch.nn.GRU: layers.GRUResetAfter,
        torch.nn.LSTM: layers.LSTM,
    }
    who = f"torch.nn.{type(module).__name__}"
    if type(module) not in kinds:
        raise ValueError(
            f"cannot convert a {type(module).__name__}; choose a module that is exactly a "
            "torch.nn.RNN, GRU or LSTM"
        )
    if module.bidirectional:
        raise ValueError(
            f"{who} is bidirectional; convert a module for each direction, and put the layers "
            "into keras.layers.Bidirectional"
        )
    if module.proj_size:
        raise ValueError(
            f"{who} has proj_size={module.proj_size}, a projection that rnn_zoo.layers.LSTM does "
            "not have; train one of proj_size=0"
        )
    if module.dropout:
        raise ValueError(
            f"{who} has dropout={module.dropout}; set module.dropout = 0, and put "
            "keras.layers.Dropout between the converted layers"
        )
    return kinds[type(module)]


def _is_trainable(module, index):
    """Whether a layer of a module is trained; refuse one that is frozen in part."""
    own = [value for name, value in module.named_parameters() if name.endswith(f"_l{index}")]
    found = {parameter.requires_grad for parameter in own}
    if len(found) > 1:
        raise ValueError(
            f"layer {index} of torch.nn.{type(module).__name__} is frozen in part; a Keras layer "
            "is trainable or not, so set requires_grad of all its parameters alike"
        )
    return found.pop()


def _check_stack(stack, drop_initial_state, inference_only):
    """Refuse layers without an equivalent module."""
    if not stack:
        raise ValueError("a torch.nn module has at least one layer; got an empty list")
    for layer in stack:
        if type(layer) is layers.GRU:
            raise ValueError(
                f"{arrays.who(layer)} resets the state before its product, eq. (7), and "
                "torch.nn.GRU after it; train an rnn_zoo.layers.GRUResetAfter, or convert it by "
                "to_keras"
            )
        if type(layer) not in arrays.GATES:
            raise ValueError(
                f"torch.nn has no module with the equations of {type(layer).__name__}; choose an "
                "rnn_zoo.layers.RNN, IRNN, GRUResetAfter or LSTM"
            )
        if layer.go_backwards:
            raise ValueError(
                f"{arrays.who(layer)} has go_backwards, which a torch.nn module does not; convert "
                "one without it, and flip its inputs"
            )
        arrays.check_ours(
            layer,
            "a torch.nn module",
            drop_initial_state,
            inference_only,
            _LACKING,
            _LACKING_IN_TRAINING,
        )
        _check_activations(layer)
    _check_alike(stack)


def _check_activations(layer):
    """Refuse nonlinearities that PyTorch's modules do not have."""
    cell, who = layer.cell, arrays.who(layer)
    is_gru = isinstance(layer, layers.GRUResetAfter)
    known = [keras.activations.tanh] if is_gru else list(_NONLINEARITIES)
    if cell.activation not in known:
        module, names = "GRU" if is_gru else "RNN", " and ".join(map(arrays.name, known))
        raise ValueError(
            f"{who} has activation {arrays.name(cell.activation)}, and torch.nn.{module} is for "
            f"{names}; train one of these"
        )
    if cell.recurrent_activation is not keras.activations.sigmoid:
        raise ValueError(
            f"{who} has recurrent_activation {arrays.name(cell.recurrent_activation)}, and the "
            "gates of torch.nn have the sigmoid; train one with it"
        )


def _check_alike(stack):
    """Refuse layers that differ where the layers of one module cannot."""
    first = stack[0].cell
    for layer in stack:
        cell = layer.cell
        features = len(arrays.joined(layer)[0])
        found = {
            "gates": (tuple(cell.gates), tuple(first.gates)),
            "activation": (arrays.name(cell.activation), arrays.name(first.activation)),
            "units": (cell.units, first.units),
            "precision": (cell.variable_dtype, first.variable_dtype),
            "inputs": (features, features if layer is stack[0] else first.units),
        }
        for trait, (its, of_all) in found.items():
            if its != of_all:
                raise ValueError(
                    f"{arrays.who(layer)} has {trait} {its}, where {of_all} would go into one "
                    "module with the first layer; convert it into a module of its own"
                )

"""The architectures as Keras layers, drop-in replacements for layers like `keras.layers.GRU`."""

from typing import Any

import keras
from keras import ops

from rnn_zoo import cells
from rnn_zoo.unroll import unroll

Tensor = Any


class CellLayer(keras.layers.RNN):
    """Keras `RNN` layer of one cell, with its loop over time replaced by `rnn_zoo.unroll`.

    Calls take `(sequences (B, T, I), initial_state=None, mask=None)`.

    Args:
        units, activation, gate_bias, ...: the cell's arguments.
        return_sequences: whether to return the outputs of all steps, (B, T, N), or of the last.
        return_state: whether to return the final states too: `(output, *states)`.
        go_backwards: whether to run from the last time step to the first; outputs keep that order.
        zero_output_for_mask: whether masked steps output zeros instead of the previous output.

    Raises:
        ValueError: `stateful` or `unroll` is True, or the cell refuses an argument. A stateful
            Keras layer resets to zeros and stops the gradient of a learned initial state: pass
            `initial_state` and use `return_state` instead. When the layer is built: the cell has
            weights besides those of its gates, which the derived gradient would miss.
    """

    cell_class: type[cells.AbstractRNNCell]

    def __init__(
        self,
        units: int,
        *cell_arguments: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        zero_output_for_mask: bool = False,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **cell_options: Any,
    ):
        for option in ("stateful", "unroll"):
            if cell_options.pop(option, False):
                raise ValueError(
                    f"{option}=True is not supported by rnn_zoo layers; "
                    "pass initial_state and use return_state=True instead"
                )
        cell = self.cell_class(
            units, *cell_arguments, dtype=dtype, trainable=trainable, **cell_options
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            zero_output_for_mask=zero_output_for_mask,
            name=name,
            dtype=dtype,
            trainable=trainable,
        )

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        unknown = self.cell.unknown_weights()
        if unknown:
            name = type(self.cell).__name__
            raise ValueError(
                f"{name} has weights other than its gates', {', '.join(unknown)}, and layers of "
                f"rnn_zoo do not train these; use keras.layers.RNN({name}(units)), which does"
            )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)
        outputs, states = unroll(
            self.cell, self.cell.weight_tensors(), sequences, initial_state, mask
        )
        last_output = outputs[-1]
        outputs = ops.moveaxis(outputs, 0, 1)
        if mask is not None and self.zero_output_for_mask:
            outputs = ops.where(mask[..., None], outputs, 0)
            last_output = outputs[:, -1]
        return last_output, outputs, states

    def get_config(self) -> dict[str, Any]:
        config = self.cell.get_config() | super().get_config()
        del config["cell"], config["stateful"], config["unroll"]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CellLayer":
        return cls(**config)


def make_layer(
    cell_class: type[cells.AbstractRNNCell],
    name: str,
    package: str = "rnn_zoo",
    module: str = __name__,
) -> type[CellLayer]:
    """Make the layer class of a cell class, and register both with Keras.

    Args:
        cell_class: class of the cell; the layer's docstring begins with its first line.
        name: name of the layer class.
        package: prefix of the names registered with Keras. A class that is already registered keeps
            its name, since saved models contain it.
        module: module from which the layer class can be imported.
    """
    summary = (cell_class.__doc__ or cell_class.__name__).strip().split("\n")[0]
    attributes = {
        "__doc__": f"{summary}\n\n`{cell_class.__name__}` as a layer; see `CellLayer`.",
        "__module__": module,
        "cell_class": cell_class,
    }
    layer = type(name, (CellLayer,), attributes)
    for each in (cell_class, layer):
        if keras.saving.get_registered_name(each) == each.__name__:
            keras.saving.register_keras_serializable(package)(each)
    return layer


RNN = make_layer(cells.RNNCell, "RNN")
IRNN = make_layer(cells.IRNNCell, "IRNN")
UGRNN = make_layer(cells.UGRNNCell, "UGRNN")
GRU = make_layer(cells.GRUCell, "GRU")
LSTM = make_layer(cells.LSTMCell, "LSTM")
IntersectionRNN = make_layer(cells.IntersectionRNNCell, "IntersectionRNN")
MGU = make_layer(cells.MGUCell, "MGU")
MinimalRNN = make_layer(cells.MinimalRNNCell, "MinimalRNN")

#: Architecture name -> layer class.
LAYERS: dict[str, type[CellLayer]] = {
    "rnn": RNN,
    "irnn": IRNN,
    "ugrnn": UGRNN,
    "gru": GRU,
    "lstm": LSTM,
    "+rnn": IntersectionRNN,
    "mgu": MGU,
    "minimal_rnn": MinimalRNN,
}

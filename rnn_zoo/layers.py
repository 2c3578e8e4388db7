"""The architectures as Keras layers, drop-in where `keras.layers.GRU` stands."""

import keras
from keras import ops

from rnn_zoo import cells
from rnn_zoo.unroll import unroll


class CellLayer(keras.layers.RNN):
    """A layer of one cell: Keras's own `RNN`, with its loop over time replaced by `rnn_zoo.unroll`.

    Calls take `(sequences (B, T, I), initial_state=None, mask=None)`.

    Args:
        units, activation, gate_bias, ...: the cell's arguments.
        return_sequences: whether to return the outputs of all steps, (B, T, N), or of the last.
        return_state: whether to return the last states too, `(output, *states)`.
        go_backwards: whether to read the sequence from its end; outputs come in that order.
        zero_output_for_mask: whether masked steps output zeros instead of the last output.

    Raises:
        ValueError: `stateful` or `unroll` is asked for, or what the cell refuses. A stateful Keras
            layer resets to zeros and stops the gradient of a learned initial state: pass
            `initial_state` and use `return_state` instead. Or, when it is built, the cell has
            weights beside those of its gates, which the derived gradient would miss.
    """

    cell_class = None

    def __init__(
        self,
        units,
        *cell_arguments,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        zero_output_for_mask=False,
        name=None,
        dtype=None,
        trainable=True,
        **cell_options,
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
                f"{name} has weights that no gate has, {', '.join(unknown)}, and a layer of ours "
                f"would not train them; use keras.layers.RNN({name}(units)), which does"
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

    def get_config(self):
        config = self.cell.get_config() | super().get_config()
        del config["cell"], config["stateful"], config["unroll"]
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("rnn_zoo")
class RNN(CellLayer):
    """Vanilla RNN, eq. (1): `rnn_zoo.RNNCell` as a layer; see `CellLayer`."""

    cell_class = cells.RNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class IRNN(CellLayer):
    """Identity-initialised ReLU RNN, eq. (1): `rnn_zoo.IRNNCell` as a layer; see `CellLayer`."""

    cell_class = cells.IRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class UGRNN(CellLayer):
    """Update gate RNN, eqs. (2) to (4): `rnn_zoo.UGRNNCell` as a layer; see `CellLayer`."""

    cell_class = cells.UGRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class GRU(CellLayer):
    """Gated recurrent unit, eqs. (5) to (8): `rnn_zoo.GRUCell` as a layer; see `CellLayer`."""

    cell_class = cells.GRUCell


@keras.saving.register_keras_serializable("rnn_zoo")
class LSTM(CellLayer):
    """Long short-term memory, eqs. (9) to (14): `rnn_zoo.LSTMCell` as a layer; see `CellLayer`."""

    cell_class = cells.LSTMCell


@keras.saving.register_keras_serializable("rnn_zoo")
class IntersectionRNN(CellLayer):
    """+RNN, eqs. (15) to (20): `rnn_zoo.IntersectionRNNCell` as a layer; see `CellLayer`."""

    cell_class = cells.IntersectionRNNCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MGU(CellLayer):
    """Minimal gated unit: `rnn_zoo.MGUCell` as a layer; see `CellLayer`."""

    cell_class = cells.MGUCell


@keras.saving.register_keras_serializable("rnn_zoo")
class MinimalRNN(CellLayer):
    """MinimalRNN: `rnn_zoo.MinimalRNNCell` as a layer; see `CellLayer`."""

    cell_class = cells.MinimalRNNCell


#: Architecture name -> layer class.
LAYERS = {
    "rnn": RNN,
    "irnn": IRNN,
    "ugrnn": UGRNN,
    "gru": GRU,
    "lstm": LSTM,
    "+rnn": IntersectionRNN,
    "mgu": MGU,
    "minimal_rnn": MinimalRNN,
}

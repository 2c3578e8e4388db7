"""The architectures as Keras layers, drop-in replacements for layers like `keras.layers.GRU`."""

import difflib
import inspect
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from rnn_zoo import cells
from rnn_zoo.algebra import state_widths
from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.cells.arguments import whole
from rnn_zoo.cells.base import parameters
from rnn_zoo.unroll import unroll
from rnn_zoo.unroll.scan import check_scan

Tensor = Any

#: Arguments of Keras's recurrent layers that change nothing here -> the values that are accepted.
_HARMLESS: dict[str, tuple] = {
    "implementation": (0, 1, 2),
    "unroll": (False, True),
    "use_cudnn": ("auto", False),
}
#: The same, of single layers.
_HARMLESS_OF: dict[str, dict[str, tuple]] = {
    "GRU": {"reset_after": (False,)},
    "GRUResetAfter": {"reset_after": (True,)},
}
#: Arguments of Keras's recurrent layers that these lack -> what to use.
_INSTEAD = {
    "unit_forget_bias": "gate_bias, which is 1 by default",
    "reset_after": "layers.GRU to reset before the product, layers.GRUResetAfter to do so after it",
    "use_cudnn": "use_cudnn='auto'",
}


class CellLayer(keras.layers.RNN):
    """Keras `RNN` layer of one cell, with its loop over time replaced by `rnn_zoo.unroll`.

    Calls take `(sequences (B, T, I), initial_state=None, mask=None)`. Sequences of integers or
    booleans are cast. Sequences of different lengths are padded and have a mask, (B, T) or
    (B, T, 1), or are a `tf.RaggedTensor`. Outputs of a ragged tensor are padded to its longest
    sequence, and unless the model is compiled by XLA, the padding itself is not computed. An
    initial state is a list of (B, N), or of (1, N) for all samples.

    Args:
        units, activation, gate_bias, ...: the cell's arguments.
        return_sequences: whether to return the outputs of all steps, (B, T, N), or of the last.
        return_state: whether to return the final states too: `(output, *states)`.
        return_state_sequences: whether to return the states of all steps too, each (B, T, N):
            `(output, *states)`.
        go_backwards: whether to run from the last time step to the first; outputs keep that order.
        stateful: whether a batch starts from the last states of the batch before. The first one
            after `reset_state()`, and the very first, start from the learned initial states, which
            are trained there.
        zero_output_for_mask: whether masked steps output zeros instead of the previous output.
        truncate: k, to truncate backpropagation through time: no gradient passes through the states
            at steps k, 2k, ...; where a step is masked, the states stay as they are, gradient
            included.
        scan: whether a linear recurrence runs as a parallel scan over time, as the minGRU's, or in
            chunks of steps, as the mLSTM's; chosen by device and sizes if None. With a mask, with
            noise in training or with `truncate` it runs as a loop, and so does the mLSTM with
            `layer_norm` or `return_state_sequences`.
        activity_regularizer: Keras regularizer of the output.
        **options: other arguments of the cell or of `keras.layers.Layer`. `implementation`,
            `unroll` and `use_cudnn` may be as in Keras, and change nothing.

    Raises:
        ValueError: an unknown argument, or one that the cell refuses. When the layer is built: the
            cell has weights that it does not declare, which the derived gradient would miss; or the
            layer is stateful and its batch size is not known.
    """

    cell_class: type[cells.AbstractRNNCell]

    def __init__(
        self,
        units: int,
        activation: Any = ...,  # the cell's default; None is Keras's name of the identity
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        return_state_sequences: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        truncate: int | None = None,
        scan: bool | None = None,
        activity_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        **options: Any,
    ):
        cell_options, layer_options = self._split(options)
        cell_options |= {"dtype": dtype, "trainable": trainable, "autocast": autocast}
        if activation is not ...:
            cell_options["activation"] = activation
        super().__init__(
            self.cell_class(units, **cell_options),
            return_sequences=return_sequences,
            return_state=return_state or return_state_sequences,
            go_backwards=go_backwards,
            stateful=stateful,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            name=name,
            dtype=dtype,
            trainable=trainable,
            autocast=autocast,
            **layer_options,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.return_state_sequences = return_state_sequences
        if return_state_sequences and (return_state or stateful):
            other = "return_state" if return_state else "stateful"
            raise ValueError(
                f"{self.name} has return_state_sequences and {other}; omit one. The final states "
                "are the last ones of the sequences"
            )
        check_scan(self.cell, scan)
        self.truncate = None if truncate is None else whole("truncate", truncate)
        self.scan = scan
        self._is_fresh = None

    @classmethod
    def _split(cls, options):
        """Return (options of the cell, options of Keras's base layer); refuse others."""
        harmless = _HARMLESS | _HARMLESS_OF.get(cls.__name__, {})
        of_cell, of_layer = {}, {}
        known = parameters(cls.cell_class)
        for name, value in options.items():
            if name in known:
                of_cell[name] = value
            elif name in ("input_shape", "input_dim"):
                of_layer[name] = value
            elif name not in harmless or value not in harmless[name]:
                close = difflib.get_close_matches(name, inspect.signature(cls).parameters, n=1)
                hint = _INSTEAD.get(name) or (close[0] if close else None)
                raise ValueError(
                    f"rnn_zoo.layers.{cls.__name__} has no argument {name}={value!r}"
                    + (f"; use {hint}" if hint else "")
                )
        return of_cell, of_layer

    def build(self, sequences_shape, initial_state_shape=None):
        batch_size, _, features = sequences_shape
        if not self.cell.built:
            self.cell.build((batch_size, features))
        unknown = self.cell.unknown_weights()
        if unknown:
            name = type(self.cell).__name__
            raise ValueError(
                f"{name} has weights that it does not declare, {', '.join(unknown)}, and layers of "
                f"rnn_zoo do not train these; declare them as `vectors`, or use "
                f"keras.layers.RNN({name}(units)), which trains them"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: features})
        if self.stateful:
            self._add_states(batch_size)

    def _add_states(self, batch_size):
        if batch_size is None:
            raise ValueError(
                f"the stateful layer {self.name} needs a known batch size; give keras.Input a "
                "batch_shape"
            )
        self._expected_batch_size = batch_size
        widths = state_widths(self.cell, self.cell.units)
        with keras.name_scope(self.name):
            last = [
                _untrained(ops.zeros((batch_size, width)), f"last_{name}")
                for name, width in zip(self.cell.state_names, widths, strict=True)
            ]
            # Not by setattr: Keras would take them for weights, and a stateful layer must have
            # those of its stateless twin.
            vars(self).update(states=last, _is_fresh=_untrained(ops.ones(()), "is_fresh"))
        self.reset_state()

    @property
    def variables(self) -> list[Any]:
        """Weights, and the states between batches of a stateful layer."""
        if self._is_fresh is None:
            return super().variables
        return [*super().variables, *self.states, self._is_fresh]

    def reset_state(self) -> None:
        """Let the next batch start from the learned initial states."""
        if self._is_fresh is not None:
            for variable, state in zip(self.states, self.cell.initial_state, strict=True):
                variable.assign(np.broadcast_to(state, variable.shape))
            self._is_fresh.assign(1.0)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        mask = _without_units(mask)
        if hasattr(sequences, "row_lengths"):
            sequences, mask = _padded(sequences, mask, self.name)
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(sequences.dtype)):
            sequences = ops.cast(sequences, self.compute_dtype)
        batch_size = ops.shape(sequences)[0]
        if initial_state is not None:
            initial_state = self._given_states(initial_state, batch_size)
        elif self.stateful or self.cell.initial_noise:
            initial_state = self._first_states(batch_size, training)
        result = super().call(sequences, initial_state, mask, training)
        if self.stateful:
            self._is_fresh.assign(0.0)
        return result

    def _first_states(self, batch_size, training):
        # The learned states themselves, not a copy of their values: a gradient reaches them.
        learned = keras.tree.flatten(self.get_initial_state(batch_size))
        if training:
            learned = self.cell.noisy(learned)
        if not self.stateful:
            return learned
        return [
            ops.where(self._is_fresh > 0, first, ops.cast(last, first.dtype))
            for first, last in zip(learned, self.states, strict=True)
        ]

    def _given_states(self, initial_state, batch_size):
        """Return a caller's initial states as a list of (B, N); refuse other numbers and widths."""
        states = keras.tree.flatten(initial_state)
        names, widths = self.cell.state_names, state_widths(self.cell, self.cell.units)
        shapes = [tuple(getattr(state, "shape", ())) for state in states]
        fit = [s[1:] in ((w,), (None,)) for s, w in zip(shapes, widths, strict=False)]
        if len(states) != len(names) or not all(fit):
            each = ", ".join(f"(B, {width})" for width in dict.fromkeys(widths))
            raise ValueError(
                f"initial_state of {self.name} must be {len(names)} arrays {each}, for "
                f"{', '.join(names)}; got shapes {', '.join(map(str, shapes))}"
            )
        return [
            ops.broadcast_to(state, (batch_size, width)) if state.shape[0] == 1 else state
            for state, width in zip(states, widths, strict=True)
        ]

    def compute_mask(self, inputs, mask):
        return super().compute_mask(inputs, _without_units(mask))

    def _maybe_config_dropout_masks(self, cell, input_sequence, input_state):
        """Draw no masks here, where Keras's layer does even in inference: `inner_loop` does."""

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if not isinstance(mask, _Lengths):
            return self._run(sequences, initial_state, mask, training)
        order = ops.argsort(-mask.lengths)
        sorted_mask = ops.arange(ops.shape(sequences)[1]) < ops.take(mask.lengths, order)[:, None]
        sequences, initial_state = _taken((sequences, initial_state), order)
        found = self._run(sequences, initial_state, sorted_mask, training, packed=True)
        return _taken(found, ops.argsort(order))

    def _run(self, sequences, initial_state, mask, training, packed=False):
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)
        noise = None
        if training:
            noise = self.cell.draw_noise(ops.shape(sequences)[1], initial_state[0])
            dropped = self.cell.input_mask(sequences[:, 0])
            sequences = sequences if dropped is None else sequences * dropped[:, None]
        # The outputs of all steps are needed for zeros at the last ones, too.
        sequence = self.return_sequences or (mask is not None and self.zero_output_for_mask)
        outputs, states = unroll(
            self.cell,
            self.cell.fused(),
            sequences,
            initial_state,
            mask,
            noise=noise,
            sequence=sequence,
            state_sequences=self.return_state_sequences,
            truncate=self.truncate,
            scan=self.scan,
            packed=packed,
        )
        if self.return_state_sequences:
            states = [ops.moveaxis(state, 0, 1) for state in states]
        if not sequence:
            return outputs, outputs, states
        last_output = outputs[-1]
        outputs = ops.moveaxis(outputs, 0, 1)
        if mask is not None and self.zero_output_for_mask:
            outputs = ops.where(mask[..., None], outputs, 0)
            last_output = outputs[:, -1]
        return last_output, outputs, states

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        found = super().compute_output_shape(sequences_shape, initial_state_shape)
        if not self.return_state_sequences:
            return found
        output, *states = found
        return output, *((batch, sequences_shape[1], units) for batch, units in states)

    def get_config(self) -> dict[str, Any]:
        config = self.cell.get_config() | super().get_config()
        del config["cell"], config["unroll"]
        own = ("return_state_sequences", "truncate", "scan")
        config |= {option: getattr(self, option) for option in own}
        config["return_state"] = self.return_state and not self.return_state_sequences
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CellLayer":
        return cls(**config)


def _untrained(value, name):
    return keras.Variable(value, trainable=False, name=name)


class _Lengths(NamedTuple):
    """In place of a mask: the lengths (B,) of padded sequences."""

    lengths: Tensor


def _padded(ragged, mask, name):
    """Return TensorFlow's ragged sequences as (sequences (B, T, I), their lengths)."""
    if mask is not None:
        raise ValueError(
            f"{name} got ragged sequences and a mask; omit the mask, which follows from the lengths"
        )
    return ragged.to_tensor(), _Lengths(ops.cast(ragged.row_lengths(), "int32"))


def _taken(arrays, order):
    """Return arrays (B, ...) with their samples in another order."""
    return keras.tree.map_structure(lambda array: ops.take(array, order, axis=0), arrays)


def _without_units(mask):
    """Return a mask (B, T) of one that may be (B, T, 1)."""
    mask = keras.tree.flatten(mask)[0] if keras.tree.is_nested(mask) else mask
    return ops.squeeze(mask, -1) if mask is not None and len(mask.shape) == 3 else mask


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
    known = parameters(cell_class)
    attributes = {
        "__doc__": f"{summary}\n\n`{cell_class.__name__}` as a layer; see `CellLayer`.",
        "__module__": module,
        "__signature__": _OfClass(_signature(known)),
        "cell_class": cell_class,
        **{option: _of_cell(option) for option in known},
    }
    layer = type(name, (CellLayer,), attributes)
    for each in (cell_class, layer):
        if keras.saving.get_registered_name(each) == each.__name__:
            keras.saving.register_keras_serializable(package)(each)
    return layer


def _of_cell(option):
    return property(lambda self: getattr(self.cell, option), doc=f"`{option}` of the cell.")


class _OfClass:
    """A class attribute that instances lack: `inspect.signature(layer)` is that of its call."""

    def __init__(self, value):
        self.value = value

    def __get__(self, instance, owner):
        if instance is not None:
            raise AttributeError
        return self.value


def _signature(of_cell):
    """Return the signature of a layer: its cell's arguments, then those of all layers."""
    of_layer = inspect.signature(CellLayer.__init__).parameters
    by_name = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in (of_cell | of_layer).items()
        if name not in ("self", "units", "activation", "options")
    ]
    return inspect.Signature([of_cell["units"], of_cell["activation"], *by_name])


RNN = SimpleRNN = make_layer(cells.RNNCell, "RNN")
IRNN = make_layer(cells.IRNNCell, "IRNN")
UGRNN = make_layer(cells.UGRNNCell, "UGRNN")
GRU = make_layer(cells.GRUCell, "GRU")
GRUResetAfter = make_layer(cells.GRUResetAfterCell, "GRUResetAfter")
LSTM = make_layer(cells.LSTMCell, "LSTM")
IntersectionRNN = make_layer(cells.IntersectionRNNCell, "IntersectionRNN")
MGU = make_layer(cells.MGUCell, "MGU")
MinimalRNN = make_layer(cells.MinimalRNNCell, "MinimalRNN")
MinGRU = make_layer(cells.MinGRUCell, "MinGRU")
MinLSTM = make_layer(cells.MinLSTMCell, "MinLSTM")
TRNN = make_layer(cells.TRNNCell, "TRNN")
TGRU = make_layer(cells.TGRUCell, "TGRU")
TLSTM = make_layer(cells.TLSTMCell, "TLSTM")
QRNN = make_layer(cells.QRNNCell, "QRNN")
SRU = make_layer(cells.SRUCell, "SRU")
GILR = make_layer(cells.GILRCell, "GILR")
LRU = make_layer(cells.LRUCell, "LRU")
JANET = make_layer(cells.JANETCell, "JANET")
LiGRU = make_layer(cells.LiGRUCell, "LiGRU")
LSTM1997 = make_layer(cells.LSTM1997Cell, "LSTM1997")
PeepholeLSTM = make_layer(cells.PeepholeLSTMCell, "PeepholeLSTM")
MultiplicativeLSTM = make_layer(cells.MultiplicativeLSTMCell, "MultiplicativeLSTM")
ResLSTM = make_layer(cells.ResLSTMCell, "ResLSTM")
MCLSTM = make_layer(cells.MCLSTMCell, "MCLSTM")
WMCLSTM = make_layer(cells.WMCLSTMCell, "WMCLSTM")
MUT1 = make_layer(cells.MUT1Cell, "MUT1")
MUT2 = make_layer(cells.MUT2Cell, "MUT2")
MUT3 = make_layer(cells.MUT3Cell, "MUT3")
NAS = make_layer(cells.NASCell, "NAS")
MiRU1 = make_layer(cells.MiRU1Cell, "MiRU1")
MiRU2 = make_layer(cells.MiRU2Cell, "MiRU2")
CFN = make_layer(cells.CFNCell, "CFN")
LightRU = make_layer(cells.LightRUCell, "LightRU")
STAR = make_layer(cells.STARCell, "STAR")
BRC = make_layer(cells.BRCCell, "BRC")
NBRC = make_layer(cells.NBRCCell, "NBRC")
RAN = make_layer(cells.RANCell, "RAN")
RHN = make_layer(cells.RHNCell, "RHN")
ATR = make_layer(cells.ATRCell, "ATR")
SGRN = make_layer(cells.SGRNCell, "SGRN")
SGU = make_layer(cells.SGUCell, "SGU")
DSGU = make_layer(cells.DSGUCell, "DSGU")
SCRN = make_layer(cells.SCRNCell, "SCRN")
IndRNN = make_layer(cells.IndRNNCell, "IndRNN")
FastRNN = make_layer(cells.FastRNNCell, "FastRNN")
FastGRNN = make_layer(cells.FastGRNNCell, "FastGRNN")
AntisymmetricRNN = make_layer(cells.AntisymmetricRNNCell, "AntisymmetricRNN")
GatedAntisymmetricRNN = make_layer(cells.GatedAntisymmetricRNNCell, "GatedAntisymmetricRNN")
CoRNN = make_layer(cells.CoRNNCell, "CoRNN")
UnICORNN = make_layer(cells.UnICORNNCell, "UnICORNN")
LEM = make_layer(cells.LEMCell, "LEM")
TauGRU = make_layer(cells.TauGRUCell, "TauGRU")
MLSTM = make_layer(cells.MLSTMCell, "MLSTM")
SLSTM = make_layer(cells.SLSTMCell, "SLSTM")

#: Architecture name -> layer class.
LAYERS: dict[str, type[CellLayer]] = {
    name: globals()[row.cell.removesuffix("Cell")] for name, row in ARCHITECTURES.items()
}

"""Dropout and zoneout in the equations of a cell.

Each kind is a change of the step that any cell may have:

    dropout            one mask m per sequence on the input: W (m · x) + U operand + b
    recurrent_dropout  one mask m per sequence on the operands: W x + U (m · operand) + b
                       (both: Gal & Ghahramani, 2016, with a mask for all gates)
    candidate_dropout  one mask m per sequence on the candidate: m · s(z), so that a gated cell
                       drops what it writes and nothing that it remembers (Semeniuta et al., 2016)
    zoneout            each unit keeps its old state with probability p, drawn at every step; in
                       inference, states are p · old + (1 - p) · new (Krueger et al., 2017)
    initial_noise      normal noise on the initial states, drawn once per sequence, of this standard
                       deviation (Zimmermann et al., 2006); those that cannot be learned, such as
                       the mLSTM's matrix, have none

Masks are scaled by 1 / (1 - rate), so that inference needs no change. Layers of `rnn_zoo.layers`
have all kinds; the loop of `keras.layers.RNN` has no zoneout and no noise on initial states.

Legend: T time, B batch, I input features, N units.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import keras
from keras import ops

from rnn_zoo.algebra import ZeroState, state_widths
from rnn_zoo.cells.normalization import normalised

Tensor = Any

#: Keras's RNN layer prepares the masks of cells of this class before its loop, for all steps.
_DropoutRNNCell: Any = next(
    each for each in keras.layers.SimpleRNNCell.__mro__ if each.__name__ == "DropoutRNNCell"
)


class Noise(NamedTuple):
    """Random arrays of a cell for a batch of sequences in training.

    Attributes:
        constant: name -> (B, N), the same at every step.
        per_step: name -> (T, B, N).
    """

    constant: dict[str, Tensor]
    per_step: dict[str, Tensor]


class NoisyCell(_DropoutRNNCell):
    """What a cell with rates of noise can do; a base class of `AbstractRNNCell`."""

    units: int
    state_names: tuple[str, ...]
    zero_states: Mapping[str, ZeroState]
    dropout: float
    recurrent_dropout: float
    candidate_dropout: float
    zoneout: dict[str, float]
    initial_noise: float
    seed_generator: keras.random.SeedGenerator
    #: Masks for all steps of a batch, while Keras's RNN layer runs the cell.
    _masks: dict[str, Tensor] | None = None

    def input_mask(self, inputs: Tensor) -> Tensor | None:
        """Draw the factors (B, I) of inputs (B, I); None without `dropout`."""
        return self._drawn(inputs, self.dropout) if self.dropout else None

    def recurrent_masks(self, state: Tensor) -> dict[str, Tensor]:
        """Draw the factors (B, N) of operands and of the candidate, as far as there are any."""
        rates = {"recurrent": self.recurrent_dropout, "candidate": self.candidate_dropout}
        return {name: self._drawn(state, rate) for name, rate in rates.items() if rate}

    def draw_noise(self, length: Any, state: Tensor) -> Noise:
        """Draw the noise of T steps, for a state (B, N)."""
        shape = (length, ops.shape(state)[0])
        widths = zip(self.state_names, state_widths(self, self.units), strict=True)
        zoned = {
            f"zoneout_{name}": keras.random.uniform((*shape, width), seed=self.seed_generator)
            < self.zoneout[name]
            for name, width in widths
            if self.zoneout[name]
        }
        return Noise(self.recurrent_masks(state), zoned)

    def noisy(self, states: list[Tensor]) -> list[Tensor]:
        """Add the noise of training to initial states (B, N)."""
        if not self.initial_noise:
            return states
        return [
            state
            + self.initial_noise
            * keras.random.normal(ops.shape(state), dtype=state.dtype, seed=self.seed_generator)
            if name not in self.zero_states
            else state
            for name, state in zip(self.state_names, states, strict=True)
        ]

    def _drawn(self, like, rate):
        return keras.random.dropout(ops.ones_like(like), rate, seed=self.seed_generator)

    # Keras's RNN layer calls these before and after its loop.

    def get_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        mask = self.input_mask(step_input)
        self._masks = (self._masks or {}) | ({} if mask is None else {"input": mask})
        return mask

    def get_recurrent_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        self._masks = (self._masks or {}) | self.recurrent_masks(step_input)
        return self._masks.get("recurrent")

    def reset_dropout_mask(self) -> None:
        self._masks = None

    def reset_recurrent_dropout_mask(self) -> None:
        self._masks = None

    def masks_of_call(self, inputs: Tensor, state: Tensor) -> dict[str, Tensor]:
        """Return the masks of one step in training: Keras's RNN layer's, or else new ones."""
        if any(self.zoneout.values()):
            raise NotImplementedError(
                f"{type(self).__name__} draws zoneout anew at every step, which the loop of "
                "keras.layers.RNN cannot do; train it in a layer of rnn_zoo.layers"
            )
        if self._masks is not None:
            return self._masks
        mask = self.input_mask(inputs)
        return self.recurrent_masks(state) | ({} if mask is None else {"input": mask})


def step_of(
    cell: Any, training: bool, ops: Any = ops, equivalent: Callable = lambda function: function
) -> Callable:
    """Return `step(x, pre, states, noise, vectors)`: the cell's step with its noise.

    Args:
        cell: `AbstractRNNCell`, or an object with its `step` and no noise.
        training: whether states are zoned out by `noise`, or averaged.
        ops: `keras.ops` or its equivalent.
        equivalent: maps a function of tensors to its equivalent in `ops`.
    """
    cell = with_functions(cell, equivalent)
    zoneout = {name: rate for name, rate in getattr(cell, "zoneout", {}).items() if rate}

    def zoned(name, old, new, noise):
        if training:
            return ops.where(noise[f"zoneout_{name}"], old, new)
        return zoneout[name] * old + (1 - zoneout[name]) * new

    def step(x, pre, states, noise, vectors):
        with_vectors = replace(cell, **vectors) if vectors else cell
        output, new = masked_step(with_vectors, ops, x, pre, states, noise)
        if not zoneout:
            return output, new
        kept = [
            zoned(name, old, value, noise) if name in zoneout else value
            for name, old, value in zip(cell.state_names, states, new, strict=True)
        ]
        same = [after for before, after in zip(new, kept, strict=True) if before is output]
        return (same[0] if same else output), kept

    return step


def masked_step(
    cell: Any,
    ops: ModuleType,
    x: Tensor,
    pre: Callable[[str, Tensor], Tensor],
    states: list[Tensor],
    masks: dict[str, Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """Compute `cell.step` with its normalisation and the masks of `NoisyCell.recurrent_masks`."""
    if getattr(cell, "layer_norm", False):
        pre = normalised(cell, ops, pre)
    if "candidate" in masks:
        function, mask = cell.activation, masks["candidate"]
        cell = replace(cell, activation=lambda z: function(z) * mask)
    if "recurrent" in masks:
        pre = _with_dropped_operands(pre, masks["recurrent"])
    return cell.step(ops, x, pre, states)


def _with_dropped_operands(pre, mask):
    """Multiply each operand by the mask once, however many gates share it."""
    dropped: list = []

    def masked(gate, operand=None):
        if operand is None:
            return pre(gate)
        for known, product in dropped:
            if known is operand:
                return pre(gate, product)
        dropped.append((operand, operand * mask))
        return pre(gate, dropped[-1][1])

    masked.axis = pre.axis  # type: ignore[attr-defined]
    return masked


def with_functions(cell: Any, equivalent: Callable) -> Any:
    """Return a cell with equivalents of its function-valued attributes, such as `activation`."""
    functions = {
        name: equivalent(value)
        for name, value in vars(cell).items()
        # Keras wraps methods such as `build` in attributes of the same name.
        if callable(value) and not name.startswith("_") and not hasattr(type(cell), name)
    }
    changed = {name: value for name, value in functions.items() if value is not vars(cell)[name]}
    return replace(cell, **changed) if changed else cell


def replace(cell: Any, **attributes: Any) -> Any:
    """Return a copy of a cell with some attributes replaced, for its equations only.

    The copy has the cell's own class, so that every method that `step` calls sees the new values.
    """
    copy = object.__new__(type(cell))
    # Not set by setattr: Keras would track the values, but the copy has no weights of its own.
    copy.__dict__.update(vars(cell) | attributes)
    return copy

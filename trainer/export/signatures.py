"""The signatures of exported models, as functions of TensorFlow tensors.

    sequence       inputs (B, T, I)             -> outputs (B, T, O)
    initial_state  batch_size                   -> the learned states, each (B, N)
    step           inputs (B, I) and the states -> outputs (B, O) and the next states

States are named by layer, such as layer_0_h; an LSTM has layer_0_h and layer_0_c.

Legend: B batch, T time steps, I input, O output, N units.
"""

from typing import Any

import tensorflow as tf

from rnn_zoo.algebra import state_widths
from rnn_zoo.backend.tensorflow import apart
from rnn_zoo.model import initial_states, recurrent_cells, step


class Signatures:
    """The signatures of one model, and the specs of their arguments.

    Args:
        model: from `rnn_zoo.build_model`.

    Attributes:
        state_names: names of all states, from the first layer to the last.
    """

    def __init__(self, model: Any):
        self.model = model
        self._cells = recurrent_cells(model)
        self._names = [
            [f"layer_{index}_{name}" for name in cell.state_names]
            for index, cell in enumerate(self._cells)
        ]
        self.state_names = [name for names in self._names for name in names]

    def sequence(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Run whole sequences, with the model's own loops."""
        return {"outputs": self.model(inputs)}

    def sequence_by_steps(self, inputs: tf.Tensor, array: bool = True) -> dict[str, tf.Tensor]:
        """Run whole sequences as one loop over `step`, which is faster outside TensorFlow.

        The model itself has one loop per layer, each of which stores values for the gradient.

        Args:
            inputs: (B, T, I).
            array: whether a `TensorArray` collects the outputs. LiteRT has none of a free batch.
        """
        batch_size, length = (
            tf.shape(inputs)[axis] if size is None else size
            for axis, size in enumerate(inputs.shape[:2])
        )
        inputs = tf.transpose(inputs, (1, 0, 2))
        size = self.model.output_shape[-1]
        if array:
            outputs = tf.TensorArray(tf.float32, length, element_shape=(inputs.shape[1], size))
            write = tf.TensorArray.write
        else:
            outputs = tf.zeros((length, batch_size, size))
            write = _overwrite

        def body(t, states, outputs):
            answers = self.step(inputs[t], **states)
            outputs = write(outputs, t, answers.pop("outputs"))
            new = apart(list(answers.values()), [states[name] for name in answers])
            return t + 1, dict(zip(answers, new, strict=True)), outputs

        _, _, outputs = tf.while_loop(
            lambda t, *_: t < length,
            body,
            (tf.constant(0), self.initial_state(batch_size), outputs),
            maximum_iterations=length,
        )
        return {"outputs": tf.transpose(outputs.stack() if array else outputs, (1, 0, 2))}

    def initial_state(self, batch_size: int | tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the learned initial states."""
        return self._named(initial_states(self.model, batch_size))

    def step(self, inputs: tf.Tensor, **states: tf.Tensor) -> dict[str, tf.Tensor]:
        """Run one time step."""
        before = [[states[name] for name in names] for names in self._names]
        outputs, after = step(self.model, inputs, before)
        return {"outputs": outputs} | self._named(after)

    def _named(self, states):
        return dict(zip(self.state_names, tf.nest.flatten(states), strict=True))

    def inputs_spec(self, *leading: int | None) -> tf.TensorSpec:
        """Return the spec of inputs (*leading, I); None for a dynamic axis."""
        return tf.TensorSpec((*leading, self.model.input_shape[-1]), tf.float32, name="inputs")

    def state_specs(self, batch_size: int | None) -> dict[str, tf.TensorSpec]:
        """Return name -> spec of each state (B, N), or wider; a None is a dynamic axis."""
        return {
            name: tf.TensorSpec((batch_size, width), tf.float32, name=name)
            for cell, names in zip(self._cells, self._names, strict=True)
            for name, width in zip(names, state_widths(cell, cell.units), strict=True)
        }


def _overwrite(tensor, index, row):
    return tf.tensor_scatter_nd_update(tensor, [[index]], row[None])

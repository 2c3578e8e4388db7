"""What an exported model answers, as functions of tensors that every format is written from.

    sequence       inputs (B, T, I)             -> outputs (B, T, O)
    initial_state  batch_size                   -> the learned states, each (B, N)
    step           inputs (B, I) and the states -> outputs (B, O) and the states after

States are named layer_0_h, and for the LSTM layer_0_h and layer_0_c, and so on up the stack.
"""

import tensorflow as tf

from rnn_zoo.model import initial_states, recurrent_cells, step


class Signatures:
    """The functions of one model, and the shapes of their arguments.

    Args:
        model: that `rnn_zoo.build_model` made.

    Attributes:
        state_names: names of all states, from the first layer to the last.
    """

    def __init__(self, model):
        self.model = model
        self._cells = recurrent_cells(model)
        self._names = [
            [f"layer_{index}_{name}" for name in cell.state_names]
            for index, cell in enumerate(self._cells)
        ]
        self.state_names = [name for names in self._names for name in names]

    def sequence(self, inputs):
        return {"outputs": self.model(inputs)}

    def sequence_by_steps(self, inputs):
        """The same as one plain loop over `step`, which other runtimes than TensorFlow run best.

        The model's own loops keep what a gradient would need, and there are as many as layers.
        """
        batch_size, length = (
            tf.shape(inputs)[axis] if size is None else size
            for axis, size in enumerate(inputs.shape[:2])
        )
        inputs = tf.transpose(inputs, (1, 0, 2))
        output_shape = (inputs.shape[1], self.model.output_shape[-1])

        def body(t, states, outputs):
            answers = self.step(inputs[t], **states)
            outputs = outputs.write(t, answers.pop("outputs"))
            return t + 1, answers, outputs

        _, _, outputs = tf.while_loop(
            lambda t, *_: t < length,
            body,
            (
                tf.constant(0),
                self.initial_state(batch_size),
                tf.TensorArray(tf.float32, length, element_shape=output_shape),
            ),
            maximum_iterations=length,
        )
        return {"outputs": tf.transpose(outputs.stack(), (1, 0, 2))}

    def initial_state(self, batch_size):
        return self._named(initial_states(self.model, batch_size))

    def step(self, inputs, **states):
        before = [[states[name] for name in names] for names in self._names]
        outputs, after = step(self.model, inputs, before)
        return {"outputs": outputs} | self._named(after)

    def _named(self, states):
        return dict(zip(self.state_names, tf.nest.flatten(states), strict=True))

    def inputs_spec(self, *leading):
        """Of inputs (*leading, I)."""
        return tf.TensorSpec((*leading, self.model.input_shape[-1]), tf.float32, name="inputs")

    def state_specs(self, batch_size):
        """dict from name to the spec of a state (B, N); `batch_size` may be None."""
        return {
            name: tf.TensorSpec((batch_size, cell.units), tf.float32, name=name)
            for cell, names in zip(self._cells, self._names, strict=True)
            for name in names
        }

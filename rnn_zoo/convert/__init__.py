"""Conversion of recurrent layers and models from and to Keras and PyTorch, and from TensorFlow 1.

    rnn_zoo.layers      keras.layers                torch.nn       tf.contrib.rnn
    RNN, IRNN           SimpleRNN                   RNN
    GRU                 GRU(reset_after=False)      none: its GRU resets the state after the product
    LSTM                LSTM                        LSTM
    UGRNN                                                          UGRNNCell
    IntersectionRNN                                                IntersectionRNNCell

A conversion copies weights: both layers give the same outputs and states from the same inputs. If
they would differ, a one-line ValueError is raised before any layer is built. From and to Keras,
whole models are converted too.

Keras and PyTorch keep b^fg in the bias: exporting adds it there, and importing sets `gate_bias` to
0. Their initial state is zero, and a learned one is dropped only on request. Options that affect
only how a layer computes, such as Keras's `unroll` and `use_cudnn`, are not converted. If a
sequence begins with masked steps, Keras on JAX outputs the initial state there, whereas rnn_zoo and
Keras on TensorFlow output zeros. With `zero_output_for_mask=True` all of them agree.
"""

from rnn_zoo.convert.contrib import from_contrib
from rnn_zoo.convert.keras import from_keras, to_keras
from rnn_zoo.convert.torch import from_torch, to_torch

__all__ = ["from_contrib", "from_keras", "from_torch", "to_keras", "to_torch"]

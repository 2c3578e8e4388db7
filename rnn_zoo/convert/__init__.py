"""Recurrent layers of Keras and PyTorch as layers of rnn_zoo and back, where the equations agree.

    rnn_zoo.layers      keras.layers                torch.nn
    RNN, IRNN           SimpleRNN                   RNN
    GRU                 GRU(reset_after=False)      none: its GRU resets the state after the product
    LSTM                LSTM                        LSTM

A conversion copies weights: both layers give the same outputs and states from the same inputs. All
that would make them differ is refused by a ValueError of one line, before anything is built. b^fg
is part of the bias over there: it is added on the way out, and `gate_bias` is 0 on the way in. The
initial state is zero over there, and one that was learned here is dropped only if that is asked
for. How a layer computes, as Keras's `unroll` and `use_cudnn`, does not travel. Where a sequence
begins with masked steps, Keras on JAX puts the given state where ours, and Keras on TensorFlow, put
zeros; `zero_output_for_mask=True` agrees on both.
"""

from rnn_zoo.convert.keras import from_keras, to_keras
from rnn_zoo.convert.torch import from_torch, to_torch

__all__ = ["from_keras", "from_torch", "to_keras", "to_torch"]

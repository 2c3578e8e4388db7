"""The paper's six cells, each written once as its equations (section 1.4)."""

from rnn_zoo.cells.base import AbstractRNNCell
from rnn_zoo.cells.gru import GRUCell
from rnn_zoo.cells.intersection import IntersectionRNNCell
from rnn_zoo.cells.lstm import LSTMCell
from rnn_zoo.cells.rnn import IRNNCell, RNNCell
from rnn_zoo.cells.ugrnn import UGRNNCell

#: Architecture name -> cell class.
CELLS = {
    "rnn": RNNCell,
    "irnn": IRNNCell,
    "ugrnn": UGRNNCell,
    "gru": GRUCell,
    "lstm": LSTMCell,
    "+rnn": IntersectionRNNCell,
}

__all__ = [
    "CELLS",
    "AbstractRNNCell",
    "GRUCell",
    "IRNNCell",
    "IntersectionRNNCell",
    "LSTMCell",
    "RNNCell",
    "UGRNNCell",
]

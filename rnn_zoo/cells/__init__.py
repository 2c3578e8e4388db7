"""Recurrent cells: the paper's six (section 1.4) and others, each written as its equations."""

from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.cells.base import AbstractRNNCell
from rnn_zoo.cells.gru import GRUCell
from rnn_zoo.cells.intersection import IntersectionRNNCell
from rnn_zoo.cells.janet import JANETCell
from rnn_zoo.cells.lstm import LSTMCell
from rnn_zoo.cells.mgu import MGUCell
from rnn_zoo.cells.minimal_rnn import MinimalRNNCell
from rnn_zoo.cells.rnn import IRNNCell, RNNCell
from rnn_zoo.cells.ugrnn import UGRNNCell

#: Architecture name -> cell class.
CELLS: dict[str, type[AbstractRNNCell]] = {
    name: globals()[row.cell] for name, row in ARCHITECTURES.items()
}

__all__ = [
    "CELLS",
    "AbstractRNNCell",
    "GRUCell",
    "IRNNCell",
    "IntersectionRNNCell",
    "JANETCell",
    "LSTMCell",
    "MGUCell",
    "MinimalRNNCell",
    "RNNCell",
    "UGRNNCell",
]

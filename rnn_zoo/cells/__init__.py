"""Recurrent cells: the paper's six (section 1.4) and others, each written as its equations."""

from rnn_zoo.architectures import ARCHITECTURES
from rnn_zoo.cells.antisymmetric import AntisymmetricRNNCell, GatedAntisymmetricRNNCell
from rnn_zoo.cells.atr import ATRCell
from rnn_zoo.cells.base import AbstractRNNCell
from rnn_zoo.cells.brc import BRCCell, NBRCCell
from rnn_zoo.cells.cfn import CFNCell
from rnn_zoo.cells.fast_rnn import FastGRNNCell, FastRNNCell
from rnn_zoo.cells.gru import GRUCell, GRUResetAfterCell
from rnn_zoo.cells.indrnn import IndRNNCell
from rnn_zoo.cells.intersection import IntersectionRNNCell
from rnn_zoo.cells.janet import JANETCell
from rnn_zoo.cells.lem import LEMCell
from rnn_zoo.cells.li_gru import LiGRUCell
from rnn_zoo.cells.light_ru import LightRUCell
from rnn_zoo.cells.lru import LRUCell
from rnn_zoo.cells.lstm import LSTMCell
from rnn_zoo.cells.lstm_1997 import LSTM1997Cell
from rnn_zoo.cells.mclstm import MCLSTMCell
from rnn_zoo.cells.mgu import MGUCell
from rnn_zoo.cells.min_gru import MinGRUCell, MinLSTMCell
from rnn_zoo.cells.minimal_rnn import MinimalRNNCell
from rnn_zoo.cells.miru import MiRU1Cell, MiRU2Cell
from rnn_zoo.cells.mlstm import MLSTMCell
from rnn_zoo.cells.multiplicative_lstm import MultiplicativeLSTMCell
from rnn_zoo.cells.mut import MUT1Cell, MUT2Cell, MUT3Cell
from rnn_zoo.cells.nas import NASCell
from rnn_zoo.cells.oscillators import CoRNNCell, UnICORNNCell
from rnn_zoo.cells.peephole_lstm import PeepholeLSTMCell
from rnn_zoo.cells.qrnn import QRNNCell
from rnn_zoo.cells.ran import RANCell
from rnn_zoo.cells.res_lstm import ResLSTMCell
from rnn_zoo.cells.rhn import RHNCell
from rnn_zoo.cells.rnn import IRNNCell, RNNCell
from rnn_zoo.cells.scrn import SCRNCell
from rnn_zoo.cells.sgrn import SGRNCell
from rnn_zoo.cells.sgu import DSGUCell, SGUCell
from rnn_zoo.cells.slstm import SLSTMCell
from rnn_zoo.cells.sru import GILRCell, SRUCell
from rnn_zoo.cells.star import STARCell
from rnn_zoo.cells.strongly_typed import TGRUCell, TLSTMCell, TRNNCell
from rnn_zoo.cells.tau_gru import TauGRUCell
from rnn_zoo.cells.ugrnn import UGRNNCell
from rnn_zoo.cells.wmclstm import WMCLSTMCell

#: Architecture name -> cell class.
CELLS: dict[str, type[AbstractRNNCell]] = {
    name: globals()[row.cell] for name, row in ARCHITECTURES.items()
}

__all__ = [
    "CELLS",
    "ATRCell",
    "AbstractRNNCell",
    "AntisymmetricRNNCell",
    "BRCCell",
    "CFNCell",
    "CoRNNCell",
    "DSGUCell",
    "FastGRNNCell",
    "FastRNNCell",
    "GILRCell",
    "GRUCell",
    "GRUResetAfterCell",
    "GatedAntisymmetricRNNCell",
    "IRNNCell",
    "IndRNNCell",
    "IntersectionRNNCell",
    "JANETCell",
    "LEMCell",
    "LRUCell",
    "LSTM1997Cell",
    "LSTMCell",
    "LiGRUCell",
    "LightRUCell",
    "MCLSTMCell",
    "MGUCell",
    "MLSTMCell",
    "MUT1Cell",
    "MUT2Cell",
    "MUT3Cell",
    "MiRU1Cell",
    "MiRU2Cell",
    "MinGRUCell",
    "MinLSTMCell",
    "MinimalRNNCell",
    "MultiplicativeLSTMCell",
    "NASCell",
    "NBRCCell",
    "PeepholeLSTMCell",
    "QRNNCell",
    "RANCell",
    "RHNCell",
    "RNNCell",
    "ResLSTMCell",
    "SCRNCell",
    "SGRNCell",
    "SGUCell",
    "SLSTMCell",
    "SRUCell",
    "STARCell",
    "TGRUCell",
    "TLSTMCell",
    "TRNNCell",
    "TauGRUCell",
    "UGRNNCell",
    "UnICORNNCell",
    "WMCLSTMCell",
]

"""The cells of torchrecurrent, with weights from rnn_zoo's.

Their parameters are functions of our weights, so PyTorch differentiates their results with respect
to ours. b^fg, which torchrecurrent lacks, is 0.

Legend: B batch, T time, I input, N units, G gates.
"""

import functools
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import keras
import torch

from benchmarks.conformance.cases import Case, Results, on_torch
from rnn_zoo import ARCHITECTURES

Tensor = Any


class Peer(NamedTuple):
    """A cell of torchrecurrent.

    Attributes:
        cell: name of its class.
        input: gates of its `weight_ih` (G N, I), in order; the identity for a gate without W.
        recurrent: gates of its `weight_hh` (G N, N), in order.
        more: function from our weights, by part, to its other parameters; it may override those of
            the usual names.
        options: arguments of its constructor.
        shared: names of our options that its constructor takes too.
        step: `step(cell, x, states)` calls the cell with our states and returns its results.
        missing: names of our states that it lacks.
        adds: parameters that the paper lacks, here set to have no effect.
    """

    cell: str
    input: str = ""
    recurrent: str = ""
    more: Callable[[dict], dict] = lambda w: {}
    options: dict[str, Any] = {}
    shared: tuple[str, ...] = ()
    step: Callable = lambda cell, x, states: cell(x, states[0] if len(states) == 1 else states)
    missing: tuple[str, ...] = ()
    adds: str = ""


def joined(arrays: list[Tensor]) -> Tensor:
    """Return matrices (I, N) as (G N, I), or vectors (N,) as (G N)."""
    return torch.cat([array.mT if array.ndim == 2 else array for array in arrays])


def peepholes(w):
    return {"weight_ph": joined([w["vectors"][f"p_{gate}"] for gate in "ifo"])}


def outer_bias(w):
    """Return biases of which the candidate's is outside its inner tanh."""
    z, r, c = (w["bias"][gate] for gate in "zrc")
    zeros = torch.zeros_like(c)
    return {"bias_ih": joined([z, r, zeros]), "bias_hh": joined([zeros, c])}


def multiplied(w):
    gates = joined([w["recurrent"][gate] for gate in "ifco"])
    return {"weight_mh": gates, "bias_mh": torch.zeros(len(gates))}


def residual(w):
    units = len(w["vectors"]["p_i"])
    return peepholes(w) | {
        "weight_proj": joined([w["recurrent"]["m"]]),
        "weight_res": torch.eye(units),
    }


def working_memory(w):
    gates = joined([w["recurrent"][gate] for gate in ("vi", "vf", "vo")])
    return {"weight_mh": gates, "bias_mh": torch.zeros(len(gates))}


def minimal(w):
    return {
        "weight_ih": joined([w["read_in"]["kernel"]]),
        "bias_ih": w["read_in"]["bias"],
        "weight_mm": joined([w["input"]["u"]]),
        "bias_hh": w["bias"]["u"],
    }


def contextual(w):
    gates = joined([w["recurrent"]["p"], w["recurrent"]["v"]])
    return {"weight_ch": gates, "bias_ch": torch.zeros(len(gates))}


def scalars(*names):
    return lambda w: {name: w["vectors"][name] for name in names}


def fast_gated(w):
    biases = joined([w["vectors"]["b_z"], w["vectors"]["b_c"]])
    zeros = torch.zeros_like(biases)
    return {"bias_ih": biases, "bias_hh": zeros} | scalars("zeta", "nu")(w)


def antisymmetric(gate):
    def square(w):
        entries = w["recurrent"][gate][:, 0]
        units = round((1 + (1 + 8 * len(entries)) ** 0.5) / 2)
        below, above = torch.triu_indices(units, units, 1)
        zeros = entries.new_zeros(units, units)
        return {"weight_hh": zeros.index_put((above, below), entries)}

    return square


def driven(w, gate):
    """Return the parameters of the product with the second state."""
    matrix = joined([w["recurrent"][gate]])
    return {"weight_ch": matrix, "bias_ch": torch.zeros(len(matrix))}


def delayed(cell, x, states):
    return [cell(x, states[0], states[-1]), *states[:-1]]


def before(w):
    gates = joined([w["input"][gate] for gate in ("z1", "f1", "o1")])
    return {"weight_hh": gates, "bias_hh": torch.zeros(len(gates))}


class Window:
    """Steps of a cell whose second state is the previous input, zero at first."""

    def __init__(self):
        self.previous = None

    def __call__(self, cell, x, states):
        previous = torch.zeros_like(x) if self.previous is None else self.previous
        self.previous = x
        found = keras.tree.flatten(cell(x, (states[0], previous)))
        return [found[0], found[-2], None, None, None]


LAST_INPUTS = ("z1", "f1", "o1")
PEERS = {
    "ugrnn": Peer("UGRNNCell", "c g", "c g"),
    "+rnn": Peer("IntersectionRNNCell", "y h gy gh", "y h gy gh"),
    "mgu": Peer("MGUCell", "f h", "f h"),
    "minimal_rnn": Peer("MinimalRNNCell", "", "u", minimal),
    "janet": Peer(
        "JANETCell",
        "f c",
        "f c",
        shared=("beta",),
        step=lambda cell, x, states: cell(x, (states[0], states[0])),
        adds="β is learned",
    ),
    "li_gru": Peer("LiGRUCell", "z c", "z c"),
    "lstm_1997": Peer("OriginalLSTMCell", "i c o", "i c o"),
    "peephole_lstm": Peer("PeepholeLSTMCell", "i f c o", "i f c o", peepholes),
    "multiplicative_lstm": Peer("MultiplicativeLSTMCell", "mx i f c o", "mh", multiplied),
    "res_lstm": Peer(
        "ResLSTMCell", "i f c o", "i f c o", residual, adds="a matrix before x in the output"
    ),
    "mclstm": Peer("MCLSTMCell", "f i o m c", "f i o m c"),
    "wmclstm": Peer("WMCLSTMCell", "i f c o", "i f c o", working_memory),
    "mut1": Peer("MUT1Cell", "z r c", "r c", outer_bias, adds="a matrix before x in the candidate"),
    "mut2": Peer("MUT2Cell", "z r c", "z r c", adds="a matrix before x in the reset gate"),
    "mut3": Peer("MUT3Cell", "z r c", "z r c"),
    "nas": Peer("NASCell", "a1 a2 a3 x4 a5 a6 a7 a8", "a1 a2 a3 h4 a5 a6 a7 a8"),
    "miru1": Peer("MiRU1Cell", "r c", "r c", shared=("update_coefficient",)),
    "miru2": Peer("MiRU2Cell", "c", "c", shared=("update_coefficient", "reset_coefficient")),
    "cfn": Peer("CFNCell", "theta eta c", "theta eta", adds="a bias in the candidate"),
    "light_ru": Peer("LightRUCell", "c f", "f", adds="a bias in the candidate"),
    "star": Peer("STARCell", "z k", "k"),
    "brc": Peer("BRCell", "a c h", "a c", adds="a bias in the candidate"),
    "nbrc": Peer("NBRCell", "a c h", "a c", adds="a bias in the candidate"),
    "ran": Peer(
        "RANCell",
        "c i f",
        "i f",
        lambda w: {"bias_ih": joined([w["bias"]["i"], w["bias"]["f"]])},
    ),
    "atr": Peer("ATRCell", "p", "q", adds="a bias in p"),
    "sgrn": Peer("SGRNCell", "x", "h", adds="a bias beside W x in the candidate"),
    "sgu": Peer("SGUCell", "x z", "g z", adds="a bias beside U^m"),
    "dsgu": Peer(
        "DSGUCell",
        "x z",
        "g z",
        lambda w: {"weight_ho": joined([w["recurrent"]["o"]])},
        adds="a bias beside U^m",
    ),
    "scrn": Peer("SCRNCell", "b h", "h u", contextual, shared=("alpha",), adds="α is learned"),
    "indrnn": Peer(
        "IndRNNCell",
        "h",
        more=lambda w: {"vector_u": w["recurrent"]["h"]},
        options={"nonlinearity": "relu"},
    ),
    "fast_rnn": Peer("FastRNNCell", "h", "h", scalars("alpha", "beta")),
    "fast_grnn": Peer("FastGRNNCell", "z", "z", fast_gated),
    "antisymmetric_rnn": Peer(
        "AntisymmetricRNNCell", "h", more=antisymmetric("h"), shared=("epsilon", "gamma")
    ),
    "gated_antisymmetric_rnn": Peer(
        "GatedAntisymmetricRNNCell", "z h", more=antisymmetric("q"), shared=("epsilon", "gamma")
    ),
    "cornn": Peer(
        "coRNNCell",
        "y",
        "y",
        lambda w: driven(w, "z"),
        shared=("dt", "gamma", "epsilon"),
    ),
    "unicornn": Peer(
        "UnICORNNCell",
        "y",
        "y",
        lambda w: {"weight_ch": w["vectors"]["c"]},
        shared=("dt", "alpha"),
    ),
    "lem": Peer(
        "LEMCell", "dt_y dt_z z y", "dt_y dt_z z", lambda w: driven(w, "y"), shared=("dt",)
    ),
    "tau_gru": Peer("tauGRUCell", "u z g a", "u z g a", step=delayed),
    "t_rnn": Peer("TRNNCell", "z f", adds="a bias in z"),
    "t_gru": Peer("TGRUCell", "z f o", more=before, missing=LAST_INPUTS, adds="a bias in z"),
    "t_lstm": Peer("TLSTMCell", "z f o", more=before, missing=LAST_INPUTS, adds="a bias in z"),
}


def version() -> str | None:
    """Return torchrecurrent's version; None if it is not installed."""
    try:
        return metadata.version("torchrecurrent")
    except metadata.PackageNotFoundError:
        return None


def options_of(arch: str) -> dict[str, Any]:
    """Return the options with which our cell and the peer are compared."""
    return {"gate_bias": 0.0} if ARCHITECTURES[arch].forget_gates else {}


def of_peer(case: Case, peer: Peer) -> Results:
    """Run the peer with the weights of a case."""
    import torchrecurrent

    features, units = case.leaves["inputs",].shape[-1], case.layer.cell.units
    shared = {name: case.twin.options[name] for name in peer.shared}
    module = getattr(torchrecurrent, peer.cell)(features, units, **peer.options, **shared).double()
    held = dict(module.named_parameters()) | dict(module.named_buffers())
    # Some cells learn options, such as α.
    learned = {name: value for name, value in shared.items() if name in held}

    def run(given):
        parameters = _parameters(peer, given["weights"], features, units) | learned
        parameters = held | {
            name: torch.as_tensor(value, dtype=torch.float64) for name, value in parameters.items()
        }
        cell = functools.partial(_call, module, parameters)
        step = Window() if peer.missing else peer.step
        states, outputs = given["states"], []
        for x in given["inputs"].unbind(1):
            output, *states = _flat(step(cell, x, states), len(states))
            outputs.append(output)
        return [torch.stack(outputs, 1), *states]

    found, _ = on_torch(case, run, [])
    for i, name in enumerate(case.layer.cell.state_names):
        if name in peer.missing:
            del found.gradients["states", i]
    return found


def _call(module, parameters, *arguments):
    return torch.func.functional_call(module, parameters, arguments, strict=True)


def _parameters(peer, w, features, units):
    """Return the peer's parameters of its usual names, from weights by part and gate."""
    ins, outs = peer.input.split(), peer.recurrent.split()
    zeros, identity = torch.zeros(units), torch.eye(features, units)
    biases = w["bias"]
    found = {
        "weight_ih": [w["input"].get(gate, identity) for gate in ins],
        "weight_hh": [w["recurrent"][gate] for gate in outs],
        "bias_ih": [biases.get(gate, zeros) for gate in ins],
        # The cell adds the two biases.
        "bias_hh": [zeros if gate in ins else biases.get(gate, zeros) for gate in outs],
    }
    return {name: joined(arrays) for name, arrays in found.items() if arrays} | peer.more(w)


def _flat(found, num_states):
    """Return the output and all states. Many cells return the states alone, output first."""
    flat = found if isinstance(found, list) else keras.tree.flatten(found)
    return flat if len(flat) > num_states else [flat[0], *flat]

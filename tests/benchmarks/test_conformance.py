"""The comparison of cells with their papers and with other libraries."""

import json

import pytest
from on_backend import tensorflow_only

import rnn_zoo

pytest.importorskip("torch")

from benchmarks.conformance import cases, deviations, peers
from benchmarks.conformance.__main__ import main
from benchmarks.conformance.rows import rows

pytestmark = tensorflow_only


def run(archs, path):
    """Return the exit status, and dict (architecture, other side) -> row."""
    code = main(["--archs", *archs, f"--out={path}"])
    found = json.loads((path / "conformance.json").read_text())["rows"]
    return code, {(row["arch"], row["against"].partition(".")[0]): row for row in found}


def test_two_cells_conform(tmp_path):
    code, found = run(["gru_reset_after", "lem"], tmp_path)
    assert code == 0
    for key in [("lem", "its NumPy twin"), *(("gru_reset_after", k) for k in ("keras", "torch"))]:
        row = found[key]
        assert row["verdict"] == "equal" and row["values"] < 1e-12 and row["gradients"] < 1e-8
    assert ("lem", "torchrecurrent") in found or not peers.version()
    text = (tmp_path / "conformance.md").read_text()
    assert "| lem | RecurrentLayers.jl 0.3.4 | not run | not run | deviates: eq. (4)" in text


def test_a_planted_deviation_is_reported(tmp_path, monkeypatch, capsys):
    def step(self, ops, x, pre, states):
        (h,) = states
        c, g = self.activation(pre("c", h)), self.recurrent_activation(pre("g", h))
        h = g * c + (1 - g) * h
        return h, [h]

    monkeypatch.setattr(rnn_zoo.UGRNNCell, "step", step)
    code, found = run(["ugrnn"], tmp_path)
    assert code == 1 and found["ugrnn", "its NumPy twin"]["verdict"] == "deviates"
    assert "not as expected: ugrnn against its NumPy twin" in capsys.readouterr().out


def test_a_difference_of_gradients_alone_is_reported(monkeypatch):
    of_layer = cases.of_layer

    def wrong(case):
        found, path = of_layer(case), ("weights", "bias", "f")
        return found._replace(gradients=found.gradients | {path: found.gradients[path] + 1e-5})

    monkeypatch.setattr(cases, "of_layer", wrong)
    twin = next(rows("mgu"))
    assert twin["values"] < 1e-12 and twin["gradients"] == pytest.approx(1e-5, rel=1e-3)
    assert twin["verdict"] == "deviates" and not twin["expected"]


def test_verdicts_are_of_known_cells():
    archs = {arch for verdicts in deviations.READ.values() for arch in verdicts}
    assert {*archs, *peers.PEERS} <= set(rnn_zoo.ARCHITECTURES)
    assert set(deviations.TORCHRECURRENT) <= set(peers.PEERS)


class TestTorchrecurrent:
    @pytest.fixture(autouse=True, scope="class")
    def library(self):
        return pytest.importorskip("torchrecurrent")

    def test_all_its_cells_are_compared(self, library):
        names = {name for name in library.__all__ if name.endswith("Cell")}
        assert {peer.cell for peer in peers.PEERS.values()} == names

    def test_a_known_deviation_is_confirmed_by_its_equations(self, monkeypatch):
        row = next(row for row in rows("lem") if row["against"].startswith("torchrecurrent"))
        assert row["values"] > 0.1 and row["gradients"] > 0.1 and row["expected"]
        known = deviations.TORCHRECURRENT["lem"]
        paper = known._replace(step=cases.twin_of("lem").step)
        monkeypatch.setitem(deviations.TORCHRECURRENT, "lem", paper)
        row = next(row for row in rows("lem") if row["against"].startswith("torchrecurrent"))
        assert (row["verdict"], row["expected"]) == ("deviates, and not as known", False)

    def test_a_refuted_deviation_is_reported(self, monkeypatch):
        known = deviations.TORCHRECURRENT["lem"]
        monkeypatch.setitem(deviations.TORCHRECURRENT, "star", known)
        row = next(row for row in rows("star") if row["against"].startswith("torchrecurrent"))
        assert (row["verdict"], row["expected"]) == ("equal", False)


@pytest.mark.slow
def test_all_cells_are_as_expected(tmp_path):
    code, found = run(rnn_zoo.ARCHITECTURES, tmp_path)
    assert code == 0
    assert {arch for arch, _ in found} == set(rnn_zoo.ARCHITECTURES)

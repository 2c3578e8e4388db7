"""Checkpoints are written atomically, the last two are kept, and any damage is found."""

import json
import os
import random
import shutil

import keras
import numpy as np
import pytest
from on_backend import to_numpy, to_tensors
from safetensors.numpy import save

from trainer.storage import checkpoints
from trainer.storage.checkpoints import DamagedCheckpoint


def make_state(step, width=3):
    rng = np.random.default_rng(step)
    return to_tensors(
        {
            "weights": {
                "layers": [{"input": rng.normal(size=(2, width)).astype("float32"), "read_in": {}}],
                "readout": {"bias": rng.normal(size=width).astype("float32")},
            },
            "slots": {"u": [rng.normal(size=width).astype("float32")]},
            "step": np.int32(step),
            "feasible": np.bool_(True),
            "loss_sums": np.float32(np.pi),
        }
    )


def assert_equal(a, b):
    keras.tree.assert_same_structure(a, b)
    a, b = (keras.tree.flatten(to_numpy(state)) for state in (a, b))
    for left, right in zip(a, b, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


LIKE = make_state(0)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "checkpoints"


def test_a_state_is_read_back_bit_for_bit(directory):
    state = make_state(7)
    checkpoints.write(directory, state)
    (path,) = checkpoints.paths(directory)
    assert path.name == "step-0000000007.safetensors"
    assert_equal(checkpoints.read(path, LIKE), state)


def test_a_part_is_read_alone(directory):
    checkpoints.write(directory, make_state(7))
    weights, problems = checkpoints.latest(directory, LIKE["weights"], part="weights")
    assert not problems
    assert_equal(weights, make_state(7)["weights"])


def test_the_file_is_readable_by_others(directory):
    from safetensors.numpy import load_file

    checkpoints.write(directory, make_state(7))
    arrays = load_file(checkpoints.paths(directory)[0])
    np.testing.assert_array_equal(
        arrays["weights/readout/bias"], to_numpy(make_state(7))["weights"]["readout"]["bias"]
    )
    assert arrays["step"] == 7


def test_files_of_later_steps_stay_and_do_not_replace_newer_ones(directory):
    """They are another run's, or damaged."""
    strangers = [f"step-000000{number}.safetensors" for number in (5000, 6000)]
    checkpoints.write(directory, make_state(100))
    for name in strangers:
        shutil.copy(checkpoints.paths(directory)[0], directory / name)
    for step, kept in ((200, [100, 200]), (300, [200, 300])):
        checkpoints.write(directory, make_state(step))
        own = [f"step-0000000{number}.safetensors" for number in kept]
        assert sorted(os.listdir(directory)) == [*own, *strangers]
    state, problems = checkpoints.latest(directory, LIKE)
    assert int(state["step"]) == 300 and len(problems) == 2


def test_the_last_two_are_kept_and_nothing_else_is_left(directory):
    for step in (1, 5, 30, 200, 10_000_000_000 - 1):
        checkpoints.write(directory, make_state(min(step, 2**31 - 1)))
    names = sorted(os.listdir(directory))
    assert names == ["step-0000000200.safetensors", "step-2147483647.safetensors"]
    state, problems = checkpoints.latest(directory, LIKE)
    assert int(state["step"]) == 2**31 - 1
    assert not problems


def test_a_write_that_fails_leaves_the_ones_before_and_no_half(directory, monkeypatch):
    for step in (1, 2):
        checkpoints.write(directory, make_state(step))
    before = {path: path.read_bytes() for path in checkpoints.paths(directory)}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(os, "fsync", full)
        checkpoints.write(directory, make_state(3))
    assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_the_umask_decides_who_can_read_a_file(directory):
    old = os.umask(0o027)
    try:
        checkpoints.write(directory, make_state(1))
    finally:
        os.umask(old)
    assert checkpoints.paths(directory)[0].stat().st_mode & 0o777 == 0o640


# Damage.


@pytest.fixture
def two(directory):
    """A directory with checkpoints of step 1 and 2; returns the path of the newest."""
    for step in (1, 2):
        checkpoints.write(directory, make_state(step))
    return checkpoints.paths(directory)[-1]


def assert_falls_back(directory, newest):
    state, problems = checkpoints.latest(directory, LIKE)
    assert_equal(state, make_state(1))
    assert len(problems) == 1
    assert str(newest) in problems[0]
    assert "\n" not in problems[0]


def test_a_truncated_file_is_found_at_every_length(two, directory):
    whole = two.read_bytes()
    for length in range(0, len(whole), 3):
        two.write_bytes(whole[:length])
        assert_falls_back(directory, two)


def test_bytes_at_the_end_are_found(two, directory):
    two.write_bytes(two.read_bytes() + b"\0")
    assert_falls_back(directory, two)


def test_a_flipped_bit_changes_nothing_or_is_found(two, directory):
    """Flips a bit of every byte; some bits of the header's free text have no effect."""
    whole, source = two.read_bytes(), random.Random(1)
    harmless = 0
    for offset in range(len(whole)):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << source.randrange(8)
        two.write_bytes(flipped)
        state, problems = checkpoints.latest(directory, LIKE)
        if problems:
            assert_equal(state, make_state(1))
        else:
            assert_equal(state, make_state(2))
            harmless += 1
    assert harmless < 60
    assert offset > 500


def test_every_bit_of_the_content_counts(two, directory):
    whole = two.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    assert len(whole) - header > 50
    for offset in range(header, len(whole)):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << offset % 8
        two.write_bytes(flipped)
        assert_falls_back(directory, two)


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"not a checkpoint", b"\xff" * 64])
def test_a_file_that_is_no_checkpoint_is_found(two, directory, content):
    two.write_bytes(content)
    assert_falls_back(directory, two)


def test_a_directory_in_its_place_is_found(two, directory):
    two.unlink()
    two.mkdir()
    assert_falls_back(directory, two)


@pytest.mark.parametrize(
    "other",
    [
        make_state(3, width=4),
        {**make_state(3), "more": keras.ops.zeros(2)},
        {name: value for name, value in make_state(3).items() if name != "slots"},
    ],
    ids=["shape", "more", "less"],
)
def test_another_structure_is_found(two, directory, other):
    checkpoints.write(directory, other)
    path = checkpoints.paths(directory)[-1]
    with pytest.raises(DamagedCheckpoint, match="does not fit"):
        checkpoints.read(path, LIKE)
    state, problems = checkpoints.latest(directory, LIKE)
    assert_equal(state, make_state(2))
    assert len(problems) == 1


def test_nothing_readable_is_nothing_with_every_reason(two, directory):
    for path in checkpoints.paths(directory):
        path.write_bytes(b"")
    state, problems = checkpoints.latest(directory, LIKE)
    assert state is None
    assert len(problems) == 2


def test_no_checkpoint_is_nothing_without_a_reason(directory):
    assert checkpoints.latest(directory, LIKE) == (None, [])


def test_a_good_checkpoint_is_not_removed_in_favour_of_a_damaged_one(two, directory):
    """After falling back, the run writes checkpoints before the damaged one's step again."""
    checkpoints.write(directory, make_state(9))
    checkpoints.paths(directory)[-1].write_bytes(b"damaged")
    for step in (3, 4):
        checkpoints.write(directory, make_state(step))
        state, _ = checkpoints.latest(directory, LIKE)
        assert_equal(state, make_state(step))


@pytest.mark.parametrize("kind", ["float64", "float16", "int32", "bool", "complex64"])
def test_weights_of_another_type_are_refused(directory, kind):
    state = to_numpy(make_state(7))
    state["weights"]["readout"]["bias"] = state["weights"]["readout"]["bias"].astype(kind)
    directory.mkdir()
    arrays = checkpoints._named(state)
    (directory / "step-0000000007.safetensors").write_bytes(
        save(arrays, metadata={"sha256": checkpoints.digest_of(arrays)})
    )
    state, problems = checkpoints.latest(directory, LIKE)
    assert state is None
    assert f"weights/readout/bias is of {kind}, not float32" in problems[0]


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2"])
def test_a_type_that_numpy_lacks_is_damage(directory, kind):
    directory.mkdir()
    header = json.dumps({"step": {"dtype": kind, "shape": [1], "data_offsets": [0, 1]}}).encode()
    path = directory / "step-0000000007.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"0")
    state, problems = checkpoints.latest(directory, LIKE)
    assert state is None and problems[0].startswith(f"{path}: ")

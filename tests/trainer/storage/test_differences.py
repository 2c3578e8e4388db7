"""Settings that differ are refused in one line that names the first of them."""

import pytest

from trainer import UserError
from trainer.storage.differences import refuse_difference

HELD = {"config": {"lr_init": 0.01, "scale": {"c": 1.0, "g": 2.0}}, "seed": 3, "data": (1, 2)}


def refused(**changes):
    with pytest.raises(UserError) as caught:
        refuse_difference("runs/a holds a run", HELD, HELD | changes, "choose another")
    return str(caught.value)


def test_equal_settings_pass_tuples_and_lists_and_none_and_absence_alike():
    refuse_difference("", HELD, HELD | {"data": [1, 2], "new": None}, "")
    refuse_difference("", HELD | {"old": None}, HELD, "")


def test_the_difference_is_named_with_both_values_and_the_way_out():
    assert refused(seed=4) == "runs/a holds a run with seed 3, not 4; choose another"
    scale = {"config": {"lr_init": 0.01, "scale": {"c": 1.0, "g": 2.5}}}
    assert "with config.scale.g 2.0, not 2.5; " in refused(**scale)
    assert "with config.scale {'c': 1.0, 'g': 2.0}, not 0.5; " in refused(
        config={"lr_init": 0.01, "scale": 0.5}
    )


def test_settings_after_equal_ones_that_are_written_otherwise_are_compared_too():
    """An option that is None equals one that is missing, and the comparison goes on."""
    held, wanted = {"options": {"path": None}, "seed": 0}, {"options": {}, "seed": 7}
    with pytest.raises(UserError, match="with seed 0, not 7; way out"):
        refuse_difference("s holds a study", held, wanted, "way out")
    refuse_difference("", held, wanted | {"seed": 0}, "")


def test_an_entry_of_one_side_alone_differs():
    assert "with extra None, not 1; " in refused(extra=1)
    assert "with config.scale {'c': 1.0, 'g': 2.0}, not None" in refused(config={"lr_init": 0.01})

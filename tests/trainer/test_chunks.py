"""The number of steps per compiled call."""

from trainer.chunks import Chunks


def test_the_size_follows_the_measured_speed_and_not_the_compilation():
    chunks = Chunks()
    assert chunks.size(5.0) == 1
    chunks.add(1, 30.0)  # compiles
    assert chunks.steps_per_second is None
    assert chunks.size(5.0) == 10
    chunks.add(10, 0.5)
    assert chunks.steps_per_second == 20.0
    assert chunks.size(5.0) == 100
    chunks.add(100, 10.0)
    assert chunks.size(5.0) == 50
    assert chunks.size(0.001) == 1


def test_a_call_that_takes_no_step_has_a_speed_above_zero():
    chunks = Chunks()
    chunks.add(1, 30.0)
    chunks.add(0, 2.0)
    assert chunks.steps_per_second == 0.5

"""Number of training steps per compiled call."""


class Chunks:
    """Chooses the number of steps per compiled call from the speed of earlier calls.

    The first call runs one step: it compiles, so its duration says nothing about speed. The second
    runs ten, to measure the speed.

    Attributes:
        steps_per_second: speed of the last call; None until the second call has returned.
    """

    def __init__(self):
        self.steps_per_second: float | None = None
        self._is_compiled = False

    def size(self, seconds: float) -> int:
        """Return the number of steps that take about `seconds`."""
        if not self._is_compiled:
            return 1
        if self.steps_per_second is None:
            return 10
        return max(1, round(self.steps_per_second * seconds))

    def add(self, steps: int, seconds: float) -> None:
        """Record a call's number of steps and its duration."""
        if self._is_compiled:
            self.steps_per_second = max(steps, 1) / seconds
        self._is_compiled = True

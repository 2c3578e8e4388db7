"""How many steps one compiled call takes."""


class Chunks:
    """Chooses the number of steps per compiled call from the speed of earlier calls.

    The first call takes one step, because it compiles and says nothing about speed. The second
    takes ten, to measure it.

    Attributes:
        steps_per_second: speed of the last call; None until the second call has returned.
    """

    def __init__(self):
        self.steps_per_second: float | None = None
        self._is_compiled = False

    def size(self, seconds: float) -> int:
        """Returns the number of steps that take about `seconds`."""
        if not self._is_compiled:
            return 1
        if self.steps_per_second is None:
            return 10
        return max(1, round(self.steps_per_second * seconds))

    def add(self, steps: int, seconds: float) -> None:
        """Notes a call's number of steps and its duration."""
        if self._is_compiled:
            self.steps_per_second = max(steps, 1) / seconds
        self._is_compiled = True

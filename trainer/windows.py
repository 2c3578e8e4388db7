"""Windows: the equal parts of a training over which its losses are averaged."""

from typing import Any

#: Numbers of windows of the measurements, and of the learning curve of a record.
WINDOWS, CURVE_POINTS = 100, 20


def window_start(index: Any, train_steps: Any, windows: int = WINDOWS) -> Any:
    """Return the first step of a window, the first t with ⌊windows t / train_steps⌋ ≥ index."""
    return -(-index * train_steps // windows)


def window_ends(train_steps: int, windows: int = WINDOWS) -> list[int]:
    """Return the steps at which the windows end; those without a step are left out.

    Example: window_ends(5, windows=10) == [1, 2, 3, 4, 5]
    """
    ends = {window_start(index + 1, train_steps, windows) for index in range(windows)}
    return sorted(ends)

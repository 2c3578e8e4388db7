"""Defers SIGINT and SIGTERM to the next step boundary."""

import signal
from typing import Self


class Signals:
    """Records SIGINT and SIGTERM so that a loop can stop cleanly; a second one acts as usual.

    Attributes:
        received: number of the signal; None before it arrives.
    """

    def __enter__(self) -> Self:
        self.received: int | None = None
        self._previous = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # only the main thread can handle signals
                break
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.received = number
        signal.signal(number, self._previous[number])

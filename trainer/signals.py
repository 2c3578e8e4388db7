"""SIGINT and SIGTERM as a wish that a loop grants between two of its steps."""

import signal


class Signals:
    """Notes SIGINT and SIGTERM, so that a loop can end in good order; a second one kills."""

    def __enter__(self):
        self.received = None
        self._previous = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread: its owner handles signals
                break
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        self.received = number
        signal.signal(number, self._previous[number])

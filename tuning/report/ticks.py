"""Ticks of logarithmic axes: enough of them, each with its number."""

import math

from matplotlib import ticker
from matplotlib.axis import Axis

#: Ticks within a decade, from few to many.
_DIGITS = ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5, 7), (1, 1.5, 2, 3, 5, 7), tuple(range(1, 10)))
#: Smallest number of labelled ticks, and the largest that fit.
FEWEST, MOST = 3, 9
# Not Matplotlib's "$10^6$", which is off: names from files could have its syntax.
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def label(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis with the given limits with at least three numbers."""
    axis.set_major_locator(_locator(low, high))
    axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: text(x)))
    axis.set_minor_formatter(ticker.NullFormatter())


def _locator(low, high):
    for digits in _DIGITS:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        places = [float(f"{digit}e{power}") for power in decades for digit in digits]
        places = [place for place in places if low <= place <= high]
        if len(places) >= FEWEST:
            thinned = places[:: math.ceil(len(places) / MOST)]
            return ticker.FixedLocator(thinned)
    return ticker.MaxNLocator(4, integer=low >= 1 and high - low >= FEWEST)


def text(x: float) -> str:
    """Write a tick's number: 2,000, 0.05 or, far from 1, a power of ten."""
    if 1e-3 <= abs(x) < 1e6 or not x:
        return f"{x:,.10g}"
    digits, _, power = f"{x:.10e}".partition("e")
    digits = digits.rstrip("0").rstrip(".")
    factor = "" if digits == "1" else f"{digits}×"
    return f"{factor}10{str(int(power)).translate(_RAISED)}"

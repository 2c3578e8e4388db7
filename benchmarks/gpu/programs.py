"""Compiled programs: the operations of their loops, and the kernels in a profile.

On a GPU each operation of a loop's body is a kernel that every iteration launches.
"""

import collections
import pathlib
import re

import jax

#: Instructions that launch no kernel.
FREE = {"parameter", "tuple", "get-tuple-element", "bitcast", "constant", "after-all"}

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+)[^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*?[\]})] ([\w\-]+)\(", re.MULTILINE)
_WHILE = re.compile(r" while\([^\n]*body=%?([\w.\-]+)([^\n]*)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')


def loops(text):
    """Count the operations of each loop's body; nested loops are counted separately.

    Args:
        text: optimized HLO, as from `compiled.as_text()`.

    Returns:
        List of dicts: `trips` (None if unknown), `operations` (dict from kind to number), `total`;
        loops with the most operations first.
    """
    bodies = dict(_COMPUTATION.findall(text))
    found = []
    for name, rest in _WHILE.findall(text):
        kinds = collections.Counter(_INSTRUCTION.findall(bodies.get(name, "")))
        operations = {kind: n for kind, n in kinds.most_common() if kind not in FREE}
        trips = _TRIPS.search(rest)
        found.append(
            {
                "trips": trips and int(trips[1]),
                "total": sum(operations.values()),
                "operations": operations,
            }
        )
    return sorted(found, key=lambda loop: -loop["total"])


def kernels(directory, most=12):
    """Sum the device's time by kernel, from a trace of `jax.profiler`.

    Args:
        directory: directory of the trace.
        most: maximum number of kernels to return.

    Returns:
        List of dicts `kernel`, `count`, `milliseconds`, `share`, longest first; empty for a CPU.
    """
    (path,) = pathlib.Path(directory).rglob("*.xplane.pb")
    planes = jax.profiler.ProfileData.from_file(str(path)).planes
    times = collections.defaultdict(list)
    for plane in planes:
        for line in plane.lines if plane.name.startswith("/device:GPU") else ():
            if line.name.startswith("Stream"):
                for event in line.events:
                    times[event.name].append(event.duration_ns)
    total = sum(map(sum, times.values()))
    longest = sorted(times.items(), key=lambda pair: -sum(pair[1]))[:most]
    return [
        {
            "kernel": name[:60],
            "count": len(values),
            "milliseconds": sum(values) / 1e6,
            "share": sum(values) / total,
        }
        for name, values in longest
    ]

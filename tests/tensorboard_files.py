"""Reads TensorBoard's files without TensorFlow."""

from tensorboardX.proto.event_pb2 import Event


def events(path):
    """Return the events of a file, in order."""
    found, content = [], path.read_bytes()
    while content:
        size = int.from_bytes(content[:8], "little")
        found.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return found


def points(path):
    """Return (step, tag, value) of each point of a curve."""
    return [
        (event.step, each.tag, each.simple_value)
        for event in events(path)
        for each in event.summary.value
        if each.WhichOneof("value") == "simple_value"
    ]

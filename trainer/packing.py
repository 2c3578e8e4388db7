"""A model's weights as one vector, for as long as a compiled loop trains them.

A small network has a dozen weights of a few hundred numbers each. To clip, update and check them
one by one is a quarter of the operations of a training step, and each costs its start; on one
vector they are a handful. A dict's equal shapes (the gates' matrices) lie side by side, as the
first product wants them, so what `unpack` cuts out is joined again for nothing.

Legend: "..." axes of lanes, M numbers of all weights together.
"""

import math

from keras import ops


def pack(weights, num_lane_axes):
    """Returns the vector (..., M) of a nested structure of arrays (..., shape)."""
    return ops.concatenate(list(_vectors(weights, num_lane_axes)), axis=-1)


def unpack(vector, like):
    """Cuts `pack`'s vector up again.

    Args:
        vector: (..., M).
        like: nested structure of arrays of the wanted shapes (..., shape).
    """
    return _Cut(vector).take(like)


def _side_by_side(weights):
    """Whether this is a dict of matrices, or of vectors, of one shape."""
    if not isinstance(weights, dict) or not weights:
        return False
    shapes = [getattr(value, "shape", None) for value in weights.values()]
    return None not in shapes and len({tuple(shape) for shape in shapes}) == 1


def _vectors(weights, num_lane_axes):
    """The pieces of `pack`, each (..., size), in their order."""
    if _side_by_side(weights):
        weights = ops.concatenate(list(weights.values()), axis=-1)
    if hasattr(weights, "shape"):
        lanes = weights.shape[:num_lane_axes]
        yield ops.reshape(weights, (*lanes, math.prod(weights.shape[num_lane_axes:])))
        return
    for part in weights.values() if isinstance(weights, dict) else weights:
        yield from _vectors(part, num_lane_axes)


class _Cut:
    """What is left of a vector while pieces are cut from its front."""

    def __init__(self, vector):
        self.vector, self.position = vector, 0
        self.num_lane_axes = len(vector.shape) - 1

    def take(self, like):
        if _side_by_side(like):
            *outer, width = next(iter(like.values())).shape
            joined = self._array((*outer, len(like) * width))
            return dict(zip(like, ops.split(joined, len(like), axis=-1), strict=True))
        if hasattr(like, "shape"):
            return self._array(like.shape)
        if isinstance(like, dict):
            return {name: self.take(part) for name, part in like.items()}
        return [self.take(part) for part in like]

    def _array(self, shape):
        size = math.prod(shape[self.num_lane_axes :])
        piece = self.vector[..., self.position : self.position + size]
        self.position += size
        return ops.reshape(piece, shape)

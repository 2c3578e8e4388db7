"""Packing of a model's weights into one vector, for compiled training loops.

A small network has a dozen weights of a few hundred numbers each. Clipping, updating and checking
them one by one takes a quarter of the operations of a training step, each with its own overhead. On
one vector it takes a handful. The arrays of a dict (the gates' matrices) are packed side by side if
their shapes are equal. The input product needs them in that form, so unpacking and concatenating
them again costs nothing.

Legend: "..." axes of lanes, M size of all weights together.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainer import lazy_ops as ops

Tensor = Any


def pack(weights: Any, num_lane_axes: int) -> Tensor:
    """Return the vector (..., M) of a nested structure of arrays (..., shape)."""
    return ops.concatenate(list(_vectors(weights, num_lane_axes)), axis=-1)


def unpack(vector: Tensor, like: Any) -> Any:
    """Invert `pack`.

    Args:
        vector: (..., M).
        like: nested structure of arrays with the shapes (..., shape) to return.
    """
    return _Cut(vector).take(like)


def where_matrices(shapes: Any, num_lane_axes: int) -> Tensor:
    """Return a packed vector (..., M), 1 for entries of matrices and 0 for all other weights.

    An array of more than two axes holds several matrices, such as the blocks of a diagonal.
    """
    import keras

    return pack(
        keras.tree.map_structure(
            lambda w: ops.ones_like(w) if len(w.shape) >= num_lane_axes + 2 else ops.zeros_like(w),
            shapes,
        ),
        num_lane_axes,
    )


def count_matrices(shapes: Iterable[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """Count the matrices among weights by their shape, up to transposition.

    Args:
        shapes: shapes of the weights, without axes of lanes.

    Returns:
        (rows, columns), with rows <= columns -> number of matrices.
    """
    found: dict[tuple[int, int], int] = {}
    for shape in shapes:
        if len(shape) >= 2:
            rows, columns = sorted(shape[-2:])
            found[rows, columns] = found.get((rows, columns), 0) + math.prod(shape[:-2])
    return found


def matrices(vector: Tensor, shapes: Any) -> dict[tuple[int, int], Tensor]:
    """Return the matrices of a packed vector, stacked by shape to share batched operations.

    Args:
        vector: (..., M).
        shapes: nested structure of arrays that have the shapes of the unpacked weights.

    Returns:
        (rows, columns), with rows <= columns -> (..., count, rows, columns). Matrices with more
        rows than columns are transposed.
    """
    leaves, members, num_lane_axes = _matrices_of(vector, shapes)
    found = {}
    for key, indices in members.items():
        blocks = []
        for index in indices:
            *_, rows, columns = shape = leaves[index].shape
            block = ops.reshape(leaves[index], (*shape[:num_lane_axes], -1, rows, columns))
            blocks.append(_transposed(block) if rows > columns else block)
        found[key] = ops.concatenate(blocks, axis=num_lane_axes)
    return found


def with_matrices(vector: Tensor, shapes: Any, changed: Mapping[tuple[int, int], Tensor]) -> Tensor:
    """Return a packed vector with other matrices, and the same other weights.

    Args:
        vector, shapes: as for `matrices`.
        changed: the matrices, in the form of the result of `matrices`.
    """
    import keras

    leaves, members, num_lane_axes = _matrices_of(vector, shapes)
    for key, indices in members.items():
        start = 0
        for index in indices:
            *_, rows, columns = shape = leaves[index].shape
            stop = start + math.prod(shape[num_lane_axes:-2])
            block = changed[key][..., start:stop, :, :]
            block = _transposed(block) if rows > columns else block
            leaves[index], start = ops.reshape(block, shape), stop
    return pack(keras.tree.pack_sequence_as(shapes, leaves), num_lane_axes)


def _matrices_of(vector, shapes):
    """Return the unpacked weights, the indices of each shape's matrices, and the lane axes."""
    import keras

    leaves, num_lane_axes = keras.tree.flatten(unpack(vector, shapes)), len(vector.shape) - 1
    members: dict[tuple[int, int], list[int]] = {}
    for index, leaf in enumerate(leaves):
        if len(leaf.shape) >= num_lane_axes + 2:
            rows, columns = sorted(leaf.shape[-2:])
            members.setdefault((rows, columns), []).append(index)
    return leaves, members, num_lane_axes


def _transposed(matrices):
    return ops.swapaxes(matrices, -2, -1)


def _side_by_side(weights: Any) -> bool:
    """Return whether this is a dict of arrays of one shape."""
    if not isinstance(weights, dict) or not weights:
        return False
    values = weights.values()
    return (
        all(hasattr(value, "shape") for value in values)
        and len({tuple(value.shape) for value in values}) == 1
    )


def _vectors(weights: Any, num_lane_axes: int) -> Iterator[Tensor]:
    """Yield the pieces of `pack`, each (..., size), in order."""
    if _side_by_side(weights):
        weights = ops.concatenate(list(weights.values()), axis=-1)
    if hasattr(weights, "shape"):
        lanes = weights.shape[:num_lane_axes]
        yield ops.reshape(weights, (*lanes, math.prod(weights.shape[num_lane_axes:])))
        return
    for part in weights.values() if isinstance(weights, dict) else weights:
        yield from _vectors(part, num_lane_axes)


class _Cut:
    """A vector that is cut into pieces from the front."""

    def __init__(self, vector: Tensor):
        self.vector, self.position = vector, 0
        self.num_lane_axes = len(vector.shape) - 1

    def take(self, like: Any) -> Any:
        if _side_by_side(like):
            *outer, width = next(iter(like.values())).shape
            joined = self._array((*outer, len(like) * width))
            return dict(zip(like, ops.split(joined, len(like), axis=-1), strict=True))
        if hasattr(like, "shape"):
            return self._array(like.shape)
        if isinstance(like, dict):
            return {name: self.take(part) for name, part in like.items()}
        return [self.take(part) for part in like]

    def _array(self, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape[self.num_lane_axes :])
        piece = self.vector[..., self.position : self.position + size]
        self.position += size
        return ops.reshape(piece, shape)

"""The update of Muon for the matrices of a packed vector of weights.

Source: K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024,
https://kellerjordan.github.io/posts/muon. The factor 0.2 √max(rows, columns), which gives updates
about the size of Adam's, is from J. Liu et al., Muon is scalable for LLM training, 2025,
arXiv:2502.16982.
"""

import math
from typing import Any

from trainer import lazy_ops as ops
from trainer import packing

Tensor = Any

#: Newton-Schulz coefficients and number of steps; root mean square of a matrix's update at α = 1.
NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, RMS_RATE = (3.4445, -4.7750, 2.0315), 5, 0.2
EPSILON = 1e-7


def orthogonalised(vector: Tensor, shapes: Any) -> Tensor:
    """Return 0.2 √max(rows, columns) NS(W) for each matrix W of a packed vector.

    NS is `newton_schulz`. Entries of vectors are left as they are.

    Args:
        vector: (..., M), packed by `packing.pack`.
        shapes: nested structure of arrays that have the shapes of the unpacked weights.
    """
    found = packing.matrices(vector, shapes)
    changed = {
        (rows, columns): RMS_RATE * math.sqrt(columns) * newton_schulz(each)
        for (rows, columns), each in found.items()
    }
    return packing.with_matrices(vector, shapes, changed)


def newton_schulz(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices close to 1, without changing the singular vectors.

    X₀ = W / ‖W‖; A = X Xᵀ; X' = a X + (b A + c A²) X, five times. A step maps a singular value σ
    to a σ + b σ³ + c σ⁵. Five steps map singular values of W above 0.002 ‖W‖ to 0.68 to 1.21.

    Args:
        matrices: (..., rows, columns), with rows ≤ columns for speed.
    """
    a, b, c = NEWTON_SCHULZ
    norm = ops.sqrt(ops.sum(matrices * matrices, axis=(-2, -1), keepdims=True))
    x = matrices / (norm + EPSILON)
    for _ in range(NEWTON_SCHULZ_STEPS):
        product = ops.matmul(x, ops.swapaxes(x, -2, -1))
        x = a * x + ops.matmul(b * product + c * ops.matmul(product, product), x)
    return x

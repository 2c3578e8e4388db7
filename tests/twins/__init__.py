"""NumPy twins of the cells that are not in the paper, one module a family.

Each is written from its own paper: `step(w, x, states, **options)` returns (output, states). The
weights `w` have, for each gate, a dict of the parts that it has, `input` (I, N), `recurrent` and
`bias` (N,), and the learned vectors by name. A recurrent matrix is (N, N) whatever its structure; a
diagonal one is (N,). Vectors are rows: W x is written x @ W.

Each module has `TWINS`, a dict from architecture to `Twin`.
"""

import importlib
import pkgutil

from twins.base import Twin

TWINS: dict[str, Twin] = {}
for _module in pkgutil.iter_modules(__path__):
    if _module.name != "base":
        TWINS |= importlib.import_module(f"twins.{_module.name}").TWINS

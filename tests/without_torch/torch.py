"""Stands before the real package on the path, so that it seems not to be installed."""

raise ModuleNotFoundError("No module named 'torch'", name="torch")

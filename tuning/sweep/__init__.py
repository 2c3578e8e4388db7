"""Many studies: `python -m tuning.sweep` runs those behind a figure or a table of the paper."""

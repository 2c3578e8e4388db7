"""Sweeps: the studies behind a figure or table of the paper (`python -m tuning.sweep`)."""

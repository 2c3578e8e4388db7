"""Hyperparameter search as in the paper: studies, sweeps and their report."""

"""Benchmarks against peers in the same run. Not part of the installed package."""

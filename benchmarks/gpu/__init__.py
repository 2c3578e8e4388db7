"""Measurements on one NVIDIA GPU within a fixed number of minutes: `python -m benchmarks.gpu`."""

"""Measurements of speed, each beside a peer in the same run. Not part of the installed package."""

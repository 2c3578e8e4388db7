"""Equality of all cells with their papers and with other libraries."""

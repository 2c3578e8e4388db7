"""Progress, learning curves and runs, as shown on a terminal or in a picture."""

"""Measures how the loss of a trained model depends on the number of bits per weight."""

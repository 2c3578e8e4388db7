"""Search: spaces, the Gaussian process, acquisition and keras-tuner oracles."""

"""The search: spaces, the Gaussian process, acquisition, keras-tuner oracles."""

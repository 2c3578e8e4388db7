"""Files of a run: records, checkpoints, TensorBoard events; atomic writes."""

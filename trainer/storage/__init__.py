"""What a run keeps on disk: records, checkpoints, TensorBoard events, whole files."""

"""Many trainings, searched as the paper searched them."""

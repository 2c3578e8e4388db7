"""Gin files: tasks/ (one per task), archs/, profiles/ (amounts of work), paper/ and presets.gin."""

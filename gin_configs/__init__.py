"""The project's gin files: base.gin, tasks/ (one a task), profiles/ (amounts of work)."""

from seeded import repeatable, rng  # noqa: F401

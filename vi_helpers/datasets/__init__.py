"""Data: generators that take an ``rng``, and small classical samples shipped with the package."""

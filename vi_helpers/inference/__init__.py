"""Algorithms that know no model: they take callables."""

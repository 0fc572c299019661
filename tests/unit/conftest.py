"""Hypothesis draws the same examples in every run, few enough for a quick suite."""

from hypothesis import settings

settings.register_profile("book", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("book")

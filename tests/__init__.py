"""Tests: units (mirroring the package), notebooks, and the built site."""

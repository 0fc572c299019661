"""Tests of the package and of the scripts, one file a module."""

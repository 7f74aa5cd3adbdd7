"""Tests of experiments.pinns; the files mirror the modules."""

"""Tests of experiments.functions; the files mirror the modules."""

"""Tests of experiments.comparing; the files mirror the modules."""

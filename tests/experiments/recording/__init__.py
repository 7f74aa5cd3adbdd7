"""Tests of experiments.recording; the files mirror the modules."""

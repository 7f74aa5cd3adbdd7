"""Tests of experiments.classification; the files mirror the modules."""

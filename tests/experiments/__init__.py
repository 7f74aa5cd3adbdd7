"""Tests of the experiments; the files mirror the modules."""

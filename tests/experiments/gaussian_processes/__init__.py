"""Tests of experiments.gaussian_processes; the files mirror the modules."""

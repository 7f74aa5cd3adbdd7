"""Tests of experiments.autoencoder; the files mirror the modules."""

"""Tests of newtoncg.spectrum."""

"""Tests of newtoncg.lightning."""

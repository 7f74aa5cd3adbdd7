"""Tests of newtoncg.graphs."""

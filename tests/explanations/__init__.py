"""Tests of newtoncg.explanations."""

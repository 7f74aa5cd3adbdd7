"""Tests of newtoncg.diagnose."""

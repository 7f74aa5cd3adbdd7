"""Tests of newtoncg.functional."""

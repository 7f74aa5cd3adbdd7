"""Tests of the preconditioners."""

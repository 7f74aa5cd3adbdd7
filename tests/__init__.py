"""Tests of newtoncg; the folders mirror the package."""

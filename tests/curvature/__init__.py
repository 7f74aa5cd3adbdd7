"""Tests of newtoncg.curvature."""

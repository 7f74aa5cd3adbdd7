"""Step lengths and radii against scalar functions."""

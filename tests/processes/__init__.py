"""Several processes: two of them, started once."""

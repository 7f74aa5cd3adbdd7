"""Krylov solvers against dense oracles."""

"""The quasi-Newton memory against dense updates."""

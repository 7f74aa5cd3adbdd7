"""The closure contract, point by point."""

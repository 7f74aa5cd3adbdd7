"""Every method against `scipy.optimize` on the whole table of test problems: ``python -m tests.validation``."""

"""The one table of test problems, for tests, validation and benchmarks: start with `PROBLEMS` or `select`."""

from tests.problems.problem import Problem, Trait
from tests.problems.selection import PROBLEMS, by_name, select

__all__ = ["PROBLEMS", "Problem", "Trait", "by_name", "select"]

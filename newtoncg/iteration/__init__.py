"""The iteration that both front doors share: directions, steps, state and reports."""

from newtoncg.iteration.loop import Outcome, run
from newtoncg.iteration.report import StepReport
from newtoncg.iteration.settings import Settings, Solver
from newtoncg.iteration.state import SolverState
from newtoncg.iteration.tolerance import attainable_tolerance, own_tolerance
from newtoncg.iteration.units import changed_scales, changed_scales_of_rows, own_scales, scales_of_rows

__all__ = [
    "Outcome",
    "Settings",
    "Solver",
    "SolverState",
    "StepReport",
    "attainable_tolerance",
    "changed_scales",
    "changed_scales_of_rows",
    "own_scales",
    "own_tolerance",
    "run",
    "scales_of_rows",
]

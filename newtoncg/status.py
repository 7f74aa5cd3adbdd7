"""Outcomes of solves, searches and steps: enumerations whose members carry their message."""

from __future__ import annotations

import enum


class Status(enum.Enum):
    """An expected outcome. The value of each member is the sentence shown to the user."""

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        return str(self.value)

    def __str__(self) -> str:
        return str(self.value)


class CGStatus(Status):
    """How a conjugate-gradient solve ended."""

    CONVERGED = "the residual is below the forcing tolerance"
    NEGATIVE_CURVATURE = "a direction of nonpositive curvature was met"
    BOUNDARY = "the path left the trust region; the step ends on its boundary"
    ITERATION_LIMIT = "the limit of CG iterations was reached"
    NONFINITE = "a product or a residual was not finite"
    ZERO_GRADIENT = "the right-hand side is zero"
    INDEFINITE_PRECONDITIONER = "the preconditioner is not positive definite"


class SearchStatus(Status):
    """How a line search ended."""

    DECREASE = "the loss decreased sufficiently"
    ROUND_OFF = "the loss is flat to its round-off; the step was accepted by its slope"
    NO_DECREASE = "no trial point decreased the loss sufficiently"
    NONFINITE = "no trial point had a finite loss"
    EVALUATION_LIMIT = "the limit of evaluations was reached within the line search"


class Rung(Status):
    """The rung of the direction ladder that a step was taken from."""

    NEWTON_CG = "Newton direction by conjugate gradients"
    GAUSS_NEWTON = "damped Gauss-Newton step"
    LBFGS = "L-BFGS direction"
    QUASI_NEWTON = "dense quasi-Newton direction"
    STEEPEST_DESCENT = "steepest descent"
    NONE = "no step was taken"
    NEGATIVE_CURVATURE = "direction of negative curvature by Lanczos iterations"


class Termination(Status):
    """Why the iteration stopped."""

    GRADIENT = "the gradient is below its tolerance: a stationary point"
    SECOND_ORDER = "gradient and negative curvature are below their tolerances: a second-order point"
    SADDLE = "the gradient is below its tolerance, at a saddle point beside which no lower point was found"
    UNCERTIFIED = "the gradient is below its tolerance; the sign of the curvature was left undecided"
    CHANGE = "the change of the loss or of the point is below its tolerance"
    ITERATION_LIMIT = "the limit of iterations was reached"
    EVALUATION_LIMIT = "the limit of evaluations was reached"
    STALLED = "no rung of the direction ladder found a lower point"
    ROUND_OFF = "neither the loss nor the gradient decreases any more: their round-off is reached"
    UNBOUNDED = "the loss fell below the stated lower bound: it seems to be unbounded"
    NONFINITE = "the loss or the gradient at the starting point is not finite"
    NO_GRADIENT = "no parameter has a gradient"
    CALLBACK = "the callback asked to stop"

"""A closure over parameters as an objective.

The contract. The closure takes no argument, computes the loss at the parameters' present values, and may

- call ``backward`` on it once or several times: the gradients and the curvature of all calls add up, and the objective
  is the sum of the losses that backward was called on;
- not call it: then the returned loss is differentiated;
- have no graph at all: then the objective is the number that it returns, the gradient what it leaves in ``.grad``, and
  products are differences of such gradients.

While it runs, backward calls on the parameters are taken over (:mod:`newtoncg.capture`), so that the graph stays for
products and evaluations that need only the loss skip the gradient; every evaluation sees the same random numbers and
running statistics (:mod:`newtoncg.replay`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from newtoncg._typing import Closure
from newtoncg.errors import ClosureError
from newtoncg.least_squares import StoredJacobian
from newtoncg.linear_operator import LinearOperator
from newtoncg.objective.base import CurvatureSource, Evaluation, Objective
from newtoncg.objective.closure_run import ClosureRunner, Run, Work
from newtoncg.objective.curvature_model import CurvatureKind, SecondClosure
from newtoncg.objective.first_run import seen_at_first, warn_of_side_effects, without_unused
from newtoncg.objective.gradient_fields import average_fields
from newtoncg.objective.linearization import Linearization, flat_outputs, require_same_gradient
from newtoncg.objective.regularization import Regularization
from newtoncg.objective.rows import linearized_together
from newtoncg.processes import ALONE, Processes
from newtoncg.replay import Replay
from newtoncg.vectors import ParameterVector


@final
class ClosureObjective(Objective):
    """``f: R^n -> R`` given by a closure that reads the parameters.

    Evaluating writes the point into the parameters and leaves it there. Graphs are valid until the next evaluation;
    what is asked of an older one runs the closure at its point again.

    Args:
        closure: The closure; see the module's contract.
        parameters: The tensors that it reads and that are the unknowns.
        regularization: What is added to its loss.
        source: Where products come from at first.
        verified: Whether products need no comparison with differences.
        kind: The matrix that exact products are taken with.
        curvature_closure: The closure whose curvature is used instead of the closure's own; see `SecondClosure`.
        processes: Those that run closures of their own at the same points: the objective is the mean of their losses.

    Attributes:
        parameters: The unknowns.
        regularization: What is added to the loss.
        first_returned: What the closure returned at the start, detached: its graph would stay alive with it.
        has_no_gradient: Whether it left no gradient anywhere, in no process: there was no graph, and no ``.grad``.
    """

    def __init__(  # noqa: PLR0913 (the closure, its unknowns, and what is made of them)
        self,
        closure: Closure,
        parameters: ParameterVector,
        *,
        regularization: Regularization,
        source: CurvatureSource,
        verified: bool,
        kind: CurvatureKind = CurvatureKind.HESSIAN,
        curvature_closure: Closure | None = None,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__(
            parameters.size, parameters.dtype, parameters.device, source=source, verified=verified, processes=processes
        )
        self.parameters, self.regularization, self.kind = parameters, regularization, kind
        self.first_returned: Any = None
        self.has_no_gradient = False
        self._runner = ClosureRunner(closure, parameters.tensors, self.counts)
        devices = tuple({t.device for t in parameters.tensors if t.device.type in {"cuda", "xpu"}})
        self._replay = Replay(devices)
        self._second = curvature_closure and SecondClosure(curvature_closure, parameters, self.counts, devices)
        self._live: ClosureEvaluation | None = None

    def start(self) -> Evaluation:
        """The evaluation at the parameters' present values with its gradient: the first call of the closure."""
        x = self.parameters.read()
        with self._replay.first():
            run, (loss, coarse, *used) = self._run(self._work, x, first=True)
        self.first_returned = run.returned.detach() if isinstance(run.returned, Tensor) else run.returned
        self.has_no_gradient = not any(used)
        self.is_coarse = coarse > 0.0
        self.regularization = without_unused(self.regularization, self.parameters, used)
        self._live = ClosureEvaluation(self, x, run, loss)
        return self._live

    def evaluate(self, point: Tensor) -> Evaluation:
        """The value at a point of shape ``(n,)``; the gradient only when it is asked for."""
        x = self._move(point)
        run, (loss,) = self._run(self._possible(Work.LOSS), x)
        self._live = ClosureEvaluation(self, x, run, loss)
        return self._live

    def gradient_at(self, point: Tensor) -> Tensor:
        """The gradient at a point by itself, with no graph."""
        x = self._move(point)
        work = self._possible(Work.GRADIENT)
        return self.gradient_of(lambda: self._runner.run(work), x)

    def curvature_gradient(self, evaluation: Evaluation) -> Tensor:
        """The gradient whose derivative the curvature is: the second closure's where there is one."""
        return self.curvature_gradient_at(evaluation.point) if self._second else evaluation.gradient()

    def curvature_gradient_at(self, point: Tensor) -> Tensor:
        """The same at any point by itself, with no graph."""
        if not self._second:
            return self.gradient_at(point)
        x = self._move(point)
        return self.regularization.gradient(self.averaged(self._second.gradient, x), x)

    def gradient_of(self, run: Callable[[], Run], x: Tensor) -> Tensor:
        """The gradient at a point, from what gives a run there that has computed it."""

        def own() -> Tensor:
            done = run()
            self._follow(done)
            return self.parameters.flatten(done.gradients or [])

        return self.regularization.gradient(self.averaged(own, x), x)

    def curvature_at(self, evaluation: ClosureEvaluation, run: Run | None) -> LinearOperator:
        """The exact curvature at an evaluated point, from the graphs of its run or from the second closure.

        Args:
            evaluation: The point.
            run: The run that it was evaluated by, as long as its graph is valid; None afterwards.

        Returns:
            The operator, regularization included.
        """
        if self._second:
            if run is None:
                self._move(evaluation.point)
            second = self._second.run(self.kind.work)
            if second.failure:
                raise RuntimeError(second.failure)
            return self.regularization.curvature(self.kind.operator(self.parameters, second))
        return self.regularization.curvature(self.kind.operator(self.parameters, evaluation.differentiated()))

    def with_gradients(self, evaluation: ClosureEvaluation, run: Run | None) -> Run:
        """A run at an evaluated point with the gradients, and their graph where products come from it.

        Args:
            evaluation: The point.
            run: The run that it was evaluated by, as long as its graph is valid; None afterwards.

        Returns:
            That run, differentiated, or a new one.
        """
        if run is not None:
            done = self._runner.differentiate(run, self._work)
            self._follow(run)
            if done:
                return run
        self._move(evaluation.point)
        self._live = evaluation
        run = self._runner.run(self._work)
        self._follow(run)
        return run

    def linearization_at(self, evaluation: ClosureEvaluation, max_bytes: float) -> Linearization:
        """The loss at an evaluated point as a sum of squares."""
        if not self.regularization.is_identity:
            raise ClosureError(
                "Levenberg-Marquardt steps minimize the marked residuals alone: leave out maximize, and write an L2 "
                "term as residuals, newtoncg.outputs(parameter), with its weight in the loss"
            )
        gradient = evaluation.gradient()
        with self.counts.timed("jacobian", new=0):
            linearization = linearized_together(
                self.processes, evaluation.differentiated, self.parameters, max_bytes=max_bytes
            )
        self.counts.jacobians += isinstance(linearization.jacobian, StoredJacobian)
        require_same_gradient(linearization, gradient)
        return linearization

    def finish(self, point: Tensor) -> None:
        """Leave the parameters at a point, and ``.grad``, generators and buffers as the first run left them."""
        self._release()
        self.parameters.write(point)
        self._runner.restore_first()
        average_fields(self.processes, self.parameters)
        self._replay.finish()

    def undo(self) -> None:
        """Put ``.grad``, generators and buffers back to where the first run found them."""
        self._release()
        self._runner.undo()
        self._replay.again()

    def _run(self, work: Work, x: Tensor, *, first: bool = False) -> tuple[Run, list[float]]:
        """One run, and the mean loss; at first, whether it changes precision and which tensors it uses."""
        runs: list[Run] = []

        def own() -> Tensor:
            run = self._runner.run(work, first=first)
            runs.append(run)
            if first:
                warn_of_side_effects(run, self.parameters, x, fields=not self.verified)
            self._follow(run)
            seen = seen_at_first(run, self.parameters) if first else ()
            return torch.tensor([run.loss(), *seen], dtype=torch.float64, device=self.device)

        size = 2 + len(self.parameters.tensors) if first else 1
        means = self.averaged(own, torch.empty(size, dtype=torch.float64, device=self.device))
        return runs[0], means.tolist()

    def _move(self, point: Tensor) -> Tensor:
        self._release()
        self._replay.again()
        return self.parameters.write_rounded(point)

    def _release(self) -> None:
        if self._live is not None:
            self._live.release()
            self._live = None

    @property
    def _work(self) -> Work:
        """What a run must do for gradient and products."""
        exact = self.source is CurvatureSource.EXACT and not self._second
        return self._possible(self.kind.work if exact else Work.GRADIENT)

    def _possible(self, work: Work) -> Work:
        """The work, as long as backward calls can be taken over."""
        return Work.PLAIN if self.source is CurvatureSource.PLAIN_DIFFERENCES else work

    def _follow(self, run: Run) -> None:
        """Go on the way that the run had to take, with the reason where something failed."""
        if run.work is Work.PLAIN and self.source is not CurvatureSource.PLAIN_DIFFERENCES:
            self._leave(run, CurvatureSource.PLAIN_DIFFERENCES)
        elif run.failure and self.source is CurvatureSource.EXACT:
            self._leave(run, CurvatureSource.DIFFERENCES)

    def _leave(self, run: Run, source: CurvatureSource) -> None:
        if run.failure:
            self.leave_exact(run.failure, source)
        else:
            self.source = source


@final
class ClosureEvaluation(Evaluation):
    """A closure at one point, with the graphs of its loss and of its gradient as long as they are valid."""

    __slots__ = ("_gradient", "_objective", "_outputs", "_run")

    def __init__(self, objective: ClosureObjective, x: Tensor, run: Run, loss: float) -> None:
        self.point, self.value = x, objective.regularization.value(loss, x)
        self._objective = objective
        self._run: Run | None = run
        self._gradient: Tensor | None = None
        self._outputs: Tensor | None = None

    def gradient(self) -> Tensor:
        """The gradient; from the kept graph of the loss where it is still valid."""
        if self._gradient is None:
            self._gradient = self._objective.gradient_of(self.differentiated, self.point)
        return self._gradient

    def curvature(self) -> LinearOperator:
        """The exact curvature through the kept graphs."""
        return self._objective.curvature_at(self, self._run)

    def outputs(self) -> Tensor:
        """The marked residuals before weighting."""
        if self._outputs is None:
            self._outputs = self._objective.processes.gather(
                lambda: flat_outputs(self.differentiated().marks if self._run is None else self._run.marks)
            ).rows
        return self._outputs

    def linearization(self, max_bytes: float) -> Linearization:
        """The loss as a sum of squares; see :class:`Evaluation`."""
        return self._objective.linearization_at(self, max_bytes)

    def release(self) -> None:
        """Let go of the graphs: the parameters are about to change."""
        self._run = None

    def differentiated(self) -> Run:
        """The run with the gradients of this point, and the graphs that products need."""
        if self._run is None or self._run.gradients is None:
            self._run = self._objective.with_gradients(self, self._run)
        return self._run

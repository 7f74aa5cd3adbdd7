"""`NewtonCG`: the iteration as a `torch.optim.Optimizer`."""

from __future__ import annotations

import time
from typing import Any, final

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT
from torch.utils.hooks import RemovableHandle

from newtoncg._typing import Closure
from newtoncg.bounds import enter
from newtoncg.configs import GlobalizationChoice, PreconditionerChoice, plain
from newtoncg.globalization import SecondOrder
from newtoncg.iteration import StepReport, run
from newtoncg.krylov import CGObserver
from newtoncg.krylov.forcing import ForcingChoice
from newtoncg.objective import in_given_units
from newtoncg.optimizer.cg_hooks import CGHooks
from newtoncg.optimizer.closure_checks import require_closure, require_steppable
from newtoncg.optimizer.options import OPTIONS, plain_group, plain_preconditioner, preconditioner_of, validate
from newtoncg.optimizer.problem import objective_from, settings_from, stepped
from newtoncg.optimizer.replicas import require_replicas
from newtoncg.optimizer.state import ENTRY_KEYS, initial_entry, restore_tensors, solver_state_of
from newtoncg.optimizer.transaction import commit, unchanged_on_error, without_unknowns
from newtoncg.optimizer.units import begin
from newtoncg.processes import ProcessesChoice, ProcessGroupChoice


@final
class NewtonCG(Optimizer):
    """Newton-CG: Newton steps found by conjugate gradients from Hessian-vector products alone.

    A drop-in for :class:`torch.optim.LBFGS`: an ordinary closure is kept as it is, ``loss.backward()`` included. One
    step is one Newton iteration by default; with k CG iterations it costs a forward, a backward, k products (one to two
    gradients each) and a forward a trial point. It falls back to L-BFGS and to steepest descent where Newton's
    direction fails, and never leaves the parameters at a point that is not finite or not lower. :attr:`report` says
    what the last step did.

    After a step ``.grad`` holds the gradient where the step began. Parameters that do not require a gradient, or whose
    group has ``lr=0``, are not stepped.

    Args:
        params: Parameters, named parameters, or groups of them; `lr`, `weight_decay`, `lower` and `upper` may differ
            between groups.
        lr: The multiple of the Newton step that is tried first, ``>= 0``; a number or a one-element tensor.
        max_iter: Iterations a step, ``>= 1``.
        max_eval: The most forward passes a step, ``>= 1``; None for no limit.
        max_cg_iter: The most products of one solve, ``>= 1``; None for ``max(20, min(10 n, 250))``.
        tolerance_grad: Do nothing where no entry of the gradient exceeds it.
        tolerance_change: End a step of several iterations once the loss, or every parameter, changes by less.
        history_size: The pairs of the L-BFGS memory, two copies of the parameters each.
        weight_decay: The factor of an L2 term ``weight_decay |x|² / 2`` in loss, gradient and curvature, ``>= 0``.
        maximize: Whether to maximize the loss.
        curvature: ``"hessian"``: exact products by double backward; ``"gauss-newton"``: the Gauss-Newton matrix
            between the parameters and what the closure marks by :func:`newtoncg.outputs`, positive semidefinite for
            convex losses; ``"finite-difference"``: differences of gradients.
        globalization: ``"trust-region"``, ``"line-search"`` (Armijo), ``"strong-wolfe"``, ``"cubic"``,
            ``"levenberg-marquardt"`` (for sums of squares: see :meth:`for_pinns`), or a :class:`LevenbergMarquardt`,
            :class:`TrustRegion`, :class:`LineSearch` or :class:`newtoncg.globalization.Cubic` with settings.
        preconditioner: What makes the Newton systems easier: ``"jacobi"``, ``"nystrom"``, ``"lbfgs"``, a config object
            of :mod:`newtoncg.preconditioners`, or a callable that maps a flat vector to one, as an approximate inverse
            of the curvature would; None for nothing. A callable is not part of `state_dict`.
        forcing: How accurately Newton systems are solved: ``"eisenstat-walker"``, ``"eisenstat-walker-1"``,
            ``"superlinear"``, a relative residual in (0, 1), or a config object.
        check: ``"first-step"`` compares the first exact product with differences of gradients (two more evaluations,
            once) and goes over to differences, with a warning, where it is wrong; ``"never"`` does not.
        second_order: Whether saddle points are left, where the gradient does not exceed `tolerance_grad`, and minima
            certified (:attr:`StepReport.certificate`), at up to 500 products there; or a
            :class:`newtoncg.globalization.SecondOrder` with settings.
        x_scale: ``"auto"`` scales parameters in units many orders of magnitude apart (docs/units.md); None does not.
        lower: The lower bounds of the parameters: a number, or a tensor that broadcasts to each of them; None for none.
            Parameters outside are projected when a step begins; no closure is called outside. For the trust region,
            with `preconditioner` None or Jacobi.
        upper: The upper bounds, likewise; where they equal the lower ones the parameter is fixed.
        process_group: The processes that hold the same parameters, each with its part of the data: a group of
            :mod:`torch.distributed`, ``"default"`` for the default one, if there is one, or None to step each process
            by itself. They minimize the mean of their losses; plain modules and DistributedDataParallel do alike.

    Raises:
        TypeError: An argument has the wrong type or is unknown.
        ValueError: An argument is out of its range.

    Example:
        >>> import torch, newtoncg
        >>> model = torch.nn.Linear(3, 1)
        >>> x, y = torch.randn(20, 3), torch.randn(20, 1)
        >>> optimizer = newtoncg.NewtonCG(model.parameters())
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.mse_loss(model(x), y)
        ...     loss.backward()
        ...     return loss
        >>> loss = optimizer.step(closure)
        >>> optimizer.report.loss_after < optimizer.report.loss
        True

    References:
        Nocedal & Wright (2006), Numerical Optimization, 2nd edition, chapters 3, 4 and 7.
    """

    def __init__(  # noqa: PLR0913 (the conventions of torch.optim: one keyword an option)
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        *,
        max_iter: int = 1,
        max_eval: int | None = None,
        max_cg_iter: int | None = None,
        tolerance_grad: float = 0.0,
        tolerance_change: float = 0.0,
        history_size: int = 10,
        weight_decay: float = 0.0,
        maximize: bool = False,
        curvature: str = "hessian",
        globalization: GlobalizationChoice = "trust-region",
        preconditioner: PreconditionerChoice | None = None,
        forcing: ForcingChoice = "eisenstat-walker",
        check: str = "first-step",
        second_order: bool | SecondOrder = False,
        x_scale: str | None = "auto",
        lower: float | Tensor | None = None,
        upper: float | Tensor | None = None,
        process_group: ProcessGroupChoice = "default",
        **unknown: Any,  # noqa: ANN401 (refused by name)
    ) -> None:
        given = locals()
        given["preconditioner"], self._custom = plain_preconditioner(preconditioner)
        defaults = {name: plain(given[name]) for name in OPTIONS}
        validate(defaults, unknown)
        self._report: StepReport | None = None
        self._processes = ProcessesChoice(process_group)
        self._cg_hooks = CGHooks()
        super().__init__(params, defaults)
        self.register_step_pre_hook(require_closure)

    @classmethod
    def for_pinns(cls, params: ParamsT, **options: Any) -> NewtonCG:  # noqa: ANN401 (those of the constructor)
        """The optimizer for physics-informed networks and other sums of squares: damped Gauss-Newton steps.

        The closure gives its residuals by :func:`newtoncg.residuals` and returns a sum of weighted mean squares of
        them. ``globalization=newtoncg.LevenbergMarquardt(...)`` changes the settings of the damping.

        Args:
            params: Parameters, named parameters, or groups of them.
            **options: Any option of the constructor.

        Returns:
            The optimizer.
        """
        return cls(params, **{"curvature": "gauss-newton", "globalization": "levenberg-marquardt", **options})

    @property
    def report(self) -> StepReport | None:
        """What the last step did; None before the first."""
        return self._report

    def register_cg_hook(self, hook: CGObserver) -> RemovableHandle:
        """Have a function told of every CG iteration while a step is at work, for a live display of long steps.

        Args:
            hook: Called with a :class:`newtoncg.krylov.CGProgress`; what it raises interrupts the step, which then
                leaves everything as it was.

        Returns:
            A handle whose ``remove`` ends it. Like the other hooks it is not copied with the optimizer.
        """
        return self._cg_hooks.register(hook)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group; options other than `lr`, `weight_decay` and bounds must agree with the first group's.

        Args:
            param_group: The group, with ``"params"``.

        Raises:
            ValueError: An option is out of its range, or differs from the first group's.
            TypeError: An option has the wrong type.
        """
        if isinstance(param_group, dict):
            param_group = plain_group(param_group, self.defaults, self.param_groups)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            require_steppable(group)
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise
        for parameter in group["params"]:
            if parameter.requires_grad:
                self._entry(parameter)

    def step(  # type: ignore[override]  # the closure is required, and its return passed on
        self, closure: Closure, *, curvature_closure: Closure | None = None
    ) -> Any:  # noqa: ANN401 (whatever the closure returns)
        """Take one step.

        Args:
            closure: Called without arguments, several times; it computes the loss at the parameters' present values and
                returns it, with or without calling ``backward``. See :mod:`newtoncg.objective.closure`.
            curvature_closure: Of the same form: its loss gives the curvature instead. On part of the data it makes
                products cheaper; the KL divergence to the present predictions gives the natural gradient.

        Returns:
            What the first call of the closure returned, detached: the loss where the step began.

        Raises:
            TypeError: There is no closure.
            ValueError: There is a curvature closure beside ``second_order``, which is about the loss itself.
            ClosureError: The closure returned what cannot be minimized, or raised in another process.
            ReplicaError: The processes do not hold the same parameters.
        """
        started = time.perf_counter()
        parameters, groups = stepped(self.param_groups)
        entries = [self._entry(tensor) for tensor in parameters.tensors]
        processes = self._processes.processes()
        require_replicas(processes, parameters, groups, entries)
        if not parameters.tensors:
            self._report, returned = without_unknowns(closure)
            return returned
        options = self.param_groups[0]
        closures = (closure, curvature_closure)
        objective = objective_from(options, closures, parameters, groups, entries[0], processes=processes)
        rule = preconditioner_of(options, self._custom)
        capacity = rule.capacity if rule else 0
        state = solver_state_of(entries, parameters, options["history_size"], capacity)
        settings = settings_from(options, parameters, groups, preconditioner=rule, observer=self._cg_hooks.observer)
        with unchanged_on_error(self.state, objective):
            before = parameters.read()
            if settings.box is not None:
                enter(settings.box, parameters)
            at = begin(objective, state, settings, options, first=not entries[0]["step"])
            outcome = run(at.objective, at.evaluation, at.state, at.settings, started=started)
            objective.finish(in_given_units(outcome.evaluation).point if outcome.has_begun else before)
            commit(outcome, objective, self.state, capacity=capacity)
            self._report = outcome.report
        return objective.first_returned

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, sharing no tensor with its source and keeping the dtypes of vectors.

        Args:
            state_dict: What `state_dict` returned.
        """
        adapted: dict[str, Any] = {}
        handle = self.register_load_state_dict_pre_hook(lambda _, received: adapted.update(received))
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        restore_tensors(self.state, self.param_groups, {**state_dict, **adapted})

    def __getstate__(self) -> dict[str, Any]:
        return {
            **super().__getstate__(),
            "_report": self._report,
            "_custom": self._custom,
            "_processes": self._processes,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("_cg_hooks", CGHooks())
        self.__dict__.setdefault("_custom", None)
        self.__dict__.setdefault("_processes", ProcessesChoice("default"))
        self.defaults.pop("differentiable", None)  # put there by the base class for optimizers older than the option
        for group in self.param_groups:
            for name in OPTIONS:
                group.setdefault(name, self.defaults[name])
        if require_closure not in self._optimizer_step_pre_hooks.values():
            self.register_step_pre_hook(require_closure)

    def _entry(self, parameter: Tensor) -> dict[str, Any]:
        """The state of a parameter, made where there is none yet."""
        entry: dict[str, Any] = self.state[parameter]
        if not entry.keys() >= ENTRY_KEYS:
            group = self.param_groups[0]
            rule = preconditioner_of(group, self._custom)
            entry.update(initial_entry(parameter, group["history_size"], rule.capacity if rule else 0) | entry)
        return entry

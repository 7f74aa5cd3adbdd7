"""The Markdown page of a comparison: summary, counterparts, failures, and every problem."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from tests.validation.counting import Costs
from tests.validation.our_methods import COUNTERPARTS
from tests.validation.solution import BUDGET, MAX_ITERATIONS
from tests.validation.verdicts import Judged, Verdict, solved_by_all, total

Table = Sequence[Sequence[Judged]]


def page(table: Table, methods: Sequence[str]) -> str:
    """The whole page.

    Args:
        table: One row per problem, one entry per method in the order of `methods`.
        methods: Names of the methods.

    Returns:
        Markdown.
    """
    sections = [
        _introduction(table),
        _summary(table, methods),
        _counterparts(table, methods),
        _failures(table, methods),
        _miscounts(table, methods),
        _details(table, methods),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, all others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _introduction(table: Table) -> str:
    """What was run, and how to read it."""
    unjudged = sum(row[0].verdict is Verdict.UNJUDGED for row in table)
    return f"""# Validation against scipy.optimize

Written by `python -m tests.validation`; the problems stand in `tests/problems/`. {len(table)} problems; {unjudged} of
them have no lower bound, so that nothing can be solved there and only false claims of success count, and
{len(table) - unjudged} can be solved. All methods get the same float64 tensors, are counted by the same wrapper, and
stop at the same tolerance on the gradient (see `tests/validation/scipy_methods.py`), after {MAX_ITERATIONS} iterations,
or after {BUDGET.evaluations} evaluations of any kind.

- **(a)** gradient small: ‖g‖∞ <= 1e-5 max(1, ‖g₀‖∞).
- **(b)** value within 1e-6 max(1, |f|) of the best that any method of this run found.
- **f, g, Hv**: forward passes, gradients, Hessian-vector products. *until solved*: what was spent when a point that
  satisfies both (a) and (b) was first evaluated, which takes the different stopping tests out of the comparison.
- **false claims**: success reported where (a) does not hold.

torch {version("torch")}, scipy {version("scipy")}, Python {platform.python_version()}, one thread."""


def _summary(table: Table, methods: Sequence[str]) -> str:
    """One row per method."""
    common = solved_by_all(table, methods)
    header = ["method", "(a)", "(b)", "both", "false claims", "f", "g", "Hv"]
    header += ["f common", "g common", "Hv common", "f until solved", "g until solved", "Hv until solved", "time"]
    rows = []
    seconds = [sum(row[column].solution.seconds for row in table) for column in range(len(methods))]
    for column, name in enumerate(methods):
        judged = [row[column] for row in table]
        verdicts = [one.verdict for one in judged]
        both, gradient_only = verdicts.count(Verdict.BOTH), verdicts.count(Verdict.GRADIENT_ONLY)
        solved = [both + gradient_only, both + verdicts.count(Verdict.VALUE_ONLY), both]
        everything = total(one.solution.costs for one in judged)
        shared = total(row[name].solution.costs for row in common)
        until = total(row[name].costs_until_solved for row in common)
        claims = sum(one.is_false_claim for one in judged)
        numbers = [*solved, claims, *_triple(everything), *_triple(shared), *_triple(until)]
        rows.append([name, *(str(number) for number in numbers), f"{seconds[column] / min(seconds):.1f}"])
    text = f"*common*: totals over the {len(common)} problems that every method of this run solved in both senses; "
    text += "*time*: of the whole table, in multiples of the fastest method of this run."
    return f"## Summary\n\n{_rows(header, rows)}\n\n{text}"


def _triple(costs: Costs) -> tuple[int, int, int]:
    """The counts in the order of the columns."""
    return costs.functions, costs.gradients, costs.products


def _counterparts(table: Table, methods: Sequence[str]) -> str:
    """Each of our methods beside scipy's of the same kind, on what both solved."""
    rows = []
    for ours, theirs in COUNTERPARTS.items():
        if ours not in methods or theirs not in methods:
            continue
        common = solved_by_all(table, [ours, theirs])
        for name in (ours, theirs):
            whole = total(row[name].solution.costs for row in common)
            until = total(row[name].costs_until_solved for row in common)
            numbers = [len(common), *_triple(whole), whole.gradients + whole.products]
            numbers += [*_triple(until), until.gradients + until.products]
            rows.append([name, *(str(number) for number in numbers)])
    header = ["method", "both solved", "f", "g", "Hv", "g + Hv"]
    header += ["f until solved", "g until solved", "Hv until solved", "g + Hv until solved"]
    return f"## Counterparts\n\n{_rows(header, rows)}" if rows else ""


def _failures(table: Table, methods: Sequence[str]) -> str:
    """Per method, the problems that it did not solve in both senses, and its false claims."""
    lines = ["## Not solved", ""]
    for column, name in enumerate(methods):
        judged = [row[column] for row in table]
        lines.append(f"**{name}**")
        lines.append("")
        for verdict, title in (
            (Verdict.NEITHER, "in neither sense"),
            (Verdict.GRADIENT_ONLY, "stationary, but not the best value"),
            (Verdict.VALUE_ONLY, "best value, but gradient not small"),
        ):
            names = [one.solution.problem.name for one in judged if one.verdict is verdict]
            lines.append(f"- {title} ({len(names)}): {', '.join(names) or 'none'}")
        names = [one.solution.problem.name for one in judged if one.is_false_claim]
        lines.append(f"- false claims of success ({len(names)}): {', '.join(names) or 'none'}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _miscounts(table: Table, methods: Sequence[str]) -> str:
    """Where the counts that our methods report are not what the wrapper saw."""
    lines = []
    for column, name in enumerate(methods):
        for row in table:
            solution = row[column].solution
            if solution.claimed_costs is not None and solution.claimed_costs != solution.costs:
                claimed, seen = _triple(solution.claimed_costs), _triple(solution.costs)
                lines.append(f"- {name}, {solution.problem.name}: reported {claimed}, counted {seen}")
    text = "Functions, gradients and products as reported and as counted from outside.\n\n"
    return "## Counts that differ\n\n" + text + "\n".join(lines) if lines else ""


def _details(table: Table, methods: Sequence[str]) -> str:
    """Every problem: value, and per method the counts and the verdict."""
    header = ["problem", "n", "best value", *methods]
    rows = []
    for row in table:
        problem = row[0].solution.problem
        best = min(one.solution.value for one in row)
        value = "none" if row[0].verdict is Verdict.UNJUDGED else f"{best:.6g}"
        rows.append([problem.name, str(problem.size), value, *(_cell(one) for one in row)])
    legend = (
        "Each entry: f / g / Hv as run. g: only the gradient is small; v: only the value is the best; ✗: neither; "
        "u: the function is unbounded; !: success claimed falsely."
    )
    return f"## Problems\n\n{legend}\n\n{_rows(header, rows)}"


def _cell(judged: Judged) -> str:
    """Counts, verdict and false claim of one solve."""
    counts = "/".join(str(number) for number in _triple(judged.solution.costs))
    marks = judged.verdict.value + ("!" if judged.is_false_claim else "")
    return f"{counts} {marks}".rstrip()

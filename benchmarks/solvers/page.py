"""The Markdown page of the comparison: tables made from the records, no figure typed by hand."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from benchmarks.solvers.collection import BUDGET, DEFAULT, LARGEST_DENSE
from benchmarks.solvers.endings import Ending
from benchmarks.solvers.verdicts import (
    Measure,
    Verdict,
    Verdicts,
    geometric_mean,
    quotients,
    ratios,
    solved_by_somebody,
)


def page(
    verdicts: Verdicts, methods: Sequence[str], versions: Iterable[str], endings: Mapping[str, Ending], image: str
) -> str:
    """The whole page.

    Args:
        verdicts: All verdicts.
        methods: Names of the methods.
        versions: What the records were made with.
        endings: Where the default ended on problems that others solved, by problem.
        image: The figure, relative to the page.

    Returns:
        Markdown.
    """
    sections = [
        _introduction(verdicts, sorted(set(versions)), image),
        _summary(verdicts, methods),
        _pairs(verdicts, methods),
        _differences(verdicts, methods, endings),
        _details(verdicts, methods),
    ]
    return "\n\n".join(sections) + "\n"


def _rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, all others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _introduction(verdicts: Verdicts, versions: Sequence[str], image: str) -> str:
    return f"""# Solvers in comparison

Written by `python -m benchmarks.solvers`, which stores every solve in `benchmarks/solvers/records.jsonl` and runs only
what is not stored yet; `--draw` writes page and figure anew from the records alone. {len(verdicts)} problems of
`tests/problems/`, scalable ones in three sizes, and the 27 nonlinear regressions of NIST from both starts;
{solved_by_somebody(verdicts)} of them were solved by some method. All methods get the same float64 tensors and exact
derivatives, stop at the same tolerance on the gradient as far as their own tests allow
(`benchmarks/solvers/peers.py`), and may spend {BUDGET.evaluations} evaluations. Seconds play no part.

- **cost**: forward passes, where a gradient costs 2 beyond its forward pass and a Hessian-vector product 4; a dense
  Hessian is n products. Counted from outside, by one wrapper for all.
- **solved**: at the returned point, by our own evaluation, the gradient is small, ‖g‖∞ <= 1e-5 max(1, ‖g₀‖∞), and the
  value is within 1e-6 max(1, |f|) of the best that any method found, or of a published local minimum.
- **as run**: all that a run cost, wherever it ended. Methods whose line search breaks off are cheap wherever that
  happens to be near enough to the solution. Two measures take that out of the comparison:
- **to the tolerance**: the runs alone that did what all were asked for, ‖g‖∞ <= 1e-8 max(1, min(‖g₀‖∞, 100)) at the
  returned point by our own evaluation, the cheapest one among them.
- **until solved**: what was spent when a point that counts as solved was first evaluated, whatever the method did
  afterwards.
- **x cheapest**: the cost over that of the cheapest method of the problem, ours among them; geometric mean over the
  problems where the method's run counts.
- Methods that keep n x n matrices are run up to {LARGEST_DENSE} variables: the BFGS, trust-exact, newton-exact and
  dogleg methods of scipy and pytorch-minimize. The column *problems* says how many are stored for a method; the next
  run completes what is missing, which the figure takes for not solved.

![Performance profiles]({image})

Versions: {", ".join(versions)}; torch {version("torch")}, Python {platform.python_version()}."""


def _summary(verdicts: Verdicts, methods: Sequence[str]) -> str:
    header = ["method", "problems", "solved", "to the tolerance", "gradient small", "best value", "false claims"]
    header += [f"x cheapest {measure.value}" for measure in Measure]
    rows = []
    for method in methods:
        column = [row[method] for row in verdicts.values() if method in row]
        counts = [
            len(column),
            sum(one.solved for one in column),
            sum(one.solved and one.converged for one in column),
            sum(one.gradient for one in column),
            sum(one.value for one in column),
            sum(one.is_false_claim for one in column),
        ]
        numbers = [str(count) for count in counts]
        numbers += [f"{geometric_mean(ratios(verdicts, method, measure)):.2f}" for measure in Measure]
        rows.append([method, *numbers])
    return f"## Summary\n\n{_rows(header, rows)}"


def _pairs(verdicts: Verdicts, methods: Sequence[str]) -> str:
    """The default against each other method, on what both solved."""
    rows = []
    for method in methods:
        if method == DEFAULT:
            continue
        pairs = [(row[method], row[DEFAULT]) for row in verdicts.values() if method in row and DEFAULT in row]
        costs = {measure: quotients(pairs, measure) for measure in Measure}
        counts = [
            len(costs[Measure.AS_RUN]),
            sum(ours.solved and not theirs.solved for theirs, ours in pairs),
            sum(theirs.solved and not ours.solved for theirs, ours in pairs),
            len(costs[Measure.TO_TOLERANCE]),
        ]
        means = [f"{geometric_mean(values):.2f}" for values in costs.values()]
        rows.append([method, *map(str, counts), *means])
    header = ["method", "both solved", "only the default", "only this", "both to the tolerance"]
    header += [f"cost / default's {measure.value}" for measure in Measure]
    text = "Costs of each method over those of the default, geometric mean over the problems where both runs count."
    return f"## Against the default\n\n{text}\n\n{_rows(header, rows)}"


def _differences(verdicts: Verdicts, methods: Sequence[str], endings: Mapping[str, Ending]) -> str:
    """What others solved and the default did not, and where the default was dearest."""
    lines = ["## Where the default falls short", "", "Not solved by the default, though by others; what the points are"]
    lines += ["where it ended instead is told by the eigenvalues of the dense Hessian there:", ""]
    for name, row in verdicts.items():
        others = [method for method in methods if method != DEFAULT and _solved(row, method)]
        if others and DEFAULT in row and not row[DEFAULT].solved:
            small = endings[name].words if name in endings else "another stationary point"
            reason = small if row[DEFAULT].gradient else "gradient not small"
            lines.append(f"- {name}: {reason}; solved by {len(others)}: {', '.join(others)}")
    lines += ["", "Dearest beside the cheapest:", ""]
    dear = sorted(((_quotient(row), name) for name, row in verdicts.items() if _solved(row, DEFAULT)), reverse=True)
    header = ["problem", "default", "cheapest", "by", "x"]
    rows = []
    for quotient, name in dear[:20]:
        row = verdicts[name]
        best = min((one.cost, method) for method, one in row.items() if one.solved)
        rows.append([name, str(row[DEFAULT].cost), str(best[0]), best[1], f"{quotient:.1f}"])
    return "\n".join([*lines, _rows(header, rows)])


def _quotient(row: Mapping[str, Verdict]) -> float:
    best = min(one.cost for one in row.values() if one.solved)
    return row[DEFAULT].cost / max(1, best)


def _solved(row: Mapping[str, Verdict], method: str) -> bool:
    return method in row and row[method].solved


def _details(verdicts: Verdicts, methods: Sequence[str]) -> str:
    """Every solve."""
    rows = [[name, *(_cell(row.get(method)) for method in methods)] for name, row in verdicts.items()]
    text = "Cost of each solve as run; in brackets where the problem was not solved; empty where it was not run."
    return f"## Problems\n\n{text}\n\n{_rows(['problem', *methods], rows)}"


def _cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    return str(verdict.cost) if verdict.solved else f"({verdict.cost})"

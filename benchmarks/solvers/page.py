"""The Markdown page of the comparison: tables made from the records, no figure typed by hand."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from benchmarks.solvers.collection import BUDGET, DEFAULT, LARGEST_DENSE
from benchmarks.solvers.endings import Ending
from benchmarks.solvers.verdicts import Verdict, Verdicts, cost_of, geometric_mean, ratios, solved_by_somebody


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
- **until solved**: what was spent when such a point was first evaluated, whatever the method did afterwards. Methods
  that end where their line search fails are cheap as run wherever that happens to be near enough; this takes the
  stopping out of the comparison.
- **x cheapest**: the cost over that of the cheapest method of the problem, ours among them; geometric mean over the
  problems that the method solved.
- Methods that keep n x n matrices are run up to {LARGEST_DENSE} variables: the BFGS, trust-exact, newton-exact and
  dogleg methods of scipy and pytorch-minimize. The column *problems* says how many are stored for a method; the next
  run completes what is missing, which the figure takes for not solved.

![Performance profiles]({image})

Versions: {", ".join(versions)}; torch {version("torch")}, Python {platform.python_version()}."""


def _summary(verdicts: Verdicts, methods: Sequence[str]) -> str:
    header = ["method", "problems", "solved", "gradient small", "best value", "false claims"]
    header += ["x cheapest", "x cheapest until solved"]
    rows = []
    for method in methods:
        column = [row[method] for row in verdicts.values() if method in row]
        counts = [
            len(column),
            sum(one.solved for one in column),
            sum(one.gradient for one in column),
            sum(one.value for one in column),
            sum(one.is_false_claim for one in column),
        ]
        numbers = [str(count) for count in counts]
        numbers += [f"{geometric_mean(ratios(verdicts, method, until=until)):.2f}" for until in (False, True)]
        rows.append([method, *numbers])
    return f"## Summary\n\n{_rows(header, rows)}"


def _pairs(verdicts: Verdicts, methods: Sequence[str]) -> str:
    """The default against each other method, on what both solved."""
    rows = []
    for method in methods:
        if method == DEFAULT:
            continue
        both = [row for row in verdicts.values() if _solved(row, method) and _solved(row, DEFAULT)]
        quotients = [
            geometric_mean([cost_of(row[method], until=until) / cost_of(row[DEFAULT], until=until) for row in both])
            for until in (False, True)
        ]
        ours = sum(_solved(row, DEFAULT) and not _solved(row, method) for row in verdicts.values() if method in row)
        theirs = sum(_solved(row, method) and not _solved(row, DEFAULT) for row in verdicts.values())
        rows.append([method, str(len(both)), str(ours), str(theirs), *(f"{quotient:.2f}" for quotient in quotients)])
    header = ["method", "both solved", "only the default", "only this", "cost / default's", "until solved"]
    text = "Costs of each method over those of the default, geometric mean over what both solved."
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

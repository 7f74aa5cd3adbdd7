"""Bad arguments of `minimize`: refused before anything runs, with what was received and what is required."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import newtoncg
from tests.minimize.functions import bowl

X0 = torch.zeros(2, dtype=torch.float64)
BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: newtoncg.minimize(bowl, X0, method="newton_cg"), ValueError, "method must be.*did you mean 'newton-cg'"),
    (lambda: newtoncg.minimize(bowl, X0, maxiter=3), TypeError, "no option 'maxiter'; did you mean 'max_iter'"),
    (lambda: newtoncg.minimize(bowl, X0, method="L-BFGS-B"), ValueError, "method must be.*did you mean 'l-bfgs'"),
    (lambda: newtoncg.minimize(bowl, X0, method="Newton-CG"), ValueError, "method must be.*did you mean 'newton-cg'"),
    (lambda: newtoncg.minimize(bowl, X0, disp=True), TypeError, "minimize has no option 'disp': leave it out, the"),
    (lambda: newtoncg.minimize(bowl, X0, options={}), TypeError, "no option 'options': write its entries as keywords"),
    (lambda: newtoncg.minimize(bowl, X0, gtol=1e-8), TypeError, "no option 'gtol': write tol"),
    (lambda: newtoncg.minimize(bowl, X0, jac=bowl), TypeError, "no option 'jac': leave it out, derivatives are found"),
    (lambda: newtoncg.minimize(bowl, X0, tol=-1.0), ValueError, r"tol must be a number >= 0, finite; received -1\.0"),
    (lambda: newtoncg.minimize(bowl, X0, tol="1e-3"), TypeError, "tol must be a number.*of type str"),  # type: ignore[call-overload]
    (lambda: newtoncg.minimize(bowl, X0, max_iter=0), ValueError, "max_iter must be an integer >= 1; received 0"),
    (lambda: newtoncg.minimize(bowl, X0, max_iter=2.5), TypeError, "max_iter.*of type float"),
    (lambda: newtoncg.minimize(bowl, X0, max_eval=0), ValueError, "max_eval must be an integer >= 1 or None"),
    (lambda: newtoncg.minimize(bowl, X0, max_cg_iter=-1), ValueError, "max_cg_iter"),
    (lambda: newtoncg.minimize(bowl, X0, history_size=-1), ValueError, "history_size must be an integer >= 0"),
    (lambda: newtoncg.minimize(bowl, X0, tolerance_change=math.nan), ValueError, "tolerance_change.*received nan"),
    (lambda: newtoncg.minimize(bowl, X0, forcing=1.5), ValueError, "forcing must be a number"),
    (lambda: newtoncg.minimize(bowl, X0, forcing="superlinar"), ValueError, "did you mean 'superlinear'"),
    (lambda: newtoncg.minimize(bowl, X0, curvature="hesian"), ValueError, "curvature.*did you mean 'hessian'"),
    (lambda: newtoncg.minimize(bowl, X0, check="first"), ValueError, "check.*did you mean 'first-step'"),
    (lambda: newtoncg.minimize(bowl, X0, globalization="line-serch"), ValueError, "did you mean 'line-search'"),
    (lambda: newtoncg.minimize(bowl, X0, globalization=3), TypeError, "globalization must be.*received 3 of type int"),
    (lambda: newtoncg.minimize(bowl, X0, lower_bound="x"), TypeError, "lower_bound must be a number"),
    (lambda: newtoncg.minimize(bowl, [0.0]), TypeError, "x0 must be a torch tensor; received list: pass torch"),  # type: ignore[call-overload]
    (lambda: newtoncg.minimize(bowl, torch.zeros(2, dtype=torch.int64)), TypeError, r"received torch\.int64.*double"),
    (lambda: newtoncg.minimize(bowl, torch.zeros(2, dtype=torch.float16)), TypeError, r"received torch\.float16"),
    (lambda: newtoncg.minimize(bowl, torch.zeros(2, dtype=torch.complex64)), TypeError, "complex64.*view_as_real"),
    (lambda: newtoncg.minimize(bowl, torch.zeros(2, device="meta")), TypeError, "received a tensor on the meta device"),
    (lambda: newtoncg.minimize(bowl, torch.eye(2).to_sparse()), TypeError, "layout torch.sparse_coo: pass x0.to_dense"),
    (lambda: newtoncg.minimize(bowl, X0 + math.nan), ValueError, "x0 must be finite"),
    (lambda: newtoncg.minimize(3, X0), TypeError, "fun must be callable; received 3 of type int"),  # type: ignore[call-overload]
    (lambda: newtoncg.minimize(bowl, X0, callback=3), TypeError, "callback must be callable or None; received 3"),  # type: ignore[call-overload]
    (
        lambda: newtoncg.minimize(bowl, X0, bounds=(0, 1), batched=True),
        ValueError,
        "received both: leave out bounds or b",
    ),
    (lambda: newtoncg.minimize(lambda x: x, X0), newtoncg.ClosureError, r"shape \(2,\).*real scalar.*\.sum\(\)"),
    (lambda: newtoncg.minimize(lambda x: x.sum().item(), X0), newtoncg.ClosureError, r"of type float.*\.item\(\)"),
    (lambda: newtoncg.minimize(lambda x: None, X0), newtoncg.ClosureError, "None of type NoneType"),  # type: ignore[arg-type,return-value]
    (lambda: newtoncg.minimize(lambda x: (x * 1j).sum(), X0), newtoncg.ClosureError, "complex128.*real"),
    (lambda: newtoncg.minimize(lambda x: x.sum().long(), X0), newtoncg.ClosureError, "int64.*floating-point dtype"),
    (lambda: newtoncg.minimize(lambda x: x.sum() > 1, X0), newtoncg.ClosureError, "bool.*floating-point dtype"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message[:30] for _, _, message in BAD])
def test_bad_arguments_are_refused_with_what_was_received_and_required(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numbers_of_numpy_are_numbers() -> None:
    given: dict[str, Any] = {"max_iter": np.int64(1), "tol": np.float32(0.0), "tolerance_change": np.float64(0.0)}
    assert newtoncg.minimize(bowl, X0, **given).nit == 1


def test_what_is_no_tuple_is_one_argument_as_in_scipy() -> None:
    target = torch.tensor([2.0, 3.0], dtype=torch.float64)
    result = newtoncg.minimize(lambda x, a: ((x - a) ** 2).sum(), X0, target)
    torch.testing.assert_close(result.x, target)
    assert newtoncg.minimize(lambda x, a: ((x - a) ** 2).sum(), X0, 2.0).success


def test_no_scales_are_none() -> None:
    assert newtoncg.minimize(bowl, X0, x_scale=None).x_scale is None

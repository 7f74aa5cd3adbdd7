"""Nonlinear regressions with certified results (eleven digits) of the National Institute of Standards and Technology.

References:
    NIST Statistical Reference Datasets, Nonlinear Regression, https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tests.problems.problem import Problem, Trait, least_squares, table, vector

_NIST = "NIST Statistical Reference Datasets, Nonlinear Regression: "

_MISRA_X = table("77.6 114.9 141.1 190.8 239.9 289.0 332.8 378.4 434.8 477.3 536.8 593.1 689.1 760.0")
_MISRA_Y = table("10.07 14.73 17.94 23.93 29.61 35.18 40.02 44.82 50.76 55.05 61.01 66.40 75.47 81.78")
_BOXBOD_X, _BOXBOD_Y = table("1 2 3 5 7 10"), table("109 149 149 191 213 224")
_RAT43_Y = table(
    """
    16.08 33.83 65.80 97.20 191.55 326.20 386.87 520.53 590.03 651.92 724.93 699.56 689.96 637.56 717.41
    """
)


def _saturation(inputs: Tensor, outputs: Tensor, b: Tensor) -> Tensor:
    """Residuals of b1 (1 - exp(-b2 x)): Misra1a and BoxBOD."""
    return outputs.to(b) - b[0] * (1.0 - torch.exp(-b[1] * inputs.to(b)))


def _rat43(b: Tensor) -> Tensor:
    """Residuals of the sigmoidal growth curve b1 / (1 + exp(b2 - b3 x))^(1/b4)."""
    x = torch.arange(1, 16, dtype=b.dtype, device=b.device)
    return _RAT43_Y.to(b) - b[0] / (1.0 + torch.exp(b[1] - b[2] * x)) ** (1.0 / b[3])


def _reference_data() -> list[Problem]:
    """All of this module."""
    return [
        least_squares(
            "nist_misra1a",
            partial(_saturation, _MISRA_X, _MISRA_Y),
            vector([500, 0.0001]),
            Trait.STATISTICAL,
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            minimum=0.12455138894,
            minimizer=vector([238.94212918, 5.5015643181e-4]),
            source=_NIST + "Misra1a, start 1",
        ),
        least_squares(
            "nist_boxbod",
            partial(_saturation, _BOXBOD_X, _BOXBOD_Y),
            vector([100, 0.75]),
            Trait.STATISTICAL,
            minimum=1168.0088766,
            minimizer=vector([213.80940889, 0.54723748542]),
            source=_NIST + "BoxBOD, start 2",
        ),
        least_squares(
            "nist_rat43",
            _rat43,
            vector([700, 5, 0.75, 1.3]),
            Trait.STATISTICAL,
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            Trait.INDEFINITE,
            Trait.NAN_REGION,
            minimum=8786.4049080,
            minimizer=vector([699.64151270, 5.2771253025, 0.75962938329, 1.2792483859]),
            source=_NIST + "Rat43, start 2",
        ),
    ]


NIST: tuple[Problem, ...] = tuple(_reference_data())

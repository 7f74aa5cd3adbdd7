"""Problems 1 to 19 of Moré, Garbow and Hillstrom (1981) with their starts and minima.

Minima and minimizers that have no closed form agree with the digits that the paper prints and were continued to full
precision by Newton's method with dense Hessians (the tests check that the gradient vanishes there). Starts ten times
further away, which the paper also asks for, are in the table where the run differs. One start differs from the
printed one: Brown and Dennis begin at a fourth variable of -1, as MINPACK's test drivers and CUTEst do.
"""

from __future__ import annotations

from functools import partial

from tests.problems.more_garbow_hillstrom import fixed
from tests.problems.more_garbow_hillstrom.row import numbered
from tests.problems.problem import Problem, Trait, table

_OSBORNE_2_MINIMIZER = table(
    """
    1.3099771546273007 0.431553794602989 0.6336616989607241 0.5994305347859162 0.7541832263280114
    0.9042885798596336 1.3658118352370276 4.823698817227157 2.3986848661317546 4.568874597667672
    5.6753414705806415
    """
)


def _two_variables() -> list[Problem]:
    """Problems 1 to 6."""
    freudenstein_roth = partial(numbered, 2, residuals=fixed.freudenstein_roth, minimizer=[5, 4])
    return [
        numbered(1, "rosenbrock", fixed.rosenbrock, [-1.2, 1], Trait.NONCONVEX, minimizer=[1, 1]),
        numbered(1, "rosenbrock_start_10x", fixed.rosenbrock, [-12, 10], Trait.NONCONVEX, minimizer=[1, 1]),
        freudenstein_roth("freudenstein_roth", x0=[0.5, -2], local_minima=(48.98425367924,)),
        freudenstein_roth("freudenstein_roth_start_10x", x0=[5, -20], local_minima=(48.98425367924,)),
        numbered(
            3,
            "powell_badly_scaled",
            fixed.powell_badly_scaled,
            [0, 1],
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            Trait.INDEFINITE,
            minimizer=[1.0981593296997979e-05, 9.106146739866686],
        ),
        numbered(
            4,
            "brown_badly_scaled",
            fixed.brown_badly_scaled,
            [1, 1],
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            minimizer=[1e6, 2e-6],
        ),
        numbered(5, "beale", fixed.beale, [1, 1], Trait.INDEFINITE, minimizer=[3, 0.5]),
        numbered(
            6,
            "jennrich_sampson",
            fixed.jennrich_sampson,
            [0.3, 0.4],
            minimum=124.362182355615,
            minimizer=[0.2578252136703641, 0.2578252136703641],
        ),
    ]


def _three_variables() -> list[Problem]:
    """Problems 7 to 12."""
    helical_valley, axis = fixed.helical_valley, [1, 0, 0]
    return [
        numbered(7, "helical_valley", helical_valley, [-1, 0, 0], Trait.INDEFINITE, minimizer=axis),
        numbered(7, "helical_valley_start_10x", helical_valley, [-10, 0, 0], minimizer=axis),
        numbered(
            8,
            "bard",
            fixed.bard,
            [1, 1, 1],
            minimum=0.00821487730657897,
            minimizer=[0.0824105597497889, 1.133036092029721, 2.3436951786425375],
            local_minima=(17.4286,),  # approached as the second and third variable go to minus infinity
        ),
        numbered(
            9,
            "gaussian",
            fixed.gaussian,
            [0.4, 1, 0],
            minimum=1.12793276961922e-08,
            minimizer=[0.39895613783875666, 1.0000190844878056, 0.0],
        ),
        numbered(
            10,
            "meyer",
            fixed.meyer,
            [0.02, 4000, 250],
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            Trait.INDEFINITE,
            minimum=87.9458551711612,
            minimizer=[0.005609636471027838, 6181.346346286406, 345.2236346241377],
        ),
        numbered(
            11,
            "gulf",
            fixed.gulf,
            [5, 2.5, 0.15],
            Trait.INDEFINITE,
            Trait.ILL_CONDITIONED,
            Trait.INFINITE_REGION,
            minimizer=[50, 25, 1.5],
        ),
        numbered(12, "box_3d", fixed.box_3d, [0, 10, 20], Trait.INDEFINITE, minimizer=[1, 10, 1]),
    ]


def _four_variables() -> list[Problem]:
    """Problems 13 to 16."""
    singular, quadruple = fixed.powell_singular, [0.0] * 4
    brown_dennis = partial(
        numbered,
        16,
        residuals=fixed.brown_dennis,
        minimum=85822.2016263563,
        minimizer=[-11.594439904762163, 13.203630051207202, -0.40343948817685954, 0.23677877445573636],
    )
    return [
        numbered(13, "powell_singular", singular, [3, -1, 0, 1], Trait.SINGULAR, minimizer=quadruple),
        numbered(13, "powell_singular_start_10x", singular, [30, -10, 0, 10], Trait.SINGULAR, minimizer=quadruple),
        numbered(14, "wood", fixed.wood, [-3, -1, -3, -1], Trait.NONCONVEX, minimizer=[1, 1, 1, 1]),
        numbered(
            15,
            "kowalik_osborne",
            fixed.kowalik_osborne,
            [0.25, 0.39, 0.415, 0.39],
            Trait.INDEFINITE,
            minimum=0.000307505603849238,
            minimizer=[0.19280693457903791, 0.19128232873436654, 0.12305650692632084, 0.13606233068379464],
            local_minima=(0.00102734,),  # approached as the first and third variable go to infinity
        ),
        brown_dennis("brown_dennis", x0=[25, 5, -5, -1]),
        brown_dennis("brown_dennis_start_10x", x0=[250, 50, -50, -10]),
    ]


def _exponential_fits() -> list[Problem]:
    """Problems 17 to 19."""
    return [
        numbered(
            17,
            "osborne_1",
            fixed.osborne_1,
            [0.5, 1.5, -1, 0.01, 0.02],
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            Trait.INDEFINITE,
            minimum=5.46489469748307e-05,
            minimizer=[
                0.3754100521069521,
                1.9358469127123743,
                -1.4646871366134302,
                0.012867534640057304,
                0.022122699661672587,
            ],
        ),
        numbered(
            18,
            "biggs_exp6",
            fixed.biggs_exp6,
            [1, 2, 1, 1, 1, 1],
            Trait.MULTIPLE_MINIMA,
            Trait.ILL_CONDITIONED,
            Trait.INDEFINITE,
            minimizer=[1, 10, 1, 5, 4, 3],
            local_minima=(0.00565564992549993,),
        ),
        numbered(
            19,
            "osborne_2",
            fixed.osborne_2,
            [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5],
            Trait.INDEFINITE,
            minimum=0.0401377362935478,
            minimizer=_OSBORNE_2_MINIMIZER,
        ),
    ]


FIXED: tuple[Problem, ...] = (*_two_variables(), *_three_variables(), *_four_variables(), *_exponential_fits())

"""The 35 problems of Moré, Garbow and Hillstrom (1981), the scalable ones also in larger sizes.

References:
    J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing Unconstrained Optimization Software", ACM Transactions on
    Mathematical Software 7(1), 1981, pp. 17-41, doi:10.1145/355934.355936.
"""

from tests.problems.more_garbow_hillstrom.fixed_table import FIXED
from tests.problems.more_garbow_hillstrom.scalable_table import SCALABLE

__all__ = ["FIXED", "SCALABLE"]

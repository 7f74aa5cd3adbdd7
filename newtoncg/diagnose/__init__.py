"""Why a second derivative fails or is wrong: checked by figures, explained in the user's terms."""

from newtoncg.diagnose.check import CurvatureCheck, check_curvature
from newtoncg.diagnose.diagnosis import diagnose
from newtoncg.diagnose.result import Diagnosis, Finding, Severity

__all__ = ["CurvatureCheck", "Diagnosis", "Finding", "Severity", "check_curvature", "diagnose"]

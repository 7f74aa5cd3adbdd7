"""Why a derivative failed, in the user's terms: one registry, read by the optimizer and by diagnose."""

from newtoncg.explanations.explanation import Explanation, describe, explain

__all__ = ["Explanation", "describe", "explain"]

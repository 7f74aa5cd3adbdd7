"""The one place that knows under which names Lightning may be installed.

``pytorch_lightning`` and ``lightning.pytorch`` are two copies of the same code with classes of their own. A callback
derived from the `Callback` of each that is installed is accepted by the trainers and command lines of both.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["CallbackBase", "LRSchedulerConfig", "installed"]

NAMES = ("pytorch_lightning", "lightning.pytorch")


def installed(names: tuple[str, ...] = NAMES) -> list[ModuleType]:
    """The copies of Lightning that are installed, imported.

    Args:
        names: Their names.

    Returns:
        At least one module.

    Raises:
        ModuleNotFoundError: There is none.
    """
    found = [importlib.import_module(name) for name in names if _is_installed(name)]
    if not found:
        raise ModuleNotFoundError(
            "newtoncg.lightning needs PyTorch Lightning, and neither pytorch_lightning nor lightning.pytorch is "
            "installed: pip install 'newtoncg[lightning]'"
        )
    return found


def _is_installed(name: str) -> bool:
    package, _, submodule = name.partition(".")
    return importlib.util.find_spec(package) is not None and (
        not submodule or importlib.util.find_spec(name) is not None
    )


if TYPE_CHECKING:
    from pytorch_lightning import Callback as CallbackBase
    from pytorch_lightning.utilities.types import LRSchedulerConfig
else:
    _found = installed()
    CallbackBase = type("CallbackBase", tuple(package.Callback for package in _found), {"__module__": __name__})
    LRSchedulerConfig = importlib.import_module(f"{_found[0].__name__}.utilities.types").LRSchedulerConfig

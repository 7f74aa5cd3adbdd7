"""NewtonCG under PyTorch Lightning, imported as ``pytorch_lightning`` or as ``lightning.pytorch``: two callbacks.

The optimizer itself needs neither: it runs in automatic and in manual optimization as any other.
"""

from newtoncg.lightning.finish import SecondOrderFinish
from newtoncg.lightning.monitor import NewtonCGMonitor

__all__ = ["NewtonCGMonitor", "SecondOrderFinish"]

"""The processes that minimize the mean of their losses together: every exchange between them is made here."""

from newtoncg.processes.alone import ALONE
from newtoncg.processes.base import Processes
from newtoncg.processes.choice import ProcessesChoice, ProcessGroupChoice
from newtoncg.processes.replicas import Replicas

__all__ = ["ALONE", "ProcessGroupChoice", "Processes", "ProcessesChoice", "Replicas"]

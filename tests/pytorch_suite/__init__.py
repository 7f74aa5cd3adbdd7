"""Runs PyTorch's own optimizer tests against NewtonCG: ``python -m tests.pytorch_suite --source PATH/TO/pytorch``.

Nothing of PyTorch's tests is stored here. They are read from a checkout in the version of the installed torch; besides
torch they need the package ``expecttest``.

``test/test_optim.py`` takes its optimizers from a table (``optim_db`` in ``torch.testing._internal``), which is
replaced by one entry, ours (`tests.pytorch_suite.optimizer_info`). ``test/optim/test_lrscheduler.py`` constructs
``SGD`` by name and calls ``step()`` without a closure; there the name stands for NewtonCG with a closure that has
nothing to say (`tests.pytorch_suite.stand_in`).
"""

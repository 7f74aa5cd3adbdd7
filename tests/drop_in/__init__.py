"""NewtonCG inside other packages, in the place of torch.optim.LBFGS: `pytest -m drop_in`."""

"""What every optimizer of torch.optim promises, asked of NewtonCG: one file for each kind of promise."""

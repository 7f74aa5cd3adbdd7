"""Second-order optimizers for PyTorch: Newton steps found by conjugate gradients from Hessian-vector products alone."""

"""`compile`: a compiled loss that can be differentiated twice, with Hessian-vector products cheaper than a gradient.

A call of a compiled loss goes through the modules in this order, from `compiler` on at the first call of a signature:

================= ====================================================================
module            does
================= ====================================================================
compiled          the function that users hold; chooses the program of a signature
environment       finds all tensors and numbers that the function can see: the signature
compiler          from a call to a program, by the first way that can be traced and is right
shortening        the loss with fewer matrix products, where it differentiates inside
tracing           one graph of value, gradient and product, with
substitution      the tensors of the trace in the place of the function's own,
writes            writes into inputs as results, and
decompositions    the operations that a trace takes apart
passes            makes the graph short, with `newtoncg.graphs`
renderings        its matrix products in several orders of memory; the fastest is kept
stages            splits it into value, gradient, point and product, with
recomputation     what is computed again where memory is short
fusion            stages as inductor compiles them, where that is faster
cuda_graphs       the product recorded and replayed
clock             the seconds by which these choose
blocks            products with several vectors
evaluation        a program without autograd
verification      compares the first call with eager autograd
data_parallel     what DistributedDataParallel does around its module, around the loss
program           what autograd sees, and what runs from the second call on
================= ====================================================================
"""

from newtoncg.compile.compiled import CompiledLoss, compile  # noqa: A004 (named after torch.compile)
from newtoncg.compile.compiler import TraceReport

__all__ = ["CompiledLoss", "TraceReport", "compile"]

"""Graphs of tensor operations: how functions are traced to them, and what makes them shorter and faster to run.

============== ===============================================================================================
module         holds
============== ===============================================================================================
recording      what reaches PyTorch's kernels while a function runs
mutations      writes into memory, made explicit
tracing        from a function of any nest of tensors to a graph of operations
operations     what is known about operations: views, random numbers, cost
simplification the passes below, in their order, until nothing changes
identities     what returns its argument
subexpressions what stands there twice
zeros          derivatives known to vanish, sums with zero, products with one
constants      what depends on no input
dead_code      what no result needs
inner_products second derivatives by inner products with tangents at hand
linear         the normal form of what is linear, entry by entry
layouts        matrix products by columns
tall_products  matrix products over a long inner dimension, by blocks
lowering       from a graph to a callable that writes into memory nobody reads any more
============== ===============================================================================================

Every pass takes a functional graph, without writes into memory that others read, and changes it in place; none changes
what it computes, but for one deviation of `zeros`, stated there.
"""

from newtoncg.graphs.simplification import simplify
from newtoncg.graphs.tracing import traced

__all__ = ["simplify", "traced"]

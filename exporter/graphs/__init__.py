"""Graphs: out of PyTorch, rewritten in fewer bits, held against the contract, and run."""

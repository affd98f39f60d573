"""Arithmetic-agnostic hardware around the array: what feeds it, steps it and takes its sums."""

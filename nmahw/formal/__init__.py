"""Formal proofs: of every arithmetic's step, and of the streams in and out.

Hardware becomes an and-inverter graph (`machine`, `aig`), which is unrolled over the cycles in
question; z3 decides what is asked about it (`solve`). `proof` asks about a step of an arithmetic
(`step`), `induction` about hardware that holds its own assertions (`streams`).
"""

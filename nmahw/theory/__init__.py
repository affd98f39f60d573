"""The NMA paper as code: architectures without multiplication, neuron counts, distinct products.

*No-multiplication architectures* replaces every product of a network by the four-neuron gate of
Lin, Tegmark and Rolnick (2017), and counts how many products a convolution really needs. Here
its architectures are graphs that run (`graph`, `forward`, `backward`, `draw`), its counts come in
closed form for networks of any size (`counts`, `architectures`), its theorems are stated as
printed, as corrected and by brute force (`theorems`, `expected`), and `distinct` counts the
distinct products of real layers. `docs/theory.md` has statements and proofs.
"""

"""nmahw: neural networks on FPGAs without a multiplier."""

__version__ = "0.1.0"

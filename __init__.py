"""A network card, its gateware, its driver and the Linux network stack above it."""

__all__ = ["__version__"]

__version__ = "0.1.0"

"""Benches and tests of the gateware."""

"""The decorator of the benches' tests, and whether they are to take long."""

import os

import cocotb

__all__ = ["SOAK", "THOROUGH", "bench_test"]

SOAK = bool(os.environ.get("HARDWIRE_SOAK"))
THOROUGH = SOAK or bool(os.environ.get("HARDWIRE_COVERAGE"))  # Meet each combination, not a sample.
# Ten times what the longest takes: a block that hangs fails its bench, and says in which test.
bench_test = cocotb.test(timeout_time=800 if THOROUGH else 8, timeout_unit="ms")

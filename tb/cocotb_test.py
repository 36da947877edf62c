"""The decorator of the benches' tests."""

import cocotb

__all__ = ["bench_test"]

# Ten times what the longest takes: a block that hangs fails its bench, and says in which test.
bench_test = cocotb.test(timeout_time=8, timeout_unit="ms")

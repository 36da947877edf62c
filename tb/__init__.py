"""cocotb benches and tests."""

"""FPGA boards: pins, clocks, PHYs and build recipes."""

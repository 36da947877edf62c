"""Data movers between host memory and packet streams."""

"""Bridges: devices that forward frames between others (Linux: net/bridge/; IEEE Std 802.1D-1998)."""

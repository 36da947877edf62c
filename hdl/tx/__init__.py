"""Transmit side of the device, from a descriptor ring to the MAC."""

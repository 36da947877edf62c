"""Wire formats: octets to values and back, with no state."""

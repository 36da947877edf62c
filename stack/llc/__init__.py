"""Logical link control, as far as bridges speak it (Linux: net/llc/)."""

"""Packet transforms (Linux: net/xfrm)."""

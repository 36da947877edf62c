"""Queueing disciplines."""

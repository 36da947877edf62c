"""Packet sockets: frames in programs."""

"""Receiving: from the MAC's frames to buffers in host memory."""

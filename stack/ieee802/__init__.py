"""What the protocols of IEEE 802 share (Linux: net/802/)."""

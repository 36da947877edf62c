"""The IPv4 protocol (Linux: net/ipv4)."""

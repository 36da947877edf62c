"""Virtual LANs (Linux: net/8021q)."""

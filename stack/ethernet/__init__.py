"""The Ethernet link layer."""

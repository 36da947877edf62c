"""Packet filter hooks (Linux: net/netfilter)."""

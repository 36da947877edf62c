"""Netlink: messages between programs and the stack."""

"""The stack's core: packets, devices, sockets, neighbours."""

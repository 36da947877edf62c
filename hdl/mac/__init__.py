"""Ethernet MAC, transmit side: packet stream to GMII."""

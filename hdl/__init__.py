"""Amaranth gateware, from stream components up to the whole network card."""

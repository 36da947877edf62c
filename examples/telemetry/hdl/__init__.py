"""Our gateware."""

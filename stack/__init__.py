"""The Linux network stack, the drivers, the wire formats and the contract, in pure Python."""

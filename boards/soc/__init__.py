"""The bare NIC for systems of others: FuseSoC, LiteX, Vivado, LitePCIe."""

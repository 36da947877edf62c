"""Between the MAC and the pins of a PHY: clock domains and interfaces."""

"""What the package gives to pytest: simulated cards, hosts and networks as fixtures, and records of failed tests."""

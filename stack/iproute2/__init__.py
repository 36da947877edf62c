"""The commands of the administrator: `ip` and `tc` of iproute2, `ethtool`."""

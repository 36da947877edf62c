"""Device drivers, and the protocols through which they reach their hardware."""

"""Python's own network modules on a simulated host: what an unmodified program gets instead of the machine's."""

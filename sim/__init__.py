"""The in-process simulator and the command line."""

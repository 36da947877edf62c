"""Our programs and their models."""

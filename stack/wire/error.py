"""The one error that every wire format raises."""

__all__ = ["WireError"]


class WireError(ValueError):
    """Octets, or values meant to become octets, that the format does not allow; the text names the field."""

"""``hardwire send``."""

__all__ = ["send"]


def send() -> None:
    """Not there yet."""
    raise NotImplementedError

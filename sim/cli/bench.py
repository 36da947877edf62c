"""``hardwire bench``."""

__all__ = ["bench"]


def bench() -> None:
    """Not there yet."""
    raise NotImplementedError

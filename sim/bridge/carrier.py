"""What carries the octets of a bridge: a serial port, or the simulation of one."""

from typing import Protocol

__all__ = ["Carrier"]


class Carrier(Protocol):
    """A line to a card, both ways at once, that may damage, lose and add octets.

    One that is simulated may have further members: ``quiet``, nothing is on the line and the card has nothing to do,
    without which the line counts as quiet once nothing has come for a while; and ``jump(until_fs)``, which lets time
    pass without the card, after the line was quiet for longer.

    Members
    -------
    octet_fs : int
        Time of one octet on the line.
    """

    octet_fs: int

    @property
    def time_fs(self) -> int:
        """The time, which never goes back."""
        ...

    def write(self, octets: bytes) -> None:
        """Queue octets for the card; returns at once."""
        ...

    def read(self) -> bytes:
        """Return the octets that have come since the last call, maybe none."""
        ...

    def wait(self, until_fs: int) -> None:
        """Let time pass until octets come or to that time; it may return before."""
        ...

    def close(self) -> None:
        """Give the line up."""
        ...

"""What carries calls from a program to its host, and answers back: messages on a pair of local sockets."""

import _socket
from collections.abc import Sequence
from contextlib import suppress
from marshal import dumps, loads
from typing import Any

__all__ = ["Channel", "channel_pair"]

_LONGEST_OCTETS = 1 << 18  # Above what an unprivileged process may send at once.


class Channel:
    """One end. A message is a tuple of plain values, and goes whole or not at all.

    Parameters
    ----------
    sock : _socket.socket
        Of type SOCK_SEQPACKET.
    """

    __slots__ = ("_buffer", "_view", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray(_LONGEST_OCTETS)
        self._view = memoryview(self._buffer)

    def send(self, message: Sequence[Any]) -> None:
        """Send a message.

        Raises
        ------
        EOFError
            If the other end is closed.
        ValueError
            If a value is not plain.
        """
        try:
            self.sock.send(dumps(tuple(message)))
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def receive(self) -> Any:
        """Wait for a message.

        Raises
        ------
        EOFError
            If the other end is closed.
        """
        try:
            length = self.sock.recv_into(self._buffer)
        except ConnectionResetError:
            length = 0
        if not length:
            raise EOFError
        return loads(self._view[:length])

    def shut(self) -> None:
        """Say that no more comes from this end; whoever else uses it notices, too."""
        with suppress(OSError):  # It is closed already.
            self.sock.shutdown(_socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; the other one notices."""
        self.sock.close()


def channel_pair() -> tuple[_socket.socket, _socket.socket]:
    """Return two sockets, one for each end."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)

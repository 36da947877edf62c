"""Our link over UDP: each reading is sent until it is acknowledged, and handed on once, in order.

Nothing here knows of hardwire: a socket is whatever has ``sendto``, ``recvfrom`` and ``settimeout``.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from .reading import Reading

__all__ = ["PORT", "collect", "report"]

PORT = 4711
_TIMEOUT_S = 0.1
_TRIES = 50


def report(sock: Any, collector: tuple[str, int], readings: Iterable[Reading]) -> int:
    """Send readings; return how many datagrams that took."""
    sent = 0
    sock.settimeout(_TIMEOUT_S)
    for reading in readings:
        for _ in range(_TRIES):
            sock.sendto(reading.emit(), collector)
            sent += 1
            try:
                while Reading.parse(sock.recvfrom(64)[0]).number != reading.number:
                    pass  # An acknowledgement that was late.
                break
            except TimeoutError:
                continue
        else:
            raise ConnectionError(f"no answer from {collector[0]} to reading {reading.number}")
    return sent


def collect(sock: Any) -> Iterator[tuple[str, Reading]]:
    """Acknowledge readings for ever; yield those that are new, each with the address that it is from."""
    last: dict[tuple[str, int], int] = {}
    while True:
        octets, sensor = sock.recvfrom(64)
        reading = Reading.parse(octets)
        if reading.number == last.get(sensor, -1) + 1:
            last[sensor] = reading.number
            yield sensor[0], reading
        if reading.number <= last.get(sensor, -1):
            sock.sendto(octets, sensor)

"""Numbers that nobody outside can guess: of sequences, time stamps and ports (Linux: net/core/secure_seq.c)."""

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .net import Net

__all__ = ["secure_ipv4_port_ephemeral", "secure_tcp_seq", "secure_tcp_seq_and_ts_off", "secure_tcp_ts_off"]

_FLOW = Struct("!IIHH")
_RESULT = Struct("!II")


def _keyed(net: "Net", saddr: int, daddr: int, sport: int, dport: int, what: bytes) -> tuple[int, int]:
    """Return two numbers of a flow that depend on the namespace's secret; that is made when it is needed first."""
    if not net.ipv4.net_secret:
        random_u32 = net.kernel.platform.random_u32
        net.ipv4.net_secret = b"".join(random_u32().to_bytes(4, "big") for _ in range(4))
    flow = _FLOW.pack(saddr, daddr, sport, dport)
    first, second = _RESULT.unpack(blake2b(flow, digest_size=8, key=net.ipv4.net_secret, person=what).digest())
    return first, second


def secure_tcp_seq(net: "Net", saddr: int, daddr: int, sport: int, dport: int) -> int:
    """Return the first sequence number of a connection: a secret number of its flow, and the time (RFC 6528 §3)."""
    offset, _ = _keyed(net, saddr, daddr, sport, dport, b"tcp seq")
    return offset + (net.kernel.now_ns() >> 6) & 0xFFFFFFFF


def secure_tcp_ts_off(net: "Net", saddr: int, daddr: int) -> int:
    """Return what is added to the clock of time stamps for a pair of hosts (RFC 7323 §5.4)."""
    if net.ipv4.sysctl_tcp_timestamps != 1:
        return 0
    offset, _ = _keyed(net, saddr, daddr, 0, 0, b"tcp ts")
    return offset


def secure_tcp_seq_and_ts_off(net: "Net", saddr: int, daddr: int, sport: int, dport: int) -> tuple[int, int]:
    """Return the first sequence number of a connection, and the offset of its time stamps."""
    return secure_tcp_seq(net, saddr, daddr, sport, dport), secure_tcp_ts_off(net, saddr, daddr)


def secure_ipv4_port_ephemeral(net: "Net", saddr: int, daddr: int, dport: int) -> int:
    """Return where the search for a local port begins, the same for the same peer (RFC 6056, algorithm 3)."""
    return _keyed(net, saddr, daddr, 0, dport, b"ephemeral")[0]

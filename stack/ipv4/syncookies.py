"""SYN cookies: the request in its own sequence number (Linux: net/ipv4/syncookies.c; RFC 4987 §3.6)."""

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["cookie_check", "cookie_init_timestamp", "cookie_timestamp_decode", "cookie_v4_init_sequence"]

_KEY = Struct("!IIHHI")
_MSS = (536, 1300, 1440, 1460)  # What of the peer's segment size is remembered.
_BITS = 24
_MASK = (1 << _BITS) - 1
_MAX_AGE = 2  # In minutes.
_TSBITS = 6
_TSMASK = (1 << _TSBITS) - 1
_TS_SACK, _TS_ECN = 1 << 4, 1 << 5
_TS_NO_WSCALE = 0xF


def _minute(net: "Net") -> int:
    return net.kernel.now_ns() // 60_000_000_000


def _hash(net: "Net", key: tuple[int, int, int, int], count: int, which: int) -> int:
    """Return 32 bits of a flow and a minute that only this host can know."""
    ipv4 = net.ipv4
    if not ipv4.syncookie_secret:
        random_u32 = net.kernel.platform.random_u32
        ipv4.syncookie_secret = b"".join(random_u32().to_bytes(4, "big") for _ in range(4))
    saddr, sport, daddr, dport = key
    octets = _KEY.pack(saddr, daddr, sport, dport, count & 0xFFFFFFFF)
    person = b"syncookie%d" % which
    return int.from_bytes(blake2b(octets, digest_size=4, key=ipv4.syncookie_secret, person=person).digest(), "big")


def cookie_v4_init_sequence(net: "Net", key: tuple[int, int, int, int], seq: int, mss: int) -> tuple[int, int]:
    """Return a sequence number that says what a SYN was, and the segment size that it stands for.

    Parameters
    ----------
    net : Net
        The namespace.
    key : tuple
        The peer's address and port, and ours.
    seq : int
        The peer's first sequence number.
    mss : int
        Longest segment that it takes.
    """
    index = max((i for i, size in enumerate(_MSS) if size <= mss), default=0)
    count = _minute(net)
    data = _hash(net, key, count, 1) + index & _MASK
    cookie = _hash(net, key, 0, 0) + seq + (count << _BITS) + data & 0xFFFFFFFF
    return cookie, _MSS[index]


def cookie_check(net: "Net", key: tuple[int, int, int, int], seq: int, cookie: int) -> int:
    """Return the segment size of the SYN that a cookie is of, 0 if it is none of ours, or too old.

    ``seq`` is the peer's first sequence number.
    """
    rest = cookie - _hash(net, key, 0, 0) - seq & 0xFFFFFFFF
    count = _minute(net)
    age = count - (rest >> _BITS) & 0xFF
    if age >= _MAX_AGE:
        return 0
    index = rest - _hash(net, key, count - age, 1) & _MASK
    return _MSS[index] if index < len(_MSS) else 0


def cookie_init_timestamp(now_ms: int, *, wscale: int | None, sack_ok: bool, ecn_ok: bool) -> int:
    """Return a time stamp, not later than now, that says which options the SYN had."""
    bits = _TS_NO_WSCALE if wscale is None else wscale & 0xF
    bits |= (_TS_SACK if sack_ok else 0) | (_TS_ECN if ecn_ok else 0)
    stamp = now_ms & ~_TSMASK | bits
    return (stamp if stamp <= now_ms else stamp - (1 << _TSBITS)) & 0xFFFFFFFF


def cookie_timestamp_decode(echo: int) -> tuple[int | None, bool, bool]:
    """Return window scale (None: there was none), SACK and ECN that an echoed time stamp says."""
    bits = echo & 0xF
    return None if bits == _TS_NO_WSCALE else bits, bool(echo & _TS_SACK), bool(echo & _TS_ECN)

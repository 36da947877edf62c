"""Options that every socket has, level SOL_SOCKET: setting them (Linux: net/core/sock.c)."""

from collections.abc import Callable
from errno import EDOM, EINVAL, ENODEV, ENOPROTOOPT, EOPNOTSUPP, EPERM
from struct import Struct
from typing import TYPE_CHECKING

from ..uapi import (
    SO_ATTACH_FILTER,
    SO_BINDTODEVICE,
    SO_BROADCAST,
    SO_DETACH_FILTER,
    SO_DONTROUTE,
    SO_LOCK_FILTER,
    SO_MARK,
    SO_NO_CHECK,
    SO_PRIORITY,
    SO_RCVBUF,
    SO_RCVBUFFORCE,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_SNDBUFFORCE,
    SO_SNDTIMEO,
)
from ..uapi_options import (
    SO_BINDTOIFINDEX,
    SO_BSDCOMPAT,
    SO_BUF_LOCK,
    SO_BUSY_POLL,
    SO_BUSY_POLL_BUDGET,
    SO_CNX_ADVICE,
    SO_DEBUG,
    SO_INCOMING_CPU,
    SO_KEEPALIVE,
    SO_LINGER,
    SO_MAX_PACING_RATE,
    SO_NOFCS,
    SO_OOBINLINE,
    SO_PASSCRED,
    SO_PASSPIDFD,
    SO_PASSRIGHTS,
    SO_PASSSEC,
    SO_PEEK_OFF,
    SO_PREFER_BUSY_POLL,
    SO_RCVLOWAT,
    SO_RCVMARK,
    SO_RCVPRIORITY,
    SO_RCVTIMEO_NEW,
    SO_RESERVE_MEM,
    SO_REUSEPORT,
    SO_RXQ_OVFL,
    SO_SELECT_ERR_QUEUE,
    SO_SNDTIMEO_NEW,
    SO_TIMESTAMP,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS,
    SO_TIMESTAMPNS_NEW,
    SO_TXREHASH,
    SO_WIFI_STATUS,
)
from .filter import sk_attach_filter, sk_detach_filter
from .platform import wake_up
from .sock import (
    PACING_UNLIMITED,
    SOCK_DBG,
    SOCK_KEEPOPEN,
    SOCK_LINGER,
    SOCK_MIN_SNDBUF,
    SOCK_NOFCS,
    SOCK_PREFER_BUSY_POLL,
    SOCK_RCVBUF_LOCK,
    SOCK_RCVMARK,
    SOCK_RCVPRIORITY,
    SOCK_RCVTSTAMP,
    SOCK_RCVTSTAMPNS,
    SOCK_RXQ_OVFL,
    SOCK_SELECT_ERR_QUEUE,
    SOCK_SNDBUF_LOCK,
    SOCK_TSTAMP_NEW,
    SOCK_URGINLINE,
    SOCK_WIFI_STATUS,
    sk_dst_check,
    sk_dst_reset,
    sock_enable_timestamp,
)
from .timer import HZ, NSEC_PER_JIFFY

if TYPE_CHECKING:
    from ..socket import Socket
    from .sock import Sock

__all__ = [
    "ALL_STAMPS",
    "NOT_SUPPORTED",
    "OPTION_BITS",
    "OPTION_FLAGS",
    "OPTION_NUMBERS",
    "OPTION_STAMPS",
    "sock_setsockopt",
]

_SOCK_MIN_RCVBUF = 2304
_IFNAMSIZ = 16
_INT = Struct("=i")
_INT_MAX = 0x7FFF_FFFF
_LINGER = Struct("=iI")
_MAX_SCHEDULE_TIMEOUT = (1 << 63) - 1
_TWO_INTS = Struct("=ii")
_PEERCRED = Struct("=iii")
_MEMINFO = Struct("=9I")
_TIMEVAL = Struct("=qq")
_U64 = Struct("=Q")

# Options that are a plain truth value: a member of the socket, or a bit of sk_flags.
OPTION_FLAGS = {
    SO_REUSEADDR: "sk_reuse",
    SO_REUSEPORT: "sk_reuseport",
    SO_DONTROUTE: "sk_localroute",
    SO_BROADCAST: "sk_broadcast",
    SO_NO_CHECK: "sk_no_check_tx",
}
OPTION_BITS = {
    SO_DEBUG: SOCK_DBG,
    SO_KEEPALIVE: SOCK_KEEPOPEN,
    SO_OOBINLINE: SOCK_URGINLINE,
    SO_RXQ_OVFL: SOCK_RXQ_OVFL,
    SO_WIFI_STATUS: SOCK_WIFI_STATUS,
    SO_NOFCS: SOCK_NOFCS,
    SO_SELECT_ERR_QUEUE: SOCK_SELECT_ERR_QUEUE,
    SO_PREFER_BUSY_POLL: SOCK_PREFER_BUSY_POLL,
    SO_RCVMARK: SOCK_RCVMARK,
    SO_RCVPRIORITY: SOCK_RCVPRIORITY,
}
# Options that are a number in a range.
OPTION_NUMBERS = {
    SO_BUSY_POLL: ("sk_ll_usec", 0, _INT_MAX),
    SO_BUSY_POLL_BUDGET: ("sk_busy_poll_budget", 0, 0xFFFF),
    SO_BUF_LOCK: ("sk_userlocks", 0, SOCK_SNDBUF_LOCK | SOCK_RCVBUF_LOCK),
    SO_INCOMING_CPU: ("sk_incoming_cpu", ~_INT_MAX, _INT_MAX),
    SO_PRIORITY: ("sk_priority", ~_INT_MAX, _INT_MAX),
}
# Which bits of sk_flags make each of the options that ask for the time of arrival.
OPTION_STAMPS = {
    SO_TIMESTAMP: 0,
    SO_TIMESTAMPNS: SOCK_RCVTSTAMPNS,
    SO_TIMESTAMP_NEW: SOCK_TSTAMP_NEW,
    SO_TIMESTAMPNS_NEW: SOCK_TSTAMP_NEW | SOCK_RCVTSTAMPNS,
}
ALL_STAMPS = SOCK_TSTAMP_NEW | SOCK_RCVTSTAMP | SOCK_RCVTSTAMPNS
_SENDS, _RECEIVES = (SO_SNDTIMEO, SO_SNDTIMEO_NEW), (SO_RCVTIMEO, SO_RCVTIMEO_NEW)
# Of local sockets only (unix(7)), or of a connection.
NOT_SUPPORTED = (SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD, SO_PASSRIGHTS, SO_TXREHASH)


def sock_setsockopt(sock: "Socket", optname: int, octets: bytes) -> int:
    """Set an option of a socket; ``SO_ATTACH_FILTER`` takes the octets of the ``struct sock_filter`` themselves.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``, ``EDOM``, ``ENODEV``, ``EOPNOTSUPP``, ``EPERM``, ``ENOENT``.
    """
    sk = sock.sk
    if optname == SO_BINDTODEVICE:
        _bind_to_device(sk, octets)
        return 0
    if optname == SO_ATTACH_FILTER:
        sk_attach_filter(sk, octets)
        return 0
    if len(octets) < _INT.size:
        raise OSError(EINVAL, f"an option of a socket takes {_INT.size} octets, not {len(octets)}")
    value: int = _INT.unpack_from(octets)[0]
    if optname in OPTION_FLAGS:
        setattr(sk, OPTION_FLAGS[optname], value != 0)
    elif optname in OPTION_BITS:
        if optname == SO_KEEPALIVE and sk.sk_prot.keepalive is not None:
            sk.sk_prot.keepalive(sk, value != 0)
        _set_bits(sk, OPTION_BITS[optname], value != 0)
    elif optname in OPTION_NUMBERS:
        name, low, high = OPTION_NUMBERS[optname]
        if not low <= value <= high:
            raise OSError(EINVAL, f"{value} is not in {low}..{high}")
        setattr(sk, name, value)
    elif optname in OPTION_STAMPS:
        _set_bits(sk, ALL_STAMPS, False)
        if value:
            _set_bits(sk, SOCK_RCVTSTAMP | OPTION_STAMPS[optname], True)
            sock_enable_timestamp(sk)
    elif optname in NOT_SUPPORTED:
        raise OSError(EOPNOTSUPP, f"no option {optname} for this kind of socket")
    elif optname == SO_PEEK_OFF:
        sock.ops.set_peek_off(sk, value)
    elif optname in _SETTERS:
        _SETTERS[optname](sk, octets)
    else:
        raise OSError(ENOPROTOOPT, f"no socket option {optname} to set")
    return 0


def _set_bits(sk: "Sock", bits: int, on: bool) -> None:
    sk.sk_flags = sk.sk_flags | bits if on else sk.sk_flags & ~bits


def _number(octets: bytes) -> int:
    return int(_INT.unpack_from(octets)[0])


def _unsigned(octets: bytes) -> int:
    return _number(octets) & 0xFFFF_FFFF


def _set_sndbuf(sk: "Sock", value: int) -> None:
    """Set the send buffer: twice the value, since ``truesize`` counts more than the program's octets."""
    sk.sk_userlocks |= SOCK_SNDBUF_LOCK
    sk.sk_sndbuf = max(min(value, _INT_MAX // 2) * 2, SOCK_MIN_SNDBUF)
    # A larger one may be what a waiting task needs.
    if sk.sk_nospace:
        sk.sk_nospace = False
        wake_up(sk.kernel.platform, sk.sk_wq)


def _set_rcvbuf(sk: "Sock", value: int) -> None:
    sk.sk_userlocks |= SOCK_RCVBUF_LOCK
    sk.sk_rcvbuf = max(min(value, _INT_MAX // 2) * 2, _SOCK_MIN_RCVBUF)


def _set_sndbuf_limited(sk: "Sock", octets: bytes) -> None:
    _set_sndbuf(sk, min(_unsigned(octets), sk.net.ipv4.sysctl_wmem_max))


def _set_sndbuf_force(sk: "Sock", octets: bytes) -> None:
    _set_sndbuf(sk, max(_number(octets), 0))


def _set_rcvbuf_limited(sk: "Sock", octets: bytes) -> None:
    _set_rcvbuf(sk, min(_unsigned(octets), sk.net.ipv4.sysctl_rmem_max))


def _set_rcvbuf_force(sk: "Sock", octets: bytes) -> None:
    _set_rcvbuf(sk, max(_number(octets), 0))


def _ignore(sk: "Sock", octets: bytes) -> None:
    """Take an option that has had no effect since Linux 2.2."""


def _set_mark(sk: "Sock", octets: bytes) -> None:
    mark = _unsigned(octets)
    if sk.sk_mark != mark:
        sk.sk_mark = mark
        sk_dst_reset(sk)


def _set_linger(sk: "Sock", octets: bytes) -> None:
    if len(octets) < _LINGER.size:
        raise OSError(EINVAL, f"a struct linger has {_LINGER.size} octets")
    on, seconds = _TWO_INTS.unpack_from(octets)
    if on:
        # In jiffies; a negative number is for ever.
        sk.sk_lingertime = _MAX_SCHEDULE_TIMEOUT if seconds < 0 else seconds * HZ
    _set_bits(sk, SOCK_LINGER, on != 0)


def _set_rcvlowat(sk: "Sock", octets: bytes) -> None:
    value = _number(octets)
    sk.sk_rcvlowat = _INT_MAX if value < 0 else value or 1


def _set_max_pacing_rate(sk: "Sock", octets: bytes) -> None:
    if len(octets) == _U64.size:
        sk.sk_max_pacing_rate = _U64.unpack(octets)[0]
    else:
        value = _unsigned(octets)
        sk.sk_max_pacing_rate = PACING_UNLIMITED if value == 0xFFFF_FFFF else value


def _bind_to_ifindex(sk: "Sock", ifindex: int) -> None:
    if ifindex < 0:
        raise OSError(EINVAL, f"no device has the number {ifindex}")
    sk.sk_bound_dev_if = ifindex
    sk_dst_reset(sk)


def _bind_to_number(sk: "Sock", octets: bytes) -> None:
    _bind_to_ifindex(sk, _number(octets))


def _bind_to_device(sk: "Sock", octets: bytes) -> None:
    """Let a socket use one device only, given by its name; an empty one ends that."""
    name = octets[: _IFNAMSIZ - 1].split(b"\0")[0].decode("ascii", "replace")
    dev = sk.net.dev_by_name.get(name)
    if name and dev is None:
        raise OSError(ENODEV, f"no device {name!r}")
    _bind_to_ifindex(sk, dev.ifindex if dev is not None else 0)


def _advise(sk: "Sock", octets: bytes) -> None:
    """Take a hint that the way to the peer does not work: a route that went stale is given up."""
    if _number(octets) == 1:
        sk_dst_check(sk)


def _reserve_mem(sk: "Sock", octets: bytes) -> None:
    if _number(octets) < 0:
        raise OSError(EINVAL, "less than nothing to reserve")
    raise OSError(EOPNOTSUPP, "no memory is set apart for sockets without a control group")


def _timeout(octets: bytes) -> int | None:
    """Return how long a call may wait, given as ``struct timeval`` of 16 octets, in ns; None: for ever."""
    if len(octets) < _TIMEVAL.size:
        raise OSError(EINVAL, f"a timeout is a timeval of {_TIMEVAL.size} octets")
    seconds, microseconds = _TIMEVAL.unpack_from(octets)
    if not 0 <= microseconds < 1_000_000:
        raise OSError(EDOM, "microseconds are 0..999999")
    # In jiffies, begun ones whole.
    timeo = max(seconds, 0) * 1_000_000_000 + -(-microseconds * 1000 // NSEC_PER_JIFFY) * NSEC_PER_JIFFY
    return timeo or None


def _detach_filter(sk: "Sock", octets: bytes) -> None:
    del octets
    sk_detach_filter(sk)


def _lock_filter(sk: "Sock", octets: bytes) -> None:
    on = _number(octets) != 0
    if sk.sk_filter_locked and not on:
        raise OSError(EPERM, "a locked filter stays locked")
    sk.sk_filter_locked = on


def _set_sndtimeo(sk: "Sock", octets: bytes) -> None:
    sk.sk_sndtimeo = _timeout(octets)


def _set_rcvtimeo(sk: "Sock", octets: bytes) -> None:
    sk.sk_rcvtimeo = _timeout(octets)


_SETTERS: "dict[int, Callable[[Sock, bytes], None]]" = {
    SO_SNDBUF: _set_sndbuf_limited,
    SO_SNDBUFFORCE: _set_sndbuf_force,
    SO_RCVBUF: _set_rcvbuf_limited,
    SO_RCVBUFFORCE: _set_rcvbuf_force,
    SO_LINGER: _set_linger,
    SO_BSDCOMPAT: _ignore,
    SO_RCVLOWAT: _set_rcvlowat,
    SO_RCVTIMEO: _set_rcvtimeo,
    SO_RCVTIMEO_NEW: _set_rcvtimeo,
    SO_SNDTIMEO: _set_sndtimeo,
    SO_SNDTIMEO_NEW: _set_sndtimeo,
    SO_MARK: _set_mark,
    SO_MAX_PACING_RATE: _set_max_pacing_rate,
    SO_CNX_ADVICE: _advise,
    SO_BINDTOIFINDEX: _bind_to_number,
    SO_RESERVE_MEM: _reserve_mem,
    SO_DETACH_FILTER: _detach_filter,
    SO_LOCK_FILTER: _lock_filter,
}

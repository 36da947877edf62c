"""Options that every socket has: level SOL_SOCKET (Linux: net/core/sock.c)."""

from errno import EDOM, EINVAL, ENODEV, ENOPROTOOPT, EPERM
from struct import Struct
from sys import byteorder
from typing import TYPE_CHECKING

from ..uapi import (
    SO_ATTACH_FILTER,
    SO_BINDTODEVICE,
    SO_BROADCAST,
    SO_DETACH_FILTER,
    SO_DOMAIN,
    SO_DONTROUTE,
    SO_ERROR,
    SO_LOCK_FILTER,
    SO_MARK,
    SO_NO_CHECK,
    SO_PRIORITY,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_RCVBUFFORCE,
    SO_RCVTIMEO,
    SO_REUSEADDR,
    SO_SNDBUF,
    SO_SNDBUFFORCE,
    SO_SNDTIMEO,
    SO_TIMESTAMP,
    SO_TIMESTAMPNS,
    SO_TYPE,
)
from .filter import sk_attach_filter, sk_detach_filter, sk_get_filter
from .sock import SOCK_MIN_SNDBUF, sk_dst_reset, sock_error

if TYPE_CHECKING:
    from .sock import Sock

__all__ = ["sock_getsockopt", "sock_setsockopt"]

_SOCK_MIN_RCVBUF = 2304
_INT = Struct("=i")
_INT_MAX = 0x7FFF_FFFF
_TIMEVAL = Struct("=qq")

# Options that are a plain truth value.
_FLAGS = {
    SO_REUSEADDR: "sk_reuse",
    SO_DONTROUTE: "sk_localroute",
    SO_BROADCAST: "sk_broadcast",
    SO_NO_CHECK: "sk_no_check_tx",
}


def sock_setsockopt(sk: "Sock", optname: int, octets: bytes) -> int:
    """Set an option of a socket; ``SO_ATTACH_FILTER`` takes the octets of the ``struct sock_filter`` themselves.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EINVAL``, ``EDOM``, ``ENODEV``, ``EPERM``, ``ENOENT``.
    """
    if optname == SO_BINDTODEVICE:
        _bind_to_device(sk, octets)
        return 0
    if optname == SO_ATTACH_FILTER:
        sk_attach_filter(sk, octets)
        return 0
    if len(octets) < _INT.size:
        raise OSError(EINVAL, f"an option of a socket takes {_INT.size} octets, not {len(octets)}")
    if optname == SO_SNDTIMEO:
        sk.sk_sndtimeo = _timeout(octets)
        return 0
    if optname == SO_RCVTIMEO:
        sk.sk_rcvtimeo = _timeout(octets)
        return 0
    value: int = _INT.unpack_from(octets)[0]
    unsigned = value & 0xFFFF_FFFF
    if optname in _FLAGS:
        setattr(sk, _FLAGS[optname], value != 0)
    elif optname == SO_SNDBUF:
        _set_sndbuf(sk, min(unsigned, sk.net.ipv4.sysctl_wmem_max))
    elif optname == SO_SNDBUFFORCE:
        _set_sndbuf(sk, max(value, 0))
    elif optname == SO_RCVBUF:
        sk.sk_rcvbuf = max(min(unsigned, sk.net.ipv4.sysctl_rmem_max) * 2, _SOCK_MIN_RCVBUF)
    elif optname == SO_RCVBUFFORCE:
        sk.sk_rcvbuf = max(min(max(value, 0), _INT_MAX // 2) * 2, _SOCK_MIN_RCVBUF)
    elif optname == SO_PRIORITY:
        sk.sk_priority = value
    elif optname == SO_DETACH_FILTER:
        sk_detach_filter(sk)
    elif optname == SO_LOCK_FILTER:
        if sk.sk_filter_locked and not value:
            raise OSError(EPERM, "a locked filter stays locked")
        sk.sk_filter_locked = value != 0
    elif optname == SO_TIMESTAMP or optname == SO_TIMESTAMPNS:
        sk.net.netstamp_needed |= value != 0
        sk.sk_rcvtstamp = optname if value else 0
    elif optname == SO_MARK:
        if sk.sk_mark != unsigned:
            sk.sk_mark = unsigned
            sk_dst_reset(sk)
    else:
        raise OSError(ENOPROTOOPT, f"no socket option {optname}")
    return 0


def _set_sndbuf(sk: "Sock", value: int) -> None:
    """Set the send buffer: twice the value, since ``truesize`` counts more than the program's octets."""
    sk.sk_sndbuf = max(min(value, _INT_MAX // 2) * 2, SOCK_MIN_SNDBUF)
    # A larger one may be what a waiting task needs.
    if sk.sk_nospace:
        sk.sk_nospace = False
        sk.kernel.platform.wake(sk.sk_wq)


def _bind_to_device(sk: "Sock", octets: bytes) -> None:
    """Let a socket use one device only, given by its name; an empty one ends that."""
    name = octets.split(b"\0")[0].decode("ascii", "replace")
    dev = sk.net.dev_by_name.get(name)
    if name and dev is None:
        raise OSError(ENODEV, f"no device {name!r}")
    sk.sk_bound_dev_if = dev.ifindex if dev is not None else 0
    sk_dst_reset(sk)


def _timeout(octets: bytes) -> int | None:
    """Return how long a call may wait, given as ``struct timeval`` of 16 octets, in ns; None: for ever."""
    if len(octets) < _TIMEVAL.size:
        raise OSError(EINVAL, f"a timeout is a timeval of {_TIMEVAL.size} octets")
    seconds, microseconds = _TIMEVAL.unpack_from(octets)
    if not 0 <= microseconds < 1_000_000:
        raise OSError(EDOM, "microseconds are 0..999999")
    timeo = max(seconds, 0) * 1_000_000_000 + microseconds * 1000
    return timeo or None


def sock_getsockopt(sk: "Sock", optname: int) -> int | bytes:
    """Return an option of a socket.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``.
    """
    if optname in _FLAGS:
        return int(getattr(sk, _FLAGS[optname]))
    if optname == SO_ERROR:
        return -sock_error(sk)
    if optname == SO_ATTACH_FILTER:  # SO_GET_FILTER
        return sk_get_filter(sk)
    if optname == SO_BINDTODEVICE:
        dev = sk.net.devices.get(sk.sk_bound_dev_if)
        return dev.name.encode() + b"\0" if dev is not None else b""
    if optname in (SO_SNDTIMEO, SO_RCVTIMEO):
        seconds, ns = divmod((sk.sk_sndtimeo if optname == SO_SNDTIMEO else sk.sk_rcvtimeo) or 0, 1_000_000_000)
        return _TIMEVAL.pack(seconds, ns // 1000)
    values: dict[int, int] = {
        SO_TYPE: sk.sk_type,
        SO_DOMAIN: sk.sk_family,
        SO_PROTOCOL: sk.sk_protocol,
        SO_SNDBUF: sk.sk_sndbuf,
        SO_RCVBUF: sk.sk_rcvbuf,
        SO_PRIORITY: sk.sk_priority,
        SO_LOCK_FILTER: int(sk.sk_filter_locked),
        SO_TIMESTAMP: int(sk.sk_rcvtstamp == SO_TIMESTAMP),
        SO_TIMESTAMPNS: int(sk.sk_rcvtstamp == SO_TIMESTAMPNS),
        SO_MARK: _INT.unpack(sk.sk_mark.to_bytes(4, byteorder))[0],
    }
    if optname not in values:
        raise OSError(ENOPROTOOPT, f"no socket option {optname}")
    return values[optname]

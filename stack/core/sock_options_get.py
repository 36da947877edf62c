"""Options that every socket has, level SOL_SOCKET: reading them (Linux: net/core/sock.c)."""

from collections.abc import Callable
from errno import EINVAL, ENODATA, ENODEV, ENOPROTOOPT, EOPNOTSUPP
from struct import Struct
from sys import byteorder
from typing import TYPE_CHECKING

from ..uapi import (
    SO_ATTACH_FILTER,
    SO_BINDTODEVICE,
    SO_DOMAIN,
    SO_ERROR,
    SO_LOCK_FILTER,
    SO_MARK,
    SO_PROTOCOL,
    SO_RCVBUF,
    SO_RCVTIMEO,
    SO_SNDBUF,
    SO_SNDTIMEO,
    SO_TYPE,
)
from ..uapi_options import (
    SO_ACCEPTCONN,
    SO_BINDTOIFINDEX,
    SO_BSDCOMPAT,
    SO_BUSY_POLL_BUDGET,
    SO_COOKIE,
    SO_INCOMING_NAPI_ID,
    SO_LINGER,
    SO_MAX_PACING_RATE,
    SO_MEMINFO,
    SO_NETNS_COOKIE,
    SO_PEEK_OFF,
    SO_PEERCRED,
    SO_PEERGROUPS,
    SO_PEERNAME,
    SO_PEERPIDFD,
    SO_RCVLOWAT,
    SO_RCVTIMEO_NEW,
    SO_RESERVE_MEM,
    SO_SNDLOWAT,
    SO_SNDTIMEO_NEW,
)
from .filter import sk_get_filter
from .proto_ops import sock_no_set_peek_off
from .sock import SOCK_LINGER, SOCK_RCVTSTAMP, sock_error
from .sock_options import ALL_STAMPS, NOT_SUPPORTED, OPTION_BITS, OPTION_FLAGS, OPTION_NUMBERS, OPTION_STAMPS
from .tcp_states import TCP_CLOSE, TCP_LISTEN
from .timer import HZ

if TYPE_CHECKING:
    from ..socket import Socket
    from .sock import Sock

__all__ = ["sock_getsockopt"]

_IFNAMSIZ = 16
_LINGER = Struct("=iI")
_PEERCRED = Struct("=iii")
_MEMINFO = Struct("=9I")
_TIMEVAL = Struct("=qq")
_U64 = Struct("=Q")


def sock_getsockopt(sock: "Socket", optname: int, optlen: int) -> int | bytes:
    """Return an option of a socket, for which the program has room for ``optlen`` octets.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``, ``EOPNOTSUPP``, ``ENODATA``, ``ENOTCONN``; ``EINVAL`` if there is not enough room.
    """
    sk = sock.sk
    if optname in OPTION_FLAGS:
        return int(getattr(sk, OPTION_FLAGS[optname]))
    if optname in OPTION_BITS:
        return int(sk.sk_flags & OPTION_BITS[optname] != 0)
    if optname in OPTION_NUMBERS and optname != SO_BUSY_POLL_BUDGET:
        return int(getattr(sk, OPTION_NUMBERS[optname][0]))
    if optname in OPTION_STAMPS:
        return int(sk.sk_flags & ALL_STAMPS == SOCK_RCVTSTAMP | OPTION_STAMPS[optname])
    if optname in NOT_SUPPORTED:
        raise OSError(EOPNOTSUPP, f"no option {optname} for this kind of socket")
    if optname == SO_PEEK_OFF and sock.ops.set_peek_off is sock_no_set_peek_off:
        raise OSError(EOPNOTSUPP, "sockets of this kind cannot be peeked into")
    if optname == SO_PEERNAME:
        return _get_peername(sock, optlen)
    if optname in _MEMBERS:
        return int(getattr(sk, _MEMBERS[optname]))
    if optname in _CONSTANTS:
        return _CONSTANTS[optname]
    if optname not in _GETTERS:
        raise OSError(ENOPROTOOPT, f"no socket option {optname} to read")
    return _GETTERS[optname](sk, optlen)


def _get_device(sk: "Sock", optlen: int) -> bytes:
    dev = sk.net.devices.get(sk.sk_bound_dev_if)
    if not sk.sk_bound_dev_if:
        return b""
    if optlen < _IFNAMSIZ:
        raise OSError(EINVAL, f"a device's name has {_IFNAMSIZ} octets")
    if dev is None:
        raise OSError(ENODEV, f"no device {sk.sk_bound_dev_if}")
    return dev.name.encode() + b"\0"


def _get_timeout(timeo: int | None) -> bytes:
    seconds, ns = divmod(timeo or 0, 1_000_000_000)
    return _TIMEVAL.pack(seconds, ns // 1000)


def _get_max_pacing_rate(sk: "Sock", optlen: int) -> int | bytes:
    if optlen >= _U64.size:
        return _U64.pack(sk.sk_max_pacing_rate)
    return min(sk.sk_max_pacing_rate, 0xFFFF_FFFF).to_bytes(4, byteorder)


def _get_meminfo(sk: "Sock", optlen: int) -> bytes:
    """Return the numbers of ``enum`` ``SK_MEMINFO_*``; nothing is kept ahead, in a backlog or for options here."""
    return _MEMINFO.pack(sk.sk_rmem_alloc, sk.sk_rcvbuf, sk.sk_wmem_alloc, sk.sk_sndbuf, 0, 0, 0, 0, sk.sk_drops)


def _get_cookie(sk: "Sock", optlen: int) -> bytes:
    if optlen < _U64.size:
        raise OSError(EINVAL, f"a cookie has {_U64.size} octets")
    if not sk.sk_cookie:
        sk.sk_cookie = sk.kernel.gen_cookie()
    return _U64.pack(sk.sk_cookie)


def _get_netns_cookie(sk: "Sock", optlen: int) -> bytes:
    if optlen != _U64.size:
        raise OSError(EINVAL, f"a cookie has {_U64.size} octets")
    return _U64.pack(sk.net.net_cookie)


def _get_peername(sock: "Socket", optlen: int) -> bytes:
    name = sock.ops.octets(sock.ops.getname(sock.sk, True))
    if len(name) < optlen:
        raise OSError(EINVAL, f"the peer's address has {len(name)} octets only")
    return name


def _get_peer_of_unix(sk: "Sock", optlen: int) -> bytes:
    raise OSError(ENODATA, "only local sockets know who their peer is")


def _get_acceptconn(sk: "Sock", optlen: int) -> int:
    return int(getattr(sk, "sk_state", TCP_CLOSE) == TCP_LISTEN)  # Only those that can listen have states.


def _get_error(sk: "Sock", optlen: int) -> int:
    return -sock_error(sk)


def _get_linger(sk: "Sock", optlen: int) -> bytes:
    return _LINGER.pack(sk.sk_flags & SOCK_LINGER != 0, sk.sk_lingertime // HZ & 0xFFFF_FFFF)


def _get_sndtimeo(sk: "Sock", optlen: int) -> bytes:
    return _get_timeout(sk.sk_sndtimeo)


def _get_rcvtimeo(sk: "Sock", optlen: int) -> bytes:
    return _get_timeout(sk.sk_rcvtimeo)


def _get_filter(sk: "Sock", optlen: int) -> bytes:
    del optlen
    return sk_get_filter(sk)


def _get_lock_filter(sk: "Sock", optlen: int) -> int:
    del optlen
    return int(sk.sk_filter_locked)


def _get_mark(sk: "Sock", optlen: int) -> bytes:
    return sk.sk_mark.to_bytes(4, byteorder)


# Options that are a number which the socket keeps, or one that never changes.
_MEMBERS = {
    SO_TYPE: "sk_type",
    SO_SNDBUF: "sk_sndbuf",
    SO_RCVBUF: "sk_rcvbuf",
    SO_RCVLOWAT: "sk_rcvlowat",
    SO_PROTOCOL: "sk_protocol",
    SO_DOMAIN: "sk_family",
    SO_PEEK_OFF: "sk_peek_off",
    SO_BINDTOIFINDEX: "sk_bound_dev_if",
}
_CONSTANTS: dict[int, int | bytes] = {
    SO_BSDCOMPAT: 0,
    SO_PEERCRED: _PEERCRED.pack(0, -1, -1),  # No socket here is a local one,
    SO_SNDLOWAT: 1,
    SO_INCOMING_NAPI_ID: 0,  # NAPI instances have no numbers,
    SO_RESERVE_MEM: 0,  # and no memory is set apart.
}
_GETTERS: "dict[int, Callable[[Sock, int], int | bytes]]" = {
    SO_ACCEPTCONN: _get_acceptconn,
    SO_ERROR: _get_error,
    SO_LINGER: _get_linger,
    SO_RCVTIMEO: _get_rcvtimeo,
    SO_RCVTIMEO_NEW: _get_rcvtimeo,
    SO_SNDTIMEO: _get_sndtimeo,
    SO_SNDTIMEO_NEW: _get_sndtimeo,
    SO_BINDTODEVICE: _get_device,
    SO_ATTACH_FILTER: _get_filter,  # SO_GET_FILTER
    SO_LOCK_FILTER: _get_lock_filter,
    SO_MARK: _get_mark,
    SO_MAX_PACING_RATE: _get_max_pacing_rate,
    SO_MEMINFO: _get_meminfo,
    SO_COOKIE: _get_cookie,
    SO_PEERGROUPS: _get_peer_of_unix,
    SO_PEERPIDFD: _get_peer_of_unix,
    SO_NETNS_COOKIE: _get_netns_cookie,
}

"""Messages of netlink: header, length and alignment (Linux: include/net/netlink.h, net/netlink/af_netlink.c)."""

from collections.abc import Iterator
from errno import EMSGSIZE
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.skbuff import SkBuff, __alloc_skb, skb_put, skb_tailroom, skb_trim
from .uapi import NLMSG_HDRLEN, NlmF

if TYPE_CHECKING:
    from ..core.net import Kernel

__all__ = [
    "NLMSG_GOODSIZE",
    "NetlinkCallback",
    "Nlmsghdr",
    "__nlmsg_put",
    "nl_dump_check_consistent",
    "nlmsg",
    "nlmsg_align",
    "nlmsg_cancel",
    "nlmsg_end",
    "nlmsg_iter",
    "nlmsg_msg_size",
    "nlmsg_new",
    "nlmsg_put",
    "nlmsg_put_own",
    "nlmsg_total_size",
]

_HEADER = Struct("=IHHII")
_LENGTH = Struct("=I")
_FLAGS = Struct("=H")
NLMSG_GOODSIZE = 3776  # What fits a page with the skb's shared info behind it.


def nlmsg_align(length: int) -> int:
    """Return a length up to the next multiple of 4: where the next message or attribute starts.

    Examples
    --------
    >>> nlmsg_align(17)
    20
    """
    return length + 3 & ~3


def nlmsg_msg_size(payload: int) -> int:
    """Return the length of a message, header and all, without what aligns it."""
    return NLMSG_HDRLEN + payload


def nlmsg_total_size(payload: int) -> int:
    """Return how much room a message takes."""
    return nlmsg_align(nlmsg_msg_size(payload))


class Nlmsghdr:
    """A message that was received (Linux: ``struct nlmsghdr``).

    Members
    -------
    type, flags, seq, pid : int
        Of its header.
    octets : bytes
        All of it, header included.
    """

    __slots__ = ("flags", "octets", "pid", "seq", "type")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        _, self.type, self.flags, self.seq, self.pid = _HEADER.unpack_from(octets)

    @property
    def data(self) -> bytes:
        """What follows the header."""
        return self.octets[NLMSG_HDRLEN:]


def nlmsg_iter(octets: bytes) -> Iterator[Nlmsghdr]:
    """Yield the messages that a datagram holds, up to the first whose length cannot be."""
    at = 0
    while at + NLMSG_HDRLEN <= len(octets):
        (length,) = _LENGTH.unpack_from(octets, at)
        if not NLMSG_HDRLEN <= length <= len(octets) - at:
            return
        yield Nlmsghdr(octets[at : at + length])
        at += nlmsg_align(length)


def nlmsg(kind: int, flags: int, payload: bytes, seq: int = 0, pid: int = 0) -> bytes:
    """Return a message's octets: for programs that make requests.

    Examples
    --------
    >>> nlmsg(18, 0x301, bytes(1), 7).hex()
    '1100000012000103070000000000000000'
    """
    return _HEADER.pack(nlmsg_msg_size(len(payload)), kind, flags, seq, pid) + payload


def nlmsg_new(kernel: "Kernel", payload: int) -> SkBuff:
    """Return an skb with room for a message with so much payload.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    return __alloc_skb(kernel, nlmsg_total_size(payload))


def __nlmsg_put(skb: SkBuff, portid: int, seq: int, kind: int, length: int, flags: int) -> int:
    """Append a header with ``length`` zero octets behind it, and return where it starts."""
    return _put(skb, portid, seq, kind, length, flags)


def _put(skb: SkBuff, portid: int, seq: int, kind: int, length: int, flags: int) -> int:
    size = nlmsg_total_size(length)
    at = skb_put(skb, size)
    skb.view[at : at + size] = bytes(size)
    _HEADER.pack_into(skb.view, at, nlmsg_msg_size(length), kind, flags, seq & 0xFFFF_FFFF, portid)
    return at


def nlmsg_put(skb: SkBuff, portid: int, seq: int, kind: int, payload: bytes, flags: int = 0) -> int:
    """Append a header with what is fixed behind it, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE`` if there is no room.
    """
    if skb_tailroom(skb) < nlmsg_total_size(len(payload)):
        raise OSError(EMSGSIZE, "no room for one more message")
    at = __nlmsg_put(skb, portid, seq, kind, len(payload), flags)
    skb.view[at + NLMSG_HDRLEN : at + NLMSG_HDRLEN + len(payload)] = payload
    return at


def nlmsg_end(skb: SkBuff, at: int) -> None:
    """Set the length of the message that starts at ``at`` and is complete now."""
    _LENGTH.pack_into(skb.view, at, skb.tail - at)


def nlmsg_cancel(skb: SkBuff, at: int) -> None:
    """Take back the message that starts at ``at``."""
    skb_trim(skb, at - skb.data)


def nlmsg_put_own(skb: SkBuff, portid: int, seq: int, kind: int, payload: bytes, flags: int = 0) -> int:
    """As ``nlmsg_put``, for messages of netlink itself: there is room, and no call to be seen in a trace."""
    at = _put(skb, portid, seq, kind, len(payload), flags)
    skb.view[at + NLMSG_HDRLEN : at + NLMSG_HDRLEN + len(payload)] = payload
    return at


class NetlinkCallback:
    """A dump under way (Linux: ``struct netlink_callback``).

    Members
    -------
    nlh : Nlmsghdr
        The request.
    portid : int
        Who asks.
    dump : callable
        Takes an skb and this, appends messages, and returns how long they are in all; 0: that was all.
    last : object
        What the dump remembers of where it stopped: anything with an order.
    strict_check : bool
        The asker wants requests with anything unknown in them refused.
    seq, prev_seq : int
        Number of the present state, if the dump sets it, and of the state that the last message was made of.
    min_dump_alloc : int
        How much room the longest message takes, at least.
    args : object
        What the dump has found out from the request.
    family : int
        Whose turn it is, in a dump of all families.
    """

    __slots__ = (
        "args",
        "dump",
        "family",
        "last",
        "min_dump_alloc",
        "nlh",
        "portid",
        "prev_seq",
        "seq",
        "sk",
        "strict_check",
    )

    def __init__(self, sk: Any, nlh: Nlmsghdr, dump: Any, min_dump_alloc: int) -> None:
        self.sk = sk  # The kernel's socket.
        self.nlh = nlh
        self.dump = dump
        self.min_dump_alloc = min_dump_alloc
        self.portid = 0
        self.strict_check = False
        self.last: Any = None
        self.args: Any = None
        self.family = 0
        self.seq = self.prev_seq = 0


def nl_dump_check_consistent(cb: NetlinkCallback, skb: SkBuff, at: int) -> None:
    """Mark the message at ``at`` if what is dumped changed since the message before."""
    if cb.prev_seq and cb.seq != cb.prev_seq:
        (flags,) = _FLAGS.unpack_from(skb.view, at + 6)
        _FLAGS.pack_into(skb.view, at + 6, flags | NlmF.DUMP_INTR)
    cb.prev_seq = cb.seq

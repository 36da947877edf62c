"""Who receives ESP and AH (Linux: net/ipv4/xfrm4_protocol.c)."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from errno import EEXIST, EINVAL, ENOENT
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..xfrm.xfrm import IPPROTO_AH, IPPROTO_ESP
from .icmp import icmp_send
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_PORT_UNREACH
from .protocol import NetProtocol, inet_add_protocol

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["Xfrm4Protocol", "xfrm4_protocol_deregister", "xfrm4_protocol_register", "xfrm4_rcv_cb"]


@dataclass(frozen=True, slots=True, eq=False)
class Xfrm4Protocol:
    """One of those (Linux: ``struct xfrm4_protocol``).

    Members
    -------
    handler : callable
        Takes a packet whose data starts at the protocol's header; returns ``-EINVAL`` if it is not its.
    cb_handler : callable
        Learns that a packet was received; returns 0 if nobody else need know.
    err_handler : callable
        Takes an ICMP error as ``NetProtocol.err_handler``; returns 0 if it is about a packet of its.
    priority : int
        The lower, the earlier it is asked.
    """

    handler: "Callable[[SkBuff], int]"
    cb_handler: "Callable[[SkBuff], int]"
    err_handler: "Callable[[SkBuff, int], int]"
    priority: int = 0


def xfrm4_protocol_register(net: "Net", handler: Xfrm4Protocol, protocol: int) -> None:
    """Have one more receive a protocol.

    Raises
    ------
    OSError
        ``EEXIST`` if there is one of its priority; ``EINVAL`` for another protocol than ESP and AH.
    """
    receivers = {IPPROTO_ESP: xfrm4_esp_rcv, IPPROTO_AH: xfrm4_ah_rcv}
    if protocol not in receivers:
        raise OSError(EINVAL, f"protocol {protocol} is none of IPsec")
    chain = net.xfrm.protocols.setdefault(protocol, [])
    if any(other.priority == handler.priority for other in chain):
        raise OSError(EEXIST, f"there is a handler of priority {handler.priority}")
    if net.ipv4.inet_protos[protocol] is None:
        errors = {IPPROTO_ESP: xfrm4_esp_err, IPPROTO_AH: xfrm4_ah_err}
        inet_add_protocol(net, NetProtocol(receivers[protocol], errors[protocol], no_policy=True), protocol)
    insort(chain, handler, key=lambda entry: entry.priority)


def xfrm4_protocol_deregister(net: "Net", handler: Xfrm4Protocol, protocol: int) -> None:
    """End that.

    Raises
    ------
    OSError
        ``ENOENT`` if it was not there.
    """
    chain = net.xfrm.protocols.get(protocol, [])
    if handler not in chain:
        raise OSError(ENOENT, "not registered")
    chain.remove(handler)


def _handlers(skb: "SkBuff", protocol: int) -> list[Xfrm4Protocol]:
    assert skb.dev is not None
    return skb.dev.net.xfrm.protocols.get(protocol, [])


def _receive(skb: "SkBuff", protocol: int) -> int:
    for entry in _handlers(skb, protocol):
        result = entry.handler(skb)
        if result != -EINVAL:
            return result
    icmp_send(skb, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH)
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return 0


def xfrm4_esp_rcv(skb: "SkBuff") -> int:
    """Offer a packet of ESP to each; if it is nobody's, tell its sender."""
    return _receive(skb, IPPROTO_ESP)


def xfrm4_ah_rcv(skb: "SkBuff") -> int:
    """The same with AH."""
    return _receive(skb, IPPROTO_AH)


def _error(skb: "SkBuff", info: int, protocol: int) -> int:
    for entry in _handlers(skb, protocol):
        if not entry.err_handler(skb, info):
            return 0
    return -ENOENT


def xfrm4_esp_err(skb: "SkBuff", info: int) -> int:
    """Offer an ICMP error about a packet of ESP to each; return 0 if it was somebody's."""
    return _error(skb, info, IPPROTO_ESP)


def xfrm4_ah_err(skb: "SkBuff", info: int) -> int:
    """The same with AH."""
    return _error(skb, info, IPPROTO_AH)


def xfrm4_rcv_cb(skb: "SkBuff", protocol: int) -> int:
    """Tell each who wants to know that a packet was received; return 0, or what somebody said to it."""
    for entry in _handlers(skb, protocol):
        result = entry.cb_handler(skb)
        if result:
            return result
    return 0

"""Who receives packets of which protocol: handlers and taps (Linux: net/core/dev.c, include/linux/netdevice.h)."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gro import NapiGroCb
    from .net import Net
    from .netdevice import NetDevice
    from .skbuff import SkBuff

__all__ = ["ETH_P_ALL", "PTYPE_HASH_SIZE", "PacketType", "__dev_remove_pack", "dev_add_pack", "dev_remove_pack"]

ETH_P_ALL = 0x0003
PTYPE_HASH_SIZE = 16

PacketFunc = Callable[["SkBuff", "NetDevice", "PacketType", "NetDevice"], int]
ListFunc = Callable[[Sequence["SkBuff"], "PacketType", "NetDevice"], None]


class PacketType:
    """A protocol's handler, or a tap (Linux: ``struct packet_type``).

    Members
    -------
    type : int
        EtherType, or ``ETH_P_ALL``: each packet, sent ones too.
    func : callable
        Takes an skb, its device, this, and the device that it came in by. It gets a reference of its own and must not
        write what others share (``skb_share_check``).
    dev : NetDevice or None
        Only packets of this device.
    list_func : callable or None
        Takes several skbs of one device at once, this, and the device.
    gro_receive : callable or None
        Takes the packets that are held, and an skb whose data starts at the protocol's header, and joins it with one of
        them if it can; returns one that has to go on at once, if there is. (Linux has these in ``packet_offload``.)
    gro_complete : callable or None
        Takes an skb that others were joined with, and what was noted of it, and makes its headers right for all.
    ignore_outgoing : bool
        A tap that wants no sent packets.
    gso_segment : callable or None
        Takes an skb whose data starts at the protocol's header, and the features of the device that it is for; returns
        the packets that it stands for.
    gso_send_check : callable or None
        Takes such an skb, and raises ``OSError`` if it cannot be cut.
    af_packet_priv : object
        A tap's owner: it does not see what its own socket sends.
    """

    __slots__ = (
        "af_packet_priv",
        "dev",
        "func",
        "gro_complete",
        "gro_receive",
        "gso_segment",
        "gso_send_check",
        "ignore_outgoing",
        "list_func",
        "type",
    )

    def __init__(
        self,
        type: int,
        func: PacketFunc,
        dev: "NetDevice | None" = None,
        *,
        list_func: ListFunc | None = None,
        gso_segment: "Callable[[SkBuff, int], list[SkBuff]] | None" = None,
        gso_send_check: "Callable[[SkBuff], None] | None" = None,
        gro_receive: "Callable[[list[SkBuff], SkBuff], SkBuff | None] | None" = None,
        gro_complete: "Callable[[SkBuff, NapiGroCb], None] | None" = None,
        ignore_outgoing: bool = False,
        af_packet_priv: Any = None,
    ) -> None:
        self.type = type
        self.func = func
        self.dev = dev
        self.list_func = list_func
        self.gso_segment = gso_segment
        self.gro_receive = gro_receive
        self.gro_complete = gro_complete
        self.gso_send_check = gso_send_check
        self.ignore_outgoing = ignore_outgoing
        self.af_packet_priv = af_packet_priv

    def __repr__(self) -> str:
        return f"<PacketType {self.type:#06x} {self.dev}>"


def _ptype_head(net: "Net", pt: PacketType) -> tuple[PacketType, ...]:
    if pt.type == ETH_P_ALL:
        return net.ptype_all if pt.dev is None else pt.dev.ptype_all
    return net.ptype_base[pt.type & PTYPE_HASH_SIZE - 1] if pt.dev is None else pt.dev.ptype_specific


def _set_ptype_head(net: "Net", pt: PacketType, head: tuple[PacketType, ...]) -> None:
    # A new tuple: whoever goes through the old one, perhaps asleep in a handler, sees it to its end.
    if pt.type == ETH_P_ALL:
        (net if pt.dev is None else pt.dev).ptype_all = head
    elif pt.dev is None:
        net.ptype_base[pt.type & PTYPE_HASH_SIZE - 1] = head
    else:
        pt.dev.ptype_specific = head


def dev_add_pack(net: "Net", pt: PacketType) -> None:
    """Have a handler receive the packets of its protocol from now on, before those that were there."""
    _set_ptype_head(net, pt, (pt, *_ptype_head(net, pt)))


def __dev_remove_pack(net: "Net", pt: PacketType) -> None:
    """Take a handler away; of one that is not there, warn."""
    head = _ptype_head(net, pt)
    if pt not in head:
        warnings.warn(f"dev_remove_pack: {pt!r} not found", RuntimeWarning, stacklevel=3)
        return
    _set_ptype_head(net, pt, tuple(other for other in head if other is not pt))


def dev_remove_pack(net: "Net", pt: PacketType) -> None:
    """Take a handler away; none of its calls is under way when this returns (Linux: ``synchronize_net``).

    Handlers do not sleep here, so there is nothing to wait for. Of one that is not there, warn.
    """
    __dev_remove_pack(net, pt)

"""Options of packet sockets (Linux: net/packet/af_packet.c; packet(7)).

Rings in shared memory, fanout groups, virtio headers and what only matters to them are not there: ``ENOPROTOOPT``.
"""

from collections.abc import Callable
from errno import EINVAL, ENODEV, ENOPROTOOPT
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_addr_lists import dev_mc_add, dev_mc_del, dev_set_allmulti, dev_set_promiscuity, dev_uc_add, dev_uc_del
from ..uapi import (
    PACKET_ADD_MEMBERSHIP,
    PACKET_AUXDATA,
    PACKET_DROP_MEMBERSHIP,
    PACKET_IGNORE_OUTGOING,
    PACKET_MR_ALLMULTI,
    PACKET_MR_MULTICAST,
    PACKET_MR_PROMISC,
    PACKET_MR_UNICAST,
    PACKET_ORIGDEV,
    PACKET_QDISC_BYPASS,
    PACKET_STATISTICS,
    SOL_PACKET,
)
from .packet_sock import PacketMreq

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from .packet_sock import PacketSock

__all__ = ["packet_dev_mclist_delete", "packet_flush_mclist", "packet_getsockopt", "packet_setsockopt"]

_INT = Struct("=i")
_MREQ = Struct("=iHH8s")  # struct packet_mreq.
_STATS = Struct("=II")  # struct tpacket_stats.


def packet_setsockopt(sk: "PacketSock", level: int, optname: int, octets: bytes) -> int:
    """Set an option.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``; ``EINVAL`` for a wrong length or value; ``ENODEV``; what the device says to a membership.
    """
    if level != SOL_PACKET:
        raise OSError(ENOPROTOOPT, f"packet sockets have no options of level {level}")
    if optname in (PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP):
        mreq = _mreq(octets)
        if optname == PACKET_ADD_MEMBERSHIP:
            packet_mc_add(sk, mreq)
        else:
            packet_mc_drop(sk, mreq)
    elif optname == PACKET_AUXDATA:
        sk.auxdata = _int(octets) != 0
    elif optname == PACKET_ORIGDEV:
        sk.origdev = _int(octets) != 0
    elif optname == PACKET_QDISC_BYPASS:
        sk.qdisc_bypass = _int(octets, exactly=True) != 0
    elif optname == PACKET_IGNORE_OUTGOING:
        value = _int(octets, exactly=True)
        if value not in (0, 1):
            raise OSError(EINVAL, f"PACKET_IGNORE_OUTGOING is 0 or 1, not {value}")
        sk.prot_hook.ignore_outgoing = value == 1
    else:
        raise OSError(ENOPROTOOPT, f"packet sockets have no option {optname}")
    return 0


def _int(octets: bytes, *, exactly: bool = False) -> int:
    if len(octets) < _INT.size or (exactly and len(octets) > _INT.size):
        raise OSError(EINVAL, f"the option takes {_INT.size} octets, not {len(octets)}")
    value: int = _INT.unpack_from(octets)[0]
    return value


def _mreq(octets: bytes) -> PacketMreq:
    if len(octets) < _MREQ.size:
        raise OSError(EINVAL, f"a struct packet_mreq has {_MREQ.size} octets, not {len(octets)}")
    ifindex, kind, length, _ = _MREQ.unpack_from(octets)
    addr = octets[8 : 8 + length]
    if len(addr) < length:
        raise OSError(EINVAL, f"an address of {length} octets in a struct packet_mreq of {len(octets)}")
    return PacketMreq(ifindex, kind, addr)


def packet_getsockopt(sk: "PacketSock", level: int, optname: int) -> int | bytes:
    """Return an option; ``PACKET_STATISTICS`` starts to count anew.

    Raises
    ------
    OSError
        ``ENOPROTOOPT``.
    """
    if level != SOL_PACKET:
        raise OSError(ENOPROTOOPT, f"packet sockets have no options of level {level}")
    if optname == PACKET_STATISTICS:
        packets, drops = sk.tp_packets, sk.tp_drops
        sk.tp_packets = sk.tp_drops = 0
        return _STATS.pack(packets + drops & 0xFFFF_FFFF, drops & 0xFFFF_FFFF)
    values = {
        PACKET_AUXDATA: sk.auxdata,
        PACKET_ORIGDEV: sk.origdev,
        PACKET_QDISC_BYPASS: sk.qdisc_bypass,
        PACKET_IGNORE_OUTGOING: sk.prot_hook.ignore_outgoing,
    }
    if optname not in values:
        raise OSError(ENOPROTOOPT, f"packet sockets have no option {optname}")
    return int(values[optname])


_MEMBERSHIPS: "dict[int, tuple[Callable[[NetDevice, bytes], None], Callable[[NetDevice, bytes], None]]]" = {
    PACKET_MR_MULTICAST: (dev_mc_add, dev_mc_del),
    PACKET_MR_UNICAST: (dev_uc_add, dev_uc_del),
    PACKET_MR_PROMISC: (
        lambda dev, _: dev_set_promiscuity(dev, 1),
        lambda dev, _: dev_set_promiscuity(dev, -1),
    ),
    PACKET_MR_ALLMULTI: (lambda dev, _: dev_set_allmulti(dev, 1), lambda dev, _: dev_set_allmulti(dev, -1)),
}


def packet_dev_mc(dev: "NetDevice", mreq: PacketMreq, what: int) -> None:
    """Have a device receive what a socket wants (``what`` is 1), or no longer (-1); kinds that are unknown are nothing.

    Raises
    ------
    OSError
        ``EINVAL`` for the wrong length of an address; ``ENOENT`` for one that the device has not.
    """
    functions = _MEMBERSHIPS.get(mreq.type)
    if functions is not None:
        functions[what < 0](dev, mreq.addr)


def packet_mc_add(sk: "PacketSock", mreq: PacketMreq) -> None:
    """Have a device receive what a socket wants, until the socket wants it no longer as often, or is closed.

    Raises
    ------
    OSError
        ``ENODEV``; ``EINVAL`` for an address that is too long; as ``packet_dev_mc``.
    """
    with sk.kernel.rtnl:
        dev = sk.net.devices.get(mreq.ifindex)
        if dev is None:
            raise OSError(ENODEV, f"no device {mreq.ifindex}")
        if len(mreq.addr) > dev.addr_len:
            raise OSError(EINVAL, f"addresses of {dev.name} have {dev.addr_len} octets")
        if mreq not in sk.mclist:
            packet_dev_mc(dev, mreq, 1)
        sk.mclist[mreq] = sk.mclist.get(mreq, 0) + 1


def packet_mc_drop(sk: "PacketSock", mreq: PacketMreq) -> None:
    """End that, if it was so."""
    with sk.kernel.rtnl:
        count = sk.mclist.get(mreq, 0)
        if count > 1:
            sk.mclist[mreq] = count - 1
        elif count:
            _forget(sk, mreq)


def _forget(sk: "PacketSock", mreq: PacketMreq) -> None:
    del sk.mclist[mreq]
    dev = sk.net.devices.get(mreq.ifindex)
    if dev is not None:
        packet_dev_mc(dev, mreq, -1)


def packet_flush_mclist(sk: "PacketSock") -> None:
    """End all of it, when a socket is closed."""
    with sk.kernel.rtnl:
        for mreq in tuple(sk.mclist):
            _forget(sk, mreq)


def packet_dev_mclist_delete(sk: "PacketSock", dev: "NetDevice") -> None:
    """End it for one device, when that goes."""
    for mreq in tuple(sk.mclist):
        if mreq.ifindex == dev.ifindex:
            _forget(sk, mreq)

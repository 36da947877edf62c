"""Messages about neighbours (Linux: net/core/neighbour.c)."""

from collections.abc import Mapping
from errno import EAFNOSUPPORT, EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING, Any

from ..netlink.af_netlink_kernel import DumpFill, dump_items
from ..netlink.attr import NetlinkError, NlaPolicy, nla_put, nla_put_u8, nla_put_u32, nla_total_size, nlmsg_parse
from ..netlink.message import (
    NetlinkCallback,
    Nlmsghdr,
    nlmsg_align,
    nlmsg_cancel,
    nlmsg_end,
    nlmsg_new,
    nlmsg_put,
)
from ..netlink.neighbour import NDA_CACHEINFO, NDMSG, NTF_PROXY, NTF_ROUTER, NTF_USE, Nda
from ..netlink.rtnetlink import Rtm, Rtnlgrp
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from ..uapi import AF_INET, AF_UNSPEC
from .neighbour import NUD_FAILED, NUD_IN_TIMER, NUD_NAMES, NUD_NONE, NUD_VALID, Neighbour, neigh_event_send
from .neighbour_proxy import pneigh_delete, pneigh_lookup
from .neighbour_table import __neigh_create, neigh_lookup, neigh_remove_one
from .neighbour_update import NEIGH_UPDATE_F_ADMIN, NEIGH_UPDATE_F_OVERRIDE, __neigh_update
from .rtnetlink_rcv import netlink_strict_get_check, rtnl_broadcast, rtnl_register, rtnl_unicast
from .timer import HZ, jiffies

if TYPE_CHECKING:
    from .neighbour_table import NeighTable
    from .net import Kernel, Net
    from .netdevice import NetDevice
    from .skbuff import SkBuff

__all__ = [
    "__neigh_notify",
    "neigh_add",
    "neigh_delete",
    "neigh_dump_info",
    "neigh_fill_info",
    "neigh_get",
    "neigh_init",
]

_RTN_UNICAST = 1

NDA_POLICY: Mapping[int, NlaPolicy] = {
    Nda.DST: NlaPolicy("binary", 32),
    Nda.LLADDR: NlaPolicy("binary", 32),
    Nda.CACHEINFO: NlaPolicy("unspec", NDA_CACHEINFO.size),
    Nda.PROBES: NlaPolicy("u32"),
    Nda.VLAN: NlaPolicy("u16"),
    Nda.PORT: NlaPolicy("u16"),
    Nda.VNI: NlaPolicy("u32"),
    Nda.IFINDEX: NlaPolicy("u32"),
    Nda.MASTER: NlaPolicy("u32"),
    Nda.PROTOCOL: NlaPolicy("u8"),
    Nda.NH_ID: NlaPolicy("u32"),
    Nda.FDB_EXT_ATTRS: NlaPolicy("nested"),
    Nda.FLAGS_EXT: NlaPolicy("u32", max=3),
}


def neigh_nlmsg_size() -> int:
    """Return the most room that a message about a neighbour takes, without its header."""
    size = nlmsg_align(NDMSG.size) + 2 * nla_total_size(32) + nla_total_size(NDA_CACHEINFO.size)
    return size + 2 * nla_total_size(4) + nla_total_size(1)


def neigh_fill_info(skb: "SkBuff", neigh: Neighbour, portid: int, seq: int, kind: int, flags: int) -> int:
    """Append a message about a neighbour, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    header = NDMSG.pack(AF_INET, neigh.dev.ifindex, neigh.nud_state, neigh.flags, neigh.type)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        nla_put(skb, Nda.DST, neigh.primary_key.to_bytes(4, "big"))
        if neigh.nud_state & NUD_VALID:
            nla_put(skb, Nda.LLADDR, neigh.ha)
        now = jiffies(neigh.kernel)
        ago = ((now - stamp) * 100 // HZ & 0xFFFF_FFFF for stamp in (neigh.confirmed, neigh.used, neigh.updated))
        # A timer that runs is a user of the entry.
        users = int(neigh.nud_state & NUD_IN_TIMER != 0)
        nla_put_u32(skb, Nda.PROBES, neigh.probes)
        nla_put(skb, Nda.CACHEINFO, NDA_CACHEINFO.pack(*ago, users))
        if neigh.protocol:
            nla_put_u8(skb, Nda.PROTOCOL, neigh.protocol)
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def _fill_proxy(skb: "SkBuff", key: int, dev: "NetDevice", portid: int, seq: int, kind: int, flags: int) -> int:
    """Append a message about an address that a device speaks for (Linux: ``pneigh_fill_info``)."""
    header = NDMSG.pack(AF_INET, dev.ifindex, NUD_NONE, NTF_PROXY, _RTN_UNICAST)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        nla_put(skb, Nda.DST, key.to_bytes(4, "big"))
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def __neigh_notify(neigh: Neighbour, kind: int, portid: int = 0) -> None:
    """Notify of a neighbour that changed, or goes."""
    rtnl_broadcast(
        neigh.dev.net,
        Rtnlgrp.NEIGH,
        neigh_nlmsg_size(),
        lambda skb: neigh_fill_info(skb, neigh, 0, 0, kind, 0),
        portid,
    )


def _net(skb: "SkBuff") -> "Net":
    assert skb.sk is not None
    return skb.sk.net


class _Request:
    """What a message says of a neighbour."""

    def __init__(self, net: "Net", nlh: Nlmsghdr) -> None:
        self.tb = tb = nlmsg_parse(nlh, NDMSG.size, NDA_POLICY, max(Nda))
        if Nda.DST not in tb:
            raise NetlinkError(EINVAL, "Network address not specified")
        family, index, self.state, self.flags, _ = NDMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
        self.dev = net.devices.get(index) if index else None
        if index and self.dev is None:
            raise OSError(ENODEV, "no such device")
        if family != AF_INET:
            raise OSError(EAFNOSUPPORT, f"no neighbours of family {family}")
        self.tbl = net.ipv4.arp_tbl
        if len(tb[Nda.DST].data) < 4:
            raise NetlinkError(EINVAL, "Invalid network address", tb[Nda.DST])
        self.key = tb[Nda.DST].be32


def neigh_add(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_NEWNEIGH``: make a neighbour or change it, or let a device speak for an address.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EAFNOSUPPORT``, ``ENOENT``, ``EEXIST``, ``ENOBUFS``, ``EPERM``.
    """
    ask = _Request(_net(skb), nlh)
    tb, dev = ask.tb, ask.dev
    if dev is not None and Nda.LLADDR in tb and len(tb[Nda.LLADDR].data) < dev.addr_len:
        raise NetlinkError(EINVAL, "Invalid link address", tb[Nda.LLADDR])
    protocol = tb[Nda.PROTOCOL].u8 if Nda.PROTOCOL in tb else 0
    if ask.flags & NTF_PROXY:
        if dev is None:
            raise OSError(EOPNOTSUPP, "a device speaks for an address")
        pneigh_lookup(ask.tbl, ask.key, dev, creat=True)
        return
    if dev is None:
        raise NetlinkError(EINVAL, "Device not specified")
    state = ask.state & 0xFF  # All that Linux keeps of it.
    if state not in NUD_NAMES:
        raise OSError(
            EINVAL, f"a neighbour is in one state, not in those of {state:#x}"
        )  # Linux lets it be in several.
    lladdr = tb[Nda.LLADDR].data[: dev.addr_len] if Nda.LLADDR in tb else None
    neigh = neigh_lookup(ask.tbl, ask.key, dev)
    flags = NEIGH_UPDATE_F_ADMIN | NEIGH_UPDATE_F_OVERRIDE
    if neigh is None:
        if not nlh.flags & NlmF.CREATE:
            raise OSError(ENOENT, "there is no such neighbour")
        if dev.ip_ptr is None:
            raise OSError(EINVAL, f"{dev.name} has no neighbours")
        neigh = __neigh_create(ask.tbl, ask.key, dev)
    else:
        if nlh.flags & NlmF.EXCL:
            raise OSError(EEXIST, "there is such a neighbour")
        if not nlh.flags & NlmF.REPLACE:
            flags &= ~NEIGH_UPDATE_F_OVERRIDE
    neigh.protocol = protocol or neigh.protocol
    if ask.flags & NTF_ROUTER:
        neigh.flags |= NTF_ROUTER
    if ask.flags & NTF_USE:
        neigh_event_send(neigh, None)
        return
    error = __neigh_update(neigh, lladdr, state, flags, skb.cb.portid)
    if error:
        raise OSError(-error, "the neighbour cannot be set so")


def neigh_delete(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_DELNEIGH``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EAFNOSUPPORT``, ``ENOENT``, ``EPERM``.
    """
    ask = _Request(_net(skb), nlh)
    if ask.flags & NTF_PROXY:
        if ask.dev is None or not pneigh_delete(ask.tbl, ask.key, ask.dev):
            raise OSError(ENOENT, "no device speaks for the address")
        return
    if ask.dev is None:
        raise OSError(EINVAL, "a neighbour has a device")
    neigh = neigh_lookup(ask.tbl, ask.key, ask.dev)
    if neigh is None:
        raise OSError(ENOENT, "there is no such neighbour")
    # Fails first, so that senders of what waits are told.
    error = __neigh_update(neigh, None, NUD_FAILED, NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_ADMIN, skb.cb.portid)
    if error:
        raise OSError(-error, "the neighbour cannot be deleted")
    if not neigh.dead:
        neigh_remove_one(neigh)


def neigh_get(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_GETNEIGH`` for one neighbour, or one address that a device speaks for.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EAFNOSUPPORT``, ``ENOENT``.
    """
    net = _net(skb)
    strict = netlink_strict_get_check(skb)
    tb = nlmsg_parse(nlh, NDMSG.size, NDA_POLICY, max(Nda), strict=strict)
    family, index, state, flags, kind = NDMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    if state or kind:
        raise NetlinkError(EINVAL, "Invalid values in header for neighbor get request")
    if flags & ~NTF_PROXY:
        raise NetlinkError(EINVAL, "Invalid flags in header for neighbor get request")
    for number, attr in tb.items():
        if number != Nda.DST and strict:
            raise NetlinkError(EINVAL, "Unsupported attribute in neighbor get request", attr)
    if family != AF_INET:
        raise OSError(EAFNOSUPPORT, f"no neighbours of family {family}")
    if Nda.DST not in tb:
        raise NetlinkError(EINVAL, "Network address not specified")
    if len(tb[Nda.DST].data) != 4:
        raise NetlinkError(EINVAL, "Invalid network address in neighbor get request", tb[Nda.DST])
    dev = net.devices.get(index) if index else None
    if index and dev is None:
        raise OSError(ENODEV, "Unknown device ifindex")
    key, tbl = tb[Nda.DST].be32, net.ipv4.arp_tbl
    answer = None
    if flags & NTF_PROXY:
        if dev is None or not pneigh_lookup(tbl, key, dev):
            raise OSError(ENOENT, "Proxy neighbour entry not found")
        answer = nlmsg_new(net.kernel, neigh_nlmsg_size())
        _fill_proxy(answer, key, dev, skb.cb.portid, nlh.seq, Rtm.NEWNEIGH, 0)
    else:
        if dev is None:
            raise NetlinkError(EINVAL, "No device specified")
        neigh = neigh_lookup(tbl, key, dev)
        if neigh is None:
            raise OSError(ENOENT, "Neighbour entry not found")
        answer = nlmsg_new(net.kernel, neigh_nlmsg_size())
        neigh_fill_info(answer, neigh, skb.cb.portid, nlh.seq, Rtm.NEWNEIGH, 0)
    rtnl_unicast(answer, net, skb.cb.portid)


class _NeighFilter:
    """Which neighbours a dump shall have (Linux: ``struct neigh_dump_filter``)."""

    def __init__(self, cb: NetlinkCallback) -> None:
        nlh = cb.nlh
        self.proxy = self.dev_idx = self.master_idx = 0
        if len(nlh.data) >= NDMSG.size:
            _, index, state, flags, kind = NDMSG.unpack_from(nlh.data)
            self.proxy = int(flags == NTF_PROXY)
            if cb.strict_check and (index or state or kind):
                raise NetlinkError(EINVAL, "Invalid values in header for neighbor dump request")
            if cb.strict_check and flags & ~NTF_PROXY:
                raise NetlinkError(EINVAL, "Invalid flags in header for neighbor dump request")
            tb = nlmsg_parse(nlh, NDMSG.size, NDA_POLICY, max(Nda), strict=cb.strict_check)
        elif cb.strict_check:
            raise NetlinkError(EINVAL, "Invalid header for neighbor dump request")
        else:
            tb = {}
        for number, attr in tb.items():
            if number == Nda.IFINDEX:
                self.dev_idx = attr.u32
            elif number == Nda.MASTER:
                self.master_idx = attr.u32
            elif cb.strict_check:
                raise NetlinkError(EINVAL, "Unsupported attribute in neighbor dump request", attr)
        self.flags = NlmF.MULTI | (NlmF.DUMP_FILTERED if self.dev_idx or self.master_idx else 0)

    def wants(self, dev: "NetDevice") -> bool:
        """Return whether the neighbours of a device are among them."""
        if self.dev_idx and dev.ifindex != self.dev_idx:
            return False
        return not self.master_idx or (dev.master is not None and dev.master.ifindex == self.master_idx)


def neigh_dump_info(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump all neighbours, or the addresses that devices speak for.

    Raises
    ------
    OSError
        ``EINVAL``.
    """
    if cb.args is None:
        cb.args = _NeighFilter(cb)
    chosen: _NeighFilter = cb.args
    if cb.nlh.data[0] not in (AF_UNSPEC, AF_INET):
        return 0
    tbl: NeighTable = cb.sk.net.ipv4.arp_tbl

    def fill(neigh: Neighbour) -> DumpFill:
        return lambda skb, cb: neigh_fill_info(skb, neigh, cb.portid, cb.nlh.seq, Rtm.NEWNEIGH, chosen.flags)

    def fill_proxy(key: int, dev: "NetDevice") -> DumpFill:
        return lambda skb, cb: _fill_proxy(skb, key, dev, cb.portid, cb.nlh.seq, Rtm.NEWNEIGH, chosen.flags)

    items: list[tuple[Any, DumpFill]]
    if chosen.proxy:
        items = [((dev.ifindex, key), fill_proxy(key, dev)) for key, dev in tbl.phash if chosen.wants(dev)]
    else:
        items = [((n.dev.ifindex, n.primary_key), fill(n)) for n in tbl.nht.values() if chosen.wants(n.dev)]
    items.sort(key=lambda item: item[0])
    return dump_items(skb, cb, items)


def neigh_init(kernel: "Kernel") -> None:
    """Have messages about neighbours handled."""
    rtnl_register(kernel, AF_UNSPEC, Rtm.NEWNEIGH, neigh_add)
    rtnl_register(kernel, AF_UNSPEC, Rtm.DELNEIGH, neigh_delete)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETNEIGH, neigh_get, neigh_dump_info)

"""Messages about qdiscs, classes and filters (Linux: net/sched/sch_api.c, cls_api.c; rtnetlink(7))."""

from collections.abc import Callable, Mapping
from errno import EINVAL, ENODEV, ENOENT
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.rtnetlink_rcv import rtnl_broadcast, rtnl_register, rtnl_unicast
from ..netlink.af_netlink_kernel import dump_items
from ..netlink.attr import (
    NetlinkError,
    NlaPolicy,
    Nlattr,
    nla_nest_end,
    nla_nest_start,
    nla_put,
    nla_put_string,
    nla_put_u8,
    nlmsg_parse,
)
from ..netlink.message import NLMSG_GOODSIZE, NetlinkCallback, Nlmsghdr, nlmsg_cancel, nlmsg_end, nlmsg_new, nlmsg_put
from ..netlink.rtnetlink import TCMSG, Rtm, Rtnlgrp, Tca
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from ..uapi import AF_UNSPEC
from .cls_filter import KINDS, tc_del_tfilter, tc_dump_tfilter, tc_new_tfilter
from .pkt_sched import TC_H_MAJ
from .sch_api import QDISCS, gnet_stats, qdisc_dump, tc_get_qdisc, tc_modify_qdisc
from .tc_options import decode_options, encode_options

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from .cls_api import TcfProto
    from .qdisc import Qdisc

__all__ = ["qdisc_notify", "tc_init"]

_BASIC = Struct("=QIxxxx")  # Octets and packets.
_QUEUE = Struct("=5I")  # Packets and octets held, dropped, put back, overlimits.
_STATS = Struct("=Q7Ixxxx")  # The same, as it was before.
_STATS_BASIC, _STATS_QUEUE = 1, 3  # TCA_STATS_*

_POLICY: Mapping[int, NlaPolicy] = {
    Tca.KIND: NlaPolicy("string", 15),
    Tca.RATE: NlaPolicy("binary", 8),
    Tca.STAB: NlaPolicy("nested"),
    Tca.DUMP_INVISIBLE: NlaPolicy("flag"),
    Tca.CHAIN: NlaPolicy("u32"),
    Tca.INGRESS_BLOCK: NlaPolicy("u32"),
    Tca.EGRESS_BLOCK: NlaPolicy("u32"),
}


def _net(skb: "SkBuff") -> "Net":
    assert skb.sk is not None
    return skb.sk.net


class _Request:
    """What a message says."""

    def __init__(self, net: "Net", nlh: Nlmsghdr) -> None:
        self.tb: dict[int, Nlattr] = nlmsg_parse(nlh, TCMSG.size, _POLICY, max(Tca))
        _, index, self.handle, self.parent, self.info = TCMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
        dev = net.devices.get(index)
        if dev is None:
            raise OSError(ENODEV, "no such device")
        self.dev = dev
        self.kind = self.tb[Tca.KIND].text if Tca.KIND in self.tb else None


def _put_stats(skb: "SkBuff", stats: Mapping[str, int]) -> None:
    """Append statistics, as they are now and as they were (Linux: ``gnet_stats_start_copy_compat``)."""
    octets, packets = stats.get("bytes", 0), stats.get("packets", 0) & 0xFFFF_FFFF
    qlen, backlog = stats.get("qlen", 0), stats.get("backlog", 0)
    drops, requeues, overlimits = (stats.get(name, 0) for name in ("drops", "requeues", "overlimits"))
    nest = nla_nest_start(skb, Tca.STATS2)
    nla_put(skb, _STATS_BASIC, _BASIC.pack(octets, packets))
    nla_put(skb, _STATS_QUEUE, _QUEUE.pack(qlen, backlog, drops, requeues, overlimits))
    nla_nest_end(skb, nest)
    nla_put(skb, Tca.STATS, _STATS.pack(octets, packets, drops, overlimits, 0, 0, qlen, backlog))


def tc_fill_qdisc(skb: "SkBuff", sch: "Qdisc", portid: int, seq: int, kind: int, flags: int) -> int:
    """Append a message about a qdisc, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    header = TCMSG.pack(AF_UNSPEC, sch.dev_queue.dev.ifindex, sch.handle, sch.parent, sch.refcnt)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        nla_put_string(skb, Tca.KIND, sch.ops.id)
        # Tables of a distribution are set, and never told.
        told = {name: value for name, value in sch.ops.dump(sch).items() if not name.endswith("_dist")}
        options = encode_options(sch.ops.qopt, sch.ops.policy, told)
        if options:
            nla_put(skb, Tca.OPTIONS, options)
        nla_put_u8(skb, Tca.HW_OFFLOAD, 0)
        _put_stats(skb, gnet_stats(sch))
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def qdisc_notify(sch: "Qdisc", kind: int, portid: int = 0, nlh: Nlmsghdr | None = None) -> None:
    """Notify of a qdisc that came, changed or goes."""
    rtnl_broadcast(
        sch.dev_queue.dev.net,
        Rtnlgrp.TC,
        NLMSG_GOODSIZE,
        lambda skb: tc_fill_qdisc(skb, sch, portid, nlh.seq if nlh is not None else 0, kind, 0),
        portid,
        nlh,
    )


def _new_qdisc(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_NEWQDISC``."""
    ask = _Request(_net(skb), nlh)
    options = None
    if Tca.OPTIONS in ask.tb:
        kind = ask.kind
        if kind is None:
            raise NetlinkError(EINVAL, "options need a kind")
        ops = QDISCS.get(kind)
        if ops is None:
            raise NetlinkError(ENOENT, "Specified qdisc kind is unknown")
        options = decode_options(ops.qopt, ops.policy, ask.tb[Tca.OPTIONS].data)
    sch = tc_modify_qdisc(ask.dev, nlh.flags, ask.kind, ask.parent, ask.handle, options)
    qdisc_notify(sch, Rtm.NEWQDISC, skb.cb.portid, nlh)


def _del_qdisc(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_DELQDISC``."""
    ask = _Request(_net(skb), nlh)
    sch = tc_get_qdisc(ask.dev, ask.kind, ask.parent, ask.handle, delete=True)
    qdisc_notify(sch, Rtm.DELQDISC, skb.cb.portid, nlh)


def _get_qdisc(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_GETQDISC`` for one."""
    ask = _Request(_net(skb), nlh)
    sch = tc_get_qdisc(ask.dev, ask.kind, ask.parent, ask.handle)
    answer = nlmsg_new(ask.dev.kernel, NLMSG_GOODSIZE)
    tc_fill_qdisc(answer, sch, skb.cb.portid, nlh.seq, Rtm.NEWQDISC, 0)
    rtnl_unicast(answer, ask.dev.net, skb.cb.portid)


def tc_dump_qdisc(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump all qdiscs."""
    tb = nlmsg_parse(cb.nlh, TCMSG.size, _POLICY, max(Tca))
    items: list[tuple[Any, Callable[[SkBuff, NetlinkCallback], int]]] = []
    for index, dev in sorted(cb.sk.net.devices.items()):
        for number, sch in enumerate(qdisc_dump(dev, invisible=Tca.DUMP_INVISIBLE in tb)):
            items.append(((index, number), partial(_fill_dumped_qdisc, sch=sch)))
    return dump_items(skb, cb, items)


def _fill_dumped_qdisc(skb: "SkBuff", cb: NetlinkCallback, sch: "Qdisc") -> int:
    return tc_fill_qdisc(skb, sch, cb.portid, cb.nlh.seq, Rtm.NEWQDISC, NlmF.MULTI)


def tc_dump_tclass(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump the classes of a device's qdiscs."""
    nlmsg_parse(cb.nlh, TCMSG.size, _POLICY, max(Tca))
    _, index, _, parent, _ = TCMSG.unpack_from(cb.nlh.octets, NLMSG_HDRLEN)
    dev = cb.sk.net.devices.get(index)
    if dev is None:
        return 0
    items: list[tuple[Any, Callable[[SkBuff, NetlinkCallback], int]]] = []
    for number, sch in enumerate(qdisc_dump(dev)):
        if sch.ops.cl_ops is None or (parent and TC_H_MAJ(parent) != sch.handle):
            continue
        items += (((number, cl), partial(_fill_class, sch=sch, cl=cl)) for cl in sch.ops.cl_ops.walk(sch))
    return dump_items(skb, cb, items)


def _fill_class(skb: "SkBuff", cb: NetlinkCallback, sch: "Qdisc", cl: int) -> int:
    ops = sch.ops.cl_ops
    assert ops is not None
    leaf = ops.leaf(sch, cl)
    header = TCMSG.pack(
        AF_UNSPEC,
        sch.dev_queue.dev.ifindex,
        sch.handle | cl & 0xFFFF,
        sch.parent if sch.ops.id == "mq" else sch.handle,
        leaf.handle if leaf is not None else 0,
    )
    at = nlmsg_put(skb, cb.portid, cb.nlh.seq, Rtm.NEWTCLASS, header, NlmF.MULTI)
    try:
        nla_put_string(skb, Tca.KIND, sch.ops.id)
        stats = ops.dump_stats(sch, cl) if ops.dump_stats is not None else {}
        _put_stats(skb, stats if leaf is None else gnet_stats(leaf))
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


_Dumped = tuple[int, dict[str, Any]]  # A filter's handle and options; those of all of a preference are (0, {}).


def _fill_filter(
    skb: "SkBuff", tp: "TcfProto", dumped: _Dumped, parent: int, portid: int, seq: int, kind: int, flags: int
) -> int:
    """Append a message about a filter, or about all of a preference, and return where it starts."""
    handle, options = dumped
    info = tp.prio << 16 | _swapped(tp.protocol)
    header = TCMSG.pack(AF_UNSPEC, tp.block.sch.dev_queue.dev.ifindex, handle, parent, info)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        nla_put_string(skb, Tca.KIND, tp.ops.kind)
        nla_put(skb, Tca.CHAIN, bytes(4))
        octets = encode_options(None, tp.ops.policy, options)
        if octets:
            nla_put(skb, Tca.OPTIONS, octets)
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def _swapped(protocol: int) -> int:
    """Return an EtherType as it is in ``tcm_info``: in network order."""
    return (protocol & 0xFF) << 8 | protocol >> 8


def _new_filter(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_NEWTFILTER``."""
    ask = _Request(_net(skb), nlh)
    options = None
    if Tca.OPTIONS in ask.tb:
        ops = KINDS.get(ask.kind or "")
        if ops is None:
            raise NetlinkError(ENOENT, "TC classifier not found")
        options = decode_options(None, ops.policy, ask.tb[Tca.OPTIONS].data)
    protocol, prio = _swapped(ask.info & 0xFFFF), ask.info >> 16
    tp, found = tc_new_tfilter(ask.dev, nlh.flags, ask.kind, ask.parent, protocol, prio, ask.handle, options)
    dumped = tp.ops.dump(tp, found)
    parent, portid = ask.parent or tp.block.sch.handle, skb.cb.portid
    rtnl_broadcast(
        ask.dev.net,
        Rtnlgrp.TC,
        NLMSG_GOODSIZE,
        lambda skb: _fill_filter(skb, tp, dumped, parent, portid, nlh.seq, Rtm.NEWTFILTER, 0),
        portid,
        nlh,
    )


def _del_filter(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_DELTFILTER``: one filter, those of a preference, or all."""
    ask = _Request(_net(skb), nlh)
    tc_del_tfilter(ask.dev, ask.kind, ask.parent, _swapped(ask.info & 0xFFFF), ask.info >> 16, ask.handle)


def _filters(dev: "NetDevice", parent: int) -> "list[tuple[TcfProto, _Dumped]]":
    """Return a qdisc's filters; each preference comes first by itself, as in the kernel's dumps."""
    found: list[tuple[TcfProto, _Dumped]] = []
    seen: set[int] = set()
    for tp, handle, options in tc_dump_tfilter(dev, parent):
        if id(tp) not in seen:
            seen.add(id(tp))
            found.append((tp, (0, {})))
        found.append((tp, (handle, options)))
    return found


def tc_dump_tfilter_msgs(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump the filters of a qdisc or class, or of the root."""
    nlmsg_parse(cb.nlh, TCMSG.size, _POLICY, max(Tca))
    _, index, _, parent, _ = TCMSG.unpack_from(cb.nlh.octets, NLMSG_HDRLEN)
    dev = cb.sk.net.devices.get(index)
    if dev is None:
        return 0
    try:
        filters = _filters(dev, parent)
    except OSError:
        return 0  # A qdisc without filters.
    items: list[tuple[Any, Callable[[SkBuff, NetlinkCallback], int]]] = [
        (number, partial(_fill_dumped_filter, tp=tp, dumped=dumped, parent=parent))
        for number, (tp, dumped) in enumerate(filters)
    ]
    return dump_items(skb, cb, items)


def _fill_dumped_filter(skb: "SkBuff", cb: NetlinkCallback, tp: "TcfProto", dumped: _Dumped, parent: int) -> int:
    parent = parent or tp.block.sch.handle
    return _fill_filter(skb, tp, dumped, parent, cb.portid, cb.nlh.seq, Rtm.NEWTFILTER, NlmF.MULTI)


def tc_init(kernel: "Kernel") -> None:
    """Have messages about traffic control handled."""
    rtnl_register(kernel, AF_UNSPEC, Rtm.NEWQDISC, _new_qdisc, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.DELQDISC, _del_qdisc, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETQDISC, _get_qdisc, tc_dump_qdisc, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETTCLASS, dumpit=tc_dump_tclass)
    rtnl_register(kernel, AF_UNSPEC, Rtm.NEWTFILTER, _new_filter, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.DELTFILTER, _del_filter, locked=False)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETTFILTER, dumpit=tc_dump_tfilter_msgs)

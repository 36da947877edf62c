"""Asking which way a packet would take: ``ip route get`` (Linux: net/ipv4/route.c)."""

from copy import copy
from errno import EINVAL, ENODEV, EOPNOTSUPP, EXDEV
from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.rtnetlink_rcv import netlink_strict_get_check, rtnl_register, rtnl_unicast
from ..core.skbuff import alloc_skb, consume_skb, skb_put_data
from ..core.timer import HZ, jiffies
from ..ethernet.eth import ETH_P_IP
from ..netlink.attr import NetlinkError, Nlattr, nla_put, nla_put_u32, nlmsg_parse
from ..netlink.message import NLMSG_GOODSIZE, Nlmsghdr, nlmsg_cancel, nlmsg_end, nlmsg_new, nlmsg_put
from ..netlink.rtnetlink import (
    RTA_CACHEINFO,
    RTM_F_CLONED,
    RTM_F_FIB_MATCH,
    RTM_F_LOOKUP_TABLE,
    RTM_F_NOTIFY,
    RTMSG,
    Rta,
    Rtax,
    Rtm,
)
from ..netlink.uapi import NLMSG_HDRLEN
from ..uapi import AF_INET, IPPROTO_UDP
from .fib_netlink import RTM_IPV4_POLICY
from .fib_rtmsg import fib_dump_info, rtnetlink_put_metrics
from .fib_trie import fib_lookup
from .flow import Flowi4
from .ip_options import IpOptions
from .route import IPTOS_RT_MASK, RTable, ip_route_output_key_hash
from .route_cache import RTCF_DOREDIRECT
from .route_input import ip_route_input_noref
from .rtnetlink import RtProtocol, RtScope, RtTable, RtType

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from ..core.skbuff import SkBuff

__all__ = ["inet_rtm_getroute", "ip_rt_init"]

_RTCF = 0xFFFF0000  # Flags of a route that programs see.
_IPHDR = Struct("!BBHHHBBHII")
_PORTS = Struct("!4H")
_IP_PROTOS = (1, 6, 17, 58)


def _address(tb: dict[int, Nlattr], kind: int) -> int:
    return tb[kind].be32 if kind in tb else 0


def _parse(skb: "SkBuff", nlh: Nlmsghdr) -> tuple[int, int, dict[int, Nlattr]]:
    """Return TOS, flags and attributes of a request (Linux: ``inet_rtm_valid_getroute_req``)."""
    strict = netlink_strict_get_check(skb)
    tb = nlmsg_parse(nlh, RTMSG.size, RTM_IPV4_POLICY, max(Rta), strict=strict)
    _, dst_len, src_len, tos, table, protocol, scope, kind, flags = RTMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    if strict:
        if dst_len not in (0, 32) or src_len not in (0, 32) or table or protocol or scope or kind:
            raise NetlinkError(EINVAL, "ipv4: Invalid values in header for route get request")
        if flags & ~(RTM_F_NOTIFY | RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH):
            raise NetlinkError(EINVAL, "ipv4: Unsupported rtm_flags for route get request")
        if (Rta.DST in tb and not dst_len) or (Rta.SRC in tb and not src_len):
            raise NetlinkError(EINVAL, "ipv4: rtm_src_len and rtm_dst_len must be 32 for IPv4")
        known = {Rta.IIF, Rta.OIF, Rta.SRC, Rta.DST, Rta.IP_PROTO, Rta.SPORT, Rta.DPORT, Rta.MARK, Rta.UID}
        for number, attr in tb.items():
            if number not in known:
                raise NetlinkError(EINVAL, "ipv4: Unsupported attribute in route get request", attr)
    if Rta.IP_PROTO in tb and tb[Rta.IP_PROTO].u8 not in _IP_PROTOS:
        raise NetlinkError(EOPNOTSUPP, "Unsupported ip proto", tb[Rta.IP_PROTO])
    return tos, flags, tb


def _input_route(net: "Net", iif: int, fl4: Flowi4) -> tuple[RTable, int]:
    """Return the route of a packet that a device would receive; and flags, as its sender may be told a shorter way.

    Raises
    ------
    OSError
        ``ENODEV``; ``EINVAL``, ``EXDEV`` for addresses that it would not take; what the route says.
    """
    dev = net.devices.get(iif)
    if dev is None:
        raise OSError(ENODEV, "no such device")
    probe = alloc_skb(net.kernel, 64)
    probe.mac_header = probe.network_header = skb_put_data(
        probe,
        _IPHDR.pack(0x45, fl4.tos, 28, 0, 0, 64, fl4.proto, 0, fl4.saddr, fl4.daddr)
        + _PORTS.pack(fl4.sport, fl4.dport, 8, 0),
    )
    probe.protocol = ETH_P_IP
    probe.dev = dev
    probe.mark = fl4.mark
    try:
        reason = ip_route_input_noref(probe, fl4.daddr, fl4.saddr, fl4.tos, dev)
        rt = probe.dst
        redirect = isinstance(probe.cb, IpOptions) and probe.cb.do_redirect
    finally:
        consume_skb(probe)
    if reason is not None:
        raise OSError(EXDEV if reason == SkbDropReason.IP_RPFILTER else EINVAL, "the device would not take it")
    assert isinstance(rt, RTable)
    if rt.error:
        raise OSError(rt.error, "no route for what the device would receive")
    return rt, RTCF_DOREDIRECT if redirect else 0


def rt_fill_info(
    net: "Net",
    skb: "SkBuff",
    rt: RTable,
    fl4: Flowi4 | None,
    asked: tuple[int, int],
    table: int,
    metrics: "dict[int, int | str]",
    head: tuple[int, int, int],
    flags: int = 0,
    *,
    users: int = 1,
) -> int:
    """Append a message about a route in use, and return where it starts.

    Parameters
    ----------
    net, skb, rt : Net, SkBuff, RTable
        The namespace, where to, and the route.
    fl4 : Flowi4 or None
        The flow that it is for, with the source that was chosen.
    asked : tuple[int, int]
        Destination, and source or 0.
    table, metrics : int, dict[int, int | str]
        Of the tables' route that it was made from.
    head : tuple[int, int, int]
        Of the message: for whom, number, ``NlmF``.
    flags : int
        ``RTCF_*`` and ``RTM_F_*`` besides its own.
    users : int
        How many keep it.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    dst, src = asked
    portid, seq, nlflags = head
    header = RTMSG.pack(
        *(AF_INET, 32, 32 if src else 0, fl4.tos if fl4 is not None else 0),
        *(table if table < 256 else RtTable.COMPAT, RtProtocol.UNSPEC, RtScope.UNIVERSE, rt.type),
        rt.flags & _RTCF | RTM_F_CLONED | flags,
    )
    at = nlmsg_put(skb, portid, seq, Rtm.NEWROUTE, header, nlflags)
    try:
        nla_put_u32(skb, Rta.TABLE, table)
        nla_put(skb, Rta.DST, dst.to_bytes(4, "big"))
        if src:
            nla_put(skb, Rta.SRC, src.to_bytes(4, "big"))
        nla_put_u32(skb, Rta.OIF, rt.dev.ifindex)
        if fl4 is not None and not rt.is_input and fl4.saddr != src:
            nla_put(skb, Rta.PREFSRC, fl4.saddr.to_bytes(4, "big"))
        if rt.gw:
            nla_put(skb, Rta.GATEWAY, rt.gw.to_bytes(4, "big"))
        expires = max(rt.expires - jiffies(net.kernel), 0)
        if rt.pmtu and expires:
            metrics = metrics | {Rtax.MTU: rt.pmtu}
            if rt.mtu_locked:
                metrics[Rtax.LOCK] = 1 << Rtax.MTU
        rtnetlink_put_metrics(skb, metrics)
        if fl4 is not None:
            if fl4.mark:
                nla_put_u32(skb, Rta.MARK, fl4.mark)
            if rt.is_input:
                nla_put_u32(skb, Rta.IIF, fl4.iif)
            else:
                nla_put_u32(skb, Rta.UID, fl4.uid)
        nla_put(skb, Rta.CACHEINFO, RTA_CACHEINFO.pack(users, 0, expires * 100 // HZ, rt.error, 0, 0, 0, 0))
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def inet_rtm_getroute(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_GETROUTE`` for one destination: with the packet's way, or the route of a table that it takes.

    Raises
    ------
    OSError
        What routing says: ``ENETUNREACH``, ``EHOSTUNREACH``, ``EACCES``, ``EINVAL``; ``ENODEV``, ``EOPNOTSUPP``.
    """
    tos, flags, tb = _parse(skb, nlh)
    tos &= IPTOS_RT_MASK
    assert skb.sk is not None
    net = skb.sk.net
    dst, src = _address(tb, Rta.DST), _address(tb, Rta.SRC)
    fl4 = Flowi4(
        dst,
        src,
        tb[Rta.IP_PROTO].u8 if Rta.IP_PROTO in tb else IPPROTO_UDP,
        int.from_bytes(tb[Rta.SPORT].data[:2], "big") if Rta.SPORT in tb else 0,
        int.from_bytes(tb[Rta.DPORT].data[:2], "big") if Rta.DPORT in tb else 0,
        tos=tos,
        mark=tb[Rta.MARK].u32 if Rta.MARK in tb else 0,
        oif=tb[Rta.OIF].u32 if Rta.OIF in tb else 0,
        iif=tb[Rta.IIF].u32 if Rta.IIF in tb else 0,
        uid=tb[Rta.UID].u32 if Rta.UID in tb else 0,
    )
    key = copy(fl4)
    rt, redirect = _input_route(net, fl4.iif, fl4) if fl4.iif else (ip_route_output_key_hash(net, fl4), 0)
    found = fib_lookup(net, key)
    answer = nlmsg_new(net.kernel, NLMSG_GOODSIZE)
    portid = skb.cb.portid
    table = int(RtTable.MAIN)
    if flags & RTM_F_LOOKUP_TABLE and not isinstance(found, int):
        table = found.table.tb_id
    if flags & RTM_F_FIB_MATCH and not isinstance(found, int):
        fib_dump_info(answer, portid, nlh.seq, Rtm.NEWROUTE, found.alias, 0, table)
    else:
        metrics = found.fi.metrics if not isinstance(found, int) and rt.type == RtType.UNICAST else {}
        said = redirect | flags & RTM_F_NOTIFY
        kept = not isinstance(found, int) and rt in (found.nh.rth_output, found.nh.rth_input)
        head = (portid, nlh.seq, 0)
        rt_fill_info(net, answer, rt, fl4, (dst, src), table, metrics, head, said, users=2 if kept else 1)
    rtnl_unicast(answer, net, portid)


def ip_rt_init(kernel: "Kernel") -> None:
    """Have questions about routes handled."""
    dump = kernel.rtnl_msg_handlers[AF_INET, Rtm.GETROUTE].dumpit
    rtnl_register(kernel, AF_INET, Rtm.GETROUTE, inet_rtm_getroute, dump)

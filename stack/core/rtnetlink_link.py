"""Messages about devices: asking, dumping, and what is in them (Linux: net/core/rtnetlink.c)."""

from errno import EINVAL, ENODEV, EOPNOTSUPP
from struct import Struct
from typing import TYPE_CHECKING

from ..ipv4.devinet_netlink import inet_fill_link_af, inet_get_link_af_size
from ..netlink.af_netlink_kernel import DumpFill, dump_items
from ..netlink.attr import (
    NetlinkError,
    NlaPolicy,
    Nlattr,
    nla_encode,
    nla_nest_cancel,
    nla_nest_end,
    nla_nest_start,
    nla_parse,
    nla_parse_nested,
    nla_put,
    nla_put_s32,
    nla_put_string,
    nla_put_u8,
    nla_put_u32,
    nla_total_size,
    nlmsg_parse,
)
from ..netlink.if_link import IFINFOMSG, RTEXT_FILTER_SKIP_STATS, Ifla, IflaInfo, IflaXdp
from ..netlink.message import NetlinkCallback, Nlmsghdr, nlmsg_cancel, nlmsg_end, nlmsg_new, nlmsg_put
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from ..uapi import AF_INET, AF_UNSPEC
from .dev_register import dev_get_by_index, dev_get_by_name, dev_get_iflink, dev_get_stats
from .dev_upper import netdev_master_upper_dev_get
from .link_watch import IF_OPER_DOWN, dev_get_flags
from .net_namespace import peernet2id_alloc
from .netdevice import netif_carrier_ok, netif_running
from .rtnetlink_rcv import netlink_strict_get_check, rtnl_unicast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .net import Net
    from .netdevice import NetDevice
    from .rtnl_link import LinkData
    from .skbuff import SkBuff

__all__ = [
    "IFLA_POLICY",
    "if_nlmsg_size",
    "link_info",
    "rtnl_dev_get",
    "rtnl_dump_ifinfo",
    "rtnl_ensure_unique_netns",
    "rtnl_fill_ifinfo",
    "rtnl_getlink",
]

_STATS64 = Struct("=25Q")
_STATS = Struct("=24I")
_U32_MAX = 0xFFFF_FFFF

IFLA_POLICY: "Mapping[int, NlaPolicy]" = {
    Ifla.ADDRESS: NlaPolicy("binary", 32),
    Ifla.BROADCAST: NlaPolicy("binary", 32),
    Ifla.IFNAME: NlaPolicy("string", 15),
    Ifla.MTU: NlaPolicy("u32"),
    Ifla.LINK: NlaPolicy("u32"),
    Ifla.MASTER: NlaPolicy("u32"),
    Ifla.TXQLEN: NlaPolicy("u32"),
    Ifla.MAP: NlaPolicy("unspec", 32),
    Ifla.WEIGHT: NlaPolicy("u32"),
    Ifla.OPERSTATE: NlaPolicy("u8"),
    Ifla.LINKMODE: NlaPolicy("u8"),
    Ifla.LINKINFO: NlaPolicy("nested"),
    Ifla.NET_NS_PID: NlaPolicy("u32"),
    Ifla.IFALIAS: NlaPolicy("binary", 255),
    Ifla.VFINFO_LIST: NlaPolicy("nested"),
    Ifla.VF_PORTS: NlaPolicy("nested"),
    Ifla.PORT_SELF: NlaPolicy("nested"),
    Ifla.AF_SPEC: NlaPolicy("nested"),
    Ifla.GROUP: NlaPolicy("u32"),
    Ifla.NET_NS_FD: NlaPolicy("u32"),
    Ifla.EXT_MASK: NlaPolicy("u32"),
    Ifla.PROMISCUITY: NlaPolicy("u32"),
    Ifla.NUM_TX_QUEUES: NlaPolicy("u32"),
    Ifla.NUM_RX_QUEUES: NlaPolicy("u32"),
    Ifla.CARRIER: NlaPolicy("u8"),
    Ifla.PHYS_PORT_ID: NlaPolicy("binary", 32),
    Ifla.CARRIER_CHANGES: NlaPolicy("u32"),
    Ifla.PHYS_SWITCH_ID: NlaPolicy("binary", 32),
    Ifla.LINK_NETNSID: NlaPolicy("s32"),
    Ifla.PROTO_DOWN: NlaPolicy("u8"),
    Ifla.GSO_MAX_SEGS: NlaPolicy("u32"),
    Ifla.GSO_MAX_SIZE: NlaPolicy("u32"),
    Ifla.XDP: NlaPolicy("nested"),
    Ifla.EVENT: NlaPolicy("u32"),
    Ifla.TARGET_NETNSID: NlaPolicy("s32"),
    Ifla.CARRIER_UP_COUNT: NlaPolicy("u32"),
    Ifla.CARRIER_DOWN_COUNT: NlaPolicy("u32"),
    Ifla.NEW_IFINDEX: NlaPolicy("s32", min=1),
    Ifla.MIN_MTU: NlaPolicy("u32"),
    Ifla.MAX_MTU: NlaPolicy("u32"),
    Ifla.PROP_LIST: NlaPolicy("nested"),
    Ifla.ALT_IFNAME: NlaPolicy("string", 127),
    Ifla.PERM_ADDRESS: NlaPolicy("reject"),
    Ifla.PROTO_DOWN_REASON: NlaPolicy("nested"),
    Ifla.PARENT_DEV_NAME: NlaPolicy("nul_string"),
    Ifla.GRO_MAX_SIZE: NlaPolicy("u32"),
    Ifla.TSO_MAX_SIZE: NlaPolicy("reject"),
    Ifla.TSO_MAX_SEGS: NlaPolicy("reject"),
    Ifla.ALLMULTI: NlaPolicy("reject"),
}
_INFO_POLICY: "Mapping[int, NlaPolicy]" = {
    IflaInfo.KIND: NlaPolicy("string"),
    IflaInfo.DATA: NlaPolicy("nested"),
    IflaInfo.SLAVE_KIND: NlaPolicy("string"),
    IflaInfo.SLAVE_DATA: NlaPolicy("nested"),
}


def link_info(tb: dict[int, Nlattr]) -> dict[int, Nlattr]:
    """Return what a message's ``Ifla.LINKINFO`` holds."""
    attr = tb.get(Ifla.LINKINFO)
    return nla_parse_nested(attr, _INFO_POLICY) if attr is not None else {}


def rtnl_ensure_unique_netns(tb: dict[int, Nlattr], *, netns_id_only: bool) -> None:
    """Check that a request names at most one namespace.

    Raises
    ------
    NetlinkError
        ``EINVAL``; ``EOPNOTSUPP`` for one that is not named by its number, where only that will do.
    """
    if netns_id_only:
        if Ifla.NET_NS_PID in tb or Ifla.NET_NS_FD in tb:
            raise NetlinkError(EOPNOTSUPP, "specified netns attribute not supported")
    elif sum(kind in tb for kind in (Ifla.TARGET_NETNSID, Ifla.NET_NS_PID, Ifla.NET_NS_FD)) > 1:
        raise NetlinkError(EINVAL, "multiple netns identifying attributes specified")


def rtnl_dev_get(net: "Net", tb: dict[int, Nlattr], index: int) -> "NetDevice | None":
    """Return the device that a message is about, by its index or else by its name.

    Raises
    ------
    NetlinkError
        ``EINVAL`` if it names none.
    """
    if index > 0:
        return dev_get_by_index(net, index)
    name = tb.get(Ifla.IFNAME) or tb.get(Ifla.ALT_IFNAME)
    if name is None:
        raise NetlinkError(EINVAL, "a device is named by its index or its name")
    return dev_get_by_name(net, name.text)


def _info_size(dev: "NetDevice") -> int:
    """Return how much room the kind of a device and its values take (Linux: ``rtnl_link_get_size``)."""
    ops = dev.rtnl_link_ops
    master = netdev_master_upper_dev_get(dev)
    master_ops = master.rtnl_link_ops if master is not None else None
    size = 0
    if ops is not None:
        size += 2 * nla_total_size(0) + nla_total_size(len(ops.kind) + 1)
        size += _data_size(ops.fill_info(dev), ops.policy) if ops.fill_info is not None else 0
    if master_ops is not None:
        size += 2 * nla_total_size(0) + nla_total_size(len(master_ops.kind) + 1)
        if master_ops.fill_slave_info is not None:
            size += _data_size(master_ops.fill_slave_info(dev), master_ops.slave_policy)
    return size


def _data_size(data: "LinkData", policy: "Mapping[int, str]") -> int:
    return sum(nla_total_size(len(nla_encode(policy[kind], value))) for kind, value in data.items())


def if_nlmsg_size(dev: "NetDevice", ext_filter_mask: int) -> int:
    """Return the most room that a message about a device takes, without its header."""
    size = IFINFOMSG.size + 30 * nla_total_size(4) + 8 * nla_total_size(1)
    size += nla_total_size(16) * 2 + nla_total_size(32) * 3  # Names of device and qdisc; addresses and map.
    size += nla_total_size(len(dev.ifalias)) + nla_total_size(nla_total_size(1))
    if not ext_filter_mask & RTEXT_FILTER_SKIP_STATS:
        size += nla_total_size(_STATS64.size) + nla_total_size(_STATS.size)
    return size + _info_size(dev) + nla_total_size(nla_total_size(inet_get_link_af_size(dev)))


def _fill_numbers(skb: "SkBuff", dev: "NetDevice") -> None:
    nla_put_string(skb, Ifla.IFNAME, dev.name)
    nla_put_u32(skb, Ifla.TXQLEN, dev.tx_queue_len)
    nla_put_u8(skb, Ifla.OPERSTATE, dev.operstate if netif_running(dev) else IF_OPER_DOWN)
    nla_put_u8(skb, Ifla.LINKMODE, 0)
    capabilities = dev.capabilities
    for kind, value in (
        (Ifla.MTU, dev.mtu),
        (Ifla.MIN_MTU, capabilities.min_mtu),
        (Ifla.MAX_MTU, capabilities.max_mtu),
        (Ifla.GROUP, dev.group),
        (Ifla.PROMISCUITY, dev.promiscuity),
        (Ifla.ALLMULTI, dev.allmulti),
        (Ifla.NUM_TX_QUEUES, len(dev.tx)),
        (Ifla.GSO_MAX_SEGS, dev.gso_max_segs),
        (Ifla.GSO_MAX_SIZE, dev.gso_max_size),
        (Ifla.GRO_MAX_SIZE, 65536),
        (Ifla.TSO_MAX_SIZE, dev.tso_max_size),
        (Ifla.TSO_MAX_SEGS, dev.tso_max_segs),
        (Ifla.NUM_RX_QUEUES, max(len(dev.napi_list), 1)),
    ):
        nla_put_u32(skb, kind, value)
    master = netdev_master_upper_dev_get(dev)
    if master is not None:
        nla_put_u32(skb, Ifla.MASTER, master.ifindex)
    nla_put_u8(skb, Ifla.CARRIER, netif_carrier_ok(dev))
    nla_put_string(skb, Ifla.QDISC, dev.qdisc.ops.id)
    if dev.ifalias:
        nla_put(skb, Ifla.IFALIAS, dev.ifalias + b"\0")
    nla_put_u32(skb, Ifla.CARRIER_CHANGES, dev.carrier_up_count + dev.carrier_down_count)
    nla_put_u32(skb, Ifla.CARRIER_UP_COUNT, dev.carrier_up_count)
    nla_put_u32(skb, Ifla.CARRIER_DOWN_COUNT, dev.carrier_down_count)
    nla_put_u8(skb, Ifla.PROTO_DOWN, 0)


def rtnl_fill_stats(skb: "SkBuff", dev: "NetDevice") -> None:
    """Append a device's counters, of 64 bits and of 32 bits."""
    stats = dev_get_stats(dev)
    values = (
        *(stats.rx_packets, stats.tx_packets, stats.rx_bytes, stats.tx_bytes, stats.rx_errors, stats.tx_errors),
        *(stats.rx_dropped, stats.tx_dropped, stats.multicast, 0, stats.rx_length_errors, stats.rx_over_errors),
        *(stats.rx_crc_errors, stats.rx_frame_errors, 0, stats.rx_missed_errors, stats.tx_aborted_errors),
        *(stats.tx_carrier_errors, stats.tx_fifo_errors, 0, 0, 0, 0, stats.rx_nohandler, stats.rx_otherhost_dropped),
    )
    nla_put(skb, Ifla.STATS64, _STATS64.pack(*values))
    nla_put(skb, Ifla.STATS, _STATS.pack(*(value & _U32_MAX for value in values[:24])))


def _fill_data(skb: "SkBuff", kind: int, data: "LinkData", policy: "Mapping[int, str]") -> None:
    at = nla_nest_start(skb, kind)
    for number, value in data.items():
        nla_put(skb, number, nla_encode(policy[number], value))
    nla_nest_end(skb, at)


def rtnl_link_fill(skb: "SkBuff", dev: "NetDevice") -> None:
    """Append the kind of a device and its values, and those that it has as a slave."""
    ops = dev.rtnl_link_ops
    if ops is None and (dev.master is None or dev.master.rtnl_link_ops is None):
        return
    at = nla_nest_start(skb, Ifla.LINKINFO)
    if ops is not None:
        nla_put_string(skb, IflaInfo.KIND, ops.kind)
        if ops.fill_info is not None:
            _fill_data(skb, IflaInfo.DATA, ops.fill_info(dev), ops.policy)
    master = netdev_master_upper_dev_get(dev)
    if master is not None and master.rtnl_link_ops is not None:
        master_ops = master.rtnl_link_ops
        nla_put_string(skb, IflaInfo.SLAVE_KIND, master_ops.kind)
        if master_ops.fill_slave_info is not None:
            _fill_data(skb, IflaInfo.SLAVE_DATA, master_ops.fill_slave_info(dev), master_ops.slave_policy)
    nla_nest_end(skb, at)


def _fill_link(skb: "SkBuff", dev: "NetDevice") -> None:
    """Append what a device is on top of, or joined to, and in which namespace that is if not in this one."""
    ops = dev.rtnl_link_ops
    foreign = False
    if ops is not None and ops.get_link_net is not None:
        link_net = ops.get_link_net(dev)
        foreign = link_net is not dev.net
        if foreign:
            nla_put_s32(skb, Ifla.LINK_NETNSID, peernet2id_alloc(dev.net, link_net))
    iflink = dev_get_iflink(dev)
    if foreign or iflink != dev.ifindex:
        nla_put_u32(skb, Ifla.LINK, iflink)


def _fill_af(skb: "SkBuff", dev: "NetDevice") -> None:
    at = nla_nest_start(skb, Ifla.AF_SPEC)
    af = nla_nest_start(skb, AF_INET)
    if inet_fill_link_af(skb, dev):
        nla_nest_end(skb, af)
    else:
        nla_nest_cancel(skb, af)
    nla_nest_end(skb, at)


def rtnl_fill_ifinfo(
    skb: "SkBuff",
    dev: "NetDevice",
    kind: int,
    portid: int,
    seq: int,
    change: int,
    flags: int,
    ext_filter_mask: int = 0,
    event: int = 0,
) -> int:
    """Append a message about a device, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    at = nlmsg_put(skb, portid, seq, kind, bytes(IFINFOMSG.size), flags)
    header = (AF_UNSPEC, dev.type, dev.ifindex, dev_get_flags(dev), change)
    IFINFOMSG.pack_into(skb.view, at + NLMSG_HDRLEN, *header)
    try:
        _fill_numbers(skb, dev)
        if event:
            nla_put_u32(skb, Ifla.EVENT, event)
        nla_put(skb, Ifla.MAP, bytes(32))  # Memory and interrupt of ISA cards.
        if dev.addr_len:
            nla_put(skb, Ifla.ADDRESS, dev.dev_addr)
            nla_put(skb, Ifla.BROADCAST, dev.broadcast)
        if not ext_filter_mask & RTEXT_FILTER_SKIP_STATS:
            rtnl_fill_stats(skb, dev)
        xdp = nla_nest_start(skb, Ifla.XDP)
        nla_put_u8(skb, IflaXdp.ATTACHED, 0)
        nla_nest_end(skb, xdp)
        rtnl_link_fill(skb, dev)
        _fill_link(skb, dev)
        _fill_af(skb, dev)
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def rtnl_getlink(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_GETLINK`` for one device.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EOPNOTSUPP``.
    """
    strict = netlink_strict_get_check(skb)
    tb = nlmsg_parse(nlh, IFINFOMSG.size, IFLA_POLICY, max(Ifla), strict=strict)
    _, kind, index, flags, change = IFINFOMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    if strict:
        if kind or flags or change:
            raise NetlinkError(EINVAL, "Invalid values in header for get link request")
        _only(tb, (Ifla.IFNAME, Ifla.ALT_IFNAME, Ifla.EXT_MASK, Ifla.TARGET_NETNSID), "get link")
    rtnl_ensure_unique_netns(tb, netns_id_only=True)
    if Ifla.TARGET_NETNSID in tb:
        raise NetlinkError(EINVAL, "no namespace has this number", tb[Ifla.TARGET_NETNSID])
    net = _net(skb)
    dev = rtnl_dev_get(net, tb, index)
    if dev is None:
        raise OSError(ENODEV, "no such device")
    mask = tb[Ifla.EXT_MASK].u32 if Ifla.EXT_MASK in tb else 0
    answer = nlmsg_new(net.kernel, if_nlmsg_size(dev, mask))
    rtnl_fill_ifinfo(answer, dev, Rtm.NEWLINK, skb.cb.portid, nlh.seq, 0, 0, mask)
    rtnl_unicast(answer, net, skb.cb.portid)


def _net(skb: "SkBuff") -> "Net":
    assert skb.sk is not None
    return skb.sk.net


def _only(tb: dict[int, Nlattr], allowed: tuple[int, ...], what: str) -> None:
    for kind, attr in tb.items():
        if kind not in allowed:
            raise NetlinkError(EINVAL, f"Unsupported attribute in {what} request", attr)


class _LinkFilter:
    """Which devices a dump shall have, and what of them."""

    def __init__(self, cb: NetlinkCallback) -> None:
        nlh = cb.nlh
        strict = cb.strict_check
        if strict:
            tb = nlmsg_parse(nlh, IFINFOMSG.size, IFLA_POLICY, max(Ifla), strict=True)
            _, kind, index, flags, change = IFINFOMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
            if kind or flags or change:
                raise NetlinkError(EINVAL, "Invalid values in header for link dump request")
            if index:
                raise NetlinkError(EINVAL, "Filter by device index not supported for link dumps")
            _only(tb, (Ifla.TARGET_NETNSID, Ifla.EXT_MASK, Ifla.MASTER, Ifla.LINKINFO), "link dump")
        else:
            # Old programs send the family only.
            hdrlen = IFINFOMSG.size if len(nlh.data) >= IFINFOMSG.size else 1
            tb = nla_parse(nlh.octets, NLMSG_HDRLEN + (hdrlen + 3 & ~3), IFLA_POLICY, max(Ifla))
        if Ifla.TARGET_NETNSID in tb:
            raise NetlinkError(EINVAL, "Invalid target network namespace id", tb[Ifla.TARGET_NETNSID])
        self.ext_mask = tb[Ifla.EXT_MASK].u32 if Ifla.EXT_MASK in tb else 0
        self.master = tb[Ifla.MASTER].u32 if Ifla.MASTER in tb else 0
        info = link_info(tb)
        self.kind = info[IflaInfo.KIND].text if IflaInfo.KIND in info else ""
        known = self.kind in cb.sk.kernel.rtnl_link_ops
        self.flags = NlmF.MULTI | (NlmF.DUMP_FILTERED if self.master or known else 0)
        if not known:
            self.kind = ""

    def wants(self, dev: "NetDevice") -> bool:
        """Return whether a device is among them."""
        if self.master and (dev.master is None or dev.master.ifindex != self.master):
            return False
        return not self.kind or (dev.rtnl_link_ops is not None and dev.rtnl_link_ops.kind == self.kind)


def rtnl_dump_ifinfo(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump all devices, or those with a master or of a kind.

    Raises
    ------
    OSError
        ``EINVAL``, ``ERANGE``.
    """
    if cb.args is None:
        cb.args = _LinkFilter(cb)
    chosen: _LinkFilter = cb.args
    net: Net = cb.sk.net
    cb.seq = net.dev_base_seq

    def fill(dev: "NetDevice") -> DumpFill:
        return lambda skb, cb: rtnl_fill_ifinfo(
            skb, dev, Rtm.NEWLINK, cb.portid, cb.nlh.seq, 0, chosen.flags, chosen.ext_mask
        )

    devices = [net.devices[index] for index in sorted(net.devices)]
    return dump_items(skb, cb, [(dev.ifindex, fill(dev)) for dev in devices if chosen.wants(dev)])

"""Messages about addresses of devices (Linux: net/ipv4/devinet.c)."""

from collections.abc import Mapping
from errno import EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.rtnetlink_rcv import rtnl_broadcast, rtnl_register
from ..core.timer import HZ
from ..netlink.af_netlink_kernel import DumpFill, dump_items
from ..netlink.attr import (
    NetlinkError,
    NlaPolicy,
    nla_put,
    nla_put_string,
    nla_put_u8,
    nla_put_u32,
    nla_total_size,
    nlmsg_parse,
)
from ..netlink.if_addr import IFA_CACHEINFO, IFADDRMSG, Ifa
from ..netlink.if_link import IflaInet, Ipv4Devconf
from ..netlink.message import NetlinkCallback, Nlmsghdr, nlmsg_align, nlmsg_cancel, nlmsg_end, nlmsg_put
from ..netlink.rtnetlink import Rtm, Rtnlgrp
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from ..uapi import AF_INET
from .devinet import IFA_F_PERMANENT, IFA_F_SECONDARY, InDevice, InIfaddr, inet_del_ifa, inet_insert_ifa
from .devinet_lifetime import ifa_lifetimes, set_ifa_lifetime
from .fib_trie import MASKS

if TYPE_CHECKING:
    from ..core.net import Kernel, Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = [
    "devinet_init",
    "inet_dump_ifaddr",
    "inet_fill_ifaddr",
    "inet_fill_link_af",
    "inet_get_link_af_size",
    "inet_rtm_deladdr",
    "inet_rtm_newaddr",
    "inetdev_changename",
    "rtmsg_ifa",
]

_IFNAMSIZ = 16

IFA_POLICY: Mapping[int, NlaPolicy] = {
    Ifa.LOCAL: NlaPolicy("u32"),
    Ifa.ADDRESS: NlaPolicy("u32"),
    Ifa.BROADCAST: NlaPolicy("u32"),
    Ifa.LABEL: NlaPolicy("string", _IFNAMSIZ - 1),
    Ifa.CACHEINFO: NlaPolicy("unspec", IFA_CACHEINFO.size),
    Ifa.FLAGS: NlaPolicy("u32"),
    Ifa.RT_PRIORITY: NlaPolicy("u32"),
    Ifa.TARGET_NETNSID: NlaPolicy("s32"),
    Ifa.PROTO: NlaPolicy("u8"),
}


def _hundredths(stamp: int) -> int:
    return stamp * 100 // HZ & 0xFFFF_FFFF


def inet_nlmsg_size() -> int:
    """Return the most room that a message about an address takes, without its header."""
    size = nlmsg_align(IFADDRMSG.size) + 3 * nla_total_size(4) + nla_total_size(_IFNAMSIZ)
    return size + 2 * nla_total_size(4) + nla_total_size(1) + nla_total_size(IFA_CACHEINFO.size)


def _put_address(skb: "SkBuff", kind: int, address: int) -> None:
    nla_put(skb, kind, address.to_bytes(4, "big"))


def inet_fill_ifaddr(skb: "SkBuff", ifa: InIfaddr, portid: int, seq: int, kind: int, flags: int) -> int:
    """Append a message about an address, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    dev = ifa.dev
    assert dev is not None
    header = IFADDRMSG.pack(AF_INET, ifa.prefixlen, ifa.flags & 0xFF, ifa.scope, dev.ifindex)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        if ifa.address:
            _put_address(skb, Ifa.ADDRESS, ifa.address)
        if ifa.local:
            _put_address(skb, Ifa.LOCAL, ifa.local)
        if ifa.broadcast:
            _put_address(skb, Ifa.BROADCAST, ifa.broadcast)
        if ifa.label:
            nla_put_string(skb, Ifa.LABEL, ifa.label)
        if ifa.proto:
            nla_put_u8(skb, Ifa.PROTO, ifa.proto)
        nla_put_u32(skb, Ifa.FLAGS, ifa.flags)
        if ifa.rt_priority:
            nla_put_u32(skb, Ifa.RT_PRIORITY, ifa.rt_priority)
        times = (*ifa_lifetimes(dev, ifa), _hundredths(ifa.cstamp), _hundredths(ifa.tstamp))
        nla_put(skb, Ifa.CACHEINFO, IFA_CACHEINFO.pack(*times))
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def rtmsg_ifa(kind: int, ifa: InIfaddr, portid: int = 0, nlh: Nlmsghdr | None = None) -> None:
    """Notify of an address that came or goes."""
    assert ifa.dev is not None
    seq = nlh.seq if nlh is not None else 0
    rtnl_broadcast(
        ifa.dev.net,
        Rtnlgrp.IPV4_IFADDR,
        inet_nlmsg_size(),
        lambda skb: inet_fill_ifaddr(skb, ifa, portid, seq, kind, 0),
        portid,
        nlh,
    )


def inetdev_changename(dev: "NetDevice") -> None:
    """Let the addresses' labels follow the name of their device: the first has it, the others add to it."""
    in_dev: InDevice | None = dev.ip_ptr
    for number, ifa in enumerate(in_dev.ifa_list if in_dev is not None else (), 1):
        _, colon, rest = ifa.label.partition(":")
        suffix = "" if number == 1 else colon + rest or f":{number}"
        ifa.label = dev.name[: _IFNAMSIZ - 1 - len(suffix)] + suffix
        rtmsg_ifa(Rtm.NEWADDR, ifa)


def _rtm_to_ifaddr(net: "Net", nlh: Nlmsghdr) -> "tuple[NetDevice, InIfaddr]":
    """Return the address that a message asks for, and its device (Linux: ``rtm_to_ifaddr``)."""
    tb = nlmsg_parse(nlh, IFADDRMSG.size, IFA_POLICY, max(Ifa))
    _, prefixlen, flags, scope, index = IFADDRMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    if prefixlen > 32:
        raise NetlinkError(EINVAL, "ipv4: Invalid prefix length")
    if Ifa.LOCAL not in tb:
        raise NetlinkError(EINVAL, "ipv4: Local address is not supplied")
    dev = net.devices.get(index)
    if dev is None:
        raise OSError(ENODEV, "ipv4: Device not found")
    address = tb[Ifa.ADDRESS] if Ifa.ADDRESS in tb else tb[Ifa.LOCAL]
    broadcast = tb[Ifa.BROADCAST].be32 if Ifa.BROADCAST in tb else 0
    ifa = InIfaddr(tb[Ifa.LOCAL].be32, prefixlen, address=address.be32, broadcast=broadcast, scope=scope)
    ifa.flags = (tb[Ifa.FLAGS].u32 if Ifa.FLAGS in tb else flags) & ~IFA_F_SECONDARY | IFA_F_PERMANENT
    ifa.label = tb[Ifa.LABEL].text if Ifa.LABEL in tb else dev.name
    ifa.rt_priority = tb[Ifa.RT_PRIORITY].u32 if Ifa.RT_PRIORITY in tb else 0
    ifa.proto = tb[Ifa.PROTO].u8 if Ifa.PROTO in tb else 0
    ifa.dev = dev
    if Ifa.CACHEINFO in tb:
        preferred, valid, _, _ = IFA_CACHEINFO.unpack_from(tb[Ifa.CACHEINFO].data)
        if not valid or preferred > valid:
            raise NetlinkError(EINVAL, "ipv4: address lifetime invalid", tb[Ifa.CACHEINFO])
        ifa.valid_lft, ifa.preferred_lft = valid, preferred
    return dev, ifa


def _find(dev: "NetDevice", ifa: InIfaddr) -> InIfaddr | None:
    in_dev: InDevice | None = dev.ip_ptr
    for one in in_dev.ifa_list if in_dev is not None else ():
        if one.mask == ifa.mask and one.local == ifa.local and not (one.address ^ ifa.address) & ifa.mask:
            return one
    return None


def inet_rtm_newaddr(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_NEWADDR``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EEXIST``.
    """
    assert skb.sk is not None
    dev, ifa = _rtm_to_ifaddr(skb.sk.net, nlh)
    found = _find(dev, ifa)
    if found is None:
        set_ifa_lifetime(dev, ifa, ifa.valid_lft, ifa.preferred_lft)
        inet_insert_ifa(dev, ifa, skb.cb.portid, nlh)
        return
    if nlh.flags & NlmF.EXCL or not nlh.flags & NlmF.REPLACE:
        raise OSError(EEXIST, "ipv4: Address already assigned")
    found.rt_priority = ifa.rt_priority or found.rt_priority
    set_ifa_lifetime(dev, found, ifa.valid_lft, ifa.preferred_lft)
    rtmsg_ifa(Rtm.NEWADDR, found, skb.cb.portid, nlh)


def inet_rtm_deladdr(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_DELADDR``: delete the first address of the device that is as the message says.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EADDRNOTAVAIL``.
    """
    tb = nlmsg_parse(nlh, IFADDRMSG.size, IFA_POLICY, max(Ifa))
    _, prefixlen, _, _, index = IFADDRMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    assert skb.sk is not None
    dev = skb.sk.net.devices.get(index)
    if dev is None or dev.ip_ptr is None:
        raise OSError(ENODEV, "ipv4: Device not found")
    for ifa in dev.ip_ptr.ifa_list:
        if Ifa.LOCAL in tb and tb[Ifa.LOCAL].be32 != ifa.local:
            continue
        if Ifa.LABEL in tb and tb[Ifa.LABEL].text != ifa.label:
            continue
        if Ifa.ADDRESS in tb and (
            prefixlen != ifa.prefixlen or (tb[Ifa.ADDRESS].be32 ^ ifa.address) & MASKS[prefixlen]
        ):
            continue
        inet_del_ifa(dev, ifa, skb.cb.portid, nlh)
        return
    raise OSError(EADDRNOTAVAIL, "ipv4: Address not found")


def _dump_device(cb: NetlinkCallback) -> int:
    """Return the number of the device whose addresses a dump shall have, 0 for all."""
    nlh = cb.nlh
    if not cb.strict_check:
        return 0
    tb = nlmsg_parse(nlh, IFADDRMSG.size, IFA_POLICY, max(Ifa), strict=True)
    _, prefixlen, flags, scope, index = IFADDRMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    if prefixlen or flags or scope:
        raise NetlinkError(EINVAL, "ipv4: Invalid values in header for address dump request")
    for attr in tb.values():
        raise NetlinkError(EINVAL, "ipv4: Unsupported attribute in dump request", attr)
    if index and index not in cb.sk.net.devices:
        raise OSError(ENODEV, "no such device")
    return int(index)


def inet_dump_ifaddr(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump all addresses, or those of a device.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``.
    """
    if cb.args is None:
        cb.args = _dump_device(cb)
    net: Net = cb.sk.net
    cb.seq = net.ipv4.dev_addr_genid ^ net.dev_base_seq
    flags = NlmF.MULTI | (NlmF.DUMP_FILTERED if cb.args else 0)

    def fill(ifa: InIfaddr) -> DumpFill:
        return lambda skb, cb: inet_fill_ifaddr(skb, ifa, cb.portid, cb.nlh.seq, Rtm.NEWADDR, flags)

    items: list[tuple[Any, DumpFill]] = []
    for index in sorted(net.devices):
        in_dev: InDevice | None = net.devices[index].ip_ptr
        if in_dev is not None and cb.args in (0, index):
            items += [((index, place), fill(ifa)) for place, ifa in enumerate(in_dev.ifa_list)]
    return dump_items(skb, cb, items)


# Where settings of a device have their place, and those that are the same for all.
_CONF = {
    Ipv4Devconf.FORWARDING: "forwarding",
    Ipv4Devconf.PROXY_ARP: "proxy_arp",
    Ipv4Devconf.ACCEPT_REDIRECTS: "accept_redirects",
    Ipv4Devconf.SEND_REDIRECTS: "send_redirects",
    Ipv4Devconf.SHARED_MEDIA: "shared_media",
    Ipv4Devconf.RP_FILTER: "rp_filter",
    Ipv4Devconf.ACCEPT_SOURCE_ROUTE: "accept_source_route",
    Ipv4Devconf.ARPFILTER: "arp_filter",
    Ipv4Devconf.ARP_IGNORE: "arp_ignore",
    Ipv4Devconf.ARP_ACCEPT: "arp_accept",
    Ipv4Devconf.ACCEPT_LOCAL: "accept_local",
    Ipv4Devconf.PROXY_ARP_PVLAN: "proxy_arp_pvlan",
    Ipv4Devconf.ROUTE_LOCALNET: "route_localnet",
    Ipv4Devconf.DROP_UNICAST_IN_L2_MULTICAST: "drop_unicast_in_l2_multicast",
    Ipv4Devconf.DROP_GRATUITOUS_ARP: "drop_gratuitous_arp",
}
_FIXED = {
    Ipv4Devconf.SECURE_REDIRECTS: 1,
    Ipv4Devconf.IGMPV2_UNSOLICITED_REPORT_INTERVAL: 10000,  # In ms.
    Ipv4Devconf.IGMPV3_UNSOLICITED_REPORT_INTERVAL: 1000,
    Ipv4Devconf.ARP_EVICT_NOCARRIER: 1,
}
_CONF_OCTETS = Struct(f"={max(Ipv4Devconf)}i")


def inet_get_link_af_size(dev: "NetDevice") -> int:
    """Return how much room the settings of a device take in a link message."""
    return nla_total_size(_CONF_OCTETS.size) if dev.ip_ptr is not None else 0


def inet_fill_link_af(skb: "SkBuff", dev: "NetDevice") -> bool:
    """Append a device's settings to a link message; return whether it has any."""
    in_dev: InDevice | None = dev.ip_ptr
    if in_dev is None:
        return False
    values = [_FIXED.get(kind, 0) for kind in Ipv4Devconf]
    for kind, name in _CONF.items():
        values[kind - 1] = getattr(in_dev.cnf, name)
    values[Ipv4Devconf.ARP_ANNOUNCE - 1] = dev.arp_parms.arp_announce
    nla_put(skb, IflaInet.CONF, _CONF_OCTETS.pack(*values))
    return True


def devinet_init(kernel: "Kernel") -> None:
    """Have messages about IPv4 addresses handled."""
    rtnl_register(kernel, AF_INET, Rtm.NEWADDR, inet_rtm_newaddr)
    rtnl_register(kernel, AF_INET, Rtm.DELADDR, inet_rtm_deladdr)
    rtnl_register(kernel, AF_INET, Rtm.GETADDR, dumpit=inet_dump_ifaddr)

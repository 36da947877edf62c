"""Changing devices by messages (Linux: net/core/rtnetlink.c)."""

from errno import EINVAL, ENODEV, EOPNOTSUPP
from typing import TYPE_CHECKING

from ..netlink.attr import NetlinkError, Nlattr, nla_parse_nested, nlmsg_parse
from ..netlink.if_link import IFINFOMSG, Ifla, IflaInfo
from ..netlink.uapi import NLMSG_HDRLEN
from .dev_change import (
    dev_change_carrier,
    dev_change_flags,
    dev_change_name,
    dev_change_tx_queue_len,
    dev_set_alias,
    rtnl_dev_get_flags,
)
from .dev_register import dev_get_by_index, dev_set_mac_address, dev_set_mtu
from .dev_upper import do_set_master
from .link_watch import netdev_state_change
from .rtnetlink_link import IFLA_POLICY, link_info, rtnl_dev_get, rtnl_ensure_unique_netns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..netlink.message import Nlmsghdr
    from .netdevice import NetDevice
    from .rtnl_link import LinkData
    from .skbuff import SkBuff

__all__ = ["do_setlink", "link_data", "rtnl_dev_combine_flags", "rtnl_setlink", "validate_linkmsg"]

# What a message cannot change here: namespaces, maps of ISA cards, ports of virtual functions, programs.
_NOT_HERE = (Ifla.NET_NS_PID, Ifla.NET_NS_FD, Ifla.TARGET_NETNSID, Ifla.MAP, Ifla.VFINFO_LIST, Ifla.VF_PORTS, Ifla.XDP)


def validate_linkmsg(dev: "NetDevice | None", tb: dict[int, Nlattr]) -> None:
    """Check what can be checked before anything is changed.

    Raises
    ------
    NetlinkError
        ``EINVAL`` for an address that is too short; ``EOPNOTSUPP``.
    """
    if dev is not None:
        for kind in (Ifla.ADDRESS, Ifla.BROADCAST):
            if kind in tb and len(tb[kind].data) < dev.addr_len:
                raise NetlinkError(EINVAL, "the address is too short", tb[kind])
    for kind in _NOT_HERE:
        if kind in tb:
            raise NetlinkError(EOPNOTSUPP, f"no device here can have its {kind.name} changed", tb[kind])


def link_data(attr: Nlattr, policy: "Mapping[int, str]") -> "LinkData":
    """Return the values that a kind of device takes, as its policy says.

    Raises
    ------
    NetlinkError
        ``EINVAL``, ``ERANGE``.
    """
    from ..netlink.attr import NlaPolicy

    rules = {kind: NlaPolicy(name) for kind, name in policy.items()}
    values: dict[int, int | str | bytes] = {}
    for kind, found in nla_parse_nested(attr, rules).items():
        name = policy.get(kind)
        if name is None:
            continue
        values[kind] = _value(found, name)
    return values


def _value(attr: Nlattr, policy: str) -> int | str | bytes:
    if policy == "string":
        return attr.text
    if policy in ("be16", "be32"):
        return int.from_bytes(attr.data[: 2 if policy == "be16" else 4], "big")
    if policy == "flag":
        return 1
    if policy in ("mac", "binary"):
        return attr.data[:6] if policy == "mac" else attr.data
    widths = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
    return int.from_bytes(attr.data[: widths.get(policy, 4)], "little", signed=policy == "s32")


def rtnl_dev_combine_flags(dev: "NetDevice", flags: int, change: int) -> int:
    """Return the flags that a message asks for: those that it names, or, if it names none, all."""
    return flags & change | rtnl_dev_get_flags(dev) & ~change if change else flags


def do_setlink(
    dev: "NetDevice", index: int, flags: int, change: int, tb: dict[int, Nlattr], *, modified: bool = False
) -> None:
    """Change a device as a message asks.

    Raises
    ------
    OSError
        What the single changes raise; those before it stay.
    """
    validate_linkmsg(dev, tb)
    notify = modified
    try:
        if Ifla.ADDRESS in tb:
            dev_set_mac_address(dev, tb[Ifla.ADDRESS].data[: dev.addr_len])
        if Ifla.MTU in tb:
            dev_set_mtu(dev, tb[Ifla.MTU].u32)
        if Ifla.GROUP in tb:
            dev.group = tb[Ifla.GROUP].u32
            notify = True
        # A name that found the device is not a new one.
        if index > 0 and Ifla.IFNAME in tb and tb[Ifla.IFNAME].text:
            dev_change_name(dev, tb[Ifla.IFNAME].text)
        if Ifla.IFALIAS in tb:
            dev_set_alias(dev, tb[Ifla.IFALIAS].data.rstrip(b"\0"))
            notify = True
        if Ifla.BROADCAST in tb:
            dev.broadcast = tb[Ifla.BROADCAST].data[: dev.addr_len]
            notify = True
        if Ifla.MASTER in tb:
            _set_master(dev, tb[Ifla.MASTER].u32)
        if flags or change:
            dev_change_flags(dev, rtnl_dev_combine_flags(dev, flags, change))
        if Ifla.CARRIER in tb:
            dev_change_carrier(dev, tb[Ifla.CARRIER].u8 != 0)
        if Ifla.TXQLEN in tb:
            dev_change_tx_queue_len(dev, tb[Ifla.TXQLEN].u32)
        for kind in (Ifla.GSO_MAX_SIZE, Ifla.GSO_MAX_SEGS):
            if kind in tb:
                _set_gso_max(dev, kind, tb[kind])
                notify = True
        if Ifla.LINKMODE in tb and tb[Ifla.LINKMODE].u8:
            raise NetlinkError(EOPNOTSUPP, "links are followed in the default mode only", tb[Ifla.LINKMODE])
    finally:
        if notify:
            netdev_state_change(dev)


def _set_master(dev: "NetDevice", index: int) -> None:
    master = dev_get_by_index(dev.net, index) if index else None
    if index and master is None:
        raise OSError(EINVAL, "Device does not exist")
    do_set_master(dev, master)


def _set_gso_max(dev: "NetDevice", kind: Ifla, attr: Nlattr) -> None:
    """Limit how long packets are that stand for many, or for how many (``netif_set_gso_max_size``, ``_segs``)."""
    is_size = kind == Ifla.GSO_MAX_SIZE
    most = dev.tso_max_size if is_size else dev.tso_max_segs
    if attr.u32 > most:
        raise OSError(EINVAL, f"{dev.name} takes {most} at most")
    if is_size:
        dev.gso_max_size = attr.u32
    else:
        dev.gso_max_segs = attr.u32


def rtnl_setlink(skb: "SkBuff", nlh: "Nlmsghdr") -> None:
    """Answer ``RTM_SETLINK``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``; what ``do_setlink`` raises.
    """
    tb = nlmsg_parse(nlh, IFINFOMSG.size, IFLA_POLICY, max(Ifla))
    rtnl_ensure_unique_netns(tb, netns_id_only=False)
    _, _, index, flags, change = IFINFOMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    assert skb.sk is not None
    dev = rtnl_dev_get(skb.sk.net, tb, index)
    if dev is None:
        raise OSError(ENODEV, "no such device")
    do_setlink(dev, index, flags, change, tb)


def change_kind(dev: "NetDevice", tb: dict[int, Nlattr]) -> bool:
    """Change what is of a device's kind, or of its master's; return whether there was anything.

    Raises
    ------
    OSError
        ``EOPNOTSUPP`` for another kind; what its function raises.
    """
    info = link_info(tb)
    kind = info[IflaInfo.KIND].text if IflaInfo.KIND in info else ""
    if IflaInfo.DATA in info:
        ops = dev.rtnl_link_ops
        if ops is None or ops.kind != kind or ops.changelink is None:
            raise OSError(EOPNOTSUPP, f"{dev.name} cannot be changed as {kind or 'no kind'}")
        ops.changelink(dev, link_data(info[IflaInfo.DATA], ops.policy))
    if IflaInfo.SLAVE_DATA in info:
        ops = dev.master.rtnl_link_ops if dev.master is not None else None
        if ops is None or ops.slave_changelink is None:
            raise OSError(EOPNOTSUPP, f"{dev.name} is no slave that could be changed")
        ops.slave_changelink(dev, link_data(info[IflaInfo.SLAVE_DATA], ops.slave_policy))
    return IflaInfo.DATA in info or IflaInfo.SLAVE_DATA in info

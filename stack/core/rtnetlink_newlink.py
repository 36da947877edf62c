"""Making and deleting devices by messages (Linux: net/core/rtnetlink.c)."""

from errno import EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING

from ..netlink.attr import NetlinkError, Nlattr, nlmsg_parse
from ..netlink.if_link import IFINFOMSG, Ifla, IflaInfo
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from .dev_register import dev_get_by_index, dev_valid_name
from .rtnetlink_event import RTM_NEWLINK, rtmsg_ifinfo
from .rtnetlink_link import IFLA_POLICY, link_info, rtnl_dev_get, rtnl_ensure_unique_netns
from .rtnetlink_setlink import change_kind, do_setlink, link_data, validate_linkmsg

if TYPE_CHECKING:
    from ..netlink.message import Nlmsghdr
    from .net import Net
    from .netdevice import NetDevice
    from .rtnl_link import LinkData
    from .skbuff import SkBuff

__all__ = ["rtnl_configure_link", "rtnl_dellink", "rtnl_newlink"]


def rtnl_newlink(skb: "SkBuff", nlh: "Nlmsghdr") -> None:
    """Answer ``RTM_NEWLINK``: change the device that the message names, or make it.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``, ``EEXIST``, ``EOPNOTSUPP``; what the single changes raise.
    """
    tb = nlmsg_parse(nlh, IFINFOMSG.size, IFLA_POLICY, max(Ifla))
    rtnl_ensure_unique_netns(tb, netns_id_only=False)
    _, _, index, flags, change = IFINFOMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    assert skb.sk is not None
    net = skb.sk.net
    dev = None
    if index > 0:
        dev = dev_get_by_index(net, index)
    elif index < 0:
        raise OSError(EINVAL, "ifindex can't be negative")
    elif Ifla.IFNAME in tb or Ifla.ALT_IFNAME in tb:
        dev = rtnl_dev_get(net, tb, 0)
    validate_linkmsg(dev, tb)
    if dev is not None:
        if nlh.flags & NlmF.EXCL:
            raise OSError(EEXIST, f"there is a device {dev.name}")
        if nlh.flags & NlmF.REPLACE:
            raise OSError(EOPNOTSUPP, "devices are not replaced")
        do_setlink(dev, index, flags, change, tb, modified=change_kind(dev, tb))
        return
    if not nlh.flags & NlmF.CREATE:
        if not index and Ifla.GROUP in tb:
            for member in [one for one in net.devices.values() if one.group == tb[Ifla.GROUP].u32]:
                do_setlink(member, 0, flags, change, {kind: tb[kind] for kind in tb if kind != Ifla.GROUP})
            return
        raise OSError(ENODEV, "no such device")
    if Ifla.MAP in tb or Ifla.PROTINFO in tb:
        raise OSError(EOPNOTSUPP, "a new device has no map and no protocol's values")
    _newlink_create(net, nlh, index, flags, change, tb)


def _newlink_create(net: "Net", nlh: "Nlmsghdr", index: int, flags: int, change: int, tb: dict[int, Nlattr]) -> None:
    """Make a device (Linux: ``rtnl_newlink_create``)."""
    info = link_info(tb)
    kind = info[IflaInfo.KIND].text if IflaInfo.KIND in info else ""
    kernel = net.kernel
    ops = kernel.rtnl_link_ops.get(kind)
    if ops is None:
        raise NetlinkError(EOPNOTSUPP, "Unknown device type", info.get(IflaInfo.KIND))
    if index:
        raise OSError(EOPNOTSUPP, "a new device's number is given by the kernel")
    name = tb[Ifla.IFNAME].text if Ifla.IFNAME in tb else ""
    if name and not dev_valid_name(name.replace("%d", "0", 1)):
        raise NetlinkError(EINVAL, f"{name!r} is no name for a device", tb[Ifla.IFNAME])
    if name in net.dev_by_name:
        raise OSError(EEXIST, f"there is a device {name}")
    lower = dev_get_by_index(net, tb[Ifla.LINK].u32) if Ifla.LINK in tb else None
    if Ifla.LINK in tb and lower is None:
        raise NetlinkError(ENODEV, "no such lower device", tb[Ifla.LINK])
    data: LinkData = link_data(info[IflaInfo.DATA], ops.policy) if IflaInfo.DATA in info else {}
    kernel.rtnl_creating += 1
    try:
        dev = ops.newlink(net, name or f"{kind}%d", data, lower)
    finally:
        kernel.rtnl_creating -= 1
    try:
        rtnl_configure_link(dev, flags, change, tb, nlh)
    except OSError:
        ops.dellink(dev)
        raise
    if Ifla.MASTER in tb:
        do_setlink(dev, 0, 0, 0, {Ifla.MASTER: tb[Ifla.MASTER]})


def rtnl_configure_link(
    dev: "NetDevice", flags: int, change: int, tb: dict[int, Nlattr], nlh: "Nlmsghdr | None" = None
) -> None:
    """Set what a message says of a new device, besides what is of its kind; then notify of it."""
    kinds = [Ifla.ADDRESS, Ifla.BROADCAST, Ifla.MTU, Ifla.TXQLEN, Ifla.GROUP, Ifla.IFALIAS]
    kinds += [Ifla.GSO_MAX_SIZE, Ifla.GSO_MAX_SEGS]
    validate_linkmsg(dev, tb)
    do_setlink(dev, 0, flags, change, {kind: tb[kind] for kind in kinds if kind in tb})
    dev.kernel.rtnl_initializing.discard(dev)
    rtmsg_ifinfo(RTM_NEWLINK, dev, 0xFFFF_FFFF, nlh=nlh)


def rtnl_dellink(skb: "SkBuff", nlh: "Nlmsghdr") -> None:
    """Answer ``RTM_DELLINK``: delete a device, or all of a group.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENODEV``; ``EPERM`` for the group of all others; ``EOPNOTSUPP`` for a device that was not made by
        a message.
    """
    tb = nlmsg_parse(nlh, IFINFOMSG.size, IFLA_POLICY, max(Ifla))
    rtnl_ensure_unique_netns(tb, netns_id_only=True)
    _, _, index, _, _ = IFINFOMSG.unpack_from(nlh.octets, NLMSG_HDRLEN)
    assert skb.sk is not None
    net = skb.sk.net
    if index <= 0 and Ifla.IFNAME not in tb and Ifla.ALT_IFNAME not in tb and Ifla.GROUP in tb:
        group = tb[Ifla.GROUP].u32
        devices = [dev for dev in net.devices.values() if dev.group == group]
        if not group or not devices:
            raise OSError(ENODEV if group else EPERM, f"no devices to delete are in group {group}")
        for dev in devices:
            _check_dellink(dev)
        for dev in devices:
            if net.devices.get(dev.ifindex) is dev:
                rtnl_delete_link(dev)
        return
    found = rtnl_dev_get(net, tb, index)
    if found is None:
        raise OSError(ENODEV, "no such device")
    rtnl_delete_link(found)


def _check_dellink(dev: "NetDevice") -> None:
    if dev.rtnl_link_ops is None:
        raise OSError(EOPNOTSUPP, f"{dev.name} was not made by a message")


def rtnl_delete_link(dev: "NetDevice") -> None:
    """Delete a device in the way of its kind."""
    _check_dellink(dev)
    assert dev.rtnl_link_ops is not None
    dev.rtnl_link_ops.dellink(dev)

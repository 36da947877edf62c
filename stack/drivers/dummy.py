"""Devices that take frames and forget them: ``ip link add NAME type dummy`` (Linux: drivers/net/dummy.c)."""

from typing import TYPE_CHECKING

from ..core.dev_register import register_netdevice, unregister_netdevice
from ..core.link_watch import netif_carrier_off, netif_carrier_on
from ..core.netdevice import (
    GSO_MAX_SIZE,
    IFF_BROADCAST,
    IFF_NO_QUEUE,
    IFF_NOARP,
    NETDEV_TX_OK,
    NETIF_F_FRAGLIST,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_LLTX,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from ..core.rtnl_link import LinkData, RtnlLinkOps
from ..core.skbuff import SkBuff, consume_skb
from ..ethernet.eth import eth_hw_addr_random, ether_setup

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["dummy_link_ops", "dummy_newlink", "dummy_xmit"]


def dummy_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Count a frame and forget it."""
    dev.stats.tx_packets += 1
    dev.stats.tx_bytes += skb.len
    consume_skb(skb)
    return NETDEV_TX_OK


def dummy_change_carrier(dev: NetDevice, carrier: bool) -> None:
    """Have a link, or none, as the administrator says."""
    if carrier:
        netif_carrier_on(dev)
    else:
        netif_carrier_off(dev)


_OPS = NetDeviceOps(ndo_start_xmit=dummy_xmit, ndo_change_carrier=dummy_change_carrier)
_CAPABILITIES = Capabilities(
    features=NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA | NETIF_F_LLTX, min_mtu=0, max_mtu=0
)


def dummy_setup(dev: NetDevice) -> None:
    """Make a new device an Ethernet one with a random address, that asks for no addresses."""
    ether_setup(dev)
    dev.flags |= IFF_BROADCAST | IFF_NOARP  # Not IFF_MULTICAST.
    dev.priv_flags |= IFF_NO_QUEUE
    dev.dev_addr = eth_hw_addr_random(dev.kernel)
    dev.tso_max_size = GSO_MAX_SIZE


def dummy_newlink(net: "Net", name: str, data: LinkData, lower: NetDevice | None) -> NetDevice:
    """Make a device, down.

    Raises
    ------
    OSError
        ``EINVAL`` or ``EEXIST`` for its name.
    """
    dev = NetDevice(net, name, _OPS, _CAPABILITIES)
    dummy_setup(dev)
    dev.rtnl_link_ops = dummy_link_ops
    register_netdevice(dev)
    return dev


dummy_link_ops = RtnlLinkOps("dummy", dummy_newlink, unregister_netdevice)

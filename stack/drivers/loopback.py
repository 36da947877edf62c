"""The loopback device (Linux: drivers/net/loopback.c)."""

from typing import TYPE_CHECKING

from ..core.dev_napi import __netif_rx
from ..core.dev_register import dev_open, register_netdevice
from ..core.netdevice import (
    ARPHRD_LOOPBACK,
    GSO_MAX_SIZE,
    IFF_LOOPBACK,
    IFF_NO_QUEUE,
    NET_RX_SUCCESS,
    NETDEV_TX_OK,
    NETIF_F_FRAGLIST,
    NETIF_F_GSO_UDP_L4,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_LLTX,
    NETIF_F_LOOPBACK,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
    netif_keep_dst,
)
from ..core.skbuff import SkBuff, skb_orphan
from ..ethernet.eth import eth_type_trans, ether_setup

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["loopback_net_init", "loopback_xmit"]

_MTU = 65536


def loopback_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Turn a sent packet round: it is received at once."""
    skb_orphan(skb)
    length = skb.len
    skb.protocol = eth_type_trans(skb, dev)
    if __netif_rx(skb) == NET_RX_SUCCESS:
        stats = dev.stats
        stats.tx_packets += 1
        stats.tx_bytes += length
        stats.rx_packets += 1
        stats.rx_bytes += length
    return NETDEV_TX_OK


_OPS = NetDeviceOps(ndo_start_xmit=loopback_xmit)
_CAPABILITIES = Capabilities(
    features=NETIF_F_SG
    | NETIF_F_FRAGLIST
    | NETIF_F_GSO_UDP_L4
    | NETIF_F_HW_CSUM
    | NETIF_F_HIGHDMA
    | NETIF_F_LLTX
    | NETIF_F_LOOPBACK,
    min_mtu=0,
    max_mtu=0,
)


def loopback_net_init(net: "Net") -> NetDevice:
    """Give a namespace its ``lo``, and bring it up."""
    dev = NetDevice(net, "lo", _OPS, _CAPABILITIES)
    ether_setup(dev)
    dev.type = ARPHRD_LOOPBACK
    dev.flags |= IFF_LOOPBACK
    dev.priv_flags |= IFF_NO_QUEUE
    dev.broadcast = bytes(6)
    dev.mtu = _MTU
    dev.tso_max_size = GSO_MAX_SIZE
    netif_keep_dst(dev)
    register_netdevice(dev)
    net.loopback_dev = dev
    dev_open(dev)
    return dev

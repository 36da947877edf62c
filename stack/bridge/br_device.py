"""The device that a bridge is for its own host (Linux: net/bridge/br_device.c).

Its features do not follow the ports': what a port's device cannot do is done when a frame gets there.
"""

from errno import EADDRNOTAVAIL
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.link_watch import netif_carrier_off
from ..core.netdevice import (
    IFF_BROADCAST,
    IFF_EBRIDGE,
    IFF_MULTICAST,
    IFF_NO_QUEUE,
    NETDEV_TX_OK,
    NETIF_F_FRAGLIST,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_HW_VLAN_CTAG_TX,
    NETIF_F_LLTX,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from ..core.skbuff import SkBuff, kfree_skb_reason, skb_pull
from ..core.skbuff_data import pskb_may_pull
from ..ethernet.eth import ETH_HLEN, eth_hw_addr_random, ether_setup
from .br_fdb import br_fdb_add_local, br_fdb_find_rcu
from .br_forward import br_flood, br_forward
from .br_if import br_add_if, br_del_if
from .br_private import BrInputSkbCb, NetBridge
from .br_stp_if import br_stp_change_bridge_id, br_stp_disable_bridge, br_stp_enable_bridge
from .br_stp_timer import br_stp_timer_init

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["br_dev_setup", "br_dev_xmit"]

_FROM_HERE = BrInputSkbCb(src_port_isolated=False)


def br_dev_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a frame of this host: by the port where its destination is, or by all."""
    br: NetBridge = dev.priv
    if not pskb_may_pull(skb, ETH_HLEN):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        dev.stats.tx_dropped += 1
        return NETDEV_TX_OK
    dev.stats.tx_packets += 1
    dev.stats.tx_bytes += skb.len
    skb.cb = _FROM_HERE
    at = skb.mac_header = skb.data
    skb_pull(skb, ETH_HLEN)
    dest = bytes(skb.view[at : at + 6])
    dst = None if dest[0] & 1 else br_fdb_find_rcu(br, dest, 0)
    if dst is None:
        br_flood(br, skb, dest, local_orig=True)
    else:
        br_forward(dst.dst, skb, local_orig=True)
    return NETDEV_TX_OK


def br_dev_open(dev: NetDevice) -> None:
    """Begin to work."""
    br_stp_enable_bridge(dev.priv)


def br_dev_stop(dev: NetDevice) -> None:
    """Stop working."""
    br_stp_disable_bridge(dev.priv)


def br_change_mtu(dev: NetDevice, mtu: int) -> None:
    """Take an MTU; it does not follow the ports' any more."""
    dev.mtu = mtu
    dev.priv.mtu_set = True


def br_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Take an address; it does not follow the ports' any more.

    Raises
    ------
    OSError
        ``EADDRNOTAVAIL`` for 00:00:00:00:00:00.
    """
    if addr == bytes(6):
        raise OSError(EADDRNOTAVAIL, f"{dev.name} cannot have no address")
    br: NetBridge = dev.priv
    br.addr_set = True
    if addr != dev.dev_addr:
        br_stp_change_bridge_id(br, bytes(addr))


def br_add_slave(dev: NetDevice, slave: NetDevice) -> None:
    """Make a device a port."""
    br_add_if(dev.priv, slave)


def br_del_slave(dev: NetDevice, slave: NetDevice) -> None:
    """Make a port a device by itself again."""
    br_del_if(dev.priv, slave)


_OPS = NetDeviceOps(
    ndo_start_xmit=br_dev_xmit,
    ndo_open=br_dev_open,
    ndo_stop=br_dev_stop,
    ndo_change_mtu=br_change_mtu,
    ndo_set_mac_address=br_set_mac_address,
    ndo_add_slave=br_add_slave,
    ndo_del_slave=br_del_slave,
)
_CAPABILITIES = Capabilities(
    features=NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA | NETIF_F_LLTX | NETIF_F_HW_VLAN_CTAG_TX,
    max_mtu=65535,
)


def br_dev_setup(net: "Net", name: str) -> NetDevice:
    """Return a new bridge, down, without ports and so without a link; its address is random until it has some."""
    dev = NetDevice(net, name, _OPS, _CAPABILITIES)
    ether_setup(dev)
    dev.flags |= IFF_BROADCAST | IFF_MULTICAST
    dev.priv_flags = IFF_EBRIDGE | IFF_NO_QUEUE
    dev.dev_addr = eth_hw_addr_random(dev.kernel)
    dev.priv = br = NetBridge(dev)
    br_stp_timer_init(br)
    br_fdb_add_local(br, None, dev.dev_addr, 0)
    netif_carrier_off(dev)
    return dev

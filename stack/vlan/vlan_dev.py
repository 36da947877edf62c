"""Devices of VLANs: opening, sending, addresses (Linux: net/8021q/vlan_dev.c)."""

from errno import ENETDOWN, ERANGE

from ..core.dev import dev_queue_xmit
from ..core.dev_addr_lists import (
    dev_mc_sync,
    dev_mc_unsync,
    dev_set_allmulti,
    dev_set_promiscuity,
    dev_uc_add,
    dev_uc_del,
    dev_uc_sync,
    dev_uc_unsync,
)
from ..core.if_vlan import ETH_P_8021Q, VLAN_HLEN, __vlan_hwaccel_put_tag
from ..core.link_watch import netif_carrier_off, netif_carrier_on
from ..core.netdevice import (
    IFF_ALLMULTI,
    IFF_BROADCAST,
    IFF_MULTICAST,
    IFF_NO_QUEUE,
    IFF_PROMISC,
    IFF_UNICAST_FLT,
    IFF_UP,
    NET_XMIT_CN,
    NET_XMIT_SUCCESS,
    NETIF_F_CSUM_MASK,
    NETIF_F_FRAGLIST,
    NETIF_F_GRO,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_VLAN_CTAG_TX,
    NETIF_F_LLTX,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
    netif_carrier_ok,
    netif_keep_dst,
)
from ..core.skbuff import SkBuff
from ..ethernet.eth import ether_setup

__all__ = ["VlanDevice", "vlan_dev_features", "vlan_dev_hard_start_xmit", "vlan_setup"]

_FEATURES = NETIF_F_SG | NETIF_F_CSUM_MASK | NETIF_F_HIGHDMA | NETIF_F_FRAGLIST


def vlan_dev_features(real_dev: NetDevice) -> int:
    """Return the features that a device has above that one: the frame goes through both."""
    return real_dev.features & _FEATURES | NETIF_F_LLTX


class VlanDevice(NetDevice):
    """The device of a VLAN above another one (Linux: ``struct vlan_dev_priv``).

    Members
    -------
    real_dev : NetDevice
        The device below.
    vlan_proto, vlan_id : int
        What is in its tags.
    real_dev_addr : bytes
        The address of the device below that it goes by.
    addr_stolen : bool
        It has that address as its own, as nobody gave it another one (Linux: ``NET_ADDR_STOLEN``).
    """

    def __init__(self, name: str, real_dev: NetDevice, vlan_proto: int, vlan_id: int) -> None:
        # The MTU may be as large as that of the device below: the tag does not count.
        super().__init__(real_dev.net, name, vlan_netdev_ops, Capabilities(features=0, min_mtu=0, max_mtu=65535))
        self.lower_dev = self.real_dev = real_dev
        self.vlan_proto = vlan_proto
        self.vlan_id = vlan_id
        self.real_dev_addr = real_dev.dev_addr
        self.addr_stolen = True


def vlan_setup(dev: VlanDevice) -> None:
    """Make a new device an Ethernet one like that below it."""
    real_dev = dev.real_dev
    ether_setup(dev)
    dev.flags |= real_dev.flags & (IFF_BROADCAST | IFF_MULTICAST)
    dev.priv_flags |= IFF_NO_QUEUE | IFF_UNICAST_FLT
    netif_keep_dst(dev)
    dev.dev_addr, dev.broadcast, dev.mtu = real_dev.dev_addr, real_dev.broadcast, real_dev.mtu
    dev.features = vlan_dev_features(real_dev) | NETIF_F_GRO
    dev.hard_header_len = real_dev.hard_header_len
    offloaded = real_dev.features & NETIF_F_HW_VLAN_CTAG_TX and dev.vlan_proto == ETH_P_8021Q
    dev.needed_headroom = real_dev.needed_headroom + (0 if offloaded else VLAN_HLEN)
    dev.needed_tailroom = real_dev.needed_tailroom


def _vlan(dev: NetDevice) -> VlanDevice:
    assert isinstance(dev, VlanDevice)
    return dev


def vlan_dev_init(dev: NetDevice) -> None:
    """Have no link before the device below gives it one (``ndo_init``)."""
    netif_carrier_off(dev)


def vlan_dev_hard_start_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a frame with the tag through the device below, and count it (``ndo_start_xmit``)."""
    vlan = _vlan(dev)
    __vlan_hwaccel_put_tag(skb, vlan.vlan_proto, vlan.vlan_id)
    skb.dev = vlan.real_dev
    length = skb.len
    ret = dev_queue_xmit(skb)
    if ret in (NET_XMIT_SUCCESS, NET_XMIT_CN):
        dev.stats.tx_packets += 1
        dev.stats.tx_bytes += length
    else:
        dev.stats.tx_dropped += 1
    return ret


def vlan_dev_open(dev: NetDevice) -> None:
    """Have the device below receive this one's address, too (``ndo_open``)."""
    vlan = _vlan(dev)
    real_dev = vlan.real_dev
    if not real_dev.flags & IFF_UP:
        raise OSError(ENETDOWN, f"{real_dev.name} is down")
    if dev.dev_addr != real_dev.dev_addr and not vlan.addr_stolen:
        dev_uc_add(real_dev, dev.dev_addr)
    vlan.real_dev_addr = real_dev.dev_addr
    if vlan.addr_stolen:
        dev.dev_addr = real_dev.dev_addr
    if dev.flags & IFF_ALLMULTI:
        dev_set_allmulti(real_dev, 1)
    if dev.flags & IFF_PROMISC:
        dev_set_promiscuity(real_dev, 1)
    if netif_carrier_ok(real_dev):
        netif_carrier_on(dev)


def vlan_dev_stop(dev: NetDevice) -> None:
    """Take back what ``vlan_dev_open`` and the receive mode did (``ndo_stop``)."""
    vlan = _vlan(dev)
    real_dev = vlan.real_dev
    dev_mc_unsync(real_dev, dev)
    dev_uc_unsync(real_dev, dev)
    if dev.flags & IFF_ALLMULTI:
        dev_set_allmulti(real_dev, -1)
    if dev.flags & IFF_PROMISC:
        dev_set_promiscuity(real_dev, -1)
    if dev.dev_addr != vlan.real_dev_addr:
        dev_uc_del(real_dev, dev.dev_addr)
    netif_carrier_off(dev)


def vlan_dev_change_rx_flags(dev: NetDevice, change: int) -> None:
    """Hand modes down (``ndo_change_rx_flags``)."""
    real_dev = _vlan(dev).real_dev
    if not dev.flags & IFF_UP:
        return  # They are, when it is opened.
    if change & IFF_ALLMULTI:
        dev_set_allmulti(real_dev, 1 if dev.flags & IFF_ALLMULTI else -1)
    if change & IFF_PROMISC:
        dev_set_promiscuity(real_dev, 1 if dev.flags & IFF_PROMISC else -1)


def vlan_dev_set_rx_mode(dev: NetDevice) -> None:
    """Hand addresses and groups down (``ndo_set_rx_mode``)."""
    dev_mc_sync(_vlan(dev).real_dev, dev)
    dev_uc_sync(_vlan(dev).real_dev, dev)


def vlan_dev_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Set the address (``ndo_set_mac_address``): from now on it is this device's own."""
    vlan = _vlan(dev)
    real_dev = vlan.real_dev
    if dev.flags & IFF_UP:
        if addr != vlan.real_dev_addr:
            dev_uc_add(real_dev, addr)
        if dev.dev_addr != vlan.real_dev_addr:
            dev_uc_del(real_dev, dev.dev_addr)
    vlan.addr_stolen = False
    dev.dev_addr = bytes(addr)


def vlan_dev_change_mtu(dev: NetDevice, mtu: int) -> None:
    """Set the MTU (``ndo_change_mtu``): no larger one than the device below has."""
    real_dev = _vlan(dev).real_dev
    if mtu > real_dev.mtu:
        raise OSError(ERANGE, f"{real_dev.name} has an MTU of {real_dev.mtu} only")
    dev.mtu = mtu


def vlan_dev_get_iflink(dev: NetDevice) -> int:
    """Return the number of the device below."""
    return _vlan(dev).real_dev.ifindex


vlan_netdev_ops = NetDeviceOps(
    ndo_init=vlan_dev_init,
    ndo_start_xmit=vlan_dev_hard_start_xmit,
    ndo_open=vlan_dev_open,
    ndo_stop=vlan_dev_stop,
    ndo_change_mtu=vlan_dev_change_mtu,
    ndo_set_mac_address=vlan_dev_set_mac_address,
    ndo_set_rx_mode=vlan_dev_set_rx_mode,
    ndo_change_rx_flags=vlan_dev_change_rx_flags,
    ndo_get_iflink=vlan_dev_get_iflink,
)

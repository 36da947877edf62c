"""Pairs of virtual Ethernet devices: what one sends the other receives (Linux: drivers/net/veth.c)."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.dev_forward import __dev_forward_skb
from ..core.dev_napi import __netif_rx
from ..core.dev_register import dev_close_many, register_netdevice, unregister_netdevice
from ..core.drop_reasons import SkbDropReason
from ..core.ethtool import LinkSettings
from ..core.link_watch import netif_carrier_off, netif_carrier_on
from ..core.netdevice import (
    GSO_MAX_SIZE,
    IFF_BROADCAST,
    IFF_MULTICAST,
    IFF_NO_QUEUE,
    IFF_UP,
    NET_RX_SUCCESS,
    NETDEV_TX_OK,
    NETIF_F_FRAGLIST,
    NETIF_F_GRO,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_HW_VLAN_CTAG_RX,
    NETIF_F_HW_VLAN_CTAG_TX,
    NETIF_F_LLTX,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
    Stats64,
    netif_carrier_ok,
)
from ..core.rtnl_link import LinkData, RtnlLinkOps
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..core.skbuff_data import pskb_may_pull
from ..ethernet.eth import ETH_HLEN, eth_hw_addr_random, ether_setup
from ..netlink.attr import nla_parse
from ..netlink.if_link import IFINFOMSG, Ifla, VethInfo

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["VethDevice", "veth_dellink", "veth_link_ops", "veth_newlink", "veth_xmit"]


class VethDevice(NetDevice):
    """One end of a pair; ``peer`` is the other one, None after the pair was taken down."""

    def __init__(self, net: "Net", name: str) -> None:
        super().__init__(net, name, _OPS, _CAPABILITIES)
        self.peer: VethDevice | None = None


class VethEthtool:
    """The ``ethtool`` operations of an end (Linux: ``struct ethtool_ops``)."""

    def __init__(self, dev: VethDevice) -> None:
        self._dev = dev

    def get_link_ksettings(self) -> LinkSettings:
        """Say 10 Gb/s, which bridges and bonds take for the speed."""
        return LinkSettings(10_000, "full", False, netif_carrier_ok(self._dev), (), ())


def veth_setup(dev: VethDevice, mtu: int) -> None:
    """Make a new end an Ethernet device with a random address, without a qdisc and without a link."""
    ether_setup(dev)
    dev.flags |= IFF_BROADCAST | IFF_MULTICAST
    dev.priv_flags |= IFF_NO_QUEUE
    dev.dev_addr = eth_hw_addr_random(dev.kernel)
    dev.mtu = mtu
    dev.ethtool_ops = VethEthtool(dev)
    dev.tso_max_size = GSO_MAX_SIZE
    dev.features &= ~NETIF_F_GRO  # veth_disable_gro()
    dev.rtnl_link_ops = veth_link_ops


def veth_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Hand a frame to the other end, which receives it in the next softirq."""
    assert isinstance(dev, VethDevice)
    peer, length = dev.peer, skb.len
    if peer is None or not pskb_may_pull(skb, ETH_HLEN):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        dev.stats.tx_dropped += 1
    elif veth_forward_skb(peer, skb) == NET_RX_SUCCESS:
        dev.stats.tx_packets += 1
        dev.stats.tx_bytes += length
    else:
        dev.stats.tx_dropped += 1
    return NETDEV_TX_OK


def veth_forward_skb(dev: NetDevice, skb: SkBuff) -> int:
    """Queue a frame for an end to receive; return ``NET_RX_*``."""
    verdict = __dev_forward_skb(dev, skb)
    return verdict if verdict != NET_RX_SUCCESS else __netif_rx(skb)


def veth_open(dev: NetDevice) -> None:
    """There is a link once both ends are up."""
    assert isinstance(dev, VethDevice)
    if dev.peer is not None and dev.peer.flags & IFF_UP:
        netif_carrier_on(dev)
        netif_carrier_on(dev.peer)


def veth_close(dev: NetDevice) -> None:
    """There is no link any more."""
    assert isinstance(dev, VethDevice)
    netif_carrier_off(dev)
    if dev.peer is not None:
        netif_carrier_off(dev.peer)


def veth_get_stats64(dev: NetDevice) -> Stats64:
    """Return an end's counters: it has received what the other one has sent."""
    assert isinstance(dev, VethDevice)
    if dev.peer is None:
        return replace(dev.stats)
    return replace(dev.stats, rx_packets=dev.peer.stats.tx_packets, rx_bytes=dev.peer.stats.tx_bytes)


def veth_get_iflink(dev: NetDevice) -> int:
    """Return the number of the other end, 0 if there is none."""
    assert isinstance(dev, VethDevice)
    return dev.peer.ifindex if dev.peer is not None else 0


def veth_get_link_net(dev: NetDevice) -> "Net":
    """Return the namespace of the other end."""
    assert isinstance(dev, VethDevice)
    return dev.peer.net if dev.peer is not None else dev.net


_OPS = NetDeviceOps(
    ndo_start_xmit=veth_xmit,
    ndo_open=veth_open,
    ndo_stop=veth_close,
    ndo_get_stats64=veth_get_stats64,
    ndo_get_iflink=veth_get_iflink,
)
_CAPABILITIES = Capabilities(
    features=NETIF_F_SG
    | NETIF_F_FRAGLIST
    | NETIF_F_HW_CSUM
    | NETIF_F_HIGHDMA
    | NETIF_F_LLTX
    | NETIF_F_HW_VLAN_CTAG_TX
    | NETIF_F_HW_VLAN_CTAG_RX,
    max_mtu=65535,
)


def veth_newlink(
    net: "Net",
    name: str,
    peer_net: "Net",
    peer_name: str,
    *,
    mtu: int = 1500,
    configure: Callable[[NetDevice], None] | None = None,
) -> tuple[VethDevice, VethDevice]:
    """Make a pair, down: ``ip link add NAME type veth peer name PEER_NAME netns PEER_NET``.

    Parameters
    ----------
    net, peer_net : Net
        Namespaces of the ends, of the same kernel.
    name, peer_name : str
        Their names; ``"veth%d"`` takes the next free one.
    mtu : int
        MTU of both.
    configure : callable or None
        Takes the other end when it is registered.

    Raises
    ------
    OSError
        ``EEXIST`` if a name is taken; then there is no pair.
    ValueError
        If the namespaces are not of one kernel.
    """
    if net.kernel is not peer_net.kernel:
        raise ValueError("the ends of a pair are in namespaces of one kernel; between hosts use a Link")
    ends = VethDevice(net, name), VethDevice(peer_net, peer_name)
    for end in ends:
        veth_setup(end, mtu)
    register_netdevice(ends[1])
    try:
        netif_carrier_off(ends[1])
        if configure is not None:
            configure(ends[1])
        register_netdevice(ends[0])
    except OSError:
        unregister_netdevice(ends[1])
        raise
    netif_carrier_off(ends[0])
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends


def veth_dellink(dev: NetDevice) -> None:
    """Take a pair away, whichever end is named: ``ip link del NAME``."""
    assert isinstance(dev, VethDevice)
    ends = [end for end in (dev, dev.peer) if end is not None]
    for end in ends:
        end.peer = None
    with dev.kernel.rtnl:
        dev_close_many(list(ends))
    for end in ends:
        unregister_netdevice(end)


def _newlink(net: "Net", name: str, data: LinkData, lower: NetDevice | None) -> NetDevice:
    """Make a pair by a message; ``VethInfo.PEER`` holds a whole link message for the other end."""
    from ..core.rtnetlink_link import IFLA_POLICY  # They are built on drivers.
    from ..core.rtnetlink_newlink import rtnl_configure_link
    from ..core.rtnetlink_setlink import validate_linkmsg

    octets: bytes = data.get(VethInfo.PEER, b"")
    tb = nla_parse(octets, IFINFOMSG.size, IFLA_POLICY, max(Ifla)) if len(octets) >= IFINFOMSG.size else {}
    _, _, _, flags, change = IFINFOMSG.unpack_from(octets.ljust(IFINFOMSG.size, b"\0"))
    peer_name = tb[Ifla.IFNAME].text if Ifla.IFNAME in tb else "veth%d"

    def configure(peer: NetDevice) -> None:
        rtnl_configure_link(peer, flags, change, tb)

    validate_linkmsg(None, tb)
    return veth_newlink(net, name, net, peer_name, configure=configure)[0]


veth_link_ops = RtnlLinkOps(
    "veth", _newlink, veth_dellink, get_link_net=veth_get_link_net, policy={VethInfo.PEER: "binary"}
)

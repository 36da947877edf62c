"""Devices with addresses of their own above another one: opening, sending, addresses (Linux: drivers/net/macvlan.c)."""

from errno import EADDRINUSE, EINVAL, ENODEV, ENOTSUP

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
from ..core.dev_forward import dev_forward_skb
from ..core.dev_register import netif_set_mac_address
from ..core.dev_upper import netif_stacked_transfer_operstate
from ..core.netdevice import (
    IFF_ALLMULTI,
    IFF_PROMISC,
    IFF_UP,
    NET_XMIT_CN,
    NET_XMIT_SUCCESS,
    NetDevice,
    NetDeviceOps,
)
from ..core.skbuff import SkBuff, skb_reset_mac_header
from ..vlan.vlan_core import vlan_vid_add, vlan_vid_del
from .macvlan_port import (
    MACVLAN_FLAG_NOPROMISC,
    MACVLAN_MODE_BRIDGE,
    MACVLAN_MODE_PASSTHRU,
    MacvlanDevice,
    MacvlanPort,
    macvlan_addr_busy,
    macvlan_compute_filter,
    macvlan_features,
    macvlan_hash_lookup,
    macvlan_port_create,
    macvlan_port_destroy,
    macvlan_port_get,
    update_port_bc_queue_len,
)
from .macvlan_rx import macvlan_broadcast, macvlan_handle_frame, macvlan_process_broadcast

__all__ = ["macvlan_ops", "macvlan_start_xmit", "macvlan_sync_address", "vlan_of"]


def vlan_of(dev: NetDevice) -> tuple[MacvlanDevice, MacvlanPort]:
    """Return a device of this driver as what it is, with what it shares with the others above its lower device."""
    assert isinstance(dev, MacvlanDevice)
    port = macvlan_port_get(dev.lowerdev)
    assert port is not None
    return dev, port


def macvlan_queue_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a frame: in bridge mode to the others that are in it, too, else to the world only."""
    vlan, port = vlan_of(dev)
    if vlan.mode == MACVLAN_MODE_BRIDGE:
        at = skb.data
        dest = bytes(skb.view[at : at + 6])
        if dest[0] & 1:
            skb_reset_mac_header(skb)
            macvlan_broadcast(skb, port, vlan, MACVLAN_MODE_BRIDGE)
        else:
            other = macvlan_hash_lookup(port, dest)
            if other is not None and other.mode == MACVLAN_MODE_BRIDGE:
                dev_forward_skb(vlan.lowerdev, skb)  # Its taps shall see the frame, too.
                return NET_XMIT_SUCCESS
    skb.dev = vlan.lowerdev
    return dev_queue_xmit(skb)


def macvlan_start_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a frame, and count it."""
    length = skb.len
    ret = macvlan_queue_xmit(skb, dev)
    if ret in (NET_XMIT_SUCCESS, NET_XMIT_CN):
        dev.stats.tx_packets += 1
        dev.stats.tx_bytes += length
    else:
        dev.stats.tx_dropped += 1
    return ret


def macvlan_init(dev: NetDevice) -> None:
    """Join those above the lower device."""
    assert isinstance(dev, MacvlanDevice)
    lower = dev.lowerdev
    if lower.net.devices.get(lower.ifindex) is not lower:
        raise OSError(ENODEV, f"{lower.name} is not registered")
    if dev.mtu > lower.mtu:
        raise OSError(EINVAL, f"{lower.name} has an MTU of {lower.mtu} only")
    port = macvlan_port_get(lower)
    if port is not None and (port.passthru or dev.mode == MACVLAN_MODE_PASSTHRU):
        raise OSError(EINVAL, f"a device in passthru mode must be the only one above {lower.name}")
    if port is None:
        port = macvlan_port_create(lower, macvlan_handle_frame, macvlan_process_broadcast)
    if dev.mode == MACVLAN_MODE_PASSTHRU:
        port.passthru = True
        dev.dev_addr = lower.dev_addr
    dev.hard_header_len = lower.hard_header_len
    dev.needed_headroom = lower.needed_headroom
    dev.needed_tailroom = lower.needed_tailroom
    dev.features = macvlan_features(lower.features)
    port.vlans.append(dev)
    update_port_bc_queue_len(port)
    netif_stacked_transfer_operstate(lower, dev)


def macvlan_uninit(dev: NetDevice) -> None:
    """Leave them; the last one gives the lower device free."""
    vlan, port = vlan_of(dev)
    port.vlans.remove(vlan)
    update_port_bc_queue_len(port)
    port.bc_queue = type(port.bc_queue)((skb, src if src is not vlan else None) for skb, src in port.bc_queue)
    if not port.vlans:
        macvlan_port_destroy(port)


def macvlan_open(dev: NetDevice) -> None:
    """Have the lower device receive this one's address, too."""
    vlan, port = vlan_of(dev)
    lower = vlan.lowerdev
    if port.passthru:
        if not vlan.mac_flags & MACVLAN_FLAG_NOPROMISC:
            dev_set_promiscuity(lower, 1)
    else:
        if macvlan_addr_busy(port, vlan.dev_addr):
            raise OSError(EADDRINUSE, f"{vlan.dev_addr.hex(':')} is in use at {lower.name}")
        dev_uc_add(lower, vlan.dev_addr)
        if vlan.flags & IFF_ALLMULTI:
            dev_set_allmulti(lower, 1)
        if vlan.flags & IFF_PROMISC:
            dev_set_promiscuity(lower, 1)
    port.vlan_hash[vlan.dev_addr] = vlan


def macvlan_stop(dev: NetDevice) -> None:
    """Take back what ``macvlan_open`` and the receive mode did."""
    vlan, port = vlan_of(dev)
    lower = vlan.lowerdev
    dev_uc_unsync(lower, vlan)
    dev_mc_unsync(lower, vlan)
    if port.passthru:
        if not vlan.mac_flags & MACVLAN_FLAG_NOPROMISC:
            dev_set_promiscuity(lower, -1)
    else:
        if vlan.flags & IFF_ALLMULTI:
            dev_set_allmulti(lower, -1)
        if vlan.flags & IFF_PROMISC:
            dev_set_promiscuity(lower, -1)
        dev_uc_del(lower, vlan.dev_addr)
    del port.vlan_hash[vlan.dev_addr]


def macvlan_change_rx_flags(dev: NetDevice, change: int) -> None:
    """Hand modes down (``ndo_change_rx_flags``)."""
    vlan, port = vlan_of(dev)
    if not vlan.flags & IFF_UP:
        return
    if change & IFF_ALLMULTI:
        dev_set_allmulti(vlan.lowerdev, 1 if vlan.flags & IFF_ALLMULTI else -1)
    if change & IFF_PROMISC and not port.passthru:
        dev_set_promiscuity(vlan.lowerdev, 1 if vlan.flags & IFF_PROMISC else -1)


def macvlan_set_mac_lists(dev: NetDevice) -> None:
    """Hand addresses and groups down (``ndo_set_rx_mode``)."""
    vlan, _ = vlan_of(dev)
    dev_uc_sync(vlan.lowerdev, vlan)
    dev_mc_sync(vlan.lowerdev, vlan)
    macvlan_compute_filter(vlan)


def macvlan_sync_address(vlan: MacvlanDevice, port: MacvlanPort, addr: bytes) -> None:
    """Give a device another address, here and at the lower device."""
    if vlan.flags & IFF_UP:
        if not port.passthru:
            dev_uc_add(vlan.lowerdev, addr)
            dev_uc_del(vlan.lowerdev, vlan.dev_addr)
        del port.vlan_hash[vlan.dev_addr]
        port.vlan_hash[addr] = vlan
    vlan.dev_addr = addr


def macvlan_set_mac_address(dev: NetDevice, addr: bytes) -> None:
    """Set the address (``ndo_set_mac_address``): in passthru mode that of the lower device."""
    vlan, port = vlan_of(dev)
    if addr == vlan.dev_addr:
        return
    if port.passthru:
        netif_set_mac_address(vlan.lowerdev, addr)  # Whose notifier goes on with this one.
    elif macvlan_addr_busy(port, addr):
        raise OSError(EADDRINUSE, f"{addr.hex(':')} is in use at {vlan.lowerdev.name}")
    else:
        macvlan_sync_address(vlan, port, addr)


def macvlan_change_mtu(dev: NetDevice, mtu: int) -> None:
    """Set the MTU (``ndo_change_mtu``): no larger one than the lower device has."""
    vlan, _ = vlan_of(dev)
    if mtu > vlan.lowerdev.mtu:
        raise OSError(EINVAL, f"{vlan.lowerdev.name} has an MTU of {vlan.lowerdev.mtu} only")
    vlan.mtu = mtu


def macvlan_set_features(dev: NetDevice, features: int) -> None:
    """Switch features (``ndo_set_features``): none on that the lower device has off."""
    vlan, _ = vlan_of(dev)
    missing = features & ~macvlan_features(vlan.lowerdev.features)
    if missing:
        raise OSError(ENOTSUP, f"{vlan.lowerdev.name} has no features {missing:#x}")
    vlan.set_features ^= features ^ vlan.features


def macvlan_vlan_rx_add_vid(dev: NetDevice, proto: int, vid: int) -> None:
    """Have the lower device receive a VLAN (``ndo_vlan_rx_add_vid``)."""
    vlan_vid_add(vlan_of(dev)[0].lowerdev, proto, vid)


def macvlan_vlan_rx_kill_vid(dev: NetDevice, proto: int, vid: int) -> None:
    """End that (``ndo_vlan_rx_kill_vid``)."""
    vlan_vid_del(vlan_of(dev)[0].lowerdev, proto, vid)


def macvlan_get_iflink(dev: "NetDevice") -> int:
    """Return the number of the lower device."""
    assert isinstance(dev, MacvlanDevice)
    return dev.lowerdev.ifindex


macvlan_ops = NetDeviceOps(
    ndo_get_iflink=macvlan_get_iflink,
    ndo_start_xmit=macvlan_start_xmit,
    ndo_init=macvlan_init,
    ndo_uninit=macvlan_uninit,
    ndo_open=macvlan_open,
    ndo_stop=macvlan_stop,
    ndo_change_mtu=macvlan_change_mtu,
    ndo_set_mac_address=macvlan_set_mac_address,
    ndo_set_features=macvlan_set_features,
    ndo_set_rx_mode=macvlan_set_mac_lists,
    ndo_change_rx_flags=macvlan_change_rx_flags,
    ndo_vlan_rx_add_vid=macvlan_vlan_rx_add_vid,
    ndo_vlan_rx_kill_vid=macvlan_vlan_rx_kill_vid,
)

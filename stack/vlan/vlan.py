"""Following what happens to devices below VLANs (Linux: net/8021q/vlan.c)."""

from typing import TYPE_CHECKING

from ..core.dev_addr_lists import dev_uc_add, dev_uc_del
from ..core.dev_register import dev_close_many, netif_open, netif_set_mtu, unregister_netdevice_queue
from ..core.dev_upper import netif_stacked_transfer_operstate
from ..core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ..core.netdevice import IFF_UP, NETIF_F_GRO
from .vlan_core import vlan_vid_del
from .vlan_dev import VlanDevice, vlan_dev_features

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice

__all__ = ["vlan_device_event"]


def vlan_sync_address(dev: "NetDevice", vlan: VlanDevice) -> None:
    """Follow another address of the device below, unless this one has its own."""
    if vlan.addr_stolen:
        vlan.dev_addr = dev.dev_addr
        call_netdevice_notifiers(NetdevEvent.CHANGEADDR, vlan)
    elif vlan.dev_addr == vlan.real_dev_addr != dev.dev_addr:
        dev_uc_add(dev, vlan.dev_addr)
    elif vlan.dev_addr == dev.dev_addr != vlan.real_dev_addr:
        dev_uc_del(dev, vlan.dev_addr)
    vlan.real_dev_addr = dev.dev_addr


def vlan_device_event(event: NetdevEvent, dev: "NetDevice") -> None:
    """Follow what happens to a device that has VLANs; and forget one of a VLAN when it goes."""
    if event == NetdevEvent.UNREGISTER and isinstance(dev, VlanDevice):
        real_dev, key = dev.real_dev, (dev.vlan_proto, dev.vlan_id)
        assert real_dev.vlan_info is not None
        del real_dev.vlan_info.devs[key]
        vlan_vid_del(real_dev, *key)
    if dev.vlan_info is None:
        return
    vlans = [vlan for vlan in dev.vlan_info.devs.values() if isinstance(vlan, VlanDevice)]
    if event == NetdevEvent.CHANGE:
        for vlan in vlans:
            netif_stacked_transfer_operstate(dev, vlan)
    elif event == NetdevEvent.CHANGEADDR:
        for vlan in vlans:
            if vlan.flags & IFF_UP:
                vlan_sync_address(dev, vlan)
    elif event == NetdevEvent.CHANGEMTU:
        for vlan in vlans:
            if vlan.mtu > dev.mtu:
                netif_set_mtu(vlan, dev.mtu)
    elif event == NetdevEvent.FEAT_CHANGE:
        for vlan in vlans:
            vlan.features = vlan_dev_features(dev) | vlan.features & NETIF_F_GRO
            call_netdevice_notifiers(event, vlan)
    elif event == NetdevEvent.DOWN:
        dev_close_many(vlans)
    elif event == NetdevEvent.UP:
        for vlan in vlans:
            netif_open(vlan)
            netif_stacked_transfer_operstate(dev, vlan)
    elif event == NetdevEvent.UNREGISTER:
        for vlan in vlans:
            unregister_netdevice_queue(vlan)
    elif event in (NetdevEvent.NOTIFY_PEERS, NetdevEvent.BONDING_FAILOVER):
        for vlan in vlans:
            call_netdevice_notifiers(event, vlan)

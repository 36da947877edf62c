"""Bridges in a namespace: following their ports' devices (Linux: net/bridge/br.c)."""

from typing import TYPE_CHECKING

from ..core.dev_register import register_netdevice_notifier
from ..core.link_watch import netif_oper_up
from ..core.netdev_event import NetdevEvent, call_netdevice_notifiers
from ..core.netdevice import IFF_UP, netif_running
from ..ieee802.stp import stp_proto_register
from .br_fdb import br_fdb_changeaddr
from .br_if import br_del_if, br_mtu_auto_adjust, br_port_carrier_check
from .br_private import br_port_get_rcu
from .br_stp_bpdu_rcv import br_stp_rcv
from .br_stp_if import br_stp_disable_port, br_stp_enable_port, br_stp_recalculate_bridge_id

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["br_device_event", "br_net_init"]


def br_device_event(event: NetdevEvent, dev: "NetDevice") -> None:
    """Follow what happens to the device of a port."""
    p = br_port_get_rcu(dev)
    if p is None:
        return
    br = p.br
    match event:
        case NetdevEvent.CHANGEMTU:
            br_mtu_auto_adjust(br)
        case NetdevEvent.CHANGEADDR:
            br_fdb_changeaddr(p, dev.dev_addr)
            if br_stp_recalculate_bridge_id(br):
                call_netdevice_notifiers(NetdevEvent.CHANGEADDR, br.dev)
        case NetdevEvent.CHANGE:
            br_port_carrier_check(p)
        case NetdevEvent.UP:
            if netif_running(br.dev) and netif_oper_up(dev):
                br_stp_enable_port(p)
        case NetdevEvent.DOWN:
            if br.dev.flags & IFF_UP:
                br_stp_disable_port(p)
        case NetdevEvent.UNREGISTER:
            br_del_if(br, dev)
        case _:
            pass


def br_net_init(net: "Net") -> None:
    """Set a namespace up for bridges, when it gets its first one."""
    if br_device_event not in net.netdev_chain:
        stp_proto_register(net, br_stp_rcv)
        register_netdevice_notifier(net, br_device_event)

"""Sending the messages of the spanning tree protocol (Linux: net/bridge/br_stp_bpdu.c)."""

from ..core.dev import dev_queue_xmit
from ..core.skbuff import __alloc_skb, skb_put_data, skb_reserve
from ..core.timer import HZ
from ..ethernet.eth import eth_header
from ..llc.llc_core import ETH_P_802_2, LLC_SAP_BSPAN
from ..wire.bpdu import ConfigBpdu, emit_tcn
from .br_private import BR_KERNEL_STP, NetBridgePort

__all__ = ["STP_HZ", "br_send_config_bpdu", "br_send_tcn_bpdu"]

STP_HZ = 256  # Times on the wire: IEEE Std 802.1D-1998 §9.2.8.
_TC_PRIO_CONTROL = 7
_LLC = bytes((LLC_SAP_BSPAN, LLC_SAP_BSPAN, 0x03))


def _ticks(time: int) -> int:
    """Return a time in jiffies as on the wire."""
    return min(time * STP_HZ // HZ, 0xFFFF)


def br_send_bpdu(p: NetBridgePort, octets: bytes) -> None:
    """Send a message by a port, unless there is no memory; the next one follows soon."""
    dev = p.dev
    try:
        skb = __alloc_skb(dev.kernel, dev.hard_header_len + dev.needed_headroom + len(_LLC) + len(octets))
    except OSError:
        return
    skb.dev = dev
    skb.protocol = ETH_P_802_2
    skb.priority = _TC_PRIO_CONTROL
    skb_reserve(skb, dev.hard_header_len + dev.needed_headroom)
    skb.network_header = skb.data
    skb_put_data(skb, _LLC + octets)
    skb.transport_header = skb.data + len(_LLC)
    eth_header(skb, dev, ETH_P_802_2, p.br.group_addr, dev.dev_addr, skb.len)
    skb.mac_header = skb.data
    dev_queue_xmit(skb)


def br_send_config_bpdu(p: NetBridgePort, message_age: int) -> None:
    """Send what this bridge knows of the root."""
    br = p.br
    if br.stp_enabled != BR_KERNEL_STP:
        return
    bpdu = ConfigBpdu(
        topology_change=br.topology_change,
        topology_change_ack=p.topology_change_ack,
        root=br.designated_root,
        root_path_cost=br.root_path_cost,
        bridge_id=br.bridge_id,
        port_id=p.port_id,
        message_age=_ticks(message_age),
        max_age=_ticks(br.max_age),
        hello_time=_ticks(br.hello_time),
        forward_delay=_ticks(br.forward_delay),
    )
    br_send_bpdu(p, bpdu.emit())


def br_send_tcn_bpdu(p: NetBridgePort) -> None:
    """Send a topology change notification."""
    if p.br.stp_enabled == BR_KERNEL_STP:
        br_send_bpdu(p, emit_tcn())

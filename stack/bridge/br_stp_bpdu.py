"""Sending and receiving the messages of the spanning tree protocol (Linux: net/bridge/br_stp_bpdu.c)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.dev import dev_queue_xmit
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import IFF_UP
from ..core.skbuff import __alloc_skb, consume_skb, kfree_skb_reason, skb_put_data, skb_reserve
from ..core.skbuff_data import skb_copy_bits
from ..core.timer import HZ
from ..ethernet.eth import eth_header
from ..llc.llc_core import ETH_P_802_2, LLC_SAP_BSPAN
from ..wire.bpdu import BPDU_TYPE_CONFIG, BPDU_TYPE_TCN, CONFIG_OCTETS, ConfigBpdu, bpdu_type, emit_tcn
from ..wire.error import WireError
from .br_private import (
    BR_BPDU_GUARD,
    BR_KERNEL_STP,
    BR_STATE_DISABLED,
    NetBridgePort,
    br_port_get_rcu,
)

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = ["BrConfigBpdu", "br_send_config_bpdu", "br_send_tcn_bpdu", "br_stp_rcv"]

_STP_HZ = 256  # Times on the wire: IEEE Std 802.1D-1998 §9.2.8.
_TC_PRIO_CONTROL = 7
_LLC = bytes((LLC_SAP_BSPAN, LLC_SAP_BSPAN, 0x03))


@dataclass(frozen=True, slots=True)
class BrConfigBpdu:
    """A received configuration message, with times in jiffies (Linux: ``struct br_config_bpdu``)."""

    topology_change: bool
    topology_change_ack: bool
    root: bytes
    root_path_cost: int
    bridge_id: bytes
    port_id: int
    message_age: int
    max_age: int
    hello_time: int
    forward_delay: int


def _ticks(time: int) -> int:
    """Return a time in jiffies as on the wire."""
    return min(time * _STP_HZ // HZ, 0xFFFF)


def br_get_ticks(ticks: int) -> int:
    """Return a time on the wire in jiffies."""
    return -(-ticks * HZ // _STP_HZ)


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


def br_stp_rcv(skb: "SkBuff", dev: "NetDevice") -> None:
    """Take in a message that a device received, if it is a port that takes part."""
    try:
        kind = bpdu_type(skb_copy_bits(skb, 0, min(skb.len, CONFIG_OCTETS)))
        p = br_port_get_rcu(dev)
        if p is not None and _takes_part(p, skb):
            _receive(p, kind, skb)
            consume_skb(skb)
            return
    except WireError:
        pass
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)


def _takes_part(p: NetBridgePort, skb: "SkBuff") -> bool:
    """Return whether a port shall see a message; one that shall receive none is switched off by it."""
    from .br_stp_if import br_stp_disable_port

    br = p.br
    mac = skb.mac_header
    if (
        br.stp_enabled != BR_KERNEL_STP
        or not br.dev.flags & IFF_UP
        or p.state == BR_STATE_DISABLED
        or bytes(skb.view[mac : mac + 6]) != br.group_addr
    ):
        return False
    if p.flags & BR_BPDU_GUARD:
        br_stp_disable_port(p)
        return False
    return True


def _receive(p: NetBridgePort, kind: int, skb: "SkBuff") -> None:
    """Take in a message of a known kind, unless it is older than it may get."""
    from .br_stp import br_received_config_bpdu, br_received_tcn_bpdu

    if kind == BPDU_TYPE_TCN:
        br_received_tcn_bpdu(p)
    elif kind == BPDU_TYPE_CONFIG:
        wire = ConfigBpdu.parse(skb_copy_bits(skb, 0, min(skb.len, CONFIG_OCTETS)))
        bpdu = BrConfigBpdu(
            topology_change=wire.topology_change,
            topology_change_ack=wire.topology_change_ack,
            root=wire.root,
            root_path_cost=wire.root_path_cost,
            bridge_id=wire.bridge_id,
            port_id=wire.port_id,
            message_age=br_get_ticks(wire.message_age),
            max_age=br_get_ticks(wire.max_age),
            hello_time=br_get_ticks(wire.hello_time),
            forward_delay=br_get_ticks(wire.forward_delay),
        )
        if bpdu.message_age <= bpdu.max_age:
            br_received_config_bpdu(p, bpdu)

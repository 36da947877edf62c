"""Receiving the messages of the spanning tree protocol (Linux: net/bridge/br_stp_bpdu.c)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import IFF_UP
from ..core.skbuff import consume_skb, kfree_skb_reason
from ..core.skbuff_data import skb_copy_bits
from ..core.timer import HZ
from ..wire.bpdu import BPDU_TYPE_CONFIG, BPDU_TYPE_TCN, CONFIG_OCTETS, ConfigBpdu, bpdu_type
from ..wire.error import WireError
from .br_private import BR_BPDU_GUARD, BR_KERNEL_STP, BR_STATE_DISABLED, BrConfigBpdu, NetBridgePort, br_port_get_rcu
from .br_stp import br_received_config_bpdu, br_received_tcn_bpdu
from .br_stp_bpdu import STP_HZ
from .br_stp_if import br_stp_disable_port

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = ["br_stp_rcv"]


def br_get_ticks(ticks: int) -> int:
    """Return a time on the wire in jiffies."""
    return -(-ticks * HZ // STP_HZ)


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

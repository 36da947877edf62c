"""Which flow a packet belongs to (Linux: net/core/flow_dissector.c)."""

from ..ethernet.eth import ETH_P_IP
from .netdevice import NetDevice
from .skbuff import SkBuff

__all__ = ["skb_get_hash", "skb_tx_hash"]

_WITH_PORTS = (6, 17)  # TCP, UDP.
_FRAGMENT = 0x3FFF  # Offset, and "more fragments".


def skb_get_hash(skb: SkBuff) -> int:
    """Return a number of 32 bits that all packets of a flow share, and keep it in the skb.

    A flow is IPv4 addresses and protocol, and for TCP and UDP the ports, which fragments have not; other packets are
    one flow. The host's secret makes it unpredictable.
    """
    if not skb.hash:
        assert skb.dev is not None
        flow: tuple[int, ...] = (skb.protocol,)
        if skb.protocol == ETH_P_IP:
            view, at = skb.view, skb.network_header
            protocol = view[at + 9]
            flow = (protocol, int.from_bytes(view[at + 12 : at + 20], "big"))
            whole = not int.from_bytes(view[at + 6 : at + 8], "big") & _FRAGMENT
            if whole and protocol in _WITH_PORTS:
                ports = at + 4 * (view[at] & 15)
                flow = (*flow, int.from_bytes(view[ports : ports + 4], "big"))
        # 0 means that it is not known yet.
        skb.hash = hash((flow, skb.dev.net.ipv4.hash_secret)) & 0xFFFFFFFF or 1
    return skb.hash


def skb_tx_hash(dev: NetDevice, skb: SkBuff) -> int:
    """Return the number of the TX queue for a packet's flow."""
    return skb_get_hash(skb) * len(dev.tx) >> 32

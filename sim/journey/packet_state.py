"""What a packet's octets are at a moment: from its outermost header on, wherever they lie."""

from typing import NamedTuple

from ...stack.core.skbuff import CHECKSUM_COMPLETE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, NO_HEADER, SkBuff
from ...stack.ethernet.eth import ETH_P_ARP, ETH_P_IP
from .dissect import dissect
from .model import State

__all__ = ["States"]

_ETHERNET_OCTETS = 14
_NOTES = {
    CHECKSUM_PARTIAL: "CHECKSUM_PARTIAL",
    CHECKSUM_UNNECESSARY: "CHECKSUM_UNNECESSARY",
    CHECKSUM_COMPLETE: "CHECKSUM_COMPLETE",
}


class _Key(NamedTuple):
    octets: bytes
    outermost: str
    inner: str
    data: int
    note: str
    fcs: bool


class States:
    """Distinct states of packets, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[_Key, int] = {}
        self._octets: list[bytes] = []

    def octets(self, number: int) -> bytes:
        """Return the octets of a state."""
        return self._octets[number]

    def of_skb(self, skb: SkBuff) -> int | None:
        """Return the number of an skb's state; None once it is freed."""
        if skb.users < 1:
            return None
        begin, outermost = _outermost(skb)
        octets = bytes(skb.view[begin : skb.tail]) + _fragments(skb)
        note = _NOTES.get(skb.ip_summed, "")
        if skb.vlan_proto:
            note = f"{note}, VLAN {skb.vlan_tci & 0xFFF} beside it".removeprefix(", ")
        network = skb.network_header
        inner = _protocol(skb, network) if outermost == "Ethernet" and network != NO_HEADER else ""
        return self._number(_Key(octets, outermost, inner, skb.data - begin, note, fcs=False))

    def of_frame(self, octets: bytes, *, fcs: bool = True) -> int:
        """Return the number of the state that a frame is, its FCS in or not."""
        return self._number(_Key(octets, "Ethernet", "", 0, "", fcs=fcs))

    def _number(self, key: _Key) -> int:
        number = self._numbers.setdefault(key, len(self._octets))
        if number == len(self._octets):
            self._octets.append(key.octets)
        return number

    def states(self) -> list[State]:
        """Return all of them."""
        return [
            State(key.octets, key.data, key.note, dissect(key.octets, key.outermost, inner=key.inner, fcs=key.fcs))
            for key in self._numbers
        ]


def _outermost(skb: SkBuff) -> tuple[int, str]:
    """Return where the outermost header that the packet has now begins, and which one that is."""
    data, mac, network = skb.data, skb.mac_header, skb.network_header
    if mac != NO_HEADER and mac <= data and (network - mac if network >= data else data - mac) >= _ETHERNET_OCTETS:
        return mac, "Ethernet"
    if network == NO_HEADER:
        if skb.protocol == ETH_P_ARP:
            return data, "ARP"
        return data, "Ethernet" if skb.dev is not None and skb.protocol == 0 else ""  # As the driver received it.
    if network - data == _ETHERNET_OCTETS:
        return data, "Ethernet"  # Pushed just now, and not marked yet.
    if network <= data:
        return network, _protocol(skb, network)
    return data, ""


def _protocol(skb: SkBuff, at: int) -> str:
    if skb.protocol == ETH_P_ARP:
        return "ARP"
    if skb.protocol in (0, ETH_P_IP) and at < skb.tail and skb.view[at] >> 4 == 4:
        return "IPv4"
    return ""


def _fragments(skb: SkBuff) -> bytes:
    parts = [bytes(page.view[offset : offset + length]) for page, offset, length in skb.frags]
    more = skb.frag_list
    while more is not None:
        parts += [bytes(more.view[more.data : more.tail]), _fragments(more)]
        more = more.next
    return b"".join(parts)

"""A host at the other end of a simulated card's cable, made of scapy: answers, asks, and sends datagrams."""

from collections.abc import Callable
from typing import Any, Protocol

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

__all__ = ["CARD_IP", "CARD_MAC", "PEER_IP", "PEER_MAC", "BoardPeer", "Wire"]

CARD_IP, PEER_IP = "10.0.0.1", "10.0.0.2"
CARD_MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
_MIN_OCTETS = 60


class Wire(Protocol):
    """A frame on the cable."""

    @property
    def octets(self) -> bytes:
        """The frame without preamble and FCS."""
        ...

    @property
    def ok(self) -> bool:
        """Whether preamble, FCS and length are right."""
        ...


class BoardPeer:
    """Takes what the card sends, and checks each checksum in it against scapy's.

    Parameters
    ----------
    send : callable
        Puts a frame without FCS on the cable.

    Members
    -------
    payloads : list[bytes]
        Of the UDP datagrams from the card.
    replies : list[bytes]
        ICMP messages of echo replies from the card.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self.payloads: list[bytes] = []
        self.replies: list[bytes] = []

    def take(self, octets: bytes) -> None:
        """Take a frame from the card, and answer it."""
        packet = Ether(octets)
        if ARP in packet and packet[ARP].op == 1 and packet[ARP].pdst == PEER_IP:
            answer = ARP(op=2, hwsrc=PEER_MAC, psrc=PEER_IP, hwdst=packet[ARP].hwsrc, pdst=packet[ARP].psrc)
            self.put(answer)
        if IP not in packet:
            return
        packet = Ether(octets[: 14 + packet[IP].len])
        assert bytes(packet) == bytes(_with_fresh_checksums(packet)), "a checksum is wrong"
        if UDP in packet:
            self.payloads.append(bytes(packet[UDP].payload))
        elif ICMP in packet and packet[ICMP].type == 8:
            reply = ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq) / bytes(packet[ICMP].payload)
            self.put(IP(src=PEER_IP, dst=CARD_IP) / reply)
        elif ICMP in packet and packet[ICMP].type == 0:
            self.replies.append(bytes(packet[ICMP]))

    def put(self, packet: Any) -> None:
        """Send a packet to the card."""
        octets = bytes(Ether(src=PEER_MAC, dst=CARD_MAC) / packet)
        self._send(octets.ljust(_MIN_OCTETS, b"\0"))

    def send_datagram(self, payload: bytes, port: int) -> None:
        """Send a UDP datagram to a port of the card's host."""
        self.put(IP(src=PEER_IP, dst=CARD_IP) / UDP(sport=9000, dport=port) / Raw(payload))


def _with_fresh_checksums(packet: Any) -> Any:
    fresh = packet.copy()
    for layer in (IP, UDP, ICMP):
        if layer in fresh:
            del fresh[layer].chksum
    return fresh

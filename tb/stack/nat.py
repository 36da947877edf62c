"""A router that translates addresses between two hosts on one fake platform."""

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from hardwire.stack.nft import nft
from hardwire.tb.stack.routed import Routed

__all__ = ["MASQUERADE", "ROUTER", "THERE", "Nat", "filtering", "fresh"]

MASQUERADE = """
table ip nat {
    chain post {
        type nat hook postrouting priority srcnat
        oifname "eth1" masquerade
    }
}
"""
THERE = ("10.0.2.1", 9000)
ROUTER = "10.0.2.254"


def filtering(rules: str, hook: str = "forward", priority: int = 0) -> str:
    """Return a script for a chain of type filter."""
    return f"table ip t {{\nchain f {{\ntype filter hook {hook} priority {priority}\n{rules}\n}}\n}}\n"


class Nat(Routed):
    """Hosts ``a`` and ``b`` with sockets, and rules on the router between them."""

    def __init__(self, rules: str = MASQUERADE, **kwargs) -> None:
        super().__init__(**kwargs)
        self.here, self.there = self.a.socket(), self.b.socket()
        self.here.bind(("10.0.1.1", 5000))
        self.there.bind(THERE)
        self.nft(rules)

    def nft(self, script: str) -> str:
        return nft(self.r.net, script)

    @property
    def ct(self):
        return self.r.net.nf.conntrack

    def exchange(self, data: bytes = b"there") -> tuple[str, int]:
        """Send a datagram there and one back; return whom it seemed to be from."""
        self.here.sendto(data, THERE)
        self.run()
        received, source = self.there.recvfrom(9000)
        assert received == data
        self.there.sendto(data[::-1], source)
        self.run()
        assert self.here.recvfrom(9000) == (data[::-1], THERE)
        return source


def fresh(packet):
    """Return a packet with the checksums that scapy makes."""
    again = packet.copy()
    del again[IP].chksum
    if UDP in again:
        del again[UDP].chksum
    elif ICMP in again:
        del again[ICMP].chksum
    return Ether(bytes(again))

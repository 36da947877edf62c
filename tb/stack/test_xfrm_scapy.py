"""ESP and AH of the stack against scapy's IPsec layer, both ways."""

from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import AH, ESP, SecurityAssociation
from scapy.packet import Raw

from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.xfrm.xfrm import IPPROTO_AH, XFRM_MODE_TUNNEL, XFRM_STATE_ESN, XfrmEncap
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, counters, protect
from hardwire.tb.stack.pair import Pair

SIZES = (1, 13, 14, 200, 1300)


class Protected:
    """Two hosts with a state each way, and scapy's view of those; in a tunnel, loopback addresses behind them."""

    def __init__(self, name: str, *, tunnel: bool, esn: bool = False, nat: bool = False) -> None:
        self.pair = pair = Pair()
        suite = ALGORITHMS[name]
        self.inner = ("172.16.1.1", "172.16.2.1") if tunnel else ("10.0.0.1", "10.0.0.2")
        if tunnel:
            for host, mine, theirs, via in (
                (pair.a, self.inner[0], self.inner[1], "10.0.0.2"),
                (pair.b, self.inner[1], self.inner[0], "10.0.0.1"),
            ):
                addr_add(host.net.loopback_dev, f"{mine}/32")
                route_add(host.net, f"{theirs}/32", via=via)
        sa = Sa(suite, mode=XFRM_MODE_TUNNEL if tunnel else 0)
        others: dict[str, Any] = {}
        if esn:
            sa = replace(sa, flags=sa.flags | XFRM_STATE_ESN)
        if nat:
            others["encap"] = XfrmEncap(2, 4500, 4500)
            others["ports"] = (5000, 9000)  # ESP's own datagrams, of port 4500, are not to be protected once more.
        self.states = protect(pair.a.net, pair.b.net, sa, self.inner, **others)
        aead = suite.aead_alg
        crypt = aead.key if aead is not None else suite.ealg.key if suite.ealg is not None else None
        self.sa = SecurityAssociation(
            AH if suite.proto == IPPROTO_AH else ESP,
            spi=sa.spi,
            crypt_algo=suite.scapy_crypt,
            crypt_key=crypt,
            auth_algo=suite.scapy_auth,
            auth_key=suite.aalg.key if suite.aalg is not None else None,
            tunnel_header=IP(src="10.0.0.1", dst="10.0.0.2") if tunnel else None,
            nat_t_header=UDP(sport=4500, dport=4500) if nat else None,
            esn_en=esn,
        )
        self.here, self.there = pair.a.socket(), pair.b.socket()
        self.here.bind((self.inner[0], 5000))
        self.there.bind((self.inner[1], 9000))
        self.there.settimeout(0.001)

    def decrypt(self, frame: bytes, **others) -> IP:
        """Return what scapy says was in a frame."""
        return IP(bytes(self.sa.decrypt(IP(frame[14:]), **others)))

    def receive(self, packet: IP) -> None:
        """Let a packet arrive at the second host."""
        self.pair.b.receive(self.pair.b.dev.dev_addr + self.pair.a.dev.dev_addr + b"\x08\x00" + bytes(packet))
        self.pair.run()


def modes(*names: str) -> list:
    """Return the names with transport and tunnel mode."""
    return [(name, tunnel) for name in names for tunnel in (False, True)]


@pytest.mark.parametrize(("name", "tunnel"), modes(*ALGORITHMS))
def test_scapy_deciphers_what_the_stack_sends(name, tunnel):
    here = Protected(name, tunnel=tunnel)
    here.pair.a.socket().sendto(b"resolve", ("10.0.0.2", 9))
    here.pair.run()
    for size in SIZES:
        here.pair.a.dev.sent.clear()
        octets = bytes(n & 255 for n in range(size))
        here.here.sendto(octets, (here.inner[1], 9000))
        (frame,) = here.pair.a.dev.sent
        clear = here.decrypt(frame)
        assert (clear.src, clear.dst, clear[UDP].sport, clear[UDP].dport) == (*here.inner, 5000, 9000)
        assert bytes(clear[UDP].payload) == octets
        here.pair.run()
        assert here.there.recv(2000) == octets
    assert counters(here.pair.a.net) == counters(here.pair.b.net) == {}


@pytest.mark.parametrize(("name", "tunnel"), modes(*ALGORITHMS))
def test_the_stack_deciphers_what_scapy_sends(name, tunnel):
    here = Protected(name, tunnel=tunnel)
    for number, size in enumerate(SIZES):
        octets = bytes(n & 255 for n in range(size))
        clear = IP(src=here.inner[0], dst=here.inner[1]) / UDP(sport=5000, dport=9000) / Raw(octets)
        here.receive(here.sa.encrypt(clear, seq_num=number + 1))
        assert here.there.recv(2000) == octets
    assert counters(here.pair.b.net) == {}


@pytest.mark.parametrize("name", ["gcm-128", "cbc-sha256", "null-sha256", "ah-sha256"])
def test_extended_sequence_numbers_count_on_in_the_high_half(name):
    here = Protected(name, tunnel=False, esn=True)
    out, last = here.states[0], 0xFFFFFFFE
    out.replay.oseq = here.states[3].replay.seq = last
    for number in range(4):
        here.pair.a.dev.sent.clear()
        here.here.sendto(b"over the edge", (here.inner[1], 9000))
        here.pair.run()
        frame = next(frame for frame in here.pair.a.dev.sent if frame[12:14] == b"\x08\x00")
        high = last + 1 + number >> 32
        assert bytes(here.decrypt(frame, esn_en=True, esn=high)[UDP].payload) == b"over the edge"
        assert here.there.recv(100) == b"over the edge"
    assert here.states[3].replay.seq == last + 4 > 1 << 32
    assert counters(here.pair.b.net) == {}


@pytest.mark.parametrize("tunnel", [False, True])
def test_esp_in_udp_is_what_scapy_makes_of_it(tunnel):
    here = Protected("gcm-128", tunnel=tunnel, nat=True)
    gate = here.pair.b.socket()
    gate.bind(("10.0.0.2", 4500))
    gate.setsockopt(17, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP
    for number in range(3):
        here.pair.a.dev.sent.clear()
        here.here.sendto(b"through a NAT", (here.inner[1], 9000))
        here.pair.run()
        frame = next(frame for frame in here.pair.a.dev.sent if frame[12:14] == b"\x08\x00")
        assert bytes(here.decrypt(frame)[UDP].payload) == b"through a NAT"
        assert here.there.recv(100) == b"through a NAT"
        clear = IP(src=here.inner[0], dst=here.inner[1]) / UDP(sport=5000, dport=9000) / Raw(b"from scapy")
        here.receive(here.sa.encrypt(clear, seq_num=10 + number))
        assert here.there.recv(100) == b"from scapy"
        here.states[0].replay.oseq = 20 + number
    assert counters(here.pair.b.net) == {}

"""A bridge between two hosts, four cards of real gateware: frames pass, the bridge's own address answers."""

from scapy.layers.inet import ICMP

from hardwire.sim.link import Link
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.stack.abi import MAC
from hardwire.stack.bridge.br_fdb_user import br_fdb_dump
from hardwire.stack.bridge.br_netlink import br_dev_newlink
from hardwire.stack.core.dev_register import dev_get_stats, dev_open
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.iproute import addr_add, addr_del
from hardwire.tb.bench import seed

A, B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
RX_CTRL = MAC.address(MAC["RX_CTRL"])
REQUEST = bytes(ICMP(type=8, id=0x1234, seq=1) / (b"E" * 1000))
REPLY = bytes(ICMP(type=0, id=0x1234, seq=1) / (b"E" * 1000))


class Bridged:
    """Hosts ``a`` and ``b`` at 10.0.0.1 and .2, and machine ``m`` between them, whose br0 is 10.0.0.254."""

    def __init__(self) -> None:
        self.world = World(seed=seed())
        self.a = Machine(self.world, Setup(address="10.0.0.1/24", mac=A), name="a")
        self.b = Machine(self.world, Setup(address="10.0.0.2/24", mac=B), name="b")
        cards = [Setup(address=f"10.0.9.{n}/24", mac=bytes((2, 0, 0, 0, 0, 0xF0 + n))) for n in (1, 2)]
        self.m = Machine(self.world, cards[0], name="m")
        self.m.add_card(cards[1])
        self.bridge = br_dev_newlink(self.m.net, "br0", {})
        dev_open(self.bridge)
        for card, setup in zip(self.m.cards, cards, strict=True):
            addr_del(card.dev, setup.address)
            do_set_master(card.dev, self.bridge)
        addr_add(self.bridge, "10.0.0.254/24")
        Link(self.a.nic, self.m.cards[0].nic, name="left")
        Link(self.b.nic, self.m.cards[1].nic, name="right")

    def ping(self, address: str) -> None:
        """Send an echo request from ``a``, and check the reply."""
        with self.a.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP) as sock:
            sock.settimeout(1)
            sock.sendto(REQUEST, (address, 0))
            packet, back = sock.recvfrom(2000)
            assert (packet[20:], back) == (REPLY, (address, 0))


def test_hosts_ping_each_other_and_the_bridge_through_two_cards() -> None:
    bridged = Bridged()
    # A card by itself receives its own frames only; as a port it takes all.
    assert all(card.nic.read32(RX_CTRL) & MAC["RX_CTRL"]["promiscuous"].mask for card in bridged.m.cards)

    def program() -> None:
        bridged.ping("10.0.0.2")
        bridged.ping("10.0.0.254")

    bridged.world.run(program)
    left, right = (card.dev for card in bridged.m.cards)
    known = {info.addr: info.dev for info in br_fdb_dump(bridged.bridge)}
    assert known == {A: left, B: right, left.dev_addr: left, right.dev_addr: right}
    stats = dev_get_stats(bridged.bridge)
    # The ARP requests for either, and the echo request for the bridge.
    assert (stats.rx_packets, stats.tx_packets) == (3, 2)
    # What passes the bridge is none of its IP's business.
    assert bridged.m.net.mib["Ip:InReceives"] == bridged.m.net.mib["Ip:OutRequests"] == 1
    assert bridged.b.net.mib["Icmp:InEchos"] == 1


def test_datagrams_pass_both_ways_with_the_checksums_that_the_cards_make() -> None:
    bridged = Bridged()
    here, there = bridged.a.net.socket(), bridged.b.net.socket()
    here.bind(("10.0.0.1", 5000))
    there.bind(("10.0.0.2", 9000))
    for sock in (here, there):
        sock.settimeout(1)

    def program() -> None:
        for size in (0, 1, 17, 18, 1471, 1472, 3000):
            data = bytes(range(251)) * (size // 251 + 1)
            here.sendto(data[:size], ("10.0.0.2", 9000))
            received, back = there.recvfrom(4000)
            assert (received, back) == (data[:size], ("10.0.0.1", 5000))
            there.sendto(received, back)
            assert here.recv(4000) == data[:size]

    bridged.world.run(program)
    assert bridged.b.net.mib["Udp:InDatagrams"] == 7
    assert bridged.b.net.mib["Udp:InCsumErrors"] == 0

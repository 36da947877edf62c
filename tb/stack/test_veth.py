"""Pairs of virtual Ethernet devices between namespaces of one kernel, and the golden traces that were taken on them."""

from dataclasses import replace
from errno import EEXIST

import pytest

from hardwire.sim.trace import Tracer
from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_close, dev_get_stats, dev_open
from hardwire.stack.core.net import Kernel, Net
from hardwire.stack.drivers.veth import VethDevice, veth_dellink, veth_newlink
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.golden import Rules, compare, find, read_golden
from hardwire.tb.stack.inet_host import raises

RULES = Rules.read("receive", "veth")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})  # Followed through the driver and the receive side.


class Namespaces:
    """Namespaces of one kernel, their devices up."""

    def __init__(self, count: int) -> None:
        self.platform = FakePlatform()
        self.kernel = Kernel(self.platform)
        self.nets = [Net(self.kernel) for _ in range(count)]

    def join(self, a: int, address: str, b: int, other: str) -> tuple[VethDevice, VethDevice]:
        """Join two by a pair with addresses."""
        ends = veth_newlink(self.nets[a], "veth%d", self.nets[b], "veth%d")
        for end, text in zip(ends, (address, other), strict=True):
            dev_open(end)
            addr_add(end, text)
        self.run()
        return ends

    def run(self, ns: int = 10_000_000) -> None:
        """Let time pass."""
        self.platform.advance(ns)


@pytest.fixture
def two() -> Namespaces:
    namespaces = Namespaces(2)
    namespaces.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    return namespaces


def test_datagrams_and_errors_pass_between_namespaces(two):
    here, there = two.nets[0].socket(), two.nets[1].socket()
    there.bind(("10.0.0.2", 9000))
    for size in (0, 1, 1472, 5000):
        here.sendto(bytes(size), ("10.0.0.2", 9000))
        two.run()
        data, back = there.recvfrom(6000)
        assert len(data) == size
        there.sendto(b"back", back)
        two.run()
        assert here.recv(100) == b"back"
    here.connect(("10.0.0.2", 7))
    here.send(b"x")
    two.run()
    with pytest.raises(ConnectionRefusedError):
        here.send(b"x")
    here.close()
    there.close()
    two.run()
    assert len(two.platform.buffers) == 0


def test_what_one_end_sent_the_other_received(two):
    a, b = (net.dev_by_name["veth0"] for net in two.nets)
    two.nets[0].socket().sendto(bytes(100), ("10.0.0.2", 9000))
    two.run()
    sent, received = dev_get_stats(a), dev_get_stats(b)
    assert sent.tx_packets == received.rx_packets > 0
    assert sent.tx_bytes == received.rx_bytes > 142
    assert a.dev_addr != b.dev_addr
    assert a.dev_addr[0] & 3 == 2


def test_a_frame_that_is_too_long_for_the_other_end_is_dropped_and_counted(two):
    a, b = (net.dev_by_name["veth0"] for net in two.nets)
    two.nets[0].socket().sendto(b"", ("10.0.0.2", 9000))
    two.run()
    b.mtu = 1000
    two.nets[0].socket().sendto(bytes(1300), ("10.0.0.2", 9000))
    two.run()
    assert dev_get_stats(a).tx_dropped == dev_get_stats(b).rx_dropped == 1
    assert two.kernel.drop_counts()["NOT_SPECIFIED"] == 1


def test_there_is_a_link_while_both_ends_are_up(two):
    a, b = (net.dev_by_name["veth0"] for net in two.nets)
    sock = two.nets[0].socket()
    sock.sendto(b"", ("10.0.0.2", 9000))
    two.run()
    dev_close(b)
    two.run(2_000_000_000)
    before = dev_get_stats(a).tx_packets
    sock.sendto(b"", ("10.0.0.2", 9000))
    assert dev_get_stats(a).tx_packets == before
    dev_open(b)
    two.run(2_000_000_000)
    sock.sendto(b"", ("10.0.0.2", 9000))
    assert dev_get_stats(a).tx_packets > before


def test_a_pair_goes_as_a_whole(two):
    veth_dellink(two.nets[1].dev_by_name["veth0"])
    assert [list(net.dev_by_name) for net in two.nets] == [["lo"], ["lo"]]


def test_a_name_that_is_taken_leaves_nothing_behind(two):
    with raises(EEXIST):
        veth_newlink(two.nets[0], "veth0", two.nets[1], "veth7")
    assert "veth7" not in two.nets[1].dev_by_name


def test_ends_on_two_kernels_are_refused(two):
    with pytest.raises(ValueError, match="between hosts use a Link"):
        veth_newlink(two.nets[0], "veth1", Namespaces(1).nets[0], "veth1")


def traced(function, name: str):
    """Return the calls of a function that another makes."""
    with Tracer(lambda: 0) as tracer:
        function()
    return [call for root in tracer.roots for _, call in root.walk() if call.name == name]


def changed(net: Net, before: dict[str, int]) -> dict[str, int]:
    """Return the counters of the golden traces that changed."""
    found = {key: value - before.get(key, 0) for key, value in net.mib.items() if value != before.get(key, 0)}
    return {key: value for key, value in found.items() if not key.startswith(("Rt:", "IcmpMsg:"))}


def warmed(namespaces: Namespaces, source: tuple[str, int], target: tuple[str, int]):
    """Return sockets of the first and the last namespace between which two datagrams have gone."""
    here, there = namespaces.nets[0].socket(), namespaces.nets[-1].socket()
    here.bind(source)
    there.bind(target)
    for _ in range(2):
        here.sendto(bytes(32), target)
        namespaces.run()
        there.recv(100)
    return here, there


SENT = {"Ip:OutRequests": 1, "Udp:OutDatagrams": 1, "IpExt:OutOctets": 60}
RECEIVED = {
    "Ip:InReceives": 1,
    "Ip:InDelivers": 1,
    "Udp:InDatagrams": 1,
    "IpExt:InOctets": 60,
    "IpExt:InNoECTPkts": 1,
}


def test_a_datagram_goes_from_program_to_program_on_the_path_of_01(two):
    here, there = warmed(two, ("10.0.0.1", 5000), ("10.0.0.2", 9000))
    before = [dict(net.mib) for net in two.nets]
    golden = read_golden("01")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.0.2", 9000)), "__x64_sys_sendto")
    compare(golden["A: sendto 32 bytes"], sent, RULES)
    # Theirs looks into two queues, of which the second saves a lock; so runs of equal calls count as one.
    compare(golden["B: recvfrom"], traced(lambda: there.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(two.nets, before, strict=True)] == [SENT, RECEIVED]


@pytest.fixture
def three() -> Namespaces:
    namespaces = Namespaces(3)
    namespaces.join(0, "10.0.1.1/24", 1, "10.0.1.254/24")
    namespaces.join(1, "10.0.2.254/24", 2, "10.0.2.1/24")
    inet_forward_change(namespaces.nets[1], True)
    route_add(namespaces.nets[0], "default", via="10.0.1.254")
    route_add(namespaces.nets[2], "default", via="10.0.2.254")
    return namespaces


def test_a_datagram_is_forwarded_on_the_path_of_07a(three):
    here, there = warmed(three, ("10.0.1.1", 5000), ("10.0.2.1", 9000))
    before = [dict(net.mib) for net in three.nets]
    golden = read_golden("07a")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.2.1", 9000)), "__x64_sys_sendto")
    compare(golden["A7: sendto 32 bytes"], sent, RULES)
    compare(golden["B7: recvfrom"], traced(lambda: there.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    router = {"Ip:InReceives": 1, "Ip:ForwDatagrams": 1, "Ip:OutRequests": 1, "IpExt:InOctets": 60}
    router |= {"IpExt:OutOctets": 120, "IpExt:InNoECTPkts": 1}
    assert [changed(net, mib) for net, mib in zip(three.nets, before, strict=True)] == [SENT, router, RECEIVED]


def test_a_time_to_live_ends_on_the_path_of_07b(three):
    here, there = warmed(three, ("10.0.1.1", 5000), ("10.0.2.1", 9000))
    there.sendto(b"", ("10.0.1.1", 5000))  # Their router has the route back, too.
    three.run()
    here.setsockopt(api.IPPROTO_IP, api.IP_TTL, 1)
    here.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    before = [dict(net.mib) for net in three.nets]
    golden = read_golden("07b")
    (sent,) = traced(lambda: here.sendto(bytes(32), ("10.0.2.1", 9000)), "__x64_sys_sendto")
    # In two parts, since theirs has ip_send_skb inlined in one of its places: where it is sent, and where it goes on.
    wanted = golden["A7: sendto 32 bytes, ttl 1"]
    compare(wanted, [sent], replace(RULES, ends={"do_softirq": "do_softirq"}))
    received = [call for _, call in sent.walk() if call.name == "do_softirq"]
    compare(find(wanted, "do_softirq"), received, RULES)
    heard = traced(lambda: here.recvmsg(100, 200, api.MSG_ERRQUEUE), "__x64_sys_recvmsg")
    compare(golden["A7: recvmsg MSG_ERRQUEUE"], heard, RULES)
    told = {"Ip:InReceives": 1, "Ip:InDelivers": 1, "Icmp:InMsgs": 1, "Icmp:InTimeExcds": 1, "IpExt:InOctets": 88}
    router = {"Ip:InReceives": 1, "Ip:InHdrErrors": 1, "Ip:OutRequests": 1, "IpExt:InOctets": 60, "IpExt:OutOctets": 88}
    router |= {"Icmp:OutMsgs": 1, "Icmp:OutTimeExcds": 1, "IpExt:InNoECTPkts": 1}
    assert [changed(net, mib) for net, mib in zip(three.nets, before, strict=True)] == [
        SENT | told | {"IpExt:InNoECTPkts": 1},
        router,
        {},
    ]

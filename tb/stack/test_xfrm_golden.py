"""ESP between two namespaces: the order of calls of a real kernel."""

from dataclasses import replace

import pytest

from hardwire.sim.trace import Tracer
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.xfrm.xfrm import XFRM_MODE_TUNNEL, XFRM_POLICY_OUT
from hardwire.stack.xfrm.xfrm_policy import xfrm_policy_delete
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, policy, protect
from hardwire.tb.stack.test_veth import Namespaces, changed, warmed

RULES = Rules.read("receive", "veth", "xfrm")
RULES = replace(RULES, cut=RULES.cut - {"do_softirq"})  # Followed through the driver and the receive side.


class Traced:
    """A datagram of 32 octets, and what its way was: the sender's call, then what was put off, then the receiver's."""

    def __init__(self, source: str, target: str, two: Namespaces) -> None:
        self.two = two
        self.here, self.there = warmed(two, (source, 5000), (target, 9000))
        self.target = target
        self.before = [dict(net.mib) for net in two.nets]

    def send(self):
        with Tracer(lambda: 0) as tracer:
            self.here.sendto(bytes(32), (self.target, 9000))
            self.two.run()
        calls = [call for root in tracer.roots for _, call in root.walk()]
        return [call for call in calls if call.name in ("__x64_sys_sendto", "xfrm_trans_reinject")]

    def receive(self):
        with Tracer(lambda: 0) as tracer:
            assert self.there.recv(100) == bytes(32)
        return [call for root in tracer.roots for _, call in root.walk() if call.name == "__x64_sys_recvfrom"]

    def changed(self) -> list[dict[str, int]]:
        return [changed(net, mib) for net, mib in zip(self.two.nets, self.before, strict=True)]


@pytest.fixture
def two() -> Namespaces:
    two = Namespaces(2)
    two.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    return two


def test_a_datagram_in_transport_mode_takes_the_path_of_12a(two):
    protect(*two.nets, Sa(ALGORITHMS["cbc-sha256"]))
    way = Traced("10.0.0.1", "10.0.0.2", two)
    golden = read_golden("12a")
    compare(golden["XA: sendto 32 bytes"], way.send(), RULES)
    compare(golden["XB: recvfrom"], way.receive(), RULES, ["udp_recvmsg"])
    assert way.changed() == [
        {"Ip:OutRequests": 1, "Udp:OutDatagrams": 1, "IpExt:OutOctets": 108},
        {"Ip:InReceives": 1, "Ip:InDelivers": 2, "Udp:InDatagrams": 1, "IpExt:InOctets": 108, "IpExt:InNoECTPkts": 1},
    ]


def test_a_datagram_in_a_tunnel_takes_the_path_of_12b(two):
    for net, mine, theirs, via in (
        (two.nets[0], "172.20.1.1", "172.20.2.1", "10.0.0.2"),
        (two.nets[1], "172.20.2.1", "172.20.1.1", "10.0.0.1"),
    ):
        addr_add(net.loopback_dev, f"{mine}/32")
        route_add(net, f"{theirs}/32", via=via)
    protect(*two.nets, Sa(ALGORITHMS["cbc-sha256"], mode=XFRM_MODE_TUNNEL), ("172.20.1.1", "172.20.2.1"))
    way = Traced("172.20.1.1", "172.20.2.1", two)
    golden = read_golden("12b")
    compare(golden["XA: sendto 32 bytes"], way.send(), RULES)
    compare(golden["XB: recvfrom"], way.receive(), RULES, ["udp_recvmsg"])
    assert way.changed() == [
        {"Ip:OutRequests": 1, "Udp:OutDatagrams": 1, "IpExt:OutOctets": 124},
        {"Ip:InReceives": 2, "Ip:InDelivers": 2, "Udp:InDatagrams": 1, "IpExt:InOctets": 184, "IpExt:InNoECTPkts": 2},
    ]


def test_a_datagram_in_clear_is_dropped_on_the_path_of_12c(two):
    protect(*two.nets, Sa(ALGORITHMS["cbc-sha256"]))
    way = Traced("10.0.0.1", "10.0.0.2", two)
    net = two.nets[0]
    policy(net, "172.20.1.1", "172.20.2.1", XFRM_POLICY_OUT)  # As there: the tunnel's.
    xfrm_policy_delete(net, next(entry for entry in net.xfrm.policy_all if entry.dir == XFRM_POLICY_OUT))
    way.before = [dict(net.mib) for net in two.nets]
    compare(read_golden("12c")["XA: sendto 32 bytes"], way.send(), RULES)
    assert way.changed() == [
        {"Ip:OutRequests": 1, "Udp:OutDatagrams": 1, "IpExt:OutOctets": 60},
        {
            "Ip:InReceives": 1,
            "Ip:InDelivers": 1,
            "Udp:InErrors": 1,
            "IpExt:InOctets": 60,
            "IpExt:InNoECTPkts": 1,
            "Xfrm:XfrmInTmplMismatch": 1,
        },
    ]
    assert two.kernel.drop_counts() == {"XFRM_POLICY": 1}

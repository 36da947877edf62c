"""The first packet of a flow through rules, connection tracking and NAT: our order of calls against a real kernel's."""

from dataclasses import replace

from hardwire.stack.iproute import route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.nft import nft
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.test_veth import RECEIVED, SENT, Namespaces, changed, traced

RULES = Rules.read("receive", "veth", "nft")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})  # Followed through the driver and the receive side.
RULESET = """
table ip t {
    chain f {
        type filter hook forward priority filter
        ct state established accept
        udp dport 9000 counter accept
        drop
    }
    chain p {
        type nat hook postrouting priority srcnat
        oif "veth1" masquerade
    }
}
"""


def test_the_first_packet_of_a_flow_takes_the_path_of_18a():
    three = Namespaces(3)
    three.join(0, "10.0.1.1/24", 1, "10.0.1.254/24")
    three.join(1, "10.0.2.254/24", 2, "10.0.2.1/24")
    inet_forward_change(three.nets[1], True)
    route_add(three.nets[0], "default", via="10.0.1.254")
    route_add(three.nets[2], "default", via="10.0.2.254")
    nft(three.nets[1], RULESET)
    here, there = three.nets[0].socket(), three.nets[2].socket()
    there.bind(("10.0.2.1", 9000))
    for port in (5000, 5001):
        here.bind(("10.0.1.1", port))
        here.sendto(bytes(32), ("10.0.2.1", 9000))
        three.run()
        there.recv(100)
        here.close()
        here = three.nets[0].socket()
    here.bind(("10.0.1.1", 8003))
    before = [dict(net.mib) for net in three.nets]
    golden = read_golden("18a")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.2.1", 9000)), "__x64_sys_sendto")
    compare(golden["A7: sendto 32 bytes"], sent, RULES)
    received = []
    heard = traced(lambda: received.append(there.recvfrom(100)), "__x64_sys_recvfrom")
    compare(golden["B7: recvfrom"], heard, RULES, ["udp_recvmsg"])
    assert received == [(bytes(32), ("10.0.2.254", 8003))]
    router = {"Ip:InReceives": 1, "Ip:ForwDatagrams": 1, "Ip:OutRequests": 1, "IpExt:InOctets": 60}
    router |= {"IpExt:OutOctets": 120, "IpExt:InNoECTPkts": 1}
    assert [changed(net, mib) for net, mib in zip(three.nets, before, strict=True)] == [SENT, router, RECEIVED]

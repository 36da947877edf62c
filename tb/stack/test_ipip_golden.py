"""A tunnel between two namespaces: the order of calls of a real kernel."""

from dataclasses import replace

from hardwire.stack.core.dev_register import dev_get_stats, dev_open
from hardwire.stack.iproute import addr_add
from hardwire.stack.ipv4.ipip import IFLA_IPTUN_LOCAL, IFLA_IPTUN_REMOTE, ipip_link_ops
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.golden import Rules, compare, find, read_golden
from hardwire.tb.stack.test_veth import Namespaces, changed, traced, warmed

RULES = Rules.read("receive", "veth", "ipip")
# Followed through the driver and the receive side.
RULES = replace(RULES, ends={"__skb_get_hash_net": "skb_get_hash"}, cut=RULES.cut - {"do_softirq"})


def test_a_datagram_goes_through_a_tunnel_on_the_path_of_14b():
    two = Namespaces(2)
    two.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    for number, net in enumerate(two.nets):
        ends = [ipv4_from_text(f"10.0.0.{1 + end}") for end in (number, 1 - number)]
        dev = ipip_link_ops.newlink(
            net, "tun0", dict(zip((IFLA_IPTUN_LOCAL, IFLA_IPTUN_REMOTE), ends, strict=True)), None
        )
        dev_open(dev)
        addr_add(dev, f"172.16.0.{1 + number}/24")
    here, there = warmed(two, ("172.16.0.1", 5000), ("172.16.0.2", 9000))
    before = [dict(net.mib) for net in two.nets]
    golden = read_golden("14b")
    wanted = golden["A: sendto 32 bytes"]
    (sent,) = traced(lambda: here.sendto(bytes(32), ("172.16.0.2", 9000)), "__x64_sys_sendto")
    # In two parts, since theirs has ip_local_out inlined in one of its places: around the tunnel, and in it.
    compare(wanted, [sent], replace(RULES, ends=RULES.ends | {"ipip_tunnel_xmit": "ipip_tunnel_xmit"}))
    inside = [call for _, call in sent.walk() if call.name == "ipip_tunnel_xmit"]
    compare(find(wanted, "ipip_tunnel_xmit"), inside, RULES)
    compare(golden["B: recvfrom"], traced(lambda: there.recvfrom(100), "__x64_sys_recvfrom"), RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(two.nets, before, strict=True)] == [
        {"Ip:OutRequests": 2, "Udp:OutDatagrams": 1, "IpExt:OutOctets": 140},
        {"Ip:InReceives": 2, "Ip:InDelivers": 2, "Udp:InDatagrams": 1, "IpExt:InOctets": 140, "IpExt:InNoECTPkts": 2},
    ]
    a, b = (dev_get_stats(net.dev_by_name["tun0"]) for net in two.nets)
    assert (a.tx_packets, a.tx_bytes) == (b.rx_packets, b.rx_bytes) == (3, 180)

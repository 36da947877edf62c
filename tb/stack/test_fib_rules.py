"""Policy rules and tables: what rules see, how they lead on, devices that come and go, gateways that died."""

from errno import EACCES, EINVAL, ENETUNREACH

import pytest

from hardwire.stack.core.dev_register import dev_open, register_netdevice, unregister_netdevice
from hardwire.stack.core.skbuff import alloc_skb, kfree_skb, skb_put_data
from hardwire.stack.iproute import addr_add, neigh_add, neigh_del, route_add
from hardwire.stack.iproute2.ip import ip as ip_command
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.ipv4.fib_semantics import fib_multipath_hash
from hardwire.stack.ipv4.fib_table import fib_get_table
from hardwire.stack.ipv4.flow import FLOWI_FLAG_ANYSRC, Flowi4
from hardwire.stack.ipv4.route import ip_route_output_flow
from hardwire.stack.ipv4.route_input import ip_route_input_noref
from hardwire.stack.ipv4.rtnetlink import RtTable
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.frames import icmp, ip, udp
from hardwire.tb.stack.inet_host import SECOND, InetHost, raises
from hardwire.tb.stack.ipip_scenarios import Scenario
from hardwire.tb.stack.test_ipip_linux import host_of

FAR = ipv4_from_text("192.0.2.1")


@pytest.fixture
def host():
    host = InetHost()
    route_add(host.net, "default", via="10.0.0.10")
    route_add(host.net, "default", via="10.0.0.11", table=100)
    return host


def gateway(host, **key) -> int:
    """Return the last number of the gateway to 192.0.2.1."""
    return ip_route_output_flow(host.net, Flowi4(FAR, **key)).gw & 0xFF


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("fwmark 1/3", {"mark": 5}),
        ("fwmark 5", {"mark": 5}),
        ("tos 8", {"tos": 8}),
        ("from 10.0.0.1", {"saddr": 0x0A000001}),
        (
            "from 10.0.0.77/31",
            {"saddr": 0x0A00004C, "flags": FLOWI_FLAG_ANYSRC},
        ),  # Only the prefix counts.
        ("to 192.0.2.0/24 uidrange 7-9", {"uid": 8}),
        ("ipproto udp", {"proto": 17}),
        ("dport 50-60", {"proto": 17, "dport": 53}),
        ("sport 53", {"proto": 17, "sport": 53}),
    ],
)
def test_a_rule_is_for_what_it_says_or_for_all_else(host, words, key):
    assert gateway(host, **key) == 10
    ip_command(host.net, f"rule add {words} lookup 100")
    assert (gateway(host, **key), gateway(host)) == (11, 10)
    ip_command(host.net, "rule del lookup 100")
    ip_command(host.net, f"rule add not {words} lookup 100")
    assert (gateway(host, **key), gateway(host)) == (10, 11)


def test_a_program_chooses_its_table_by_mark_and_port(host):
    ip_command(host.net, "rule add dport 53 lookup 100")
    for number in (10, 11):
        neigh_add(host.dev, f"10.0.0.{number}", f"02:00:00:00:00:{number:02x}")
    host.socket().sendto(b"x", ("192.0.2.1", 53))
    host.socket().sendto(b"x", ("192.0.2.1", 54))
    assert [frame.dst[5] for frame in host.frames()] == [11, 10]


def test_goto_leads_forward_and_errors_end_the_search(host):
    net = host.net
    ip_command(net, "rule add pref 10 goto 50")
    ip_command(net, "rule add pref 20 prohibit")
    assert pytest.raises(OSError, gateway, host).value.errno == EACCES  # Nothing to go to yet.
    ip_command(net, "rule add pref 50 nop")
    assert gateway(host) == 10
    ip_command(net, "rule del pref 50")
    ip_command(net, "rule del pref 20 prohibit")
    ip_command(net, "rule add pref 20 unreachable")
    with raises(ENETUNREACH):
        gateway(host)
    ip_command(net, "rule add pref 15 blackhole")
    with raises(EINVAL):
        gateway(host)


def test_without_rules_there_is_no_route(host):
    for pref in (0, 32766, 32767):
        ip_command(host.net, f"rule del pref {pref}")
    with raises(ENETUNREACH):
        gateway(host)


def test_short_prefixes_can_be_suppressed(host):
    route_add(host.net, "192.0.2.0/24", via="10.0.0.12", table=100)
    ip_command(host.net, "rule add lookup 100 suppress_prefixlength 0")
    assert gateway(host) == 12
    assert ip_route_output_flow(host.net, Flowi4(0xC6336401)).gw == 0x0A00000A


def test_local_routes_get_a_table_of_their_own_with_the_first_rule(host):
    net = host.net
    assert fib_get_table(net, RtTable.LOCAL) is net.ipv4.fib_main
    before = len(list(net.ipv4.fib_main))
    ip_command(net, "rule add pref 5 lookup 100")
    local = fib_get_table(net, RtTable.LOCAL)
    assert local is not net.ipv4.fib_main
    assert len(list(local)) + len(list(net.ipv4.fib_main)) == before
    addr_add(host.dev, "10.7.0.1/24")
    assert len(list(local)) + len(list(net.ipv4.fib_main)) == before + 3


def test_a_rule_follows_its_device_by_name(host):
    ip_command(host.net, "rule add oif eth7 lookup 100")
    rule = host.net.ipv4.rules_ops.rules_list[1]
    assert rule.oifindex == -1
    other = FakeNetDevice(host.net, "eth7")
    register_netdevice(other)
    assert rule.oifindex == other.ifindex
    unregister_netdevice(other)
    assert rule.oifindex == -1


def test_a_router_chooses_by_the_device_that_a_packet_came_by_and_by_its_ports():
    host = host_of(Scenario([], {}))
    net = host.net
    for number in (1, 5, 77):
        route_add(net, "192.0.2.0/24", via=f"10.0.0.{number}", table=100 + number)
    ip_command(net, "rule add pref 10 iif eth0 dport 53 lookup 101")
    ip_command(net, "rule add pref 11 iif lo lookup 105")
    ip_command(net, "rule add pref 12 iif eth0 lookup 177")
    for port in (53, 54):
        host.receive(ip(udp(port, src=0x0A000009, dst=FAR), src=0x0A000009, dst=FAR))
    host.platform.advance(1_000_000)
    net.socket().sendto(b"x", ("192.0.2.1", 53))
    assert [frame[5] for frame in host.dev.sent] == [1, 77, 5]


def received(host, frame: bytes):
    skb = alloc_skb(host.kernel, len(frame))
    skb_put_data(skb, frame[14:])
    skb.network_header, skb.transport_header, skb.protocol, skb.dev = 0, 20, 0x800, host.dev
    return skb


def test_errors_go_the_way_of_what_they_are_about(host):
    flow = Flowi4(FAR, 0x0A000009)
    inner = ip(udp(9, src=FAR, dst=0x0A000009), src=FAR, dst=0x0A000009)[14:]
    skb = received(host, ip(icmp(3, 1, data=inner), 1, 0x0A000077, FAR))
    plain = fib_multipath_hash(host.net, flow)
    assert fib_multipath_hash(host.net, Flowi4(FAR, 0x0A000077), skb) == plain
    kfree_skb(skb)
    host.net.ipv4.sysctl_fib_multipath_hash_policy = 1
    keys = {fib_multipath_hash(host.net, Flowi4(FAR, 1, 17, port, 53)) for port in range(50)}
    assert len(keys) == 50
    skb = received(host, ip(udp(53, dst=FAR), dst=FAR))
    assert fib_multipath_hash(host.net, Flowi4(FAR, 0x0A000001), skb) == (
        fib_multipath_hash(host.net, Flowi4(FAR, 0x0A000001, 17, 1234, 53))
    )
    kfree_skb(skb)


def test_policy_1_spreads_the_flows_of_two_hosts_over_all_paths(host):
    hops = [(host.dev, 0x0A000014, 1), (host.dev, 0x0A000015, 1)]
    route_add(host.net, "192.0.2.0/24", nexthops=hops)

    def used() -> set[int]:
        return {gateway(host, proto=17, sport=port, dport=9) for port in range(40)}

    assert len(used()) == 1
    host.net.ipv4.sysctl_fib_multipath_hash_policy = 1
    assert used() == {0x14, 0x15}


def test_default_gateways_take_turns_as_in_linux():
    """What ``ip route get`` of Linux 6.18 says while two gateways come and go."""
    host = InetHost()
    for number in (20, 21):
        route_add(host.net, "default", via=f"10.0.0.{number}", append=True)
    used = [gateway(host)]
    neigh_add(host.dev, "10.0.0.21", "02:00:00:00:00:21")
    used.append(gateway(host))
    neigh_del(host.dev, "10.0.0.21")
    neigh_add(host.dev, "10.0.0.20", "02:00:00:00:00:20")
    used += [gateway(host), gateway(host)]
    neigh_add(host.dev, "10.0.0.21", "02:00:00:00:00:21")
    used += [gateway(host), gateway(host)]
    neigh_del(host.dev, "10.0.0.20")
    neigh_del(host.dev, "10.0.0.21")
    used += [gateway(host), gateway(host)]
    assert used == [20, 20, 21, 20, 21, 20, 20, 20]


def test_a_gateway_that_does_not_answer_is_left_for_another():
    host = InetHost()
    for number in (20, 21):
        route_add(host.net, "default", via=f"10.0.0.{number}", append=True)
    neigh_add(host.dev, "10.0.0.21", "02:00:00:00:00:21")
    host.socket().sendto(b"x", ("192.0.2.1", 9))  # Asks for the first one, in vain.
    host.platform.advance(5 * SECOND)
    assert gateway(host) == 21


def test_a_source_is_checked_by_the_rules_of_the_way_back():
    host = host_of(Scenario([], {}))
    net = host.net
    other = FakeNetDevice(net, "eth1")
    register_netdevice(other)
    dev_open(other)
    addr_add(other, "10.1.0.1/24")
    route_add(net, "198.51.100.0/24", dev=other)
    inet_forward_change(net, True)
    host.dev.ip_ptr.cnf.rp_filter = 1
    skb = received(host, ip(udp(53, src=0xC6336401), src=0xC6336401))
    assert ip_route_input_noref(skb, 0x0A000002, 0xC6336401, 0, host.dev).name == "IP_RPFILTER"
    route_add(net, "198.51.100.0/24", dev=host.dev, table=100)
    ip_command(net, "rule add sport 53 lookup 100")  # Ports of the way back.
    assert ip_route_input_noref(skb, 0x0A000002, 0xC6336401, 0, host.dev) is None
    kfree_skb(skb)

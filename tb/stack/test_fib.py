"""Routing tables and addresses: longest prefix, scopes, preferred sources, next hops, routes made by addresses."""

from errno import EACCES, EADDRNOTAVAIL, EEXIST, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, ENODEV, ESRCH

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack.core.dev_register import dev_close, dev_open, dev_set_mtu, register_netdevice, unregister_netdevice
from hardwire.stack.core.netdevice import Capabilities, NetDevice, NetDeviceOps
from hardwire.stack.iproute import addr_add, addr_del, neigh_add, route_add, route_del
from hardwire.stack.ipv4.devinet import inet_select_addr
from hardwire.stack.ipv4.fib_frontend import fib_new_route, inet_addr_type, inet_addr_type_dev_table
from hardwire.stack.ipv4.fib_semantics import FibInfo, FibNh
from hardwire.stack.ipv4.fib_trie import FibAlias, FibTable, fib_insert_alias, fib_remove_alias, fib_table_lookup
from hardwire.stack.ipv4.flow import FLOWI_FLAG_ANYSRC, FLOWI_FLAG_KNOWN_NH, Flowi4
from hardwire.stack.ipv4.route import RTCF_LOCAL, ip_route_output_flow, ipv4_mtu
from hardwire.stack.ipv4.rtnetlink import RtScope, RtType
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.inet_host import InetHost


class Hop:
    """A device as far as a table looks at it."""

    def __init__(self, ifindex):
        self.ifindex = ifindex


def mask_of(length):
    return 0xFFFFFFFF << 32 - length & 0xFFFFFFFF


# Few bits in use, so that prefixes nest and addresses hit them.
addresses = st.integers(0, 255).map(lambda value: (value & 15) << 28 | value >> 4)
routes = st.tuples(
    addresses,
    st.sampled_from([0, 1, 2, 3, 4, 28, 29, 30, 31, 32]),
    st.sampled_from([0, 8]),
    st.integers(0, 2),
    st.sampled_from([RtScope.UNIVERSE, RtScope.LINK]),
    st.sampled_from([RtType.UNICAST, RtType.UNICAST, RtType.BLACKHOLE, RtType.THROW]),
    st.integers(1, 2),
    st.booleans(),
)


def naive(table, flow):
    """Return what the best route gives: by length of prefix, then TOS, then priority, then age."""
    best = None
    for age, alias in enumerate(table):
        info = alias.info
        if flow.daddr & mask_of(alias.prefixlen) != alias.prefix or info.scope < flow.scope:
            continue
        if alias.tos not in (0, flow.tos):
            continue
        hop = None
        if not alias.error:
            hop = next((nh for nh in info.nhs if not nh.dead and flow.oif in (0, nh.dev.ifindex)), None)
            if hop is None:
                continue
        key = (-alias.prefixlen, -alias.tos, info.priority, age)
        if best is None or key < best[0]:
            best = (key, alias, hop)
    return best


@given(
    st.lists(routes, max_size=25),
    st.lists(
        st.tuples(addresses, st.sampled_from([0, 8, 4]), st.sampled_from([0, 253]), st.integers(0, 2)), max_size=20
    ),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_lookup_equals_a_search_through_all_routes(entries, flows, data):
    table = FibTable()
    mine = []
    for address, length, tos, priority, scope, kind, ifindex, dead in entries:
        hops = () if kind != RtType.UNICAST else (FibNh(Hop(ifindex)), FibNh(Hop(3)))
        if hops:
            hops[1].dead = dead
        alias = FibAlias(
            address & mask_of(length), length, FibInfo(hops, type=kind, scope=scope, priority=priority), tos
        )
        exists = any(
            (a.prefix, a.prefixlen, a.tos, a.info.priority) == (alias.prefix, length, tos, priority) for a in mine
        )
        if not exists:
            fib_insert_alias(table, alias)
            mine.append(alias)
    if mine:
        for alias in data.draw(st.lists(st.sampled_from(mine), unique=True, max_size=5)):
            assert fib_remove_alias(table, alias) == 0
            assert fib_remove_alias(table, alias) == -ESRCH
            mine.remove(alias)
    assert sorted(map(id, table)) == sorted(map(id, mine))
    for daddr, tos, scope, oif in flows:
        flow = Flowi4(daddr, tos=tos, scope=scope, oif=oif)
        wanted = naive(mine, flow)
        found = fib_table_lookup(table, flow)
        if wanted is None:
            assert found == -11  # EAGAIN
        elif wanted[1].error:
            assert found == wanted[1].error
        else:
            assert (found.fi, found.nh) == (wanted[1].info, wanted[2])
            assert found.alias is wanted[1]


@pytest.fixture
def host():
    return InetHost()


def route(host, daddr, **key):
    flow = Flowi4(ipv4_from_text(daddr), **key)
    return ip_route_output_flow(host.net, flow), flow


def fails(number):
    return pytest.raises(OSError, match=rf"\[Errno {number}\]")


def test_an_address_makes_its_host_its_network_and_its_broadcast_known(host):
    kinds = {
        text: inet_addr_type(host.net, ipv4_from_text(text))
        for text in (
            "10.0.0.1",
            "10.0.0.9",
            "10.0.0.255",
            "10.0.0.0",
            "127.0.0.1",
            "127.9.9.9",
            "224.0.0.1",
            "0.1.2.3",
            "255.255.255.255",
            "192.0.2.1",
        )
    }
    assert kinds == {
        "10.0.0.1": RtType.LOCAL,
        "10.0.0.9": RtType.UNICAST,
        "10.0.0.255": RtType.BROADCAST,
        "10.0.0.0": RtType.UNICAST,  # Since Linux 5.14 the lowest address is like the others.
        "127.0.0.1": RtType.LOCAL,
        "127.9.9.9": RtType.LOCAL,
        "224.0.0.1": RtType.MULTICAST,
        "0.1.2.3": RtType.UNICAST,  # As in Linux since 5.3.
        "255.255.255.255": RtType.BROADCAST,
        "192.0.2.1": RtType.UNICAST,
    }
    assert inet_addr_type_dev_table(host.net, host.net.loopback_dev, 0x0A000001) == RtType.UNICAST


def test_a_route_gives_device_gateway_and_source(host):
    route_add(host.net, "192.0.2.0/24", via="10.0.0.254")
    route_add(host.net, "default", via="10.0.0.253", mtu=1400)
    rt, flow = route(host, "192.0.2.7", proto=17)
    assert (rt.dev, rt.gw, flow.saddr, flow.oif) == (host.dev, 0x0A0000FE, 0x0A000001, host.dev.ifindex)
    rt, flow = route(host, "198.51.100.1")
    assert (rt.gw, ipv4_mtu(rt)) == (0x0A0000FD, 1400)
    rt, flow = route(host, "10.0.0.77")
    assert (rt.gw, ipv4_mtu(rt), rt.type) == (0, 1500, RtType.UNICAST)


def test_a_route_to_ourselves_leaves_by_loopback(host):
    for daddr, saddr in (("10.0.0.1", 0x0A000001), ("127.0.0.3", 0x7F000001), ("0.0.0.0", 0x7F000001)):
        rt, flow = route(host, daddr)
        assert (rt.dev, flow.saddr) == (host.net.loopback_dev, saddr)
        assert rt.flags & RTCF_LOCAL


def test_next_hops_keep_their_route_until_something_changes(host):
    first, _ = route(host, "10.0.0.5")
    assert route(host, "10.0.0.6")[0] is first
    assert route(host, "10.0.0.6", flags=FLOWI_FLAG_KNOWN_NH)[0] is not first
    assert route(host, "10.0.0.6")[0] is first
    for change in (
        lambda: route_add(host.net, "192.0.2.0/24", via="10.0.0.254"),
        lambda: route_del(host.net, "192.0.2.0/24"),
        lambda: addr_add(host.dev, "10.1.0.1/24"),
        lambda: addr_del(host.dev, "10.1.0.1/24"),
        lambda: dev_set_mtu(host.dev, 2000),
    ):
        change()
        assert first.ops.check(first) is None
        second, _ = route(host, "10.0.0.5")
        assert second is not first
        first = second


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ({"daddr": "192.0.2.1"}, ENETUNREACH),
        ({"daddr": "10.0.0.2", "saddr": 0x0A000009}, ENETUNREACH),
        ({"daddr": "10.0.0.2", "saddr": 0xE0000001}, EINVAL),
        ({"daddr": "10.0.0.2", "saddr": 0xFFFFFFFF}, EINVAL),
        ({"daddr": "10.0.0.2", "saddr": 0x00000001}, ENETUNREACH),
        ({"daddr": "255.255.255.255", "saddr": 0x0A000009}, ENETUNREACH),
        ({"daddr": "10.0.0.2", "saddr": 0x7F000001}, EINVAL),
        ({"daddr": "10.0.0.2", "oif": 99}, ENODEV),
    ],
)
def test_impossible_flows(host, key, number):
    with fails(number):
        route(host, **key)


def test_a_foreign_source_is_allowed_to_who_asks_for_it(host):
    assert route(host, "10.0.0.2", saddr=0x0A000009, flags=FLOWI_FLAG_ANYSRC)[0].dev is host.dev


def test_a_named_device_reaches_what_has_no_route(host):
    rt, flow = route(host, "192.0.2.1", oif=host.dev.ifindex)
    assert (rt.dev, rt.gw, flow.saddr) == (host.dev, 0, 0x0A000001)
    rt, flow = route(host, "255.255.255.255", oif=host.dev.ifindex)
    assert (rt.type, flow.saddr) == (RtType.BROADCAST, 0x0A000001)
    rt, flow = route(host, "224.0.0.1", saddr=0x0A000001)
    assert (rt.type, rt.dev) == (RtType.MULTICAST, host.dev)


def test_error_routes(host):
    for prefix, kind, number in (
        ("192.0.2.0/26", RtType.BLACKHOLE, EINVAL),
        ("192.0.2.64/26", RtType.UNREACHABLE, EHOSTUNREACH),
        ("192.0.2.128/26", RtType.PROHIBIT, EACCES),
        ("192.0.2.192/26", RtType.THROW, ENETUNREACH),
    ):
        route_add(host.net, prefix, type=kind)
        with fails(number):
            route(host, prefix[:-3])


def test_tos_and_metric_choose_among_routes_to_a_prefix(host):
    route_add(host.net, "192.0.2.0/24", via="10.0.0.10", metric=20)
    route_add(host.net, "192.0.2.0/24", via="10.0.0.11", metric=10)
    route_add(host.net, "192.0.2.0/24", via="10.0.0.12", tos=8)
    assert route(host, "192.0.2.1")[0].gw == 0x0A00000B
    assert route(host, "192.0.2.1", tos=8)[0].gw == 0x0A00000C
    assert route(host, "192.0.2.1", tos=10)[0].gw == 0x0A00000C  # Only three bits of it count.
    with fails(EEXIST):
        route_add(host.net, "192.0.2.0/24", via="10.0.0.13", metric=10)


def test_wrong_routes_are_refused(host):
    down = FakeNetDevice(host.net)
    register_netdevice(down)
    for arguments, number in (
        ({"prefix": "192.0.2.1/24", "via": "10.0.0.2"}, EINVAL),
        ({"prefix": "192.0.2.0/33", "via": "10.0.0.2"}, EINVAL),
        ({"prefix": "192.0.2.0/24"}, ENODEV),
        ({"prefix": "192.0.2.0/24", "via": "198.51.100.1"}, ENETUNREACH),
        ({"prefix": "192.0.2.0/24", "via": "10.0.0.255"}, EINVAL),
        ({"prefix": "192.0.2.0/24", "via": "10.0.0.2", "src": "10.0.0.3"}, EINVAL),
        ({"prefix": "192.0.2.0/24", "via": "10.0.0.2", "type": RtType.BLACKHOLE}, EINVAL),
        ({"prefix": "192.0.2.0/24", "dev": down}, ENETDOWN),
    ):
        with fails(number):
            route_add(host.net, **arguments)
    with fails(ESRCH):
        route_del(host.net, "192.0.2.0/24")
    with fails(ESRCH):
        route_del(host.net, "10.0.0.0/24")  # Made by the address.


def test_a_preferred_source_is_used(host):
    addr_add(host.dev, "10.0.0.7/24")
    route_add(host.net, "192.0.2.0/24", via="10.0.0.2", src="10.0.0.7")
    assert route(host, "192.0.2.1")[1].saddr == 0x0A000007
    assert route(host, "10.0.0.2")[1].saddr == 0x0A000001


def test_source_selection_prefers_the_network_of_the_destination(host):
    addr_add(host.dev, "10.5.0.1/16")
    addr_add(host.dev, "10.5.0.2/16")
    other = FakeNetDevice(host.net)
    register_netdevice(other)
    dev_open(other)
    net = host.net
    assert inet_select_addr(net, host.dev, 0x0A050099, RtScope.LINK) == 0x0A050001
    assert inet_select_addr(net, host.dev, 0x0A000099, RtScope.LINK) == 0x0A000001
    assert inet_select_addr(net, host.dev, 0xC0000201, RtScope.LINK) == 0x0A000001
    assert inet_select_addr(net, other, 0xC0000201, RtScope.UNIVERSE) == 0x0A000001
    assert inet_select_addr(net, net.loopback_dev, 0, RtScope.HOST) == 0x7F000001


def test_multipath_spreads_flows_by_weight_and_leaves_out_dead_hops(host):
    other = FakeNetDevice(host.net)
    register_netdevice(other)
    dev_open(other)
    addr_add(other, "10.1.0.1/24")
    hops = [(host.dev, 0x0A0000FE, 3), (other, 0x0A0100FE, 1)]
    fib_new_route(host.net, 0xC0000000, 8, hops)
    chosen = [route(host, f"192.{at >> 8}.{at & 255}.1")[0].dev for at in range(2000)]
    assert 0.65 < chosen.count(host.dev) / 2000 < 0.85
    assert all(route(host, f"192.0.{at}.1")[0].dev is chosen[at] for at in range(100))  # A flow keeps its path.
    dev_close(other)
    assert {route(host, f"192.0.{at}.1")[0].dev for at in range(100)} == {host.dev}
    dev_open(other)
    assert {route(host, f"192.0.{at}.1")[0].dev for at in range(100)} == {host.dev, other}


def test_a_device_that_goes_down_takes_its_routes_along(host):
    route_add(host.net, "default", via="10.0.0.254")
    dev_close(host.dev)
    for daddr in ("10.0.0.2", "192.0.2.1"):
        with fails(ENETUNREACH):
            route(host, daddr)
    assert inet_addr_type(host.net, 0x0A000001) == RtType.LOCAL  # The address is still ours.
    dev_open(host.dev)
    assert route(host, "10.0.0.2")[0].dev is host.dev
    with fails(ENETUNREACH):
        route(host, "192.0.2.1")


def test_a_device_that_is_unregistered_leaves_nothing_behind(host):
    before = list(host.net.ipv4.fib_main)
    other = FakeNetDevice(host.net)
    register_netdevice(other)
    dev_open(other)
    addr_add(other, "10.1.0.1/24")
    addr_add(other, "10.1.0.2/24")
    neigh_add(other, "10.1.0.9", "02:00:00:00:00:09")
    unregister_netdevice(other)
    assert list(host.net.ipv4.fib_main) == before
    assert inet_addr_type(host.net, 0x0A010001) == RtType.UNICAST
    assert all(neigh.dev is not other for neigh in host.net.ipv4.arp_tbl.nht.values())


def test_addresses_come_and_go_with_their_routes(host):
    before = len(list(host.net.ipv4.fib_main))
    with fails(EEXIST):
        addr_add(host.dev, "10.0.0.1/24")
    addr_add(host.dev, "10.0.0.2/24")
    addr_del(host.dev, "10.0.0.2/24")
    assert len(list(host.net.ipv4.fib_main)) == before
    with fails(EADDRNOTAVAIL):
        addr_del(host.dev, "10.0.0.2/24")
    addr_add(host.dev, "10.0.0.3/24")
    addr_del(host.dev, "10.0.0.1/24")  # The primary takes its secondary along.
    assert host.dev.ip_ptr.ifa_list == []
    assert inet_addr_type(host.net, 0x0A000003) == RtType.UNICAST
    with fails(ENETUNREACH):
        route(host, "10.0.0.2")
    with fails(EINVAL):
        addr_add(host.dev, "0.0.0.0/24")


@pytest.mark.parametrize(("length", "routes"), [(32, 1), (31, 2), (30, 3), (8, 3)])
def test_short_networks_have_no_broadcast_address(length, routes):
    host = InetHost()
    before = len(list(host.net.ipv4.fib_main))
    addr_add(host.dev, f"172.16.0.1/{length}")
    assert len(list(host.net.ipv4.fib_main)) - before == routes


def test_a_point_to_point_device_has_one_neighbour_without_arp(host):
    sent = []
    ops = NetDeviceOps(ndo_start_xmit=lambda skb, dev: sent.append(bytes(skb.view[skb.data : skb.tail])) or 0)
    dev = NetDevice(host.net, "ppp0", ops, Capabilities())
    dev.flags |= 0x90  # IFF_POINTOPOINT | IFF_NOARP
    dev.hard_header_len = 0
    register_netdevice(dev)
    dev_open(dev)
    addr_add(dev, "172.16.0.1/30")
    sock = host.socket()
    sock.sendto(b"x", ("172.16.0.2", 9))
    sock.sendto(b"x", ("172.16.0.1", 9))
    assert [octets[0] for octets in sent] == [0x45]

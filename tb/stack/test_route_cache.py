"""The route cache: the same routes with it and without; its counters, its size, and what sockets keep."""

import random
from errno import ENOBUFS
from typing import Any

import pytest

from hardwire.stack.core.dev_register import dev_close, dev_open, register_netdevice, unregister_netdevice
from hardwire.stack.core.dst import dst_metric_advmss, dst_negative_advice
from hardwire.stack.core.skbuff import kfree_skb
from hardwire.stack.core.sock import sk_dst_check, sk_dst_reset, sk_dst_set
from hardwire.stack.core.timer import HZ, NSEC_PER_JIFFY, jiffies
from hardwire.stack.iproute import addr_add, neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.ipv4.fib_exception import update_or_create_fnhe
from hardwire.stack.ipv4.fib_frontend import fib_compute_spec_dst, rt_cache_flush
from hardwire.stack.ipv4.fib_trie import fib_lookup
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.ipv4.igmp import ip_mc_dec_group, ip_mc_inc_group
from hardwire.stack.ipv4.route import RTCF_LOCAL, __ip_select_ident, ip_route_output_flow, ipv4_mtu
from hardwire.stack.ipv4.route_cache import rt_cache_stat, rt_garbage_collect, rt_hash_code
from hardwire.stack.ipv4.route_input import ip_route_input_noref
from hardwire.stack.ipv4.rtnetlink import RtType
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.bench import seed
from hardwire.tb.stack.fake import FakeNetDevice
from hardwire.tb.stack.fib_random import Flow, Router, random_change, random_flow
from hardwire.tb.stack.frames import icmp, ip
from hardwire.tb.stack.inet_host import InetHost, raises
from hardwire.tb.stack.pair import Pair
from hardwire.tb.stack.routed import Routed

FAR = ipv4_from_text("192.0.2.1")


def everything(router: Router, flow: Flow) -> tuple[Any, ...]:
    """Return all that a route says about a flow."""
    key = router.flow(flow)
    rt: Any
    if not flow.iif:
        try:
            rt = ip_route_output_flow(router.net, key)
        except OSError as error:
            return (error.errno,)
        return rt.dev.name, rt.gw, rt.type, rt.flags, ipv4_mtu(rt), rt.mtu_locked, key.saddr, key.daddr, key.oif
    skb = router.packet(flow)
    reason = ip_route_input_noref(skb, key.daddr, key.saddr, key.tos, router.dev(flow.iif))
    rt, redirect = skb.dst, getattr(skb.cb, "do_redirect", False)
    spec_dst = fib_compute_spec_dst(skb) if rt is not None and not rt.error else 0
    kfree_skb(skb)
    if rt is None:
        return (reason,)
    assert reason is None
    flags = rt.flags & 0xF0000000
    return rt.dev.name, rt.gw, rt.type, flags, rt.error, rt.input, rt.output, ipv4_mtu(rt), redirect, spec_dst


def learn(router: Router, daddr: int, gw: int, pmtu: int) -> None:
    """Learn something of a destination, as from an ICMP message."""
    found = fib_lookup(router.net, Flowi4(daddr))
    if not isinstance(found, int) and found.type == RtType.UNICAST:
        update_or_create_fnhe(found.nh, daddr, gw, pmtu, False, jiffies(router.kernel) + 10 * HZ)


@pytest.mark.parametrize("rules", [False, True])
def test_the_cache_changes_no_route(rules):
    first = seed()
    print(f"HARDWIRE_SEED={first}")
    hits = 0
    for number in range(first, first + 25):
        rng = random.Random(number)
        settings = {"forwarding": rng.random() < 0.8, "rp_filter": rng.choice((0, 0, 1, 2))}
        plain, cached = Router(**settings), Router(**settings)
        policy = rng.randrange(2)
        plain.net.ipv4.sysctl_fib_multipath_hash_policy = cached.net.ipv4.sysctl_fib_multipath_hash_policy = policy
        cached.net.ipv4.sysctl_route_cache = 1
        flows = [random_flow(rng) for _ in range(25)]
        for _ in range(40):
            what = rng.random()
            if what < 0.5:
                change = random_change(rng, rules=rules)
                assert plain.change(change) == cached.change(change)
            elif what < 0.8:
                daddr = ipv4_from_text(rng.choice(flows).daddr)
                gw, pmtu = rng.choice(((0x0A000002, 0), (0, 1000), (0, 1200)))
                for router in (plain, cached):
                    learn(router, daddr, gw, pmtu)
            else:
                seconds = rng.choice((1, 20))
                for router in (plain, cached):
                    router.platform.advance(seconds * 1_000_000_000)
            for flow in rng.sample(flows, 12):
                assert everything(cached, flow) == everything(plain, flow), flow
        counted = rt_cache_stat(cached.net)
        hits += counted["in_hit"] + counted["out_hit"]
        assert rt_cache_stat(plain.net)["out_hit"] == 0
    assert hits > 500


@pytest.fixture
def host():
    host = InetHost()
    host.net.ipv4.sysctl_route_cache = 1
    route_add(host.net, "default", via="10.0.0.254")
    return host


def lookup(host, daddr: int = FAR, **key):
    return ip_route_output_flow(host.net, Flowi4(daddr, **key))


def test_a_hit_gives_the_same_route_and_a_flow_its_own(host):
    before = rt_cache_stat(host.net)
    first = lookup(host)
    assert lookup(host) is first
    assert first.use == 2
    assert lookup(host, saddr=0x0A000001) is not first
    assert lookup(host, tos=8) is not first
    assert lookup(host, mark=1) is not first
    assert lookup(host, oif=host.dev.ifindex) is not first
    assert lookup(host, FAR + 1) is not first
    after = rt_cache_stat(host.net)
    assert {key: after[key] - before[key] for key in ("out_hit", "out_slow_tot", "entries")} == {
        "out_hit": 1,
        "out_slow_tot": 6,
        "entries": 6,
    }
    assert (first.rt_gateway, first.rt_src, first.rt_dst) == (0x0A0000FE, 0x0A000001, FAR)
    assert lookup(host, 0x0A000002).rt_gateway == 0x0A000002
    assert first.peer.daddr == FAR


def test_flows_that_share_a_chain_are_told_apart_and_counted(host):
    ipv4 = host.net.ipv4
    code = rt_hash_code(ipv4, FAR, 0, 0, 0)
    other = next(daddr for daddr in range(FAR + 1, FAR + 100_000) if rt_hash_code(ipv4, daddr, 0, 0, 0) == code)
    first, second = lookup(host), lookup(host, other)
    before = rt_cache_stat(host.net)["out_hlist_search"]
    assert lookup(host) is first
    assert lookup(host, other) is second
    assert rt_cache_stat(host.net)["out_hlist_search"] == before + 1  # The newest is in front.


def test_a_chain_that_is_too_long_loses_what_was_not_used_for_longest(host):
    ipv4 = host.net.ipv4
    ipv4.sysctl_route_gc_elasticity = 2
    code = rt_hash_code(ipv4, FAR, 0, 0, 0)
    shared = [daddr for daddr in range(FAR, FAR + 20_000) if rt_hash_code(ipv4, daddr, 0, 0, 0) == code][:5]
    routes = []
    for daddr in shared:
        routes.append(lookup(host, daddr))
        host.platform.advance(NSEC_PER_JIFFY)
        lookup(host, shared[0])
    assert [rt.obsolete for rt in routes] == [-1, 2, 2, -1, -1]
    assert rt_cache_stat(host.net)["entries"] == 3


def test_a_flush_makes_all_routes_stale(host):
    first = lookup(host)
    rt_cache_flush(host.net)
    assert lookup(host) is not first
    assert rt_cache_stat(host.net)["entries"] == 1


def test_garbage_collection_takes_what_rested_and_leaves_what_is_kept(host):
    ipv4 = host.net.ipv4
    ipv4.sysctl_route_gc_thresh = 50
    sock = host.socket()
    sock.connect(("192.0.2.200", 9))
    kept = sock.sk.sk_dst_cache
    for number in range(50):
        lookup(host, FAR + number)
    host.platform.advance(400 * 1_000_000_000)
    for number in range(300):
        lookup(host, FAR + 1000 + number)
        host.platform.advance(NSEC_PER_JIFFY)
    counted = rt_cache_stat(host.net)
    assert counted["gc_total"] > 200
    assert counted["gc_ignored"] > 100
    assert counted["entries"] < 350 - 50 + 5
    assert kept.obsolete == -1
    assert kept.refcnt == 1


def test_a_cache_full_of_routes_in_use_takes_no_more(host):
    ipv4 = host.net.ipv4
    ipv4.sysctl_route_gc_thresh, ipv4.sysctl_route_max_size = 5, 10
    sockets = [host.socket() for _ in range(10)]
    for number, sock in enumerate(sockets):
        sock.connect((f"192.0.2.{number + 1}", 9))
    with raises(ENOBUFS):
        host.socket().connect(("192.0.2.99", 9))
    assert rt_cache_stat(host.net)["gc_dst_overflow"] > 0
    assert rt_cache_stat(host.net)["gc_goal_miss"] > 0
    for sock in sockets:
        sock.close()
    host.platform.advance(1_000_000_000)
    host.socket().connect(("192.0.2.99", 9))
    assert not rt_garbage_collect(host.net)


def test_a_device_that_goes_takes_its_routes_from_sockets_too(host):
    other = FakeNetDevice(host.net)
    register_netdevice(other)
    dev_open(other)
    addr_add(other, "10.1.0.1/24")
    sock = host.socket()
    sock.connect(("10.1.0.2", 9))
    rt = sock.sk.sk_dst_cache
    assert rt.dev is other
    dev_close(other)
    assert rt.obsolete == 2
    assert sk_dst_check(sock.sk) is None
    dev_open(other)
    sock.connect(("10.1.0.2", 9))
    rt = sock.sk.sk_dst_cache
    unregister_netdevice(other)
    assert rt.dev is host.net.loopback_dev
    sk_dst_reset(sock.sk)
    assert all(rth.dev is not other for chain in host.net.ipv4.rt_cache.table for rth in chain)
    assert not host.net.ipv4.rt_cache.busy


def test_what_was_learned_reaches_routes_in_the_cache_and_in_sockets(host):
    sock = host.socket()
    sock.connect(("192.0.2.1", 9))
    kept = sock.sk.sk_dst_cache
    found = fib_lookup(host.net, Flowi4(FAR))
    update_or_create_fnhe(found.nh, FAR, 0, 1000, False, jiffies(host.kernel) + 10 * HZ)
    assert sk_dst_check(sock.sk) is None
    assert kept.obsolete == 2
    assert ipv4_mtu(lookup(host)) == 1000
    assert dst_metric_advmss(lookup(host)) == 960
    assert ipv4_mtu(lookup(host, FAR + 1)) == 1500
    host.platform.advance(11 * 1_000_000_000)
    assert ipv4_mtu(lookup(host)) == 1500


def test_negative_advice_lets_go_of_what_was_learned_only(host):
    sock = host.socket()
    sk_dst_set(sock.sk, lookup(host))
    dst_negative_advice(sock.sk)
    assert sock.sk.sk_dst_cache is lookup(host)
    found = fib_lookup(host.net, Flowi4(FAR))
    update_or_create_fnhe(found.nh, FAR, 0, 1000, False, jiffies(host.kernel) + 1000 * HZ)
    host.platform.advance(1_000_000_000)
    sk_dst_set(sock.sk, rt := lookup(host))
    dst_negative_advice(sock.sk)
    assert sock.sk.sk_dst_cache is None
    assert lookup(host) is not rt


def test_a_neighbour_that_does_not_answer_ends_the_flows_route(host):
    sock = host.socket()
    sock.sendto(b"x", ("192.0.2.1", 9))
    rt = lookup(host)
    host.platform.advance(5_000_000_000)
    assert lookup(host) is not rt


def test_identifications_are_counted_for_each_peer(host):
    first = [__ip_select_ident(host.net, 1, FAR, 17, 1) for _ in range(3)]
    other = [__ip_select_ident(host.net, 1, FAR + 1, 17, 2) for _ in range(2)]
    assert [(ident - first[0]) & 0xFFFF for ident in first] == [0, 1, 2]
    assert (other[1] - other[0]) & 0xFFFF == 2
    assert __ip_select_ident(host.net, 1, FAR, 17, 1) == (first[2] + 1) & 0xFFFF


def test_the_switch_leaves_nothing_behind(host):
    ipv4 = host.net.ipv4
    sock = host.socket()
    sock.connect(("192.0.2.1", 9))
    ipv4.sysctl_route_cache = 0
    assert ipv4.sysctl_route_cache == 0
    assert sk_dst_check(sock.sk) is None
    assert lookup(host) is lookup(host, FAR + 1)  # The next hop's, for all.
    assert all(not peer.routes for peer in ipv4.peers.values())
    ipv4.sysctl_route_cache = 1
    assert lookup(host) is not lookup(host, FAR + 1)
    sock.close()
    assert rt_cache_stat(host.net)["entries"] == 2


def test_pings_and_datagrams_hit_the_cache_on_both_sides():
    pair = Pair()
    for side in (pair.a, pair.b):
        side.net.ipv4.sysctl_route_cache = 1
    here, there = pair.a.socket(), pair.b.socket()
    there.bind(("10.0.0.2", 9000))
    for _ in range(10):
        here.sendto(b"x", ("10.0.0.2", 9000))
        pair.run()
        _, back = there.recvfrom(10)
        there.sendto(b"y", back)
        pair.run()
        assert here.recv(10) == b"y"
        pair.b.receive(ip(icmp(8), 1))
        pair.run()
    a, b = rt_cache_stat(pair.a.net), rt_cache_stat(pair.b.net)
    assert a["out_hit"] >= 9
    assert b["out_hit"] >= 9
    assert b["in_hit"] >= 18
    assert b["in_slow_tot"] <= 2
    assert pair.b.mib["Icmp:OutEchoReps"] == 10


def test_a_router_forwards_and_redirects_from_the_cache():
    routed = Routed()
    routed.r.net.ipv4.sysctl_route_cache = 1
    neigh_add(routed.r.dev, "10.0.1.77", "02:00:00:00:00:77")
    route_add(routed.r.net, "10.9.0.0/16", via="10.0.1.77")
    here, there = routed.a.socket(), routed.b.socket()
    there.bind(("10.0.2.1", 9000))
    for _ in range(3):
        here.sendto(b"x", ("10.0.2.1", 9000))
        here.sendto(b"x", ("10.9.0.1", 9000))
        routed.run(3_000_000_000)
        assert there.recv(10) == b"x"
    assert rt_cache_stat(routed.r.net)["in_hit"] >= 4
    assert routed.r.mib["Icmp:OutRedirects"] >= 2


def test_forwarding_is_off_from_the_next_packet_on():
    router = Router()
    router.net.ipv4.sysctl_route_cache = 1
    addr_add(router.dev("v0"), "10.0.0.1/24")
    addr_add(router.dev("v1"), "10.1.0.1/24")
    flow = Flow("10.1.0.2", "10.0.0.2", iif="v0")
    assert router.get(flow).dev == "v1"
    inet_forward_change(router.net, False)
    assert router.get(flow).error != 0


def test_who_joins_or_leaves_a_group_counts_from_the_next_packet_on():
    router = Router()
    router.net.ipv4.sysctl_route_cache = 1
    addr_add(router.dev("v0"), "10.0.0.1/24")
    sending, receiving = Flow("239.1.1.1", oif="v0"), Flow("239.1.1.1", "10.0.0.2", iif="v0")
    before = everything(router, sending), everything(router, receiving)
    assert before == (everything(router, sending), everything(router, receiving))
    in_dev = router.dev("v0").ip_ptr
    ip_mc_inc_group(in_dev, ipv4_from_text("239.1.1.1"))
    joined = everything(router, sending), everything(router, receiving)
    assert joined[0][3] & ~before[0][3] == RTCF_LOCAL
    assert len(joined[1]) > len(before[1]) == 1
    ip_mc_dec_group(in_dev, ipv4_from_text("239.1.1.1"))
    assert (everything(router, sending), everything(router, receiving)) == before

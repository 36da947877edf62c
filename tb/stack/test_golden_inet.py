"""Our order of calls in sockets, routing, fragmentation and neighbours against that of a real kernel."""

from dataclasses import replace

import pytest

from hardwire.sim.trace import Call, Tracer
from hardwire.stack.core.neighbour import NUD_DELAY, NUD_FAILED, NUD_REACHABLE, NUD_STALE
from hardwire.stack.core.timer import HZ
from hardwire.stack.iproute import neigh_add, neigh_del
from hardwire.tb.stack.golden import Node, Rules, compare, read_golden
from hardwire.tb.stack.inet_host import MS, PEER, SECOND, InetHost

# What these traces have and the transmit path here has not, each with its reason.
IGNORED = {
    "reuseport_has_conns_set": "SO_REUSEPORT groups come with the receive side",
    "l3mdev_fib_table_rcu": "VRF devices are not modelled",
    "skb_scrub_packet": "veth",
    "__skb_clone": "a part of skb_clone",
    "validate_xmit_xfrm": "IPsec offload",
}
RULES = Rules.read()
RULES = replace(
    RULES,
    ignore=RULES.ignore | set(IGNORED),
    # These run on a fake device: the comparison ends one call earlier.
    ends={"dev_hard_start_xmit": "dev_hard_start_xmit"},
)


@pytest.fixture
def host():
    """Return the host of the traces: everything was used before, the timers of 15a-d are set."""
    host = InetHost()
    parms = host.dev.arp_parms
    parms.base_reachable_time, parms.delay_probe_time, parms.retrans_time = 3 * HZ, HZ, 3 * HZ // 10
    parms.ucast_probes = parms.mcast_probes = 2
    host.peer = neigh_add(host.dev, PEER[0], "02:00:00:00:00:02", NUD_REACHABLE)
    host.sock = host.socket()
    host.sock.bind(("10.0.0.1", 5000))
    for _ in range(2):
        host.sock.sendto(bytes(32), PEER)
    return host


def traced(function, name: str) -> list[Call]:
    """Return the calls of one function that another makes, from anywhere below it."""
    with Tracer(lambda: 0) as tracer:
        function()
    return [call for root in tracer.roots for _, call in root.walk() if call.name == name]


def send(host):
    return traced(lambda: host.sock.sendto(bytes(32), PEER), "__x64_sys_sendto")


def test_connect_takes_the_path_of_03a(host):
    sock = host.socket()
    sock.bind(("10.0.0.1", 5001))
    compare(read_golden("03a")[""], traced(lambda: sock.connect(PEER), "__x64_sys_connect"), RULES)


def test_connected_sends_take_the_paths_of_03d_and_03c(host):
    host.sock.connect(PEER)
    mib = dict(host.mib)
    for golden, size in (("03d", 32), ("03c", 4000)):
        calls = traced(lambda size=size: host.sock.send(bytes(size)), "__x64_sys_sendto")
        compare(read_golden(golden)[f"A: send {size} bytes"], calls, RULES)
    changed = {key: host.mib[key] - mib.get(key, 0) for key in host.mib if host.mib[key] != mib.get(key, 0)}
    assert changed == {
        "Ip:OutRequests": 2,
        "Ip:FragOKs": 1,
        "Ip:FragCreates": 3,
        "Udp:OutDatagrams": 2,
        "IpExt:OutOctets": 60 + 4028,
    }


def test_a_send_to_an_unknown_neighbour_takes_the_path_of_02(host):
    neigh_del(host.dev, PEER[0])
    compare(read_golden("02")["A: sendto 32 bytes"], send(host), RULES)


def timers(golden: str, section: str) -> list[Node]:
    """Return the softirqs of a trace in which timers ran, without what else they did."""
    softirqs = [node for node in read_golden(golden)[section] if node.name == "__do_softirq"]
    for softirq in softirqs:
        softirq.calls = [call for call in softirq.calls if call.name == "call_timer_fn"]
    return [softirq for softirq in softirqs if softirq.calls]


def test_reachable_becomes_stale_and_delay_in_the_steps_of_15a_and_15b(host):
    softirqs = traced(lambda: host.platform.advance(5 * SECOND), "__do_softirq")
    assert host.peer.nud_state == NUD_STALE
    # Those before found it still reachable.
    # Theirs frees a copy of the notification that there is not: so runs of equal calls count as one.
    compare(timers("15a", "sleep 5 s"), softirqs[-1:], RULES, ["neigh_timer_handler"])
    compare(read_golden("15b")["A: sendto 32 bytes"], send(host), RULES)
    assert host.peer.nud_state == NUD_DELAY


def test_delay_becomes_probe_and_failed_in_the_steps_of_15d(host):
    host.platform.advance(5 * SECOND)
    send(host)
    softirqs = traced(lambda: host.platform.advance(2500 * MS), "__do_softirq")
    assert host.peer.nud_state == NUD_FAILED
    # There is no packet to free: none waited, so theirs frees nothing.
    compare(timers("15d", "sleep 2.5 s"), softirqs, replace(RULES, cut=RULES.cut | {"consume_skb"}))

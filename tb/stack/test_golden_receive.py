"""Our order of calls in receiving against that of a real kernel."""

from dataclasses import replace

import pytest

from hardwire.sim.trace import Call, Tracer
from hardwire.stack import socket as api
from hardwire.stack.iproute import neigh_del
from hardwire.stack.wire.checksum import ip_fast_csum
from hardwire.tb.stack.golden import Rules, compare, find, read_golden
from hardwire.tb.stack.pair import Pair
from hardwire.tb.stack.routed import Routed

RULES = Rules.read("receive")
RULES = replace(
    RULES,
    ignore=RULES.ignore
    | {
        "arp_key_eq",  # Comparing keys: a dictionary here.
        "skb_scrub_packet",  # veth
        "call_netevent_notifiers",  # Theirs comes before the queue is sent, ours after, or inside neigh_update_notify.
        "dev_get_by_index_rcu",  # A next hop has its device here.
        "l3mdev_master_ifindex_rcu",  # VRF devices are not modelled.
        "neigh_update",  # Inlined in some places; __neigh_update is compared.
        "skb_attempt_defer_free",
        "skb_checksum",
        "fib_lookup_good_nhc",
        "__skb_datagram_iter",  # Parts of copying to the program.
        "simple_copy_to_iter",
        "sock_rfree",  # A destructor: where it runs is up to Python's order of freeing.
        "ip4_datagram_release_cb",
        "ipv4_mtu",
    },
    cut=RULES.cut | {"do_softirq"},
)

# These run on a fake device: the comparison ends one call earlier.
DRIVER = replace(RULES, ends={"dev_hard_start_xmit": "dev_hard_start_xmit"})


@pytest.fixture
def pair():
    pair = Pair()
    a, b = pair.a.socket(), pair.b.socket()
    b.bind(("10.0.0.2", 9000))
    a.bind(("10.0.0.1", 5000))
    for _ in range(2):
        a.sendto(bytes(32), ("10.0.0.2", 9000))
        b.recvfrom(100)
    pair.a.udp, pair.b.udp = a, b
    return pair


def traced(function, name: str) -> list[Call]:
    """Return the calls of one function that another makes, from anywhere below it."""
    with Tracer(lambda: 0) as tracer:
        function()
    return [call for root in tracer.roots for _, call in root.walk() if call.name == name]


REQUEST = b"\x08\0\0\0\x12\x34\0\1" + b"E" * 32
REQUEST = REQUEST[:2] + ip_fast_csum(REQUEST).to_bytes(2, "big") + REQUEST[4:]


@pytest.fixture
def ping(pair):
    ping = pair.a.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    for _ in range(2):
        ping.sendto(REQUEST, ("10.0.0.2", 0))
        ping.recvfrom(100)
    return ping


@pytest.mark.parametrize("function", ["icmp_rcv", "raw_local_deliver", "ip_rcv_finish_core", "ip_local_deliver"])
def test_a_ping_is_answered_and_received_on_the_path_of_04(pair, ping, function):
    def exchange():
        ping.sendto(REQUEST, ("10.0.0.2", 0))
        pair.run()

    golden = read_golden("04")
    wanted = find(golden["A: sendto 40 bytes"], function)
    mine = traced(exchange, function)
    assert len(wanted) == len(mine) == 2
    compare(wanted, mine, DRIVER)
    compare(golden["A: recvfrom"], traced(lambda: ping.recvfrom(100), "__x64_sys_recvfrom"), RULES)


def test_a_ping_is_sent_on_the_path_of_04(pair, ping):
    sent = traced(lambda: ping.sendto(REQUEST, ("10.0.0.2", 0)), "__x64_sys_sendto")
    compare(read_golden("04")["A: sendto 40 bytes"], sent, DRIVER)


def test_arp_resolves_on_the_path_of_02(pair):
    neigh_del(pair.a.dev, "10.0.0.2")
    neigh_del(pair.b.dev, "10.0.0.1")

    def exchange():
        pair.a.udp.sendto(bytes(32), ("10.0.0.2", 9000))
        pair.run()

    wanted = find(read_golden("02")["A: sendto 32 bytes"], "arp_process")
    mine = traced(exchange, "arp_process")
    assert len(wanted) == len(mine) == 2
    # Theirs frees a copy of the notification that there is not: so runs of equal calls count as one.
    compare(wanted, mine, DRIVER, ["arp_process"])


def test_a_datagram_is_received_on_the_path_of_17a(pair):
    wanted = find([node for nodes in read_golden("17a").values() for node in nodes], "netif_receive_skb_list_internal")

    def exchange():
        pair.a.udp.sendto(bytes(32), ("10.0.0.2", 9000))
        pair.run()

    rules = replace(RULES, ignore=RULES.ignore | {"skb_defer_rx_timestamp"})
    compare(wanted[-1:], traced(exchange, "netif_receive_skb_list_internal"), rules)


def test_a_datagram_is_forwarded_on_the_path_of_07a():
    routed = Routed()
    there, here = routed.b.socket(), routed.a.socket()
    there.bind(("10.0.2.1", 9000))
    here.bind(("10.0.1.1", 5000))

    def send():
        here.sendto(bytes(32), ("10.0.2.1", 9000))
        routed.run()

    send()
    send()
    for function in ("ip_rcv_finish_core", "ip_forward"):
        # A NAPI driver receives lists of packets: ip_rcv() and what is around it differ (17a).
        wanted = find(read_golden("07a")["A7: sendto 32 bytes"], function)
        mine = traced(send, function)
        assert len(mine) == len(wanted)
        # Over veth a datagram comes without its checksum, as it was sent; by a cable it comes with it.
        compare(wanted, mine, replace(DRIVER, ignore=DRIVER.ignore | {"find_exception", "skb_csum_hwoffload_help"}))

"""``ip`` and ``tc``: the same commands as on a real kernel, the same output."""

import json
from dataclasses import replace
from errno import EBUSY

import pytest

from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ethtool import ethtool
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.iproute2.tc import tc
from hardwire.tb.stack.commands import Sides
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.linux_peer import can_make_namespaces

needs_linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

LINKS = """\
ip link add eth0 type veth peer name eth1
ip link
ip -d link show eth0
ip -d -j link show eth0
ip link set eth0 up
ip link set eth1 up
ip -s link show
ip -s -s link show
ip -s -j link show eth0
ip -s -s -j link show eth0
ip -br link
ip -o link
ip link set eth0 mtu 1400
ip link set eth0 txqueuelen 77
ip link set eth0 promisc on
ip link set eth0 allmulticast on
ip link set eth0 address 02:00:00:00:00:77
ip link show eth0
ip -d link show eth0
ip link set eth0 promisc off arp off
ip link show eth0
ip link set eth0 down
ip link show
ip link set eth0 name foo0
ip link show foo0
ip link add name br0 type bridge
ip link set foo0 master br0
ip link show master br0
ip link
ip link set foo0 nomaster
ip link del br0
ip link add name m0 link foo0 type macvlan mode bridge
ip -d link show m0
ip -j -d link show m0
ip link set m0 type macvlan mode vepa
ip -d link show m0
ip link del m0
ip link del foo0
ip link
"""
ADDRESSES = """\
ip link add eth0 type veth peer name eth1
ip link set eth0 up
ip link set eth1 up
ip addr add 10.0.0.1/24 dev eth0
ip addr add 10.0.0.9/24 brd + label eth0:x scope link dev eth0
ip addr add 10.1.0.1 peer 10.1.0.2 dev eth0
ip addr add 10.0.0.8/24 brd + label eth0:x dev eth0
ip addr
ip -j addr
ip -j -p addr show dev eth0
ip -o addr
ip -br addr
ip addr show up
ip addr show scope link
ip addr show scope host
ip addr show to 10.1.0.0/16
ip addr show type veth
ip addr show label eth0:x
ip addr del 10.0.0.8/24 dev eth0
ip addr replace 10.0.0.1/24 dev eth0
ip addr flush dev eth0
ip addr
ip route
"""
ROUTES = """\
ip link add eth0 type veth peer name eth1
ip link set eth0 up
ip link set eth1 up
ip addr add 10.0.0.1/24 dev eth0
ip addr add 10.1.0.1 peer 10.1.0.2 dev eth0
ip route
ip route show table all
ip -j route show table all
ip -p -j route
ip route add 10.5.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop via 10.0.0.3
ip route add blackhole 10.6.0.0/16 metric 5
ip route add 10.7.0.0/24 via 10.0.0.2 src 10.0.0.1 mtu 1400 table 77 proto static
ip route add 10.8.0.0/24 dev eth0 scope link mtu lock 1300
ip route add unreachable 10.9.0.0/24
ip route add prohibit 10.9.1.0/24
ip route add throw 10.9.2.0/24
ip route add default via 10.0.0.254
ip route add default via 10.0.0.253 metric 50
ip route add 10.20.0.0/16 via 10.0.0.2 tos 0x10
ip route
ip -d route
ip route show table all
ip -j route show table all
ip -j -p route
ip route show 10.5.0.0/16
ip route show to root 10.0.0.0/8
ip route show to match 10.8.0.1
ip route show dev eth0
ip route show proto kernel
ip route show via 10.0.0.2
ip route get 10.8.0.1
ip route get 10.0.0.1
ip -j route get 10.0.0.7
ip route get 10.6.0.1
ip route get 10.9.0.1
ip route get 10.9.1.1
ip route get 8.8.8.8
ip route get 10.0.0.5 from 10.0.0.1
ip route get 10.0.0.5 mark 5
ip route get 10.0.0.255
ip route get 224.0.0.1
ip route replace default via 10.0.0.200
ip route change 10.8.0.0/24 dev eth0 mtu 1200
ip route append 10.8.0.0/24 via 10.0.0.3
ip route
ip route del 10.8.0.0/24
ip route del 10.5.0.0/16
ip route flush table 77
ip route show table 77
ip route flush root 10.9.0.0/16
ip route
"""
NEIGHBOURS = """\
ip link add eth0 type veth peer name eth1
ip link set eth0 up
ip link set eth1 up
ip addr add 10.0.0.1/24 dev eth0
ip neigh add 10.0.0.5 lladdr 02:02:02:02:02:02 dev eth0
ip neigh add 10.0.0.6 lladdr 02:02:02:02:02:03 dev eth0 nud stale
ip neigh add 10.0.0.7 dev eth0 nud failed
ip neigh
ip -j neigh
ip -s neigh
ip -s -j neigh
ip neigh show dev eth0
ip neigh show nud permanent
ip neigh show nud all
ip neigh show 10.0.0.5
ip neigh replace 10.0.0.5 lladdr 02:02:02:02:02:09 dev eth0
ip neigh change 10.0.0.6 lladdr 02:02:02:02:02:08 dev eth0 nud reachable
ip neigh get 10.0.0.5 dev eth0
ip neigh add proxy 10.0.2.1 dev eth0
ip neigh show proxy
ip -j neigh show proxy
ip neigh del proxy 10.0.2.1 dev eth0
ip neigh show proxy
ip neigh del 10.0.0.5 dev eth0
ip neigh flush dev eth0
ip neigh
"""
ERRORS = """\
ip link add eth0 type veth peer name eth1
ip link set eth0 name foo0
ip link set nope up
ip link set foo0 mtu 10
ip addr add 10.0.0.1/24 dev foo0
ip addr add 10.0.0.1/24 dev foo0
ip addr del 10.0.0.77/24 dev foo0
ip route add 1.2.3.4/8 dev foo0
ip route add 1.0.0.0/8 via 99.9.9.9
ip route del 99.0.0.0/8
ip link set foo0 up
ip route add 10.5.0.0/16 dev foo0
ip route add 10.5.0.0/16 dev foo0
ip neigh add 10.0.0.5 dev foo0
ip neigh del 10.0.0.6 dev foo0
ip addr add 10.0.0.300 dev foo0
ip addr add 10.0.0.3/24
ip foo
ip addr foo
ip link set foo0 foo
ip route add foo
ip link add x type nope
ip link del nope
ip link set foo0 mtu x
ip link show nope
ip addr show nope
ip neigh show dev nope
ip route show dev nope
ip route get
ip neigh add 10.0.0.5 lladdr zz dev foo0
ip neigh flush
ip link set foo0 address 1:2
ip tunnel add
ip addr add
ip link add name q0 link foo0 type macvlan mode foo
"""
QDISCS = """\
ip link add eth0 type veth peer name eth1
ip link set eth0 up
ip link set eth1 up
tc qdisc show dev eth0
tc qdisc add dev eth0 root pfifo limit 77
tc qdisc show dev eth0
tc -s qdisc show dev eth0
tc -j qdisc show dev eth0
tc -s -j qdisc show dev eth0
tc qdisc replace dev eth0 root bfifo limit 30000
tc qdisc show
tc qdisc replace dev eth0 root tbf rate 1mbit burst 32kb latency 400ms
tc qdisc show dev eth0
tc -j qdisc show dev eth0
tc -d qdisc show dev eth0
tc qdisc replace dev eth0 root tbf rate 3mbit burst 10kb limit 30000 peakrate 4mbit mtu 2000
tc qdisc show dev eth0
tc -j qdisc show dev eth0
tc qdisc replace dev eth0 root pfifo_fast
tc qdisc show dev eth0
tc qdisc del dev eth0 root
tc qdisc del dev eth0 root
tc qdisc add dev eth0 root nope
tc qdisc add dev eth0 parent 5:1 pfifo
tc qdisc add dev nope root pfifo
tc qdisc add dev eth0 root pfifo limit x
tc qdisc change dev eth0 root handle 2: pfifo
tc foo
tc qdisc foo
tc qdisc add dev eth0 root handle 1: tbf rate 1mbit burst 32kb latency 400ms
tc qdisc add dev eth0 parent 1:1 handle 10: pfifo limit 5
tc qdisc show dev eth0
tc class show dev eth0
tc qdisc add dev eth0 root handle 1: tbf rate 1mbit burst 32kb latency 400ms
"""


@needs_linux
@pytest.mark.parametrize(
    "script",
    [LINKS, ADDRESSES, ROUTES, NEIGHBOURS, ERRORS, QDISCS],
    ids=["links", "addresses", "routes", "neighbours", "errors", "qdiscs"],
)
def test_commands_say_what_they_say_on_linux(script):
    with Sides() as sides:
        for command in script.splitlines():
            sides.both(command)


@pytest.fixture
def net():
    kernel, _ = make_kernel()
    ip(kernel.init_net, "link add eth0 type veth peer name eth1")
    ip(kernel.init_net, "link set eth0 up")
    return kernel.init_net


# Of kinds that few kernels have built in: what tc(8) prints of each.
SHOWN = {
    "fq_codel": "limit 10240p flows 1024 quantum 1514 target 5ms interval 100ms memory_limit 32Mb ecn drop_batch 64 ",
    "codel": "limit 1000p target 5ms interval 100ms ",
    "sfq perturb 10": "limit 127p quantum 1514b depth 127 divisor 1024 perturb 10sec ",
    "prio bands 4": "bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1",
    "netem delay 10ms 2ms 25% loss 1% duplicate 1% reorder 25% 50% corrupt 0.1% gap 5": (
        "limit 1000 delay 10ms  2ms 25% loss 1% duplicate 1% reorder 25% 50% corrupt 0.1% gap 5"
    ),
    "netem delay 1ms loss gemodel 1% 10% 70% 0.1%": "limit 1000 delay 1ms loss gemodel p 1% r 10% 1-h 70% 1-k 0.1%",
    "netem loss state 1% 2% rate 10mbit": "limit 1000 loss state p13 1% p31 2% p32 0% p23 100% p14 0% rate 10Mbit",
}


@pytest.mark.parametrize("words", SHOWN)
def test_tc_shows_a_qdisc_as_it_was_asked_for(net, words):
    tc(net, f"qdisc add dev eth0 root handle 1: {words}")
    assert tc(net, "qdisc show dev eth0") == f"qdisc {words.split()[0]} 1: root refcnt 2 {SHOWN[words]}\n"


def test_netem_takes_a_distribution_by_name(net):
    tc(net, "qdisc add dev eth0 root netem delay 10ms 2ms distribution normal")
    table = net.dev_by_name["eth0"].qdisc.ops.dump(net.dev_by_name["eth0"].qdisc)["delay_dist"]
    assert sorted(table) == list(table)
    assert sum(abs(entry) < 8192 for entry in table) / len(table) == pytest.approx(0.6827, abs=0.002)
    with pytest.raises(CommandError, match="no distribution"):
        tc(net, "qdisc replace dev eth0 root netem delay 10ms 2ms distribution other")


FILTERS = """\
filter parent 1: protocol ip pref 1 u32 chain 0·
filter parent 1: protocol ip pref 1 u32 chain 0 fh 800: ht divisor 1·
filter parent 1: protocol ip pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 *flowid 1:1 not_in_hw·
  match 0a000000/ff000000 at 16
  match 00000035/0000ffff at 20
filter parent 1: protocol ip pref 1 u32 chain 0 fh 800::801 order 2049 key ht 800 bkt 0 *flowid 1:1 not_in_hw·
  match 00100000/00ff0000 at 0
  match 00060000/00ff0000 at 8
filter parent 1: protocol ip pref 5 fw chain 0·
filter parent 1: protocol ip pref 5 fw chain 0 handle 0x6 classid 1:2·
""".replace("·", " ")  # Lines end in blanks.


def test_tc_makes_shows_and_deletes_filters(net):
    tc(net, "qdisc add dev eth0 root handle 1: prio")
    tc(net, "filter add dev eth0 parent 1: protocol ip prio 5 handle 6 fw classid 1:2")
    match = "filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip"
    tc(net, f"{match} dst 10.0.0.0/8 match ip dport 53 0xffff flowid 1:1")
    tc(net, f"{match} tos 0x10 0xff match u8 6 0xff at 9 flowid 1:1")
    assert tc(net, "filter show dev eth0") == FILTERS
    assert tc(net, "filter show dev eth0 parent 1:") == FILTERS.replace("parent 1: ", "")
    shown = json.loads(tc(net, "-j filter show dev eth0"))
    assert shown[2]["options"]["match"][0] == {"value": "a000000", "mask": "ff000000", "offmask": "", "off": 16}
    tc(net, "filter del dev eth0 parent 1: pref 1")
    assert tc(net, "filter show dev eth0") == "".join(FILTERS.splitlines(keepends=True)[-2:])
    with pytest.raises(CommandError) as raised:
        tc(net, "filter del dev eth0 parent 1: pref 9")
    assert raised.value.status == 2


def test_classes_are_shown_with_what_is_in_them(net):
    tc(net, "qdisc add dev eth0 root handle 1: prio")
    tc(net, "qdisc add dev eth0 parent 1:1 handle 10: pfifo limit 5")
    lines = ["class prio 1:1 parent 1: leaf 10: ", "class prio 1:2 parent 1: ", "class prio 1:3 parent 1: "]
    assert tc(net, "class show dev eth0").splitlines() == lines


def test_a_tunnel_is_made_and_shown_in_the_old_words_and_the_new(net):
    ip(net, "tunnel add t0 mode ipip local 10.0.0.1 remote 10.0.0.2 ttl 64")
    assert ip(net, "tunnel show") == "t0: ip/ip remote 10.0.0.2 local 10.0.0.1 ttl 64\n"
    assert "    link/ipip 10.0.0.1 peer 10.0.0.2\n" in ip(net, "link show t0")
    assert "    ipip remote 10.0.0.2 local 10.0.0.1 ttl 64 " in ip(net, "-d link show t0")
    ip(net, "tunnel change t0 ttl 32")
    assert json.loads(ip(net, "-j tunnel show t0"))[0]["ttl"] == 32
    ip(net, "tunnel del t0")
    assert ip(net, "tunnel show") == ""


def test_a_bond_is_made_with_its_options(net):
    ip(net, "link add bond0 type bond mode active-backup miimon 100")
    ip(net, "link set eth1 down")
    ip(net, "link set eth1 master bond0")
    assert json.loads(ip(net, "-j link show eth1"))[0]["master"] == "bond0"
    data = json.loads(ip(net, "-d -j link show bond0"))[0]["linkinfo"]["info_data"]
    assert (data["mode"], data["miimon"]) == ("active-backup", 100)


@pytest.mark.parametrize(
    ("command", "status"),
    [("", 255), ("-x link", 255), ("link add x", 1), ("link set", 1), ("route add 10.0.0.0/8 dev", 255)],
)
def test_words_that_make_no_sense_are_refused(net, command, status):
    with pytest.raises(CommandError) as raised:
        ip(net, command)
    assert raised.value.status == status


def test_ethtool_shows_and_sets_features(net):
    assert "\ttx-checksum-ip-generic: on\n" in ethtool(net, "-k eth0")
    ethtool(net, "-K eth0 tx off")
    assert "\ttx-checksum-ip-generic: off\n" in ethtool(net, "-k eth0")
    assert json.loads(ethtool(net, "--json -k eth0"))[0]["tx-checksum-ip-generic"]["active"] is False
    for words, status in (("-K eth0 foo on", 92), ("-k nope", 75), ("-S eth0", 81), ("", 1), ("-Z eth0", 1)):
        with pytest.raises(CommandError) as raised:
            ethtool(net, words)
        assert (words, raised.value.status) == (words, status)


def test_a_passthru_macvlan_goes_also_if_its_lower_device_cannot_have_its_old_address_back(net):
    ip(net, "link add link eth0 name p type macvlan mode passthru")
    ip(net, "link set p up")
    ip(net, "link set p address 02:00:00:00:00:0b")

    def refuse(dev, address):
        raise OSError(EBUSY, "not now")

    lower = net.dev_by_name["eth0"]
    lower.netdev_ops = replace(lower.netdev_ops, ndo_set_mac_address=refuse)
    ip(net, "link del p")
    assert "02:00:00:00:00:0b" in ip(net, "link show eth0")
    assert "p@" not in ip(net, "link")

"""``ip rule``, and ``ip route`` with rules and tables: what our ``ip`` says and does, and what the real one does."""

import os
import re
import subprocess

import pytest

from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.tb.stack.fib_random import Router
from hardwire.tb.stack.frames import icmp
from hardwire.tb.stack.frames import ip as ip_frame
from hardwire.tb.stack.ipip_scenarios import Scenario
from hardwire.tb.stack.linux_peer import can_make_namespaces
from hardwire.tb.stack.test_fib_linux import Linux
from hardwire.tb.stack.test_ipip_linux import host_of

needs_linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

SETUP = """
address add 10.0.0.1/24 dev v0
address add 10.1.0.1/24 dev v1
route add default via 10.0.0.254
route add default via 10.1.0.254 table 100
"""
SHOWN = """
rule
-j rule
-d rule
-d -j rule
-o rule
-p -j rule
"""
RULES = """
rule add from 10.1.0.0/16 lookup 100
rule add to 192.0.2.0/24 pref 10 table 100
rule add from 10.2.0.1 to 192.0.2.1 priority 11 table 1000
rule add not from 10.2.0.0/16 order 12 lookup main
rule add tos 0x10 prio 13 lookup 100
rule add dsfield 8 preference 14 lookup 100
rule add fwmark 5 pref 15 lookup 100
rule add fwmark 0x5/0xff pref 16 lookup 100
rule add fwmark 0/3 pref 17 lookup 100
rule add iif v0 pref 18 lookup 100
rule add dev v1 pref 19 lookup 100
rule add oif v0 pref 20 lookup 100
rule add iif nodev oif nodev2 pref 21 lookup 100
rule add ipproto tcp pref 22 lookup 100
rule add ipproto 17 sport 53 dport 1000-2000 pref 23 lookup 100
rule add ipproto 99 pref 24 lookup 100
rule add ipproto sctp pref 24 lookup 100
rule add ipproto icmp pref 24 lookup 100
rule add lookup 100 suppress_prefixlength 0 pref 25
rule add lookup 100 sup_pl 8 pref 26
rule add goto 40 pref 27
rule add pref 28 nop
rule add pref 40 blackhole
rule add pref 41 type unreachable
rule add pref 42 prohibit
rule add pref 43 lookup default protocol static
rule add pref 44 lookup local proto 77
rule add pref 45 lookup 100 proto kernel
rule add pref 46 from all
rule add pref 47 from 10.0.0.1/8 lookup 100
rule add pref 48 lookup 100 suppress_ifgroup 7
rule add pref 49 lookup 100 sup_group default
rule add pref 50 uidrange 5-10 lookup 100
rule add pref 51 tun_id 9 lookup 100
rule add pref 52 from 0.0.0.0/8 lookup 100
rule add pref 53 from default to any lookup 100
rule add goto 9999 pref 54
rule add pref 55 type bla
rule add pref 56 table 0
rule add sport 5- lookup 100
rule add sport 70000 lookup 100
"""
CHOSEN = """
rule show table 1000
rule show pref 21
rule show lookup 100 pref 12
rule show table main
rule show from 10.1.0.0/16
rule show to 192.0.2.0/24
rule show 192.0.2.1
rule show src 10.0.0.1
rule show dst 192.0.2.1
rule show iif v0
rule show oif v0
rule show fwmark 5
rule show fwmark 5/0xff
rule show fwmark 0
rule show tos 0x10
rule show not
rule show not from 10.2.0.0/16
rule show uidrange 5-10
rule show tun_id 9
rule show protocol static
rule list proto boot
rule lst pref 77
"""
WRONG = """
rule add
rule del
rule blub
rule show bla
rule show table bla
rule show pref bla
rule show iif
rule add pref 10 to 192.0.2.0/24 table 100
rule add pref 10 table 100
rule add goto 3 pref 3
rule add goto 2 pref 3
rule add tos 3 lookup 100
rule add tos 0xff lookup 100
rule add sport 9-8 lookup 100
rule add sport 0 lookup 100
rule add sport x lookup 100
rule add dport 1-65535 lookup 100
rule add from 10.0.0.1/33 lookup 100
rule add from x lookup 100
rule add lookup bla
rule add pref bla lookup 100
rule add fwmark bla lookup 100
rule add fwmark 1/bla lookup 100
rule add tos bla lookup 100
rule add xyz
rule add pref
rule add lookup 100 suppress_prefixlength bla
rule add lookup 100 suppress_ifgroup bla
rule add uidrange bla lookup 100
rule add uidrange 5-3 lookup 100
rule add uidrange 5 lookup 100
rule add tun_id bla lookup 100
rule add goto bla
rule add ipproto bla lookup 100
rule add protocol bla lookup 100
rule add iif 0123456789abcdefg lookup 100
rule add oif a/b lookup 100
rule add pref 5000000000 lookup 100
rule add table 5000000000
rule add table all
rule del pref 4444
rule del table 99
rule flush bla
"""
DELETED = """
rule del pref 46
rule del from 10.2.0.1 to 192.0.2.1
rule del iif nodev
rule del table 1000
rule delete suppress_prefixlength 8
rule del uidrange 5-10
rule del proto 77
rule del type prohibit
rule del fwmark 5/0xff
rule del goto 40
rule del pref 40
rule
rule flush protocol static
rule
rule flush from 10.1.0.0/16 tos 8
rule flush from 10.1.0.0/16
rule flush not
rule
rule flush
rule
route get 192.0.2.9
route get 10.0.0.1
rule add pref 0 lookup local
rule add pref 32766 lookup main
rule
route get 192.0.2.9
"""
FLOWS = """
route get 192.0.2.9
-d route get 10.0.0.7
-d route get 10.0.0.1
rule add to 192.0.2.0/24 pref 10 table 100
rule add from 10.2.0.0/16 pref 20 unreachable
rule add ipproto udp dport 1000-2000 pref 30 lookup 100
rule add uidrange 0-0 to 198.51.100.0/24 pref 31 lookup 100
rule add tun_id 7 pref 32 blackhole
rule add fwmark 7 pref 33 goto 40
rule add pref 34 to 8.8.4.4 prohibit
rule add pref 40 nop
rule add lookup 100 pref 50 suppress_prefixlength 0
rule add lookup 100 pref 51 fwmark 9 suppress_ifgroup default
route get 192.0.2.9
route get 192.0.2.9 mark 5
-j route get 192.0.2.9 mark 5
-d route get 192.0.2.9 mark 5
route get 192.0.2.9 from 10.1.0.1
route get 198.51.100.1
route get 8.8.8.8 mark 9
route get 8.8.4.4
route get 8.8.4.4 mark 7
route get 8.8.8.8 from 10.2.0.1 iif v0
route get 8.8.8.8 ipproto tcp
route get 8.8.8.8 ipproto udp sport 53 dport 1500
route get 8.8.8.8 from 10.0.0.3 iif v0
route get 8.8.8.8 from 10.0.0.3 iif v0 ipproto udp sport 53 dport 1500
route get 10.0.0.1
-d route get 10.0.0.1
-d route get 8.8.8.8
route get 127.0.0.1
route get 10.0.0.255
"""
TABLES = """
route show table 100
-j route show table 100
-d route show table 100
route show table local
route show table main
route show table 4000
route show table all
route add 203.0.113.0/24 via 10.0.0.9 table 77
route add 203.0.113.0/24 via 10.0.0.9 table 1077
route add unreachable 203.0.114.0/24 table 1077
route add 203.0.113.0/24 via 10.0.0.9 table 77
rule add pref 5 to 203.0.112.0/20 lookup 1077
route show table 1077
-j route show table all
-d route show table all
route get 203.0.113.9
-j route get 203.0.113.9
route get 203.0.114.9
route del 203.0.113.0/24 table 77
route del 203.0.113.0/24 table 77
route del 203.0.113.0/24 table 78
route flush table 1077
route show table 1077
route replace 203.0.113.0/24 via 10.0.0.8 table 77
route append 203.0.113.0/24 via 10.0.0.7 table 77
route add 203.0.113.0/24 nexthop via 10.0.0.7 weight 2 nexthop dev v1 table 77
route add 203.0.113.0/24 table 77 metric 5 tos 0x10 nexthop via 10.0.0.7 weight 2 nexthop dev v1
route show table 77
-j route list table 77
route show cache
route flush cache
route show table cache
"""


NAMES = """
rule add iif v2 pref 5 lookup 100
rule add oif nodev pref 6 lookup 101
rule add iif v2 oif v2 pref 7 goto 9
link set v2 down
link set v2 name nodev
rule
link set nodev name v2
rule
rule add pref 9 nop
rule add pref 9 blackhole
rule
rule del pref 9 nop
rule
rule del pref 9
rule
"""
GATEWAYS = """
route add 198.51.100.0/24 dev v1 table 100
route add 203.0.113.0/24 via 198.51.100.7 table 100
route add 203.0.113.0/24 via 198.51.100.7
route add 203.0.114.0/24 via 10.0.0.9
rule add pref 5 unreachable
route add 203.0.115.0/24 via 10.0.0.9
route add 203.0.115.0/24 via 198.51.100.8 table 100
route add 203.0.115.0/24 via 10.0.0.9 table 77
route show table all
"""


def theirs(linux: Linux, command: str) -> tuple[str, int, str]:
    done = subprocess.run(["ip", "-n", linux.name, *command.split()], capture_output=True, text=True, check=False)
    return done.stdout, done.returncode, done.stderr.strip()


def ours(host: Router, command: str) -> tuple[str, int, str, int]:
    try:
        return ip(host.net, command), 0, "", 0
    except CommandError as error:
        return "", error.status, str(error).strip(), error.errno or 0


@needs_linux
@pytest.mark.parametrize(
    "lines",
    [SHOWN, RULES + SHOWN + CHOSEN, RULES + WRONG, RULES + DELETED, FLOWS, TABLES, NAMES, GATEWAYS],
    ids=["start", "shown", "wrong", "deleted", "flows", "tables", "names", "gateways"],
)
def test_rules_and_tables_are_those_of_linux_in_each_word(lines):
    host = Router()
    ip(host.net, "link set lo up")
    with Linux(forwarding=True, rp_filter=0) as linux:
        for command in filter(None, (SETUP + lines).splitlines()):
            output, status, words = theirs(linux, command)
            mine = ours(host, command)
            # Where the kernel has no words but a number only, ours say more.
            number = re.match(r"RTNETLINK answers: (.*)", words)
            said = os.strerror(mine[3]) if number and mine[1] == 2 else mine[2]
            assert (command, *mine[:2], said) == (command, output, status, number[1] if number else words)


def test_show_cache_shows_the_routes_in_the_cache_until_they_are_flushed():
    host = Router()
    addr_add(host.dev("v0"), "10.0.0.1/24")
    route_add(host.net, "default", via="10.0.0.254")
    assert ip(host.net, "route show cache") == ""
    host.net.ipv4.sysctl_route_cache = 1
    for command in ("get 192.0.2.9", "get 192.0.2.9 mark 3", "get 192.0.2.7 from 10.0.0.9 iif v0", "get 10.0.0.1"):
        ip(host.net, f"route {command}")
    shown = ip(host.net, "route show cache")
    assert sorted(re.split(r"\n(?! )", shown.rstrip("\n"))) == [
        "192.0.2.7 from 10.0.0.9 via 10.0.0.254 dev v0 \n    cache <redirect> iif v0 ",
        "192.0.2.9 via 10.0.0.254 dev v0 src 10.0.0.1 mark 3 uid 0 \n    cache ",
        "192.0.2.9 via 10.0.0.254 dev v0 src 10.0.0.1 uid 0 \n    cache ",
        "local 10.0.0.1 dev lo src 10.0.0.1 uid 0 \n    cache <local> ",
    ]
    assert (
        ip(host.net, "route show")
        == "default via 10.0.0.254 dev v0 \n10.0.0.0/24 dev v0 proto kernel scope link src 10.0.0.1 \n"
    )
    ip(host.net, "route flush cache")
    assert ip(host.net, "route show cache") == ""


def test_show_cache_shows_what_was_learned_of_destinations():
    host = host_of(Scenario([], {}))
    net = host.net
    route_add(net, "default", via="10.0.0.1")
    net.socket().sendto(bytes(1200), ("192.0.2.1", 9))
    (sent,) = host.dev.sent
    told = icmp(3, 4, rest=bytes((0, 0, 1000 >> 8, 1000 & 255)), data=bytes(sent[14:42]))
    host.receive(ip_frame(told, 1, 0x0A000001))
    assert ip(net, "route show cache") == ""  # Not in use yet.
    ip(net, "route get 192.0.2.1")
    assert ip(net, "route show cache") == "192.0.2.1 via 10.0.0.1 dev eth0 \n    cache expires 600sec mtu 1000 \n"

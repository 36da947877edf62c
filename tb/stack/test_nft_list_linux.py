"""The text of rules, chains and tables, and what is refused, against the real nft(8) and kernel."""

import os
from errno import EBUSY, EEXIST, EINVAL, ELOOP, EMLINK, ENOENT, EOPNOTSUPP

import pytest

from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.nft_linux import TABLE, Both, can_filter

pytestmark = pytest.mark.skipif(not can_filter(), reason="needs root, nft(8) and a kernel with nf_tables")


@pytest.fixture(scope="module")
def lists():
    with Both(f"hardwire-nftl{os.getpid()}") as both:
        yield both


RULES = """
ct state established,related accept
ct state new udp dport 5 accept
ct state != established accept
ct state { new, established } accept
ct state ! new
ct state != { new }
ct state new,invalid,untracked
ct status assured,snat accept
ct status confirmed
ct status dnat,seen-reply
ct status != snat
ct direction original ct mark 0x10
ct direction reply
ct mark != 0x10
ct mark 1-3
ct mark & 0xf == 1
ct mark set 0x10 counter
ct mark set meta mark
ct mark set mark
ct mark set 7
meta mark set 0x5
meta mark set meta mark or 3
meta mark set meta mark and 0xff
meta mark set ct mark
meta mark & 0xff == 3 accept
meta mark { 1, 2, 4-6 }
meta mark != 1-5
meta mark 1-5
mark 5
mark set 6
meta length 20-60
meta length { 1, 2 }
meta pkttype multicast meta l4proto { tcp, udp } meta length 100
meta pkttype { host, broadcast }
meta pkttype != host
meta l4proto udp accept
meta l4proto 47 accept
meta iifname { "eth0", "lo" } oifname != "eth1"
iifname "eth*" oifname eth0* accept
iif lo accept
iif != lo oif lo
ip saddr { 1.2.3.4, 10.0.0.0/24, 10.1.1.1-10.1.1.7 } drop
ip saddr { 10.0.0.0/9, 10.128.0.0/9 } accept
ip saddr 10.0.0.1-10.0.0.4 reject
ip saddr 10.0.0.0-10.0.0.255
ip saddr != 10.0.0.1 accept
ip saddr != 10.0.0.0/8
ip saddr 1.2.3.4/24
ip saddr { 10.0.0.1/24 }
ip saddr != { 1.2.3.4 }
ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/16 drop
ip daddr 10.0.0.0/8 ip saddr 0.0.0.0/0
ip daddr { 1.1.1.1 }
ip hdrlength 5 ip id 7 ip checksum 0
ip version 4 ip length > 200
ip length { 20-30, 50 }
ip ttl != 1 ip ttl 3-5 ip ttl { 1, 2, 4-6 } ip ttl < 5
ip ttl { 1 }
ip ttl >= 5 ip ttl > 1 ip ttl <= 6
ip protocol { tcp, udp } ip protocol != icmp
ip protocol 99
ip protocol icmp
ip protocol udp udp dport 5
ip protocol udp ip ttl 5 udp dport 5
ip protocol { udp } udp dport 5
ip protocol != udp udp dport 5
meta l4proto udp udp dport 5
ip dscp cs1 ip dscp { cs0, ef } ip dscp != af11 ip dscp 3
ip ecn 1
ip frag-off 0
ip frag-off & 8191 == 0
ip frag-off & 0x1fff != 0
ip frag-off & 0x2000 == 0x2000
ip frag-off & 0x1fff > 0
udp dport { 9000, 9005-9010 } counter accept
udp dport { 5, 3, 1-2 }
udp dport { 65535, 60000-65534 }
udp dport { 5, 5 }
udp dport { 1-5, 3-7 }
udp dport { 1-3 }
udp dport 0-65535
udp dport 1-1
udp dport 5-10 udp dport != 7-9
udp dport 5 ip protocol udp
udp sport != { 1, 2 } drop
udp length 20-30 jump x
udp checksum 0
udp sport 6 udp dport 5
ip saddr 10.0.0.1 tcp dport 22 counter packets 3 bytes 5 accept
tcp dport >= 1024 accept
tcp sport 1-5 tcp dport { 80, 443 } accept
tcp dport 5 reject with tcp reset
th dport 80
icmp type { echo-request, echo-reply } icmp code 0
icmp type 8
icmp type 3 icmp code 3
icmp type echo-request icmp type != echo-reply
icmp type > 5
meta l4proto icmp icmp code { 1, 2 }
icmp type 42 icmp code 99
iifname "eth0" ip protocol icmp icmp type echo-request ip dscp 0x10 counter reject with icmp type port-unreachable
counter packets 5 bytes 10 drop comment "hi there"
counter counter
log
log prefix "x" level debug
log prefix hello
log prefix "a b" level warn
limit rate 5/second burst 3 packets accept
limit rate over 10/minute drop
limit rate 5/second burst 5 packets
limit rate 1/week
reject with tcp reset
reject with icmp type host-unreachable
reject with icmp admin-prohibited
reject with icmp 9
continue
notrack
jump x
goto x
accept
return
""".strip().splitlines()
NAT_RULES = """
p masquerade
p masquerade random
p oifname "eth0" masquerade
p udp dport 5 masquerade to :1024-2000
p tcp dport 5 masquerade to :1024-2000 random,persistent
p snat 1.2.3.4
p udp dport 7 snat to 1.2.3.4:5
p snat to 1.2.3.4-1.2.3.8 fully-random,persistent
p snat to 1.2.3.0/24
p ip protocol udp snat to 1.2.3.4-1.2.3.9:1000-2000
p udp sport 5 udp dport 7 snat to :100-200
p ip protocol { tcp, udp } snat to 1.2.3.4:9
p meta l4proto { tcp, udp } snat to 1.2.3.4:9
d tcp dport 80 dnat to 10.0.0.1:8080
d ip protocol udp dnat to 10.0.0.1
d udp dport 5 dnat to 10.0.0.1-10.0.0.4:5-7
d udp dport 53 redirect to :5353
d udp dport 7 redirect to 5-6
d udp dport 7 redirect to :5-6 random
d redirect
""".strip().splitlines()


@pytest.mark.parametrize("rule", [f"f {rule}" for rule in RULES] + NAT_RULES)
def test_a_rule_is_listed_as_nft_lists_it(lists, rule):
    lists.nft("flush ruleset" + TABLE + f"add rule ip t {rule}")
    theirs, mine = lists.nft("list ruleset")
    assert mine == theirs
    lists.nft("flush ruleset\n" + mine)
    theirs, mine = lists.nft("list ruleset")  # As a value, if it was a set that was merged to one.
    assert mine == theirs


CHAINS = """
{ type route hook output priority mangle; policy drop; }
{ type filter hook output priority mangle + 10; }
{ type filter hook output priority 33; }
{ type filter hook output priority -99; }
{ type filter hook input priority security; }
{ type filter hook prerouting priority raw; }
{ type filter hook prerouting priority -110; }
{ type filter hook prerouting priority dstnat; }
{ type filter hook postrouting priority 90; }
{ type filter hook postrouting priority srcnat - 3; }
{ type nat hook input priority 100; }
{ type nat hook output priority -100; }
{ type nat hook postrouting priority -199; }
{ type filter hook forward priority 11; policy accept; comment "a b"; }
""".strip().splitlines()


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_is_listed_as_nft_lists_it(lists, chain):
    lists.nft("flush ruleset\n" + f"table ip t {{\n chain q {chain[:-1]}\n}}\n}}")
    theirs, mine = lists.nft("list ruleset")
    assert mine == theirs


def test_tables_are_listed_as_nft_lists_them(lists):
    lists.nft("flush ruleset" + TABLE + "add table u\nadd chain u a\nadd rule u a counter\nadd rule t x accept")
    for what in ("tables", "ruleset", "table ip t", "table u", "chain ip t x", "chain t f", "ruleset ip"):
        theirs, mine = lists.nft(f"list {what}")
        assert mine == theirs
    lists.nft("insert rule t x counter\nadd rule t x index 0 drop\ninsert rule t x index 1 return\nflush table u")
    lists.nft("add chain t x\nadd table t\ndelete chain u a")
    theirs, mine = lists.nft("list ruleset")
    assert mine == theirs


ERRNO = {
    "No such file or directory": ENOENT,
    "File exists": EEXIST,
    "Operation not supported": EOPNOTSUPP,
    "Device or resource busy": EBUSY,
    "Too many links": EMLINK,
    "Too many levels of symbolic links": ELOOP,
}
REFUSED = [
    (ENOENT, "add rule ip t f jump nope"),
    (ENOENT, "add rule ip t nope accept"),
    (ENOENT, "add rule ip nope f accept"),
    (ENOENT, "add chain ip nope f"),
    (EEXIST, "create table ip t"),
    (EEXIST, "create chain ip t f"),
    (EOPNOTSUPP, "add chain ip t f { type filter hook forward priority 1\n}"),
    (EOPNOTSUPP, "add chain ip t f { type filter hook input priority 0\n}"),
    (EOPNOTSUPP, "add chain ip t x { policy drop\n}"),
    (EEXIST, "add chain ip t x { type filter hook forward priority 0\n}"),
    (ENOENT, "delete table ip nope"),
    (ENOENT, "delete chain ip t nope"),
    (EBUSY, "add rule ip t f jump x\ndelete chain ip t x"),
    (EOPNOTSUPP, "add rule ip t f jump f"),
    (ELOOP, "add rule ip t f jump x\nadd rule ip t x jump x"),
    (ELOOP, "add chain ip t y\nadd rule ip t x jump y\nadd rule ip t y jump x\nadd rule ip t f jump x"),
    (ENOENT, "delete rule ip t f handle 77"),
    (ENOENT, "add rule ip t f handle 77 accept"),
    (ENOENT, "insert rule ip t f index 7 drop"),
    (ENOENT, "flush chain ip t nope"),
    (ENOENT, "flush table ip nope"),
    (EOPNOTSUPP, "add chain ip t q { type nat hook forward priority 0\n}"),
    (EOPNOTSUPP, "add chain ip t q { type nat hook postrouting priority -200\n}"),
    (EOPNOTSUPP, "add chain ip t q { type route hook input priority 0\n}"),
    (EINVAL, "add chain ip t q { type bad hook output priority 0\n}"),
    (EINVAL, "add chain ip t q { type filter hook bad priority 0\n}"),
    (EINVAL, "add chain ip t q { type filter hook output priority bad\n}"),
    (EINVAL, "add chain ip t q { type filter hook output priority dstnat\n}"),
    (EOPNOTSUPP, "add rule ip t f masquerade"),
    (EOPNOTSUPP, "add rule ip t f jump x\nadd rule ip t x masquerade"),
    (EOPNOTSUPP, "add rule ip t d snat to 1.2.3.4"),
    (EOPNOTSUPP, "add rule ip t p dnat to 1.2.3.4"),
    (EOPNOTSUPP, "add rule ip t p redirect"),
    (EOPNOTSUPP, "add rule ip t p reject"),
    (EINVAL, "add rule ip t f accept drop"),
    (EINVAL, "add rule ip t f accept counter"),
    (EINVAL, "add rule ip t f udp dport 70000"),
    (EINVAL, "add rule ip t f ip saddr 1.2.3"),
    (EINVAL, "add rule ip t f ip saddr 1.2.3.4/33"),
    (EINVAL, "add rule ip t f ip saddr 10.0.0.9-10.0.0.1"),
    (EINVAL, "add rule ip t f tcp dport 5 udp dport 6"),
    (EINVAL, "add rule ip t f udp dport 5 icmp type 8"),
    (EINVAL, "add rule ip t f ip protocol tcp udp dport 5"),
    (EINVAL, "add rule ip t f udp dport {  }"),
    (EINVAL, "add rule ip t f ip ttl 256"),
    (EINVAL, "add rule ip t f ip dscp 64"),
    (EINVAL, 'add rule ip t f iifname "abcdefghijklmnopq"'),
    (EINVAL, 'add rule ip t f iifname "*"'),
    (EINVAL, "add rule ip t f iif nosuch"),
    (EINVAL, "add rule ip t f limit rate 0/second"),
    (EINVAL, "add rule ip t f ct state bogus"),
    (EINVAL, "add rule ip t p snat to 1.2.3.4:5"),
    (EINVAL, "add rule ip t p udp dport 5 masquerade to :5-4"),
    (EINVAL, "add rule ip t f"),
    (EINVAL, "add rule ip t f accept\nbogus"),
    (ENOENT, "list chain ip t nope"),
    (ENOENT, "list table ip nope"),
]


@pytest.mark.parametrize(("errno", "script"), REFUSED, ids=[script for _, script in REFUSED])
def test_what_nft_refuses_is_refused_and_changes_nothing(lists, errno, script):
    lists.nft("flush ruleset" + TABLE + "add rule ip t f counter")
    before = lists.nft("list ruleset")
    with raises(errno):
        lists.nft(f"add rule ip t i accept\n{script}\n")
    words = [number for text, number in ERRNO.items() if text in lists.said]
    assert (words or [EINVAL])[0] in (errno, EMLINK if errno == ELOOP else errno), lists.said
    assert lists.nft("list ruleset") == before

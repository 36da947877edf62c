"""Rules, connections and translations against a real kernel's: frames sent, counters, connections, lists."""

import os
from contextlib import suppress
from errno import EBUSY, EEXIST, EINVAL, ELOOP, EMLINK, ENOENT, EOPNOTSUPP
from struct import pack

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hardwire.stack.wire.checksum import csum_partial, csum_tcpudp_nofold
from hardwire.tb.stack.frames import PEER, icmp, ip, udp
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.nft_linux import FAR, NARROW, Both, can_filter

pytestmark = pytest.mark.skipif(not can_filter(), reason="needs root, nft(8) and a kernel with nf_tables")

EXAMPLES = int(os.environ.get("HARDWIRE_EXAMPLES", "40"))
ME = 0x0A000002
OTHER = 0x0A080002
TABLE = """
table ip t {
    chain x {
    }
    chain f {
        type filter hook forward priority 0
    }
    chain i {
        type filter hook input priority 0
    }
    chain p {
        type nat hook postrouting priority srcnat
    }
    chain d {
        type nat hook prerouting priority dstnat
    }
}
"""


@pytest.fixture(scope="module")
def lists():
    with Both(f"hardwire-nftl{os.getpid()}") as both:
        yield both


@pytest.fixture
def both():
    with Both(f"hardwire-nft{os.getpid()}") as both:
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


def tcp(
    dport: int, flags: int, src: int = PEER, dst: int = FAR, sport: int = 1234, seq: int = 1000, ack: int = 2000
) -> bytes:
    """Return a segment."""
    octets = pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 512, 0, 0)
    check = ~csum_partial(octets, csum_tcpudp_nofold(src, dst, 20, 6)) & 0xFFFF
    return octets[:16] + check.to_bytes(2, "big") + octets[18:]


KNOWN = {8, 9, 1234, 9000, 5000, 77, 6000, 7, 0} | {kind << 8 | code for kind in (0, 8, 17, 18) for code in (0, 1)}
addresses = st.sampled_from([(PEER, FAR), (PEER, OTHER), (PEER, ME), (FAR, ME), (OTHER, ME), (0x0A000009, FAR)])
ports = st.sampled_from([8, 9, 1234, 9000])


@st.composite
def frames(draw) -> bytes:
    src, dst = draw(addresses)
    tos, ttl = draw(st.sampled_from([0, 0x10, 1])), draw(st.sampled_from([64, 3, 1]))
    kind = draw(st.sampled_from(["udp", "udp", "udp", "echo", "error", "tcp", "other", "bad"]))
    if kind == "udp":
        check = draw(st.sampled_from([None, None, 0, 1]))
        payload, proto = udp(draw(ports), draw(st.binary(max_size=9)), src=src, dst=dst, check=check), 17
    elif kind == "echo":
        rest = pack("!HH", draw(st.sampled_from([7, 8])), 1)
        payload, proto = icmp(draw(st.sampled_from([0, 8, 17, 42])), rest=rest), 1
    elif kind == "error":
        a, b = draw(addresses)
        inner = ip(udp(draw(ports), src=a, dst=b), src=a, dst=b)[14:42]
        if draw(st.booleans()):
            inner = ip(icmp(8, rest=pack("!HH", 7, 1), data=b""), 1, src=a, dst=b)[14:42]
        payload, proto = icmp(draw(st.sampled_from([3, 11, 5])), 1, bytes(4), inner), 1
    elif kind == "tcp" and dst != ME:  # What this host says to TCP itself is another matter.
        payload, proto = tcp(draw(ports), draw(st.sampled_from([2, 18, 16, 17, 4, 20, 0])), src, dst), 6
    elif kind in ("other", "tcp"):
        payload, proto = draw(st.binary(max_size=9)), 200
    else:
        payload, proto = draw(st.binary(max_size=7)), draw(st.sampled_from([1, 17] if dst == ME else [1, 6, 17]))
    return ip(payload, proto, src, dst, tos=tos, ttl=ttl)


MATCHES = """
ct state established
ct state new
ct state related
ct state invalid
ct state != new
ct state ! new
ct state { new, related }
ct status confirmed
ct status seen-reply
ct status snat
ct status dnat
ct status != confirmed
ct direction original
ct direction reply
ct mark 7
ct mark & 0x3 != 0
meta mark 5
meta mark & 0x6 == 4
meta length < 40
meta length { 28, 30-36, 60 }
meta l4proto { tcp, udp }
meta l4proto 200
meta pkttype host
iifname "eth*"
oifname "eth0"
oifname != "eth1"
iif lo
ip saddr 10.0.0.0/24
ip saddr != 10.0.0.1
ip saddr { 10.8.0.0/16, 10.0.0.9 }
ip daddr 10.8.0.1-10.8.0.2
ip daddr != 10.8.0.1-10.8.0.1
ip protocol icmp
ip protocol != udp
ip ttl < 64
ip ttl { 63, 2 }
ip dscp 4
ip ecn 1
ip length 28-34
ip hdrlength 5
ip frag-off & 0x1fff == 0
udp dport 9000
udp sport 1234
udp dport { 8, 9 }
udp dport 1-1000
udp length 8-12
udp checksum 0
tcp dport 9000
tcp dport > 9
th dport 8
icmp type echo-request
icmp type { destination-unreachable, echo-reply }
icmp code 1
""".strip().splitlines()
ACTS = """
counter
counter
counter
meta mark set 5
meta mark set meta mark or 2
meta mark set ct mark
ct mark set 7
ct mark set meta mark
""".strip().splitlines()
ENDS = ["accept", "drop", "jump x", "return", "continue", "reject", "reject with icmp host-prohibited", "goto x", ""]
SNAT = ["masquerade", "snat to 10.0.0.50", "accept", "meta l4proto udp snat to :5000"]
SNAT += [
    "udp dport 9000 snat to 10.0.0.51:77",
    "udp sport 1234 masquerade to :6000",
    "ip saddr 10.0.0.9 snat to 10.0.0.1",
]
DNAT = ["udp dport 8 dnat to 10.0.0.1:9", "udp dport 8 redirect to :9000", "icmp type echo-request redirect", "accept"]
DNAT += ["ip daddr 10.8.0.2 dnat to 10.8.0.1", "tcp dport 9 dnat to 10.8.0.2:8", "ip saddr 10.8.0.1 dnat to 10.0.0.1"]


def rules(matches, acts, ends):
    """Return rules that are not refused for looking at two protocols."""
    one = st.tuples(st.lists(st.sampled_from(matches), max_size=2), st.sampled_from(acts), st.sampled_from(ends))
    return st.lists(one.map(lambda parts: " ".join([*parts[0], parts[1], parts[2]]).strip()), max_size=4)


filters = rules(MATCHES, ACTS, ENDS)
inner = rules(MATCHES, ACTS, [end for end in ENDS if "x" not in end])


# Without shrinking: each step of it makes a namespace.
@settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    forward=filters,
    coming=filters,
    other=inner,
    snat=st.lists(st.sampled_from(SNAT), max_size=2),
    dnat=st.lists(st.sampled_from(DNAT), max_size=2),
    policy=st.sampled_from(["accept", "accept", "drop"]),
    sent=st.lists(frames(), min_size=1, max_size=12),
)
def test_random_rules_do_to_random_frames_what_they_do_in_linux(forward, coming, other, snat, dnat, policy, sent):
    with Both(f"hardwire-nftr{os.getpid()}") as both:
        both.nft(TABLE.replace("hook forward priority 0", f"hook forward priority 0; policy {policy}"))
        for chain, added in (("x", other), ("f", forward), ("i", coming), ("p", snat), ("d", dnat)):
            for rule in added:
                with suppress(OSError):  # Of two protocols.
                    both.nft(f"add rule ip t {chain} {rule}")
        for frame in sent:
            try:
                both.check(frame)
            except AssertionError:
                # Where two connections would look alike, one gets a port by chance, and what follows depends on that.
                if both.ports() <= KNOWN:
                    raise
                return


def fragments(octets: bytes, proto: int, size: int, src: int, dst: int, df: int = 0) -> list[bytes]:
    """Return a packet in fragments of so many octets of payload."""
    parts = [octets[at : at + size] for at in range(0, len(octets), size)]
    return [
        ip(part, proto, src, dst, frag=df | (0x2000 if number < len(parts) - 1 else 0) | number * size // 8)
        for number, part in enumerate(parts)
    ]


NAT = """
table ip t {
    chain f {
        type filter hook forward priority 0
        ct state established,related counter accept
        ct state new counter accept
        counter
    }
    chain p {
        type nat hook postrouting priority srcnat
        ip daddr 10.8.0.0/16 counter masquerade
        ip daddr 10.9.0.0/16 snat to 10.0.0.40
    }
    chain d {
        type nat hook prerouting priority dstnat
        ip daddr 10.0.0.2 udp dport 53 dnat to 10.0.0.1:1234
    }
}
"""


def test_icmp_errors_about_translated_packets_are_translated(both):
    both.nft(NAT)
    (out,) = both.check(ip(udp(9000, dst=FAR), dst=FAR))
    inner = out[14:]
    for kind, code, about in ((3, 3, inner), (11, 0, inner[:28]), (3, 4, inner), (5, 1, inner)):
        both.check(ip(icmp(kind, code, pack("!HH", 0, 576), about), 1, OTHER, ME))
    both.check(ip(icmp(3, 3, bytes(4), inner, check=7), 1, OTHER, ME))
    both.check(ip(icmp(3, 3, bytes(4), inner[:24]), 1, OTHER, ME))
    (echo,) = both.check(ip(icmp(8, dst := 0, pack("!HH", 5, 1)), 1, dst=FAR))
    both.check(ip(icmp(11, 0, bytes(4), echo[14:]), 1, OTHER, ME))
    assert dst == 0


def test_errors_from_inside_are_translated_outwards(both):
    both.nft(NAT)
    (out,) = both.check(ip(udp(53, src=FAR, dst=ME), 17, FAR, ME))
    both.check(ip(icmp(3, 3, bytes(4), out[14:]), 1, PEER, FAR))
    both.check(ip(udp(53, src=FAR, dst=ME), 17, FAR, ME))


@pytest.mark.parametrize("df", [0, 0x4000])
@pytest.mark.parametrize("size", [64, 480, 1024])
@pytest.mark.parametrize("dst", [FAR, NARROW])
def test_fragments_are_translated_as_one_and_sent_as_fragments(both, df, size, dst):
    both.nft(NAT)
    parts = fragments(udp(9000, bytes(range(250)) * 5, dst=dst), 17, size, PEER, dst, df)
    both.check(*parts)
    both.check(*parts[::-1])
    both.check(parts[0])
    both.check(*parts[1:])


def test_tcp_is_translated_and_followed(both):
    both.nft(NAT)
    syn, synack, ack, fin, rst = 2, 18, 16, 17, 4

    def there(port, flags, seq, answered):
        both.check(ip(tcp(port, flags, seq=seq, ack=answered), 6, PEER, FAR))

    def back(port, flags, seq, answered):
        both.check(ip(tcp(1234, flags, FAR, ME, port, seq, answered), 6, FAR, ME))

    for port in (80, 81, 82):
        there(port, syn, 1000, 0)
        back(port, synack, 2000, 1001)
        there(port, ack, 1001, 2001)
        back(port, ack, 2001, 1001)
    there(80, fin, 1001, 2001)
    back(80, ack, 2001, 1002)
    back(80, fin, 2001, 1002)
    there(80, ack, 1002, 2002)
    there(80, syn, 9000, 0)  # The same ports again.
    back(81, fin, 2001, 1001)
    there(81, fin, 1001, 2002)
    back(81, ack, 2002, 1002)
    there(82, rst, 1001, 0)
    there(83, syn, 1000, 0)
    back(83, 20, 0, 1001)  # Refused.
    there(84, ack, 1001, 2001)  # Begun before.
    back(84, ack, 2001, 1001)
    there(85, 0, 1, 1)
    there(86, fin, 1, 1)


def test_resets_are_sent_for_rejected_segments(both):
    both.nft("table ip t {\n chain f {\n type filter hook forward priority 0\n counter reject with tcp reset\n}\n}")
    for flags in (2, 16, 17, 4, 20, 18):
        both.check(ip(tcp(80, flags), 6, PEER, FAR))


@pytest.mark.parametrize("rule", ["udp dport 7000 dnat to 10.8.0.1", "udp dport 7000 dnat to 10.0.0.1:9", "redirect"])
def test_what_this_host_sends_is_translated_and_routed_anew(both, rule):
    both.nft(f"table ip t {{\n chain o {{\n type nat hook output priority -100\n {rule}\n}}\n}}")

    def send(make):
        sock = make()
        sock.bind(("10.0.0.2", 7001))
        sock.sendto(b"hello", ("10.0.0.1", 7000))
        sock.close()

    import socket as os_socket

    both.linux.inside(lambda: send(lambda: os_socket.socket(os_socket.AF_INET, os_socket.SOCK_DGRAM)))
    send(both.ours.net.socket)
    both.check()


def test_what_this_host_marks_is_routed_anew(both):
    script = "table ip t {\n chain o {\n type route hook output priority mangle\n meta mark set 5 ip dscp cs1\n}\n}"
    both.nft(script)
    both.check(ip(icmp(8), 1))

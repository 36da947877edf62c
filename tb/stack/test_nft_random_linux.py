"""Random rules and random frames: what our router and a real kernel's do, count and remember."""

import os
import re
from contextlib import suppress
from struct import pack

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hardwire.tb.stack.frames import PEER, icmp, ip, udp
from hardwire.tb.stack.nft_linux import FAR, ME, OTHER, TABLE, Both, can_filter, tcp

pytestmark = pytest.mark.skipif(not can_filter(), reason="needs root, nft(8) and a kernel with nf_tables")


EXAMPLES = int(os.environ.get("HARDWIRE_EXAMPLES", "15"))
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


ODD = re.compile(
    r"icmp .*th dport|th dport.*icmp |l4proto \d+ .*th [a-z]|th dport.*udp sport|"
    r"{ tcp, udp } .*(udp|tcp|icmp|th) [a-z]|\b(ip|udp|tcp|icmp) [a-z].*\b\2 [a-z]"
)


def rules(matches, acts, ends):
    """Return rules that are not refused for looking at two protocols."""
    one = st.tuples(st.lists(st.sampled_from(matches), max_size=2), st.sampled_from(acts), st.sampled_from(ends))
    lines = one.map(lambda parts: " ".join([*parts[0], parts[1], parts[2]]).strip())
    # nft 1.0.6 shows what lies at the place of ICMP's ports as something else, takes the last of several protocols for
    # the only one, forgets the protocol before ports of any (we show it: without it the rule would be another one), and
    # puts fields of one header that lie side by side in their order there.
    return st.lists(lines.filter(lambda line: not ODD.search(line)), max_size=4)


filters = rules(MATCHES, ACTS, ENDS)
inner = rules(MATCHES, ACTS, [end for end in ENDS if "x" not in end])


# Without shrinking: each step of it makes a namespace.
@settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    forward=filters,
    coming=filters,
    other=inner,
    raw=rules([match for match in MATCHES if "oif" not in match], [*ACTS, "notrack"], ["accept", "drop", "", ""]),
    snat=st.lists(st.sampled_from(SNAT), max_size=2),
    dnat=st.lists(st.sampled_from(DNAT), max_size=2),
    policy=st.sampled_from(["accept", "accept", "drop"]),
    sent=st.lists(frames(), min_size=1, max_size=12),
)
def test_random_rules_do_to_random_frames_what_they_do_in_linux(forward, coming, other, raw, snat, dnat, policy, sent):
    with Both(f"hardwire-nftr{os.getpid()}") as both:
        both.nft(TABLE.replace("hook forward priority 0", f"hook forward priority 0; policy {policy}"))
        for chain, added in (("x", other), ("f", forward), ("i", coming), ("p", snat), ("d", dnat), ("r", raw)):
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

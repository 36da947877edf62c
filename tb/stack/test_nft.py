"""Rules, connection tracking and address translation on their own: no rules, over time, at the limits, with scapy."""

from contextlib import suppress
from errno import EAFNOSUPPORT, EBUSY, EINVAL, EPERM

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hardwire.sim.trace import Tracer
from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.core.net import Net
from hardwire.stack.iproute import addr_add, addr_del, route_add
from hardwire.stack.netfilter.core import NF_ACCEPT, NF_DROP, nf_reinject
from hardwire.stack.netfilter.nf_conntrack_standalone import ct_cpu_seq_show, ct_seq_show
from hardwire.stack.nft import nft
from hardwire.tb.stack.inet_host import SECOND, InetHost, raises
from hardwire.tb.stack.routed import Routed

MASQUERADE = """
table ip nat {
    chain post {
        type nat hook postrouting priority srcnat
        oifname "eth1" masquerade
    }
}
"""
THERE = ("10.0.2.1", 9000)
ROUTER = "10.0.2.254"


def filtering(rules: str, hook: str = "forward", priority: int = 0) -> str:
    """Return a script for a chain of type filter."""
    return f"table ip t {{\nchain f {{\ntype filter hook {hook} priority {priority}\n{rules}\n}}\n}}\n"


class Nat(Routed):
    """Hosts ``a`` and ``b`` with sockets, and rules on the router between them."""

    def __init__(self, rules: str = MASQUERADE, **kwargs) -> None:
        super().__init__(**kwargs)
        self.here, self.there = self.a.socket(), self.b.socket()
        self.here.bind(("10.0.1.1", 5000))
        self.there.bind(THERE)
        self.nft(rules)

    def nft(self, script: str) -> str:
        return nft(self.r.net, script)

    @property
    def ct(self):
        return self.r.net.nf.conntrack

    def exchange(self, data: bytes = b"there") -> tuple[str, int]:
        """Send a datagram there and one back; return whom it seemed to be from."""
        self.here.sendto(data, THERE)
        self.run()
        received, source = self.there.recvfrom(9000)
        assert received == data
        self.there.sendto(data[::-1], source)
        self.run()
        assert self.here.recvfrom(9000) == (data[::-1], THERE)
        return source


def test_without_rules_no_hook_is_asked():
    routed = Routed()
    here, there = routed.a.socket(), routed.b.socket()
    there.bind(THERE)

    def send() -> list[str]:
        with Tracer(lambda: 0) as tracer:
            here.sendto(b"x", THERE)
            routed.run()
        return [call.name for root in tracer.roots for _, call in root.walk()]

    assert "nf_hook_slow" not in send()
    nft(routed.r.net, MASQUERADE)
    assert "nf_conntrack_in" in send()
    nft(routed.r.net, "flush ruleset")
    assert routed.r.net.nf.hooks_ipv4 == [()] * 5
    assert "nf_hook_slow" not in send()


def test_a_chain_alone_has_only_its_own_hook():
    routed = Routed()
    nft(
        routed.r.net,
        "add table t\nadd chain t c { type filter hook forward priority 0; }\nadd rule t c udp dport 1 drop",
    )
    assert [len(hooks) for hooks in routed.r.net.nf.hooks_ipv4] == [0, 0, 1, 0, 0]
    nft(routed.r.net, "add rule t f ct state new accept")
    assert [len(hooks) for hooks in routed.r.net.nf.hooks_ipv4] == [2, 1, 1, 2, 1]
    nft(routed.r.net, "flush chain t f")
    assert [len(hooks) for hooks in routed.r.net.nf.hooks_ipv4] == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 1472, 5000])
def test_datagrams_go_there_and_back_through_a_masquerade(complete, size):
    nat = Nat(complete=complete)
    data = bytes(number % 251 for number in range(size))
    assert nat.exchange(data) == (ROUTER, 5000)
    for frame in (*nat.far.sent, *nat.r.dev.sent):
        packet = Ether(frame)
        if IP in packet and not packet[IP].frag and not packet[IP].flags.MF:
            assert IP(bytes(packet[IP])).chksum == _fresh(packet)[IP].chksum
            if UDP in packet:
                assert packet[UDP].chksum == _fresh(packet)[UDP].chksum


def _fresh(packet):
    """Return a packet with the checksums that scapy makes."""
    again = packet.copy()
    del again[IP].chksum
    if UDP in again:
        del again[UDP].chksum
    elif ICMP in again:
        del again[ICMP].chksum
    return Ether(bytes(again))


def test_a_ping_and_an_error_come_back_through_a_masquerade():
    nat = Nat()
    raw = nat.a.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
    raw.sendto(bytes(ICMP(id=7, seq=1) / Raw(b"data")), ("10.0.2.1", 0))
    nat.run()
    reply = IP(raw.recv(100))
    assert (reply.src, reply.dst, reply[ICMP].type, reply[ICMP].id) == ("10.0.2.1", "10.0.1.1", 0, 7)
    nat.here.connect(("10.0.2.1", 7))
    nat.here.send(b"to a closed port")
    nat.run()
    with pytest.raises(ConnectionRefusedError):
        nat.here.send(b"again")
    for frame in nat.r.dev.sent:
        packet = Ether(frame)
        if ICMP in packet and packet[ICMP].type == 3:
            assert packet[ICMP].payload.src == "10.0.1.1"
            assert packet[ICMP].chksum == _fresh(packet)[ICMP].chksum
            return
    pytest.fail("no error was sent on")


def test_two_sources_with_one_port_get_two_and_keep_them():
    """RFC 4787 §4.1: the mapping does not depend on the destination."""
    nat = Nat()
    addr_add(nat.a.dev, "10.0.1.2/24")
    second = nat.a.socket()
    second.bind(("10.0.1.2", 5000))
    other = nat.b.socket()
    other.bind(("10.0.2.1", 9001))
    assert nat.exchange() == (ROUTER, 5000)
    ports = []
    for target, receiver in ((THERE, nat.there), (("10.0.2.1", 9001), other)):
        second.sendto(b"x", target)
        nat.run()
        ports.append(receiver.recvfrom(10)[1][1])
    assert ports[0] != 5000
    assert ports[0] >= 1024
    assert ports[1] in (ports[0], 5000)


@pytest.mark.parametrize(("port", "low", "high"), [(80, 1, 511), (600, 600, 1023), (5000, 1024, 65535)])
def test_a_port_that_is_taken_is_changed_within_its_class(port, low, high):
    nat = Nat()
    nat.here.close()
    addr_add(nat.a.dev, "10.0.1.2/24")
    got = set()
    for address in ("10.0.1.1", "10.0.1.2"):
        sock = nat.a.socket()
        sock.bind((address, port))
        sock.sendto(b"x", THERE)
        nat.run()
        got.add(nat.there.recvfrom(10)[1][1])
    assert port in got
    assert len(got) == 2
    assert all(low <= number <= high for number in got)


def test_addresses_and_ports_are_taken_from_their_ranges():
    nat = Nat(MASQUERADE.replace("masquerade", "meta l4proto udp snat to 10.0.2.100-10.0.2.103:2000-2003"))
    for address in range(100, 104):
        addr_add(nat.far, f"10.0.2.{address}/24")
    seen = set()
    for port in range(6000, 6008):
        sock = nat.a.socket()
        sock.bind(("10.0.1.1", port))
        sock.sendto(b"x", THERE)
        nat.run()
        if len(seen) < 4:
            seen.add(nat.there.recvfrom(10)[1])
    # One address for one pair of hosts; what comes behind the fourth finds no port that is free.
    assert (len(seen), nat.b.mib["Ip:InDelivers"], nat.ct.stat["insert_failed"]) == (4, 4, 4)
    assert len({address for address, _ in seen}) == 1
    assert all(2000 <= port <= 2003 for _, port in seen)


def test_a_port_is_forwarded_and_redirected():
    nat = Nat(
        """table ip nat {
            chain pre {
                type nat hook prerouting priority dstnat
                iifname "eth1" udp dport 80 dnat to 10.0.1.1:5000
                udp dport 53 redirect to :5353
            }
        }"""
    )
    nat.there.sendto(b"in", (ROUTER, 80))
    nat.run()
    assert nat.here.recvfrom(10) == (b"in", THERE)
    nat.here.sendto(b"out", THERE)
    nat.run()
    assert nat.there.recvfrom(10) == (b"out", (ROUTER, 80))
    server = nat.r.socket()
    server.bind(("0.0.0.0", 5353))
    nat.here.sendto(b"query", ("10.0.2.1", 53))
    nat.run()
    data, client = server.recvfrom(10)
    assert (data, client) == (b"query", ("10.0.1.1", 5000))
    server.sendto(b"answer", client)
    nat.run()
    assert nat.here.recvfrom(10) == (b"answer", ("10.0.2.1", 53))


def test_a_dropped_packet_is_counted():
    nat = Nat(
        """table ip t {
            chain f {
                type filter hook forward priority filter; policy drop
                udp dport 9000 accept
                counter
            }
        }"""
    )
    nat.here.sendto(b"x", ("10.0.2.1", 9001))
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.there.recv(10) == b"x"
    assert nat.r.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    assert "counter packets 1 bytes 29" in nat.nft("list ruleset")
    assert len(nat.platform.buffers) == 0


def test_a_sender_is_told_what_its_own_host_drops():
    host = InetHost()
    nft(host.net, filtering("udp dport 9 drop", "output"))
    with raises(EPERM):
        host.socket().sendto(b"x", ("10.0.0.2", 9))


def test_connections_end_when_their_time_is_over():
    nat = Nat()
    nat.here.sendto(b"x", THERE)
    nat.run(10_000_000)
    source = nat.there.recvfrom(10)[1]
    (line,) = ct_seq_show(nat.r.net)
    assert line.startswith("ipv4     2 udp      17 29 ")
    assert "[UNREPLIED]" in line
    nat.platform.advance(29 * SECOND)
    nat.there.sendto(b"y", source)
    nat.run()
    assert nat.here.recv(10) == b"y"
    assert "[UNREPLIED]" not in ct_seq_show(nat.r.net)[0]
    nat.run(3 * SECOND)
    nat.here.sendto(b"z", THERE)  # It has lasted for more than 2 s: a stream.
    nat.run(10_000_000)
    (line,) = ct_seq_show(nat.r.net)
    assert line.startswith("ipv4     2 udp      17 119 ")
    assert "[ASSURED]" in line
    nat.platform.advance(119 * SECOND)
    assert len(ct_seq_show(nat.r.net)) == 1
    nat.platform.advance(2 * SECOND)
    nat.there.sendto(b"late", source)
    nat.run()
    assert not ct_seq_show(nat.r.net) or "10.0.1.1" not in ct_seq_show(nat.r.net)[0]


def test_a_timer_ends_what_nobody_asks_for_and_stops_then():
    nat = Nat()
    nat.exchange()
    assert nat.ct.count == 1
    nat.platform.advance(200 * SECOND)
    assert (nat.ct.count, nat.ct.hash, nat.ct.conntracks, nat.r.net.nf.nat.bysource) == (0, {}, {}, {})
    assert nat.ct.gc_timer.timer is None


def test_a_full_table_drops_new_connections_and_says_so():
    nat = Nat()
    nat.ct.sysctl_max = 1
    nat.exchange()
    other = nat.a.socket()
    other.sendto(b"x", THERE)
    nat.run()
    assert nat.ct.stat["drop"] == 1
    assert nat.r.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    assert nat.r.kernel.log[-1] == "nf_conntrack: nf_conntrack: table full, dropping packet"
    assert nat.exchange() == (ROUTER, 5000)


def test_in_a_full_table_what_is_not_assured_makes_room():
    nat = Nat()
    nat.ct.sysctl_max = 4
    nat.ct.htable_size = 4
    for _ in range(8):
        sock = nat.a.socket()
        sock.sendto(b"x", THERE)
        nat.run()
        nat.there.recv(10)
    assert nat.ct.count == 4
    assert nat.ct.stat["early_drop"] == 4


def test_connections_of_a_device_that_goes_down_end():
    nat = Nat()
    nat.exchange()
    dev_close(nat.r.dev)
    assert nat.ct.count == 1
    dev_close(nat.far)
    assert nat.ct.count == 0


def test_connections_of_an_address_that_goes_end():
    nat = Nat()
    nat.exchange()
    addr_add(nat.far, "10.0.3.1/24")
    addr_del(nat.far, "10.0.3.1/24")
    assert nat.ct.count == 1
    addr_del(nat.far, "10.0.2.254/24")
    assert nat.ct.count == 0


def test_what_is_dropped_behind_the_translation_is_forgotten():
    nat = Nat(MASQUERADE + filtering("udp dport 9000 drop", "postrouting", 200))
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert (nat.ct.count, nat.r.net.nf.nat.bysource) == (0, {})


def test_a_packet_that_is_not_tracked_is_not_translated():
    rules = "table ip raw {\nchain pre {\ntype filter hook prerouting priority raw\nudp sport 5000 notrack\n}\n"
    nat = Nat(MASQUERADE + rules + "chain f {\ntype filter hook forward priority 0\nct state untracked counter\n}\n}")
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.there.recvfrom(10) == (b"x", ("10.0.1.1", 5000))
    assert "ct state untracked counter packets 1 bytes 29" in nat.nft("list ruleset")


def test_marks_of_connections_come_back_to_packets():
    nat = Nat(
        """table ip t {
            chain f {
                type filter hook forward priority 0
                ct direction original meta mark set 0x15 ct mark set meta mark
                ct direction reply meta mark set ct mark
                meta mark 0x15 counter
            }
        }"""
    )
    nat.exchange()
    assert "meta mark 0x00000015 counter packets 2 " in nat.nft("list ruleset")
    assert "mark=21 " in ct_seq_show(nat.r.net)[0]


def test_a_limit_lets_a_burst_pass_and_then_its_rate():
    nat = Nat(
        """table ip t {
            chain f {
                type filter hook forward priority 0
                limit rate 10/second burst 3 packets accept
                drop
            }
        }"""
    )

    def passed(count: int) -> int:
        before = nat.b.mib["Ip:InDelivers"]
        for _ in range(count):
            nat.here.sendto(b"x", THERE)
        nat.run()
        return nat.b.mib["Ip:InDelivers"] - before

    assert passed(1) == 1
    nat.platform.advance(SECOND)
    assert passed(10) == 3
    nat.platform.advance(SECOND // 10)
    assert passed(10) == 1
    nat.platform.advance(10 * SECOND)
    assert passed(10) == 3


@pytest.mark.parametrize(("verdict", "arrives"), [(NF_ACCEPT, True), (NF_DROP, False)])
def test_others_decide_about_what_is_queued(verdict, arrives):
    nat = Nat(filtering("udp dport 9000 queue num 3") + MASQUERADE)
    held = []
    nat.r.net.nf.queue_handler = lambda entry: held.append(entry) or 0
    nat.here.sendto(b"x", THERE)
    nat.run()
    (entry,) = held
    assert entry.queue == 3
    nf_reinject(entry, verdict)
    nat.run()
    assert nat.b.mib["Ip:InDelivers"] == arrives


def test_two_packets_of_one_new_connection_that_wait_share_it():
    nat = Nat(filtering("udp dport 9000 queue num 3") + MASQUERADE)
    held = []
    nat.r.net.nf.queue_handler = lambda entry: held.append(entry) or 0
    nat.here.sendto(b"1", THERE)
    nat.here.sendto(b"2", THERE)
    nat.run()
    for entry in held:
        nf_reinject(entry, NF_ACCEPT)
    nat.run()
    assert {nat.there.recvfrom(10)[0] for _ in held} == {b"1", b"2"}
    assert (nat.ct.count, nat.ct.stat["clash_resolve"]) == (1, 1)


def test_a_queue_that_nobody_takes_lets_pass_only_with_bypass():
    nat = Nat(filtering("udp dport 9000 queue num 3"))
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.b.mib["Ip:InDelivers"] == 0
    nat.nft("flush chain t f\nadd rule t f queue num 3 bypass")
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.b.mib["Ip:InDelivers"] == 1


def test_a_packet_is_logged_as_linux_writes_it():
    nat = Nat(filtering('log prefix "seen: "'))
    nat.here.setsockopt(api.IPPROTO_IP, api.IP_TOS, 0x10)
    nat.here.sendto(bytes(32), THERE)
    nat.run()
    (line,) = nat.r.kernel.log
    ident = Ether(nat.far.sent[-1])[IP].id
    assert line == (
        "seen: IN=eth0 OUT=eth1 MAC=02:00:00:00:01:02:02:00:00:00:01:01:08:00 SRC=10.0.1.1 DST=10.0.2.1 LEN=60 "
        f"TOS=0x10 PREC=0x00 TTL=63 ID={ident} DF PROTO=UDP SPT=5000 DPT=9000 LEN=40 "
    )


def test_another_namespace_logs_only_if_it_may():
    host = InetHost()
    net = Net(host.kernel)
    nft(net, filtering("log", "output"))
    dev_open(net.loopback_dev)
    net.socket().sendto(b"x", ("127.0.0.1", 9))
    assert not host.kernel.log
    net.nf.sysctl_nf_log_all_netns = True
    net.socket().sendto(b"x", ("127.0.0.1", 9))
    assert host.kernel.log[0].startswith("IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 ")


def test_what_a_host_sends_to_itself_is_one_connection():
    host = InetHost()
    dev_open(host.net.loopback_dev)
    nft(host.net, filtering("ct state new counter", "input"))
    server, client = host.socket(), host.socket()
    server.bind(("127.0.0.1", 7))
    client.sendto(b"x", ("127.0.0.1", 7))
    data, source = server.recvfrom(10)
    server.sendto(data, source)
    assert client.recv(10) == b"x"
    assert host.net.nf.conntrack.count == 1
    assert "counter packets 1 " in nft(host.net, "list ruleset")


def test_what_a_host_sends_itself_is_routed_anew_to_its_new_destination():
    nat = Nat("add table t")
    route_add(nat.r.net, "192.0.2.0/24", via="10.0.2.1")
    nat.nft("table ip t {\nchain o {\ntype nat hook output priority -100\nudp dport 7 dnat to 192.0.2.1:9\n}\n}")
    sock = nat.r.socket()
    sock.sendto(b"x", ("10.0.1.1", 7))
    nat.run()
    packet = Ether(nat.far.sent[-1])
    assert (packet[IP].dst, packet[UDP].dport) == ("192.0.2.1", 9)
    assert packet[IP].src == "10.0.1.254"


def test_counters_are_shown_as_proc_shows_them():
    nat = Nat()
    nat.exchange()
    names, values = ct_cpu_seq_show(nat.r.net)
    table = dict(zip(names.split(), (int(value, 16) for value in values.split()), strict=True))
    assert (table["entries"], table["invalid"], table["drop"]) == (1, 0, 0)


def test_a_script_is_carried_out_as_a_whole_or_not_at_all():
    nat = Nat()
    before = nat.nft("list ruleset")
    hooks = list(nat.r.net.nf.hooks_ipv4)
    with raises(EBUSY):
        nat.nft(
            """flush chain nat post
            add table t
            add chain t c { type filter hook forward priority 0; policy drop; }
            add chain t x
            add rule t c ct state new counter jump x
            delete chain t x"""
        )
    assert nat.nft("list ruleset") == before
    assert nat.r.net.nf.hooks_ipv4 == hooks
    assert nat.exchange() == (ROUTER, 5000)


def test_an_error_names_its_place():
    host = InetHost()
    for script, place in (("add table t\nadd chain t c\nadd rule t c udp dport x", "3:24"), ("add table ip &", "1:14")):
        with pytest.raises(OSError, match=f"Errno {EINVAL}. {place}: "):
            nft(host.net, script)
    with raises(EAFNOSUPPORT):
        nft(host.net, "add table inet t")


WORDS = (
    "add create delete flush list insert replace table chain rule ruleset ip t c x { } ; type filter nat route hook "
    "forward output postrouting prerouting priority 0 - 10 srcnat policy accept drop udp tcp icmp dport sport saddr "
    "9000 10.0.0.1 10.0.0.0/8 1-5 , : & | == != < ct state new established mark set meta counter log prefix jump goto "
    "masquerade snat dnat to redirect reject with limit rate 5/second queue num handle index comment iifname eth* ! 0x "
    "( ) / /33 -1 99999999999"
).split()
TEXTS = st.lists(st.sampled_from([*WORDS, "\n", '"a b"', '"']), max_size=25).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), TEXTS))
def test_any_text_is_understood_or_refused_with_an_errno(text):
    host = InetHost()
    for script in (text, filtering(text), "add table t\nadd chain t x\nadd chain t c\nadd rule t c " + text):
        with suppress(OSError):
            nft(host.net, script)
        listed = nft(host.net, "list ruleset")
        nft(host.net, "flush ruleset\n" + listed)
        assert nft(host.net, "list ruleset") == listed


HOSTILE = """
table ip t {
    chain pre {
        type nat hook prerouting priority dstnat
        ip protocol udp dnat to 10.0.1.1:9
        icmp type echo-request dnat to 10.0.1.1
        redirect
    }
    chain post {
        type nat hook postrouting priority srcnat
        meta l4proto { tcp, udp } snat to 10.0.2.200:77
        masquerade random
    }
    chain f {
        type filter hook forward priority 0
        udp dport 9 counter
        ct state invalid log drop
        ct status dnat icmp code 3 reject
        ip length > 5 th dport 1-2 reject with icmp admin-prohibited
        tcp dport 4 reject with tcp reset
    }
    chain i {
        type filter hook input priority 0
        log
        limit rate 5/second reject
    }
}
"""


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 6, 17, 17, 47, 200]),
            st.sampled_from([0x0A000101, 0x0A000202, 0x0A0001FE]),
            st.sampled_from([0x0A000201, 0x0A0001FE, 0x0A000101]),
            st.sampled_from([0, 0, 0, 0x2000, 3, 0x2003]),
            st.binary(max_size=80),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_arbitrary_packets_through_tracking_and_translation_never_crash(packets):
    nat = Nat(HOSTILE)
    for proto, src, dst, frag, payload, far in packets:
        header = IP(src=_dotted(src), dst=_dotted(dst), proto=proto, ttl=4, id=5, frag=frag & 0x1FFF, flags=frag >> 13)
        dev = nat.far if far else nat.r.dev
        dev.receive(dev.dev_addr + bytes(6) + b"\x08\0" + bytes(header / Raw(payload)) + bytes(10))
        nat.run()
    nat.nft("list ruleset")
    ct_seq_show(nat.r.net)
    nat.platform.advance(1000 * SECOND)
    ct_seq_show(nat.r.net)
    assert nat.ct.hash == {} or nat.ct.count
    assert len(nat.platform.buffers) == 0


def _dotted(address: int) -> str:
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


@settings(max_examples=25, deadline=None)
@given(
    data=st.binary(max_size=3000),
    port=st.integers(1, 65535),
    rule=st.sampled_from(
        ["masquerade", "masquerade random", "snat to 10.0.2.254", "ip protocol udp snat to :4000-5000"]
    ),
    complete=st.booleans(),
)
def test_forward_and_back_is_the_identity(data, port, rule, complete):
    nat = Nat(MASQUERADE.replace("masquerade", rule), complete=complete)
    nat.here.close()
    nat.here = nat.a.socket()
    nat.here.bind(("10.0.1.1", port))
    address, _ = nat.exchange(data)
    assert address in (ROUTER, "10.0.1.1")

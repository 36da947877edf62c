"""Translating addresses: there and back, ports, errors, and packets of any kind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hardwire.stack import socket as api
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.netfilter.nf_conntrack_standalone import ct_seq_show
from hardwire.tb.stack.inet_host import SECOND
from hardwire.tb.stack.nat import MASQUERADE, ROUTER, THERE, Nat, fresh


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 1472, 5000])
def test_datagrams_go_there_and_back_through_a_masquerade(complete, size):
    nat = Nat(complete=complete)
    data = bytes(number % 251 for number in range(size))
    assert nat.exchange(data) == (ROUTER, 5000)
    for frame in (*nat.far.sent, *nat.r.dev.sent):
        packet = Ether(frame)
        if IP in packet and not packet[IP].frag and not packet[IP].flags.MF:
            assert IP(bytes(packet[IP])).chksum == fresh(packet)[IP].chksum
            if UDP in packet:
                assert packet[UDP].chksum == fresh(packet)[UDP].chksum


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
            assert packet[ICMP].chksum == fresh(packet)[ICMP].chksum
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


def test_what_a_host_sends_itself_is_routed_anew_to_its_new_destination():
    nat = Nat("add table t")
    route_add(nat.r.net, "192.0.2.0/24", via="10.0.2.1")
    nat.nft("table ip t {\nchain o {\ntype nat hook output priority -100\nudp dport 7 dnat to 192.0.2.1:9\n}\n}")
    sock = nat.r.socket()
    sock.sendto(b"x", ("10.0.1.1", 7))
    nat.run()
    packet = Ether(nat.far.sent[-1])
    assert (packet[IP].dst, packet[UDP].dport) == ("192.0.2.1", 9)
    assert packet[UDP].chksum == fresh(packet)[UDP].chksum  # The device has made it.
    assert packet[IP].src == "10.0.1.254"


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

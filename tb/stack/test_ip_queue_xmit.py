"""Packets of connected sockets whose transport header is there: header, route, hooks; as scapy and Linux have them."""

import os
import socket as real
from dataclasses import replace
from errno import EHOSTUNREACH, EMSGSIZE
from struct import pack

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet import IPOption as ScapyOption

from hardwire.sim.trace import Tracer
from hardwire.stack import socket as api
from hardwire.stack.core.drop_reasons import SkbDropReason
from hardwire.stack.core.skbuff import (
    CHECKSUM_PARTIAL,
    alloc_skb,
    skb_put_data,
    skb_reserve,
    skb_reset_transport_header,
)
from hardwire.stack.core.sock import sk_dst_check, skb_set_owner_w
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.ipv4.inet_sock import InetSock
from hardwire.stack.ipv4.ip_options import ip_options_compile
from hardwire.stack.ipv4.ip_output_queue_xmit import __ip_queue_xmit, ip_build_and_send_pkt, ip_queue_xmit
from hardwire.stack.ipv4.route import ip_route_output_ports
from hardwire.stack.ipv4.udp import udp_prot
from hardwire.stack.netfilter.core import NF_ACCEPT, NF_INET_LOCAL_OUT, NfHookOps, nf_register_net_hook
from hardwire.tb.stack.frames import PEER, icmp, ip
from hardwire.tb.stack.golden import compare, find, read_golden
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import make_ours, set_up
from hardwire.tb.stack.test_golden_inet import RULES

ME = "10.0.0.2"
NEAR, FAR, NOWHERE = "10.0.0.1", "192.0.2.1", "198.51.100.1"
GATEWAY = "10.0.0.77"
RR = bytes((7, 11, 4)) + bytes(8)
linux = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")


def number(address: str) -> int:
    return int.from_bytes(real.inet_aton(address), "big")


def source_route(kind: int, *hops: str) -> bytes:
    return bytes((kind, 3 + 4 * len(hops), 4)) + b"".join(map(real.inet_aton, hops))


def lsrr(*hops: str) -> bytes:
    return source_route(0x83, *hops)


def ssrr(*hops: str) -> bytes:
    return source_route(0x89, *hops)


class Connection:
    """A connected socket inside the kernel, as TCP has it, and the flow of its connection."""

    def __init__(self, host, peer: str = NEAR, *, protocol: int = 6, sport: int = 5000, dport: int = 9000, **members):
        self.host = host
        sk = self.sk = InetSock(host.net, api.AF_INET, api.SOCK_STREAM, protocol, udp_prot)
        sk.opt = ip_options_compile(members.pop("opt", b""))
        for name, value in members.items():
            setattr(sk, name, value)
        sk.inet_num, sk.inet_dport = sport, dport
        sk.inet_saddr, sk.inet_daddr = number(ME), number(peer)
        sk.inet_id = 100
        self.fl = Flowi4(sk.inet_daddr, sk.inet_saddr)

    def skb(self, octets: bytes = b"segment"):
        skb = alloc_skb(self.host.kernel, 128 + len(octets))
        skb_reserve(skb, 128)
        skb_reset_transport_header(skb)
        skb_put_data(skb, octets)
        skb_set_owner_w(skb, self.sk)
        return skb

    def send(self, octets: bytes = b"segment", **members) -> int:
        """Send a segment; what is given is set in its skb before."""
        skb = self.skb(octets)
        for name, value in members.items():
            setattr(skb, name, value)
        result = ip_queue_xmit(self.sk, skb, self.fl)
        self.host.platform.advance(1_000_000)
        return result

    def packets(self) -> list[bytes]:
        """Return the IPv4 packets sent since the last call."""
        sent, self.host.dev.sent[:] = [frame[14:] for frame in self.host.dev.sent], []
        return sent


@pytest.fixture
def host():
    host = make_ours()
    host.buffers_at_rest = len(host.platform.buffers)
    yield host
    host.platform.advance(1_000_000)
    assert len(host.platform.buffers) == host.buffers_at_rest


def by_scapy(octets: bytes = b"segment", options: bytes = b"", **fields) -> bytes:
    fields = {"id": 100, "flags": "DF", "ttl": 64, "proto": 6, "src": ME, "dst": NEAR, **fields}
    padded = options + bytes(-len(options) % 4)
    return bytes(IP(**fields, options=[ScapyOption(padded)] if options else []) / octets)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, {}),
        ({"tos": 0x2E}, {"tos": 0x2E}),
        ({"uc_ttl": 7}, {"ttl": 7}),
        ({"pmtudisc": api.IP_PMTUDISC_DONT}, {"flags": 0}),
        ({"pmtudisc": api.IP_PMTUDISC_DO}, {}),
        ({"pmtudisc": api.IP_PMTUDISC_PROBE}, {"flags": 0}),
        ({"pmtudisc": api.IP_PMTUDISC_INTERFACE}, {"flags": 0}),
        ({"protocol": 132}, {"proto": 132}),
        ({"opt": b"\1"}, {"options": b"\1"}),
        ({"opt": RR}, {"options": RR[:2] + b"\x08" + real.inet_aton(ME) + bytes(4)}),
        ({"peer": FAR}, {"dst": FAR}),
        ({"peer": FAR, "opt": lsrr(NEAR)}, {"dst": NEAR, "options": lsrr(FAR)}),
        ({"peer": FAR, "opt": ssrr(NEAR, GATEWAY)}, {"dst": NEAR, "options": ssrr(GATEWAY, FAR)}),
    ],
    ids=str,
)
def test_the_header_is_what_scapy_makes_of_the_socket_s_options(host, members, expected):
    connection = Connection(host, **members)
    for ident in (100, 101):
        assert connection.send() == 0
        assert connection.packets() == [by_scapy(id=ident, **expected)]


def test_the_caller_may_give_another_tos_for_one_packet(host):
    connection = Connection(host, tos=0x10)
    assert __ip_queue_xmit(connection.sk, connection.skb(), connection.fl, 0xFC) == 0
    assert connection.packets() == [by_scapy(tos=0xFC)]
    connection.send()
    assert connection.packets() == [by_scapy(tos=0x10, id=101)]


def test_a_packet_that_stands_for_many_takes_as_many_identifications(host):
    connection = Connection(host)
    skb = connection.skb(bytes(900))
    skb.gso_size, skb.gso_segs, skb.gso_type = 300, 3, 1
    seen = []
    hook = NfHookOps(lambda priv, skb, state: seen.append(skb.gso_segs) or 0, NF_INET_LOCAL_OUT)  # NF_DROP
    nf_register_net_hook(host.net, hook)
    ip_queue_xmit(connection.sk, skb, connection.fl)
    assert seen == [3]
    assert connection.sk.inet_id == 103


def test_without_a_peer_of_its_own_the_socket_does_not_count(host):
    connection = Connection(host, pmtudisc=api.IP_PMTUDISC_DO)
    connection.send()
    connection.sk.inet_daddr = 0
    connection.send()  # With DF: of no meaning.
    connection.sk.pmtudisc = api.IP_PMTUDISC_DONT
    connection.send()
    first, second, third = (packet[4:6] for packet in connection.packets())
    assert (first, second) == (b"\0\x64", b"\0\0")
    assert third not in (b"\0\x65", b"\0\0")
    assert connection.sk.inet_id == 101


def test_the_hook_sees_the_finished_header_mark_priority_and_socket(host):
    connection = Connection(host, sk_mark=7, sk_priority=6)
    seen = []

    def hook(priv, skb, state):
        octets = bytes(skb.view[skb.data : skb.tail])
        seen.append((octets, skb.mark, skb.priority, state.sk, state.out_dev.name))
        return NF_ACCEPT

    nf_register_net_hook(host.net, NfHookOps(hook, NF_INET_LOCAL_OUT))
    connection.send()
    assert seen == [(by_scapy(), 7, 6, connection.sk, "eth0")]
    assert connection.packets() == [by_scapy()]


def test_the_route_is_looked_up_once_and_anew_when_routes_change(host):
    connection = Connection(host, FAR)
    neigh_add(host.dev, "10.0.0.78", "02:00:00:00:00:4e")
    before = host.mib["Rt:OutSlowTot"]

    def hops(times: int) -> set[bytes]:
        for _ in range(times):
            assert connection.send() == 0
        found = {frame[:6] for frame in host.dev.sent}
        connection.packets()
        return found

    assert hops(3) == {bytes.fromhex("02000000004d")}
    assert host.mib["Rt:OutSlowTot"] - before == 1
    kept = sk_dst_check(connection.sk)
    assert kept is not None
    route_add(host.net, "192.0.2.1/32", via="10.0.0.78")
    assert hops(2) == {bytes.fromhex("02000000004e")}
    assert sk_dst_check(connection.sk) is not kept


def test_the_lookup_has_the_socket_s_mark_device_and_addresses(host):
    connection = Connection(host, sk_mark=7, tos=0x13, sk_localroute=True)
    connection.sk.sk_bound_dev_if = host.dev.ifindex
    connection.send()
    fl = connection.fl
    assert (fl.mark, fl.oif, fl.proto, fl.sport, fl.dport) == (7, host.dev.ifindex, 6, 5000, 9000)
    assert (fl.daddr, fl.saddr, fl.scope) == (number(NEAR), number(ME), 253)
    assert fl.tos == 0x10
    connection.sk.inet_daddr = connection.fl.daddr = number(FAR)  # Not on the link.
    connection.sk.sk_bound_dev_if = 0
    connection.sk.sk_dst_cache = None
    assert connection.send() == -EHOSTUNREACH


@pytest.mark.parametrize(
    ("peer", "opt"),
    [(NOWHERE, b""), (NEAR, lsrr(NOWHERE)), (NEAR, ssrr(FAR)), (FAR, ssrr(FAR))],
    ids=["no route", "no route to the first hop", "a gateway before the first hop", "one on the way"],
)
def test_without_a_route_that_may_be_used_the_packet_is_dropped_and_counted(host, peer, opt):
    connection = Connection(host, peer, opt=opt)
    drops = host.kernel.drops[SkbDropReason.IP_OUTNOROUTES]
    before = dict(host.mib)
    for times in (1, 2):
        assert connection.send() == -EHOSTUNREACH
        assert connection.packets() == []
        assert host.changed(before) == {"Ip:OutNoRoutes": times}
        assert host.kernel.drops[SkbDropReason.IP_OUTNOROUTES] == drops + times
    assert connection.sk.sk_wmem_alloc == 0


def test_a_packet_that_has_its_route_keeps_it(host):
    connection = Connection(host, NOWHERE)
    rt = ip_route_output_ports(host.net, Flowi4(), connection.sk, number(FAR), number(ME), 9, 9, 6, 0, 0)
    assert connection.send(dst=rt) == 0
    assert connection.packets() == [by_scapy(dst=NOWHERE)]
    assert connection.sk.sk_dst_cache is None


def learn_mtu(host, mtu: int) -> None:
    """Let a router tell that no more than this goes to FAR."""
    sent = by_scapy(bytes(8), dst=FAR, proto=1)
    host.receive(ip(icmp(3, 4, pack("!HH", 0, mtu), sent[:28]), proto=1, src=PEER))
    host.platform.advance(1_000_000)


def test_what_is_longer_than_the_way_is_refused_with_df_and_fragmented_without(host):
    connection = Connection(host, FAR)
    assert connection.send(bytes(1480)) == 0
    (whole,) = connection.packets()
    assert len(whole) == 1500
    learn_mtu(host, 1000)
    assert connection.send(bytes(1480)) == -EMSGSIZE
    assert connection.packets() == []
    assert host.kernel.drops[SkbDropReason.PKT_TOO_BIG] == 1
    assert connection.send(bytes(980)) == 0
    assert [(len(octets), octets[6]) for octets in connection.packets()] == [(1000, 0x40)]
    assert connection.send(ignore_df=True) == 0
    assert connection.packets() == [by_scapy(dst=FAR, id=103, flags=0)]
    assert connection.send(bytes(1480), ignore_df=True) == 0
    assert [(len(octets), octets[6:8]) for octets in connection.packets()] == [(996, b"\x20\0"), (524, b"\0\x7a")]


def test_a_way_whose_mtu_is_fixed_has_no_df_for_those_who_only_want_it(host):
    for pmtudisc, flags in ((api.IP_PMTUDISC_WANT, 0), (api.IP_PMTUDISC_DO, "DF")):
        connection = Connection(host, pmtudisc=pmtudisc)
        connection.send()
        connection.packets()
        connection.sk.sk_dst_cache.mtu_locked = True
        connection.send()
        assert connection.packets() == [by_scapy(id=101, flags=flags)]


def answer(connection, octets: bytes = b"segment", opt: bytes = b"", tos: int = 0, **members) -> int:
    """Send as a listening socket answers."""
    sk = connection.sk
    skb = connection.skb(octets)
    hop = number(members.pop("hop", NEAR))
    skb.dst = ip_route_output_ports(connection.host.net, Flowi4(), sk, hop, number(ME), 9, 9, 6, 0, 0)
    for name, value in members.items():
        setattr(skb, name, value)
    saddr, daddr = sk.inet_saddr, sk.inet_daddr
    sk.inet_daddr = 0  # It has no peer.
    result = ip_build_and_send_pkt(sk, skb, saddr, daddr, ip_options_compile(opt) or None, tos)
    sk.inet_daddr = daddr
    return result


def test_the_answer_of_a_listening_socket_is_what_scapy_makes(host):
    for members, expected in (
        ({}, {}),
        ({"tos": 0x2E}, {"tos": 0x2E}),
        ({"opt": RR}, {"options": RR[:2] + b"\x08" + real.inet_aton(ME) + bytes(4)}),
        ({"opt": lsrr(GATEWAY), "hop": GATEWAY}, {"dst": GATEWAY, "options": lsrr(NEAR)}),
    ):
        connection = Connection(host, uc_ttl=9, pmtudisc=api.IP_PMTUDISC_DONT)
        assert answer(connection, **members) == 0
        assert connection.packets() == [by_scapy(id=0, ttl=9, **expected)]  # Small: DF whatever the socket says.


def test_a_long_answer_has_df_as_the_socket_says_and_else_an_identification(host):
    connection = Connection(host)
    answer(connection, bytes(49))
    connection.sk.pmtudisc = api.IP_PMTUDISC_DONT
    answer(connection, bytes(48))
    assert connection.packets() == [by_scapy(bytes(49), id=0), by_scapy(bytes(48), id=0)]
    idents = []
    for protocol in (6, 132):
        connection.sk.sk_protocol = protocol
        for _ in range(3):
            answer(connection, bytes(49))
        packets = connection.packets()
        assert {packet[6] for packet in packets} == {0}
        idents.append([int.from_bytes(packet[4:6], "big") for packet in packets])
    steps = [(now - last & 0xFFFF) for found in idents for last, now in zip(found, found[1:], strict=False)]
    assert 1 not in steps[:2]  # TCP's cannot be foreseen,
    assert steps[2:] == [1, 1]  # those of others count.


def test_an_answer_has_its_own_mark_or_the_socket_s(host):
    connection = Connection(host, sk_mark=7, sk_priority=4)
    seen = []
    hook = NfHookOps(lambda priv, skb, state: seen.append((skb.mark, skb.priority)) or NF_ACCEPT, NF_INET_LOCAL_OUT)
    nf_register_net_hook(host.net, hook)
    answer(connection)
    answer(connection, mark=9)
    assert seen == [(7, 4), (9, 4)]


def test_the_order_of_calls_is_that_of_06c():
    host = make_ours()
    connection = Connection(host)
    for _ in range(2):
        with Tracer(lambda: 0) as tracer:
            connection.send(bytes(20), ip_summed=CHECKSUM_PARTIAL, csum_start=128, csum_offset=16)
    (golden,) = find(read_golden("06c")["send(100 bytes)"], "ip_queue_xmit")
    calls = [call for root in tracer.roots for _, call in root.walk() if call.name == "ip_queue_xmit"]
    rules = replace(RULES, renamed=RULES.renamed | {"__sk_dst_check": "sk_dst_check"})  # One here: no locks.
    compare([golden], calls, rules)


IP_LEVEL = api.SOL_IP
OPTIONS = {
    "plain": [],
    "tos": [(IP_LEVEL, api.IP_TOS, 0xB8)],
    "ttl": [(IP_LEVEL, api.IP_TTL, 3)],
    **{
        f"pmtudisc {kind}": [(IP_LEVEL, api.IP_MTU_DISCOVER, kind)]
        for kind in range(api.IP_PMTUDISC_DONT, api.IP_PMTUDISC_OMIT + 1)
    },
    "no-operations": [(IP_LEVEL, api.IP_OPTIONS, b"\1\1")],
    "record route": [(IP_LEVEL, api.IP_OPTIONS, RR)],
    "loose source route": [(IP_LEVEL, api.IP_OPTIONS, lsrr(NEAR, GATEWAY))],
    "loose source route by a gateway": [(IP_LEVEL, api.IP_OPTIONS, lsrr(FAR))],
    "strict source route": [(IP_LEVEL, api.IP_OPTIONS, ssrr(NEAR))],
    "strict source route by a gateway": [(IP_LEVEL, api.IP_OPTIONS, ssrr(FAR))],
    "no routers": [(api.SOL_SOCKET, api.SO_DONTROUTE, 1)],
}
MEMBERS = {api.IP_TOS: "tos", api.IP_TTL: "uc_ttl", api.IP_MTU_DISCOVER: "pmtudisc", api.IP_OPTIONS: "opt"}


@pytest.fixture(scope="module")
def peer():
    with LinuxPeer(f"hwqueue{os.getpid()}") as peer:
        set_up(peer)
        yield peer


def without_ident(frame: bytes) -> bytes:
    """Leave out the identification, which is up to the host, and the sum over it."""
    return frame[:18] + frame[20:24] + frame[26:]


@linux
@pytest.mark.parametrize("to", [NEAR, FAR])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_syn_of_linux_has_the_frame_that_ours_gives_its_octets(peer, host, options, to):
    def connect() -> str | int:
        sock = real.socket(real.AF_INET, real.SOCK_STREAM)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.setblocking(False)
            return sock.connect_ex((to, 9000))
        finally:
            frames.extend(peer.frames(0.02))
            sock.close()

    frames: list[bytes] = []
    before = peer.mib()["Ip:OutNoRoutes"]
    result = peer.inside(connect)
    peer.frames(0.02)
    no_routes = peer.mib()["Ip:OutNoRoutes"] - before
    members = {MEMBERS[name]: value for level, name, value in options if level == IP_LEVEL}
    if (api.SOL_SOCKET, api.SO_DONTROUTE, 1) in options:
        members["sk_localroute"] = True
    connection = Connection(host, to, **members)
    syn = frames[0][14 + (frames[0][14] & 15) * 4 :] if frames else b"segment"
    sent = connection.send(syn)
    assert [without_ident(frame) for frame in host.dev.sent] == [without_ident(frame) for frame in frames[:1]]
    assert (sent == -EHOSTUNREACH) == (not frames)
    if result == 115:  # EINPROGRESS: where there is no route at all, TCP does not come to this.
        assert no_routes == host.mib["Ip:OutNoRoutes"]


@linux
@pytest.mark.parametrize("tos", [0, 0x10, 0xB8])
@pytest.mark.parametrize("ttl", [64, 5])
@pytest.mark.parametrize("pmtudisc", [api.IP_PMTUDISC_DONT, api.IP_PMTUDISC_WANT])
@pytest.mark.parametrize("options", [b"", RR + b"\0", bytes((7, 39, 4)) + bytes(37)], ids=["none", "record", "long"])
def test_a_syn_ack_of_linux_has_the_frame_that_ours_gives_its_octets(peer, host, tos, ttl, pmtudisc, options):
    tcp = pack("!HHIIBBHHHBBHBBBB", 5000, 80, 7, 0, 0x70, 2, 5000, 0, 0, 2, 4, 1460, 4, 2, 1, 1)
    pseudo = pack("!IIHH", PEER, number(ME), 6, len(tcp))
    total = sum(int.from_bytes((pseudo + tcp)[at : at + 2], "big") for at in range(0, len(pseudo + tcp), 2))
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    frame = ip(tcp[:16] + check.to_bytes(2, "big") + tcp[18:], proto=6, options=options)

    def listen() -> None:
        with real.socket(real.AF_INET, real.SOCK_STREAM) as sock:
            sock.setsockopt(real.SOL_SOCKET, real.SO_REUSEADDR, 1)
            sock.setsockopt(IP_LEVEL, api.IP_TOS, tos)
            sock.setsockopt(IP_LEVEL, api.IP_TTL, ttl)
            sock.setsockopt(IP_LEVEL, api.IP_MTU_DISCOVER, pmtudisc)
            sock.bind((ME, 80))
            sock.listen()
            peer.receive(frame)
            frames.extend(peer.frames(0.05))

    frames: list[bytes] = []
    peer.inside(listen)
    peer.frames(0.01)
    header = 14 + (frames[0][14] & 15) * 4
    connection = Connection(host, tos=tos, uc_ttl=ttl, pmtudisc=pmtudisc)
    # What Linux echoes; the record is as it was when the SYN came: our address stands in it already.
    echoed = options if options[:1] != b"\7" else options[:2] + b"\x08" + real.inet_aton(ME) + options[7:]
    answer(connection, frames[0][header:], echoed, tos=frames[0][15])
    (ours,) = host.dev.sent
    assert without_ident(ours) == without_ident(frames[0])
    if frames[0][20] & 0x40:
        assert ours[18:20] == frames[0][18:20] == b"\0\0"

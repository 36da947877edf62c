"""The way of packets through transforms: gateways, MTUs, fragments, several transforms, ESP in UDP."""

from dataclasses import replace
from errno import EMSGSIZE
from struct import unpack_from

import pytest

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_set_mtu
from hardwire.stack.iproute import addr_add, route_add
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.netlink.uapi import NETLINK_XFRM
from hardwire.stack.netlink.xfrm import XfrmMsg, XfrmNlgrp
from hardwire.stack.nft import nft
from hardwire.stack.uapi import SOCK_RAW
from hardwire.stack.xfrm.xfrm import (
    XFRM_MODE_TUNNEL,
    XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
    XFRM_POLICY_TYPE_SUB,
    XfrmEncap,
    XfrmMark,
    XfrmTmpl,
)
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, counters, policy, protect, state
from hardwire.tb.stack.pair import Pair
from hardwire.tb.stack.test_veth import Namespaces

GCM = Sa(ALGORITHMS["gcm-128"])
TUNNEL = replace(GCM, mode=XFRM_MODE_TUNNEL)
THERE = ("10.0.0.2", 9000)
SECOND = 1_000_000_000
# What AES-GCM leaves of 1500: the header, the vector and the value take 8 + 8 + 16, the trailer 2; in blocks of 4.
FITS = {0: 1500 - 20 - 32 - 2 + 20, XFRM_MODE_TUNNEL: (1500 - 20 - 32) // 4 * 4 - 2}


def ipv4(frames: list[bytes]) -> list[bytes]:
    """Return the packets of IPv4 among frames."""
    return [frame[14:] for frame in frames if frame[12:14] == b"\x08\x00"]


def receiver(host, address=THERE):
    sock = host.socket()
    sock.bind(address)
    sock.settimeout(0.001)
    return sock


@pytest.fixture
def pair() -> Pair:
    return Pair()


class Gateways:
    """10.1.0.1 - gateway - 10.0.0.1 - 10.0.0.2 - gateway - 10.2.0.1, with a tunnel between the gateways."""

    def __init__(self, name: str = "gcm-128", inner: tuple[str, str] = ("10.1.0.0/24", "10.2.0.0/24")) -> None:
        self.two = two = Namespaces(4)
        two.join(0, "10.1.0.1/24", 1, "10.1.0.254/24")
        two.join(1, "10.0.0.1/24", 2, "10.0.0.2/24")
        two.join(2, "10.2.0.254/24", 3, "10.2.0.1/24")
        self.a, self.left, self.right, self.b = two.nets
        for net, via in (
            (self.a, "10.1.0.254"),
            (self.left, "10.0.0.2"),
            (self.right, "10.0.0.1"),
            (self.b, "10.2.0.254"),
        ):
            route_add(net, "default", via=via)
        for net in (self.left, self.right):
            inet_forward_change(net, True)
        sa = Sa(ALGORITHMS[name], mode=XFRM_MODE_TUNNEL)
        self.states = protect(self.left, self.right, sa, inner)


@pytest.mark.parametrize("name", ["gcm-128", "cbc-sha256", "ah-sha256"])
def test_a_tunnel_between_gateways_carries_the_packets_of_others(name):
    path = Gateways(name)
    here, there = path.a.socket(), receiver(path.b, ("10.2.0.1", 9000))
    for size in (0, 1, 100, 1400, 5000):
        here.sendto(bytes(size), ("10.2.0.1", 9000))
        path.two.run()
        data, back = there.recvfrom(6000)
        assert (len(data), back[0]) == (size, "10.1.0.1")
        there.sendto(b"back", back)
        path.two.run()
        assert here.recv(100) == b"back"
    assert path.states[0].curlft.packets > 5
    assert counters(path.left) == counters(path.right) == {}
    assert path.left.mib["Ip:ForwDatagrams"] > 5


def test_a_gateway_says_what_mtu_is_left():
    path = Gateways()
    here = path.a.socket()
    here.setsockopt(0, api.IP_MTU_DISCOVER, 2)  # IP_PMTUDISC_DO
    here.connect(("10.2.0.1", 9000))
    here.send(bytes(1472))
    path.two.run()
    assert here.getsockopt(0, api.IP_MTU) == FITS[XFRM_MODE_TUNNEL]
    assert here.getsockopt(1, 4) == EMSGSIZE  # SO_ERROR
    with raises(EMSGSIZE):
        here.send(bytes(FITS[XFRM_MODE_TUNNEL] - 28 + 1))
    there = receiver(path.b, ("10.2.0.1", 9000))
    here.send(bytes(FITS[XFRM_MODE_TUNNEL] - 28))
    path.two.run()
    assert len(there.recv(2000)) == FITS[XFRM_MODE_TUNNEL] - 28


def test_a_gateway_drops_what_is_to_be_forwarded_but_came_in_clear():
    path = Gateways()
    ip(path.left, "xfrm policy flush")
    path.a.socket().sendto(b"clear", ("10.2.0.1", 9000))
    path.two.run()
    assert counters(path.right) == {"InTmplMismatch": 1}
    assert path.two.kernel.drop_counts()["XFRM_POLICY"] == 1


def test_a_gateway_drops_what_a_policy_blocks():
    path = Gateways()
    ip(path.left, "xfrm policy add src 10.1.0.1 dst 10.2.0.1 dir out action block")
    ip(path.left, "xfrm policy update src 10.1.0.0/24 dst 10.2.0.0/24 dir out priority 9 tmpl proto esp")
    path.a.socket().sendto(b"x", ("10.2.0.1", 9000))
    path.two.run()
    assert counters(path.left) == {"OutPolBlock": 1}


@pytest.mark.parametrize("mode", [0, XFRM_MODE_TUNNEL])
def test_a_program_is_told_what_fits(pair, mode):
    inner = ("10.0.0.1", "10.0.0.2")
    protect(pair.a.net, pair.b.net, replace(GCM, mode=mode), inner)
    there = receiver(pair.b)
    sock = pair.a.socket()
    sock.connect(THERE)
    assert sock.getsockopt(0, api.IP_MTU) == FITS[mode]
    sock.setsockopt(0, api.IP_MTU_DISCOVER, 2)
    room = FITS[mode] - 28
    sock.send(bytes(room))
    pair.run()
    assert there.recv(2000) == bytes(room)
    (packet,) = ipv4(pair.a.dev.sent)
    assert 1500 - 4 < len(packet) <= 1500
    with raises(EMSGSIZE):
        sock.send(bytes(room + 1))


@pytest.mark.parametrize("mode", [0, XFRM_MODE_TUNNEL])
@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_what_does_not_fit_goes_in_fragments(pair, name, mode):
    protect(pair.a.net, pair.b.net, Sa(ALGORITHMS[name], mode=mode))
    there = receiver(pair.b)
    sock = pair.a.socket()
    for size in (*range(1395, 1475, 3), 20000, 65000):
        sock.sendto(bytes(n * 7 & 255 for n in range(size)), THERE)
        pair.run()
        assert there.recv(70000) == bytes(n * 7 & 255 for n in range(size))
    assert max(map(len, ipv4(pair.a.dev.sent))) <= 1500
    assert counters(pair.a.net) == counters(pair.b.net) == {}


def test_the_mtu_of_a_socket_follows_that_of_the_device(pair):
    protect(pair.a.net, pair.b.net, TUNNEL)
    sock = pair.a.socket()
    sock.connect(THERE)
    sock.send(b"x")
    dev_set_mtu(pair.a.dev, 1300)
    sock.send(b"x")
    assert sock.getsockopt(0, api.IP_MTU) == (1300 - 20 - 32) // 4 * 4 - 2


def test_what_the_way_behind_says_of_esp_is_learned(pair):
    protect(pair.a.net, pair.b.net, TUNNEL)
    there, sock = receiver(pair.b), pair.a.socket()
    sock.connect(THERE)
    sock.send(b"x")
    pair.run()
    assert there.recv(100) == b"x"
    (packet,) = ipv4(pair.a.dev.sent)
    message = b"\x03\x04\0\0" + b"\0\0" + (1200).to_bytes(2, "big") + packet[:28]
    raw = pair.b.socket(2, SOCK_RAW, 1)
    ip(pair.b.net, "xfrm policy flush")
    ip(pair.a.net, "xfrm policy deleteall dir in")
    total = sum(unpack_from(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    raw.sendto(
        message[:2] + (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big") + message[4:], ("10.0.0.1", 0)
    )
    pair.run()
    sock.send(b"x")
    assert sock.getsockopt(0, api.IP_MTU) == (1200 - 20 - 32) // 4 * 4 - 2


def test_a_segmented_datagram_is_protected_piece_by_piece(pair):
    protect(pair.a.net, pair.b.net, GCM)
    there = receiver(pair.b)
    sock = pair.a.socket()
    sock.setsockopt(17, 103, 100)  # UDP_SEGMENT
    sock.sendto(bytes(250), THERE)
    pair.run()
    assert [len(there.recv(200)) for _ in range(3)] == [100, 100, 50]
    assert [packet[9] for packet in ipv4(pair.a.dev.sent)] == [50] * 3


@pytest.mark.parametrize("outer", [0, XFRM_MODE_TUNNEL])
def test_ah_around_esp_is_done_and_undone_in_turn(pair, outer):
    inside, around = GCM, Sa(ALGORITHMS["ah-sha256"], spi=0x200, mode=outer)
    for net, mine, yours in ((pair.a.net, "10.0.0.1", "10.0.0.2"), (pair.b.net, "10.0.0.2", "10.0.0.1")):
        for sa in (inside, around):
            for src, dst in ((mine, yours), (yours, mine)):
                state(net, src, dst, replace(sa, spi=sa.spi + (src != "10.0.0.1")))
        for src, dst, direction in ((mine, yours, XFRM_POLICY_OUT), (yours, mine, XFRM_POLICY_IN)):
            ends = [int.from_bytes(bytes(map(int, text.split("."))), "big") for text in (dst, src)]
            policy(net, src, dst, direction, XfrmTmpl(reqid=1), XfrmTmpl(*ends, proto=51, reqid=1, mode=outer))
    there = receiver(pair.b)
    for size in (5, 1000, 3000):
        pair.a.socket().sendto(bytes(size), THERE)
        pair.run()
        assert len(there.recv(4000)) == size
    first = ipv4(pair.a.dev.sent)[0]
    assert first[9] == 51
    assert first[20] == (4 if outer else 50)
    assert counters(pair.b.net) == {}


def test_a_sub_policy_adds_its_transforms_to_those_of_the_main_one(pair):
    protect(pair.a.net, pair.b.net, GCM)
    around = Sa(ALGORITHMS["ah-sha1"], spi=0x300, reqid=2)
    for net in (pair.a.net, pair.b.net):
        state(net, "10.0.0.1", "10.0.0.2", around)
    tmpl = XfrmTmpl(proto=51, reqid=2)
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, tmpl, type=XFRM_POLICY_TYPE_SUB)
    policy(pair.b.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_IN, tmpl, type=XFRM_POLICY_TYPE_SUB)
    there = receiver(pair.b)
    pair.a.socket().sendto(b"both", THERE)
    pair.run()
    assert there.recv(100) == b"both"
    assert (ipv4(pair.a.dev.sent)[0][9], counters(pair.b.net)) == (50, {})


def test_the_policy_of_the_lowest_priority_counts_and_of_equals_the_oldest(pair):
    net = pair.a.net
    net.kernel.crypto = CryptographyLibrary()
    for reqid in range(1, 5):
        state(net, "10.0.0.1", "10.0.0.2", replace(GCM, spi=0x100 + reqid, reqid=reqid))
    pair.a.socket().sendto(b"", THERE)
    pair.run()
    steps = (("10.0.0.0/8", 5, 1), ("10.0.0.1", 5, 1), ("10.0.0.1/24", 4, 3), ("10.0.0.0/16", 3, 4))
    for number, (src, priority, expected) in enumerate(steps, 1):
        policy(net, src, "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=number), priority=priority)
        pair.a.socket().sendto(b"x", THERE)
        assert ipv4(pair.a.dev.sent)[-1][20:24] == (0x100 + expected).to_bytes(4, "big")


def test_with_the_route_cache_a_policy_keeps_its_bundles(pair):
    pair.a.net.ipv4.sysctl_route_cache = 1
    protect(pair.a.net, pair.b.net, GCM)
    (out,) = [one for one in pair.a.net.xfrm.policy_all if one.dir == XFRM_POLICY_OUT]
    sock = pair.a.socket()
    sock.bind(("10.0.0.1", 5000))
    for _ in range(3):
        sock.sendto(b"x", THERE)
    assert len(out.bundles) == 1
    kept = out.bundles[0]
    sock.sendto(b"x", ("10.0.0.2", 9001))
    assert out.bundles[0] is kept
    assert len(out.bundles) == 2
    state(pair.a.net, "10.0.0.1", "10.0.0.2", replace(GCM, spi=0x300))
    sock.sendto(b"x", THERE)
    assert kept not in out.bundles
    pair.run()
    assert [packet[9] for packet in ipv4(pair.a.dev.sent)] == [50] * 5


def test_in_udp_keepalives_are_nothing_and_ike_is_for_the_program(pair):
    protect(pair.a.net, pair.b.net, GCM, ports=(5000, 9000), encap=XfrmEncap(2, 4500, 4500))
    gate = receiver(pair.b, ("10.0.0.2", 4500))
    gate.setsockopt(17, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP
    assert gate.getsockopt(17, 100) == 2
    peer = pair.a.socket()
    peer.bind(("10.0.0.1", 4500))
    for octets in (b"\xff", b"\0\0\0\0IKE of RFC 3947", b"\xff\xff", b"short"):
        peer.sendto(octets, ("10.0.0.2", 4500))
    pair.run()
    assert [gate.recv(100) for _ in range(3)] == [b"\0\0\0\0IKE of RFC 3947", b"\xff\xff", b"short"]
    here, there = pair.a.socket(), receiver(pair.b)
    here.bind(("10.0.0.1", 5000))
    for size in (1, 1400, 3000):
        here.sendto(bytes(size), THERE)
        pair.run()
        assert len(there.recv(4000)) == size
    assert {packet[9] for packet in ipv4(pair.a.dev.sent)} == {17}
    assert counters(pair.b.net) == {}


def listener(net, *groups: XfrmNlgrp):
    """Return a socket that is in groups of NETLINK_XFRM."""
    sock = net.socket(16, SOCK_RAW, NETLINK_XFRM)
    sock.bind((0, sum(1 << group - 1 for group in groups)))
    sock.settimeout(0.001)
    return sock


def kinds(sock) -> list[int]:
    """Return the types of the messages that a socket got."""
    found = []
    while True:
        try:
            found.append(unpack_from("=IH", sock.recv(4096))[1])
        except TimeoutError:
            return found


def test_who_makes_states_is_asked_once_and_the_answer_is_used(pair):
    net = pair.a.net
    asked = listener(net, XfrmNlgrp.ACQUIRE)
    policy(net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    sock = pair.a.socket()
    sock.bind(("10.0.0.1", 5000))
    for _ in range(3):
        sock.sendto(b"x", THERE)
    assert kinds(asked) == [XfrmMsg.ACQUIRE]
    assert counters(net) == {"OutNoStates": 3}
    assert "proto udp sport 5000 dport 9000" in ip(net, "xfrm state")
    state(net, "10.0.0.1", "10.0.0.2", GCM)
    assert len(net.xfrm.state_all) == 1
    sock.sendto(b"x", THERE)
    assert counters(net) == {"OutNoStates": 3}
    pair.run(31 * SECOND)
    assert len(net.xfrm.state_all) == 1


def test_a_state_that_was_asked_for_in_vain_is_given_up(pair):
    net = pair.a.net
    asked = listener(net, XfrmNlgrp.ACQUIRE)
    policy(net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    for _ in range(2):
        pair.a.socket().sendto(b"x", THERE)
        pair.run(31 * SECOND)
        assert net.xfrm.state_all == []
    assert kinds(asked) == [XfrmMsg.ACQUIRE] * 2


def test_changes_and_ends_are_told(pair):
    net = pair.a.net
    net.kernel.crypto = CryptographyLibrary()
    told = listener(net, XfrmNlgrp.SA, XfrmNlgrp.POLICY, XfrmNlgrp.EXPIRE)
    words = "src 10.0.0.1 dst 10.0.0.2 proto ah spi 0x100 auth sha1 key"
    ip(net, f"xfrm state add {words} limit time-soft 3 limit time-hard 5")
    ip(net, f"xfrm state update {words} limit time-soft 6 limit time-hard 9")
    ip(net, "xfrm policy add src 10.0.0.1 dir out limit time-hard 4")
    ip(net, "xfrm policy update src 10.0.0.1 dir out")
    ip(net, "xfrm policy delete src 10.0.0.1 dir out")
    assert kinds(told) == [XfrmMsg.NEWSA, XfrmMsg.UPDSA, XfrmMsg.NEWPOLICY, XfrmMsg.UPDPOLICY, XfrmMsg.DELPOLICY]
    pair.run(8 * SECOND)
    assert kinds(told) == [XfrmMsg.EXPIRE]
    pair.run(2 * SECOND)
    assert kinds(told) == [XfrmMsg.EXPIRE]
    ip(net, f"xfrm state add {words}")
    ip(net, "xfrm state delete dst 10.0.0.2 proto ah spi 0x100")
    assert kinds(told) == [XfrmMsg.NEWSA, XfrmMsg.DELSA]


def test_addresses_behind_a_tunnel_may_be_those_of_a_loopback_device(pair):
    for host, mine, theirs, via in (
        (pair.a, "172.16.1.1", "172.16.2.1", "10.0.0.2"),
        (pair.b, "172.16.2.1", "172.16.1.1", "10.0.0.1"),
    ):
        addr_add(host.net.loopback_dev, f"{mine}/32")
        route_add(host.net, f"{theirs}/32", via=via)
    protect(pair.a.net, pair.b.net, TUNNEL, ("172.16.1.1", "172.16.2.1"))
    sock = pair.a.socket()
    sock.bind(("172.16.1.1", 0))
    sock.connect(("172.16.2.1", 7))
    sock.send(b"nobody")
    pair.run()
    with pytest.raises(ConnectionRefusedError):  # The answer came through the tunnel, too.
        sock.send(b"x")
    assert {packet[9] for packet in ipv4(pair.b.dev.sent)} == {50}
    pair.run(60 * SECOND)
    sock.close()
    pair.run()
    pair.check_memory()


@pytest.mark.parametrize("mode", [0, XFRM_MODE_TUNNEL])
def test_a_ping_comes_back(pair, mode):
    protect(pair.a.net, pair.b.net, replace(GCM, mode=mode))
    raw = pair.a.socket(2, SOCK_RAW, 1)
    raw.sendto(b"\x08\0\xf7\xff" + bytes(4), ("10.0.0.2", 0))
    pair.run()
    assert raw.recv(100)[20:] == b"\0\0\xff\xff" + bytes(4)
    assert {packet[9] for packet in ipv4(pair.a.dev.sent + pair.b.dev.sent)} == {50}
    assert counters(pair.a.net) == counters(pair.b.net) == {}


def test_a_tunnel_of_ipip_is_protected_in_transport_mode():
    two = Namespaces(2)
    two.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    for number, net in enumerate(two.nets, 1):
        ip(net, f"link add tun0 type ipip local 10.0.0.{number} remote 10.0.0.{3 - number}")
        ip(net, "link set tun0 up")
        ip(net, f"address add 172.16.0.{number}/24 dev tun0")
    states = protect(*two.nets, GCM)
    there = two.nets[1].socket()
    there.bind(("172.16.0.2", 9000))
    there.settimeout(0.001)
    here = two.nets[0].socket()
    for size in (1, 1300, 5000):
        here.sendto(bytes(size), ("172.16.0.2", 9000))
        two.run()
        assert len(there.recv(6000)) == size
    assert states[0].curlft.packets == states[3].curlft.packets > 3
    assert [counters(net) for net in two.nets] == [{}, {}]


def test_a_packet_that_a_rule_marks_gets_the_policy_of_its_mark(pair):
    net = pair.a.net
    net.kernel.crypto = CryptographyLibrary()
    pair.a.socket().sendto(b"", THERE)
    pair.run()
    state(net, "10.0.0.1", "10.0.0.2", GCM)
    policy(net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1), mark=XfrmMark(7, 0xFF))
    nft(net, "table ip t { chain c { type route hook output priority 0; udp dport 9000 meta mark set 7; } }")
    for port, protocol in ((9000, 50), (9001, 17)):
        pair.a.socket().sendto(b"x", ("10.0.0.2", port))
        assert ipv4(pair.a.dev.sent)[-1][9] == protocol


@pytest.mark.parametrize("mode", [0, XFRM_MODE_TUNNEL])
@pytest.mark.parametrize("name", ["cbc-sha256", "ah-sha256"])
@pytest.mark.parametrize(
    "options", ["07 0b 04 00000000 00000000 01", "94040000", "82 0b 0000 0000 0000 000000 00", "01010101"]
)
def test_packets_with_options_are_protected(pair, options, name, mode):
    protect(pair.a.net, pair.b.net, Sa(ALGORITHMS[name], mode=mode))
    there, sock = receiver(pair.b), pair.a.socket()
    sock.setsockopt(0, api.IP_OPTIONS, bytes.fromhex(options))
    for size in (1, 1400, 3000):
        sock.sendto(bytes(size), THERE)
        pair.run()
        assert len(there.recv(4000)) == size
    assert counters(pair.a.net) == counters(pair.b.net) == {}


def test_a_state_with_a_chosen_index_is_made_by_an_update(pair):
    net = pair.a.net
    words = "src 10.0.0.1 dst 10.0.0.2 proto ah"
    ip(net, f"xfrm state allocspi {words} min 0x500 max 0x500")
    with pytest.raises(CommandError, match="File exists"):
        ip(net, f"xfrm state add {words} spi 0x500 auth sha1 key")
    ip(net, f"xfrm state update {words} spi 0x500 auth sha1 key")
    assert "auth-trunc hmac(sha1) 0x6b6579 96" in ip(net, "xfrm state")
    assert len(net.xfrm.state_all) == 1
    pair.run(31 * SECOND)
    assert len(net.xfrm.state_all) == 1

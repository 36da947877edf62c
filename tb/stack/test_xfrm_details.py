"""What tunnels do with headers, what programs are told, and what cannot be set up."""

from dataclasses import replace
from errno import EEXIST, EINVAL, EMSGSIZE, ENOENT
from struct import pack

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack import socket as api
from hardwire.stack.core.dst import dst_metric_advmss, dst_mtu
from hardwire.stack.iproute import addr_add
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.ipv4.flow import Flowi4
from hardwire.stack.ipv4.route import ip_route_output_flow
from hardwire.stack.ipv4.xfrm4_protocol import Xfrm4Protocol, xfrm4_protocol_deregister, xfrm4_protocol_register
from hardwire.stack.netlink.xfrm import XfrmMsg, XfrmNlgrp
from hardwire.stack.uapi import SOCK_RAW
from hardwire.stack.xfrm.xfrm import (
    IPPROTO_ESP,
    XFRM_MODE_TUNNEL,
    XFRM_POLICY_OUT,
    XFRM_STATE_DECAP_DSCP,
    XFRM_STATE_NOECN,
    XFRM_STATE_NOPMTUDISC,
    XfrmEncap,
    XfrmTmpl,
)
from hardwire.stack.xfrm.xfrm_dst import XfrmDst
from hardwire.tb.stack.inet_host import error_of, raises
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, counters, policy, protect, state
from hardwire.tb.stack.pair import Pair
from hardwire.tb.stack.test_xfrm_path import Gateways, ipv4, kinds, listener, receiver

GCM = Sa(ALGORITHMS["gcm-128"], flags=0)
TUNNEL = replace(GCM, mode=XFRM_MODE_TUNNEL)
THERE = ("10.0.0.2", 9000)
SECOND = 1_000_000_000


@pytest.fixture
def pair() -> Pair:
    return Pair()


def scapy_tunnel(tos: int = 0) -> SecurityAssociation:
    """Return scapy's view of the tunnel from the first host to the second."""
    key = ALGORITHMS["gcm-128"].aead_alg.key
    header = IP(src="10.0.0.1", dst="10.0.0.2", tos=tos)
    return SecurityAssociation(ESP, spi=0x100, crypt_algo="AES-GCM", crypt_key=key, tunnel_header=header)


# RFC 3168 §9.1.1 and RFC 2983: the TOS of the inner header, the flags of the state, and the TOS of the outer one.
@pytest.mark.parametrize(
    ("inner", "flags", "outer"),
    [(0, 0, 0), (0xB8, 0, 0xB8), (0xB9, 0, 0xB9), (0xBA, 0, 0xBA), (0xBB, 0, 0xBA), (0xBA, XFRM_STATE_NOECN, 0xB8)],
)
def test_the_outer_header_has_the_class_of_the_inner_one(pair, inner, flags, outer):
    protect(pair.a.net, pair.b.net, replace(TUNNEL, flags=flags))
    sock = pair.a.socket(api.AF_INET, SOCK_RAW, 255)  # IPPROTO_RAW
    sock.sendto(
        bytes(IP(src="10.0.0.1", dst="10.0.0.2", tos=inner) / UDP(sport=1, dport=9000) / Raw(b"x")), ("10.0.0.2", 0)
    )
    pair.run()
    (packet,) = ipv4(pair.a.dev.sent)
    assert packet[1] == outer
    assert IP(bytes(scapy_tunnel().decrypt(IP(packet)))).tos == inner


# The TOS of the outer header as it comes, that of the inner one, the flags of the state, and what the program sees.
@pytest.mark.parametrize(
    ("outer", "inner", "flags", "seen"),
    [
        (0, 0xB8, 0, 0xB8),
        (3, 0xBA, 0, 0xBB),
        (3, 0xB8, 0, 0xB8),
        (3, 0xBA, XFRM_STATE_NOECN, 0xBA),
        (0x28, 0xBA, XFRM_STATE_DECAP_DSCP, 0x2A),
        (0x2B, 0xBA, XFRM_STATE_DECAP_DSCP, 0x2B),
    ],
)
def test_the_inner_header_learns_of_congestion(pair, outer, inner, flags, seen):
    protect(pair.a.net, pair.b.net, replace(TUNNEL, flags=flags))
    there = receiver(pair.b)
    there.setsockopt(0, api.IP_RECVTOS, 1)
    clear = IP(src="10.0.0.1", dst="10.0.0.2", tos=inner) / UDP(sport=1, dport=9000) / Raw(b"x")
    packet = scapy_tunnel(outer).encrypt(clear, seq_num=1)
    pair.b.receive(pair.b.dev.dev_addr + bytes(6) + b"\x08\x00" + bytes(packet))
    pair.run()
    data, control, _, _ = there.recvmsg(100, 100)
    assert data == b"x"
    assert [entry[2][0] for entry in control] == [seen]


@pytest.mark.parametrize(("flags", "expected"), [(0, 0x40), (XFRM_STATE_NOPMTUDISC, 0)])
def test_the_outer_header_says_that_it_must_not_be_fragmented_if_the_inner_one_does(pair, flags, expected):
    protect(pair.a.net, pair.b.net, replace(TUNNEL, flags=flags))
    pair.a.socket().sendto(b"x", THERE)
    pair.run()
    assert ipv4(pair.a.dev.sent)[0][6] & 0x40 == expected


def test_a_probe_that_does_not_fit_a_tunnel_is_refused_and_the_program_told_what_does(pair):
    protect(pair.a.net, pair.b.net, TUNNEL)
    sock = pair.a.socket()
    sock.setsockopt(0, api.IP_MTU_DISCOVER, 3)  # IP_PMTUDISC_PROBE: by the device's MTU.
    sock.setsockopt(0, api.IP_RECVERR, 1)
    with raises(EMSGSIZE):
        sock.sendto(bytes(1472), THERE)
    assert error_of(sock)[2] == (1500 - 20 - 32) // 4 * 4 - 2
    assert counters(pair.a.net) == {"OutStateModeError": 1}


def test_a_template_need_not_say_where_the_tunnel_begins(pair):
    protect(pair.a.net, pair.b.net, TUNNEL)
    ip(pair.a.net, "xfrm policy flush")
    tmpl = XfrmTmpl(daddr=0x0A000002, reqid=1, mode=XFRM_MODE_TUNNEL)
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, tmpl)
    there = receiver(pair.b)
    pair.a.socket().sendto(b"x", THERE)
    pair.run()
    assert there.recv(100) == b"x"
    assert ipv4(pair.a.dev.sent)[0][9] == 50


def test_a_peer_that_is_behind_another_port_is_told_of(pair):
    states = protect(pair.a.net, pair.b.net, GCM, ports=(5000, 9000), encap=XfrmEncap(2, 4500, 4500))
    states[0].encap = XfrmEncap(2, 4501, 4500)
    gate = receiver(pair.b, ("10.0.0.2", 4500))
    gate.setsockopt(17, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP
    told = listener(pair.b.net, XfrmNlgrp.MAPPING)
    there, here = receiver(pair.b), pair.a.socket()
    here.bind(("10.0.0.1", 5000))
    here.sendto(b"x", THERE)
    pair.run()
    assert there.recv(100) == b"x"
    assert kinds(told) == [XfrmMsg.MAPPING]


def test_a_policy_that_will_end_is_told_of_twice(pair):
    told = listener(pair.a.net, XfrmNlgrp.EXPIRE)
    ip(pair.a.net, "xfrm policy add dir out limit time-soft 3 limit time-hard 5")
    pair.run(4 * SECOND)
    assert kinds(told) == [XfrmMsg.POLEXPIRE]
    pair.run(2 * SECOND)
    assert kinds(told) == [XfrmMsg.POLEXPIRE]
    assert ip(pair.a.net, "xfrm policy") == ""


def test_a_state_that_will_be_used_up_is_told_of(pair):
    protect(pair.a.net, pair.b.net, GCM)
    told = listener(pair.a.net, XfrmNlgrp.EXPIRE)
    words = "src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100 enc aes 0123456789abcdef"
    ip(pair.a.net, f"xfrm state update {words} limit packet-soft 2 limit packet-hard 4")
    for _ in range(4):
        pair.a.socket().sendto(b"x", THERE)
    assert kinds(told) == [XfrmMsg.EXPIRE]
    with raises(EINVAL):
        pair.a.socket().sendto(b"x", THERE)
    pair.run(SECOND)
    assert kinds(told) == [XfrmMsg.EXPIRE]


def test_an_error_about_esp_that_this_host_did_not_send_changes_nothing(pair):
    protect(pair.a.net, pair.b.net, TUNNEL)
    sock = pair.a.socket()
    sock.connect(THERE)
    sock.send(b"x")
    pair.run()
    (packet,) = ipv4(pair.a.dev.sent)
    for spi in (b"\0\0\7\7", packet[20:24]):
        message = b"\x03\x03\0\0" + pack("!HH", 0, 1200) + packet[:20] + spi + bytes(4)
        frame = IP(src="10.0.0.9", dst="10.0.0.1", proto=1) / Raw(message)
        pair.a.receive(pair.a.dev.dev_addr + bytes(6) + b"\x08\x00" + bytes(frame))
        pair.run()
    assert sock.getsockopt(0, api.IP_MTU) == (1500 - 20 - 32) // 4 * 4 - 2


def test_a_bundle_answers_what_a_route_does(pair):
    protect(pair.a.net, pair.b.net, TUNNEL)
    dst = ip_route_output_flow(pair.a.net, Flowi4(0x0A000002, 0, 17, 1, 2))
    assert isinstance(dst, XfrmDst)
    assert (dst.dev, dst.child, dst.header_len) == (pair.a.dev, dst.path, 20 + 8 + 8)
    assert dst_mtu(dst) == (1500 - 20 - 32) // 4 * 4 - 2
    assert dst_metric_advmss(dst) == 1460  # Of the way: what the peer sends has a bundle of its own.
    assert dst.ops.check(dst) is dst
    assert dst.ops.negative_advice(dst) is dst
    dst.ops.ifdown(dst, pair.a.dev)
    assert dst.ops.check(dst) is None
    assert dst.ops.negative_advice(dst) is None


def test_others_may_receive_esp_before_the_stack_does(pair):
    protect(pair.a.net, pair.b.net, GCM)
    taken = []
    handler = Xfrm4Protocol(
        lambda skb: taken.append(skb.len) or -EINVAL, lambda skb: 0, lambda skb, info: 1, priority=-1
    )
    xfrm4_protocol_register(pair.b.net, handler, IPPROTO_ESP)
    with raises(EEXIST):
        xfrm4_protocol_register(pair.b.net, handler, IPPROTO_ESP)
    with raises(EINVAL):
        xfrm4_protocol_register(pair.b.net, handler, 17)
    there = receiver(pair.b)
    pair.a.socket().sendto(b"x", THERE)
    pair.run()
    assert there.recv(10) == b"x"
    assert len(taken) == 1
    xfrm4_protocol_deregister(pair.b.net, handler, IPPROTO_ESP)
    with raises(ENOENT):
        xfrm4_protocol_deregister(pair.b.net, handler, IPPROTO_ESP)
    own = pair.b.net.xfrm.protocols[IPPROTO_ESP][0]
    xfrm4_protocol_deregister(pair.b.net, own, IPPROTO_ESP)
    ip(pair.a.net, "xfrm policy deleteall dir in")
    ip(pair.b.net, "xfrm policy flush")
    sock = pair.a.socket()
    sock.connect(THERE)
    sock.send(b"x")
    pair.run()
    assert pair.b.mib["IcmpMsg:OutType3"] == 1  # As for a port that nobody has.


@pytest.mark.parametrize(
    "words",
    [
        "state add dst 10.0.0.2 proto esp spi 1 enc aes 0123456789abcdef aead gcm 0x11 128",
        "state add dst 10.0.0.2 proto esp spi 1 enc aes 0123456789abcdef encap espintcp 1 2 0.0.0.0",
        "state add dst 10.0.0.2 proto ah spi 1 auth sha1 key replay-window 5000 flag esn",
        "state add dst 10.0.0.2 proto ah spi 1 auth sha1 key flag esn",
        "state get dst 10.0.0.2 proto ah spi 1",
        "state delete dst 10.0.0.2 proto ah spi 1",
        "state allocspi dst 10.0.0.2 proto comp min 1 max 2",
        "policy update dir out index 9 tmpl proto esp mode beet",
    ],
)
def test_what_makes_no_sense_is_refused(pair, words):
    pair.a.kernel.crypto = CryptographyLibrary()
    with pytest.raises(CommandError, match="."):
        ip(pair.a.net, f"xfrm {words}")
    assert pair.a.net.xfrm.state_all == pair.a.net.xfrm.policy_all == []


def test_no_index_is_chosen_twice(pair):
    for _ in range(2):
        ip(pair.a.net, "xfrm state allocspi dst 10.0.0.2 proto ah min 1 max 2")
    assert {x.spi for x in pair.a.net.xfrm.state_all} == {1, 2}
    with pytest.raises(CommandError, match="No SPI available"):
        ip(pair.a.net, "xfrm state allocspi dst 10.0.0.2 proto ah min 1 max 2")


def test_the_newest_state_is_used_and_one_that_ends_soon_is_not(pair):
    net = pair.a.net
    policy(net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    addr_add(pair.a.dev, "10.0.0.3/24")
    first = state(net, "10.0.0.1", "10.0.0.2", GCM)
    pair.a.socket().sendto(b"x", THERE)
    pair.run(2 * SECOND)
    second = state(net, "10.0.0.1", "10.0.0.2", replace(GCM, spi=0x200))
    pair.a.socket().sendto(b"x", THERE)
    second.dying = True
    pair.a.socket().sendto(b"x", THERE)
    first.dying = True
    pair.a.socket().sendto(b"x", THERE)
    assert [packet[22] for packet in ipv4(pair.a.dev.sent)] == [1, 2, 1, 2]


@pytest.mark.parametrize("flag", ["", "flag icmp"])
def test_an_error_about_a_protected_packet_is_protected_if_the_policy_says_so(flag):
    path = Gateways(inner=("10.1.0.1", "10.2.0.1"))
    words = "src 10.2.0.1 dst 10.1.0.1 dir out"
    tmpl = "tmpl src 10.0.0.2 dst 10.0.0.1 proto esp reqid 1 mode tunnel"
    ip(path.right, f"xfrm policy update {words} {flag} {tmpl}")
    sock = path.a.socket()
    sock.setsockopt(0, api.IP_TTL, 2)
    sock.sendto(b"ends at the second gateway", ("10.2.0.1", 9000))
    path.two.run()
    assert path.right.mib["IcmpMsg:OutType11"] == 1
    assert path.states[2].curlft.packets == bool(flag)


def test_a_connected_socket_sends_once_there_is_a_state(pair):
    policy(pair.a.net, "10.0.0.1", "10.0.0.2", XFRM_POLICY_OUT, XfrmTmpl(reqid=1))
    sock = pair.a.socket()
    sock.connect(THERE)
    sock.send(b"x")
    assert not pair.a.dev.sent
    state(pair.a.net, "10.0.0.1", "10.0.0.2", GCM)
    sock.send(b"x")
    pair.run()
    assert [packet[9] for packet in ipv4(pair.a.dev.sent)] == [50]
    sock.close()
    pair.run(60 * SECOND)
    pair.check_memory()

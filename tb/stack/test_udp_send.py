"""From the socket call to the frame: payloads, options, corking, memory, errors."""

from contextlib import nullcontext
from errno import (
    EACCES,
    EAFNOSUPPORT,
    EAGAIN,
    EBADF,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOBUFS,
    ENOMEM,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
)

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from hardwire.stack import socket as api
from hardwire.stack.core.msghdr import EIOCBQUEUED, Kiocb, Msghdr
from hardwire.stack.core.proto_ops import ProtoOps
from hardwire.stack.core.skbuff import CHECKSUM_NONE, CHECKSUM_PARTIAL
from hardwire.stack.iproute import addr_add, addr_del, neigh_add, route_add
from hardwire.stack.sched.sch_api import qdisc_replace
from hardwire.tb.stack.inet_host import MS, PEER, PEER_MAC, SECOND, InetHost, raises


def test_a_datagram_goes_out_as_scapy_would_build_it(host):
    sock = host.socket()
    sock.bind(("10.0.0.1", 5000))
    assert sock.sendto(b"hello", PEER) == 5
    ident = IP(host.dev.frames[0][14:]).id
    wanted = Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01") / IP(
        src="10.0.0.1", dst="10.0.0.2", id=ident, flags="DF"
    )
    wanted /= UDP(sport=5000, dport=9000) / b"hello"
    sent = bytearray(host.dev.frames[0])
    assert host.dev.offloads == [(CHECKSUM_PARTIAL, 34, 6)]
    sent[40:42] = bytes(wanted)[40:42]  # The device's part.
    assert bytes(sent) == bytes(wanted)
    assert sock.getsockname() == ("10.0.0.1", 5000)
    host.check_memory()


@pytest.mark.parametrize("features", [0, 1, 9], ids=["plain", "sg", "sg+csum"])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 1471, 1472, 1473, 1480, 2952, 2953, 8972, 65507])
def test_every_size_arrives_whole_with_and_without_offloads(size, features):
    host = InetHost(features=features)
    data = bytes(at * 7 & 0xFF for at in range(size))
    assert host.socket().sendto(data, PEER) == size
    count = len(host.dev.frames)
    assert count == max(1, -(-(size + 8) // 1480))
    (datagram,) = host.datagrams()
    assert datagram.payload == data
    assert host.mib["Ip:FragCreates"] == (count if count > 1 else 0)
    assert host.mib["Udp:OutDatagrams"] == 1
    host.check_memory()


def test_payload_that_does_not_fit_a_datagram_is_emsgsize(host):
    with raises(EMSGSIZE):
        host.socket().sendto(bytes(65508), PEER)
    with raises(EMSGSIZE):
        host.socket().sendto(bytes(65536), PEER)
    host.check_memory()


def test_df_makes_what_does_not_fit_emsgsize(host):
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO)
    assert sock.sendto(bytes(1472), PEER) == 1472
    with raises(EMSGSIZE):
        sock.sendto(bytes(1473), PEER)
    (packet,) = host.packets()
    assert packet.dont_fragment
    assert packet.id == 0  # RFC 6864 §4.1.


@pytest.mark.parametrize(
    ("discover", "size", "df"),
    [
        (api.IP_PMTUDISC_DONT, 10, False),
        (api.IP_PMTUDISC_WANT, 10, True),
        (api.IP_PMTUDISC_WANT, 2000, False),
        (api.IP_PMTUDISC_PROBE, 10, True),
        (api.IP_PMTUDISC_INTERFACE, 10, False),
        (api.IP_PMTUDISC_OMIT, 2000, False),
    ],
)
def test_mtu_discover_decides_df(host, discover, size, df):
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, discover)
    sock.sendto(bytes(size), PEER)
    assert {packet.dont_fragment for packet in host.packets()} == {df}


def test_a_checksum_of_zero_is_sent_as_ffff():
    host = InetHost(features=0)
    sock = host.socket()
    sock.bind(("10.0.0.1", 5000))
    sock.sendto(bytes(2), PEER)
    check = UDP(host.dev.frames[0][34:]).chksum
    host.dev.frames.clear()
    sock.sendto(check.to_bytes(2, "big"), PEER)  # Its sum is what completes the others' to 0xFFFF.
    assert host.dev.frames[0][40:42] == b"\xff\xff"
    assert host.datagrams()[0].payload == check.to_bytes(2, "big")


def test_no_check_sends_zero(host):
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_NO_CHECK, 1)
    sock.sendto(b"abc", PEER)
    assert host.dev.frames[0][40:42] == bytes(2)
    assert host.dev.offloads[0][0] == CHECKSUM_NONE


def test_connected_sends_count_their_own_identifications(host):
    sock = host.socket()
    sock.connect(PEER)
    for _ in range(3):
        assert sock.send(b"x") == 1
    first, second, third = (packet.id for packet in host.packets())
    assert (second - first) & 0xFFFF == (third - second) & 0xFFFF == 1
    assert sock.getpeername() == PEER
    assert sock.getsockname()[0] == "10.0.0.1"


def test_connected_socket_finds_a_new_route_when_its_own_goes(host):
    sock = host.socket()
    sock.connect(PEER)
    sock.send(b"1")
    addr_del(host.dev, "10.0.0.1/24")
    with raises(ENETUNREACH):  # Its source address is nobody's now.
        sock.send(b"2")
    addr_add(host.dev, "10.0.0.1/24")
    neigh_add(host.dev, "10.0.0.2", "02:00:00:00:00:02")  # With the last address all neighbours went.
    assert sock.send(b"3") == 1
    assert [datagram.payload for datagram in host.datagrams()] == [b"1", b"3"]


def test_disconnect_takes_the_peer_away(host):
    sock = host.socket()
    sock.connect(PEER)
    sock.connect(bytes(16))  # AF_UNSPEC
    assert sock.getsockname() == ("0.0.0.0", 0)
    with raises(ENOTCONN):
        sock.getpeername()
    with raises(EDESTADDRREQ):
        sock.send(b"x")


def test_msg_more_and_cork_join_sends_into_one_datagram(host):
    sock = host.socket()
    assert sock.sendto(b"one ", api.MSG_MORE, PEER) == 4
    assert sock.sendto(b"two ", api.MSG_MORE, PEER) == 4
    assert not host.dev.frames
    assert sock.sendto(b"three", PEER) == 5
    sock.connect(PEER)
    sock.setsockopt(api.IPPROTO_UDP, api.UDP_CORK, 1)
    sock.send(b"a")
    sock.send(b"bc")
    assert sock.getsockopt(api.IPPROTO_UDP, api.UDP_CORK) == 1
    sock.setsockopt(api.IPPROTO_UDP, api.UDP_CORK, 0)
    assert [datagram.payload for datagram in host.datagrams()] == [b"one two three", b"abc"]


@given(
    parts=st.lists(st.integers(0, 4000), min_size=1, max_size=8).filter(lambda parts: sum(parts) < 20000),
    features=st.sampled_from([0, 1, 8, 9]),
    mtu=st.sampled_from([576, 1500, 9000]),
)
@example(parts=[548, 100], features=0, mtu=576)  # The first part fills the MTU, but not a fragment.
@example(parts=[548, 1], features=1, mtu=576)
@settings(max_examples=60, deadline=None)
def test_corked_parts_of_any_size_arrive_in_order(parts, features, mtu):
    host = InetHost(features=features)
    host.dev.mtu = mtu
    sock = host.socket()
    data = bytes(at * 13 & 0xFF for at in range(sum(parts)))
    at = 0
    for number, size in enumerate(parts):
        more = api.MSG_MORE if number < len(parts) - 1 else 0
        assert sock.sendto(data[at : at + size], more, PEER) == size
        at += size
    assert all(len(frame) <= mtu + 14 for frame in host.dev.frames)
    (datagram,) = host.datagrams()
    assert datagram.payload == data
    sock.close()
    host.check_memory()


def test_parts_that_cross_the_end_of_fragment_memory_arrive_whole():
    """The memory is used for datagram after datagram, so a part meets its end at an odd place."""
    host = InetHost(features=1)
    host.dev.mtu = 9000
    sock = host.socket()
    data = bytes(at * 13 & 0xFF for at in range(3401))
    for number in range(40):
        sock.sendto(data[:100], api.MSG_MORE, PEER)
        sock.sendto(data[100 : 3401 - number], PEER)
    assert [datagram.payload for datagram in host.datagrams()] == [data[: 3401 - number] for number in range(40)]


def test_an_error_while_corking_throws_the_datagram_away(host):
    sock = host.socket()
    sock.sendto(bytes(60000), api.MSG_MORE, PEER)
    with raises(EMSGSIZE):
        sock.sendto(bytes(6000), api.MSG_MORE, PEER)
    sock.sendto(b"new", PEER)
    assert [datagram.payload for datagram in host.datagrams()] == [b"new"]
    sock.close()
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def test_closing_a_corked_socket_frees_everything(host):
    sock = host.socket()
    sock.sendto(bytes(5000), api.MSG_MORE, PEER)
    sock.sendto(bytes(500), api.MSG_MORE, PEER)
    sock.close()
    assert not host.dev.frames
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def test_sendmsg_gathers_buffers(host):
    sock = host.socket()
    buffers = [b"ab", bytearray(b"cde"), memoryview(b"f"), b""]
    assert sock.sendmsg(buffers, [], 0, PEER) == 6
    assert sock.sendmsg([b"x" * 700] * 4, address=PEER) == 2800
    assert [datagram.payload for datagram in host.datagrams()] == [b"abcdef", b"x" * 2800]


def test_errors_of_sendto(host):
    sock = host.socket()
    for arguments, number in [
        ((b"x", api.MSG_OOB, PEER), EOPNOTSUPP),
        ((b"x", ("10.0.0.2", 0)), EINVAL),
        ((b"x", ("192.0.2.1", 9)), ENETUNREACH),
        ((b"x", ("10.0.0.255", 9)), EACCES),
        ((b"x", ("255.255.255.255", 9)), ENETUNREACH),
        ((b"x", ("0.0.0.1", 9)), ENETUNREACH),
        ((b"x", ("nowhere", 9)), EINVAL),
        ((b"x", b"\x0a\x00" + bytes(14)), EAFNOSUPPORT),
        ((b"x", b"\x02\x00"), EINVAL),
    ]:
        with raises(number):
            sock.sendto(*arguments)
    with raises(EDESTADDRREQ):
        sock.send(b"x")
    with pytest.raises(OverflowError, match="port must be 0-65535"):
        sock.sendto(b"x", ("10.0.0.2", 65536))
    with pytest.raises(TypeError):
        sock.sendto("text", PEER)
    sock.close()
    with raises(EBADF):
        sock.sendto(b"x", PEER)
    assert not host.dev.frames
    host.check_memory()


def test_broadcast_needs_permission_and_goes_to_all(host):
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_BROADCAST, 1)
    sock.sendto(b"x", ("10.0.0.255", 9))
    sock.setsockopt(api.SOL_SOCKET, api.SO_BINDTODEVICE, b"eth0\0")
    sock.sendto(b"x", ("<broadcast>", 9))
    host.platform.advance(SECOND)
    frames = host.frames()
    assert [frame.dst for frame in frames] == [b"\xff" * 6] * 2
    assert host.mib["IpExt:OutBcastPkts"] == 2
    assert host.mib["Udp:IgnoredMulti"] == 2  # This host gets copies, which no socket wants.
    host.check_memory()


def test_a_socket_without_a_peer_is_bound_to_no_device(host):
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_BINDTODEVICE, b"eth0\0")
    sock.connect(PEER)
    sock.connect(bytes(16))  # AF_UNSPEC
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_BINDTODEVICE, 16) == b""


@pytest.mark.parametrize("option", [False, True])
def test_dontroute_sends_to_the_link_only(host, option):
    route_add(host.net, "192.0.2.0/24", via="10.0.0.2")
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_DONTROUTE, option)
    flags = 0 if option else api.MSG_DONTROUTE
    sock.sendto(b"x", flags, PEER)
    with raises(ENETUNREACH):
        sock.sendto(b"x", flags, ("192.0.2.9", 9))
    assert [packet.dst for packet in host.packets()] == [0x0A000002]


def test_a_mark_of_the_socket_or_of_one_send_is_in_the_skb(host):
    host.dev.hold = True
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_MARK, 7)
    sock.sendto(b"x", PEER)
    sock.sendmsg([b"x"], [(api.SOL_SOCKET, api.SO_MARK, b"\xff" * 4)], 0, PEER)
    assert [skb.mark for skb in host.dev.held] == [7, 0xFFFFFFFF]
    host.release()


def test_loopback_frames_are_received_and_answered_when_no_socket_wants_them(host):
    sock = host.socket()
    assert sock.sendto(b"x", ("127.0.0.1", 9)) == 1
    assert sock.sendto(b"x", ("10.0.0.1", 9)) == 1
    assert sock.sendto(bytes(65507), ("127.0.0.1", 9)) == 65507
    host.platform.advance(SECOND)
    assert host.kernel.drop_counts() == {"NO_SOCKET": 3}
    assert host.net.loopback_dev.stats.tx_packets == 6  # Each with an answer: port unreachable.
    assert not host.dev.frames
    sock.close()
    host.check_memory()


def test_a_loopback_source_cannot_leave(host):
    sock = host.socket()
    sock.bind(("127.0.0.1", 5000))
    with raises(EINVAL):
        sock.sendto(b"x", PEER)


def test_a_full_send_buffer_blocks_until_the_device_frees(host):
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_SNDBUF, 1)
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_SNDBUF) == 4608
    host.dev.hold = True
    while sock.sk.sk_wmem_alloc < 4608:
        sock.sendto(bytes(1000), PEER)
    before = len(host.dev.frames)
    with raises(EAGAIN):
        sock.sendto(b"x", api.MSG_DONTWAIT, PEER)
    assert host.mib["Udp:SndbufErrors"] == 1
    sock.settimeout(0.5)
    start = host.platform.now_ns()
    with pytest.raises(TimeoutError):
        sock.sendto(b"x", PEER)
    assert host.platform.now_ns() - start == 500 * MS
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.sendto(b"x", PEER)
    sock.setblocking(True)
    host.platform.timer(host.platform.now_ns() + 20 * MS, host.release)
    assert sock.sendto(b"x", PEER) == 1
    assert len(host.dev.frames) == before + 1
    host.release()
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def test_fragments_over_twice_the_send_buffer_are_enobufs(host):
    sock = host.socket()
    sock.setsockopt(api.SOL_SOCKET, api.SO_SNDBUF, 1)
    with raises(ENOBUFS):
        sock.sendto(bytes(65507), PEER)
    assert host.mib["Udp:SndbufErrors"] == 1
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def test_no_memory_at_any_allocation_loses_nothing():
    for nth in range(5):
        host = InetHost()
        sock = host.socket()
        host.platform.fail_kmalloc = nth
        with nullcontext() if nth > 2 else raises(ENOMEM):
            sock.sendto(bytes(4000), PEER)
        host.platform.fail_kmalloc = -1
        sock.close()
        assert sock.sk.sk_wmem_alloc == 0
        host.check_memory()


def test_a_datagram_dropped_by_the_qdisc_counts_as_sent_unless_recverr(host):
    qdisc_replace(host.dev, "tbf", rate_bps=8_000, burst=1600, limit=2200)
    sock = host.socket()
    for _ in range(3):
        assert sock.sendto(bytes(1000), PEER) == 1000
    before = dict(host.mib)
    assert sock.sendto(bytes(1000), PEER) == 1000
    assert host.mib["Ip:OutDiscards"] - before.get("Ip:OutDiscards", 0) == 1
    assert host.mib["Udp:SndbufErrors"] - before.get("Udp:SndbufErrors", 0) == 1
    assert host.mib["Udp:OutDatagrams"] == before["Udp:OutDatagrams"]
    sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, 1)
    with raises(ENOBUFS):
        sock.sendto(bytes(1000), PEER)


def test_shutdown_ends_sending(host):
    sock = host.socket()
    with raises(ENOTCONN):
        sock.shutdown(1)
    with raises(EPIPE):
        sock.sendto(b"x", PEER)


def test_a_security_hook_may_forbid_a_send(host):
    seen = []

    def hook(sock, msg, size):
        seen.append((msg.name, size))
        return -EACCES if size > 3 else 0

    host.kernel.security_socket_sendmsg.append(hook)
    sock = host.socket()
    assert sock.sendto(b"abc", PEER) == 3
    with raises(EACCES):
        sock.sendto(b"abcd", PEER)
    assert seen == [((2, 0x0A000002, 9000), 3), ((2, 0x0A000002, 9000), 4)]


def test_sock_sendmsg_waits_for_a_protocol_that_finishes_later(host):
    sock = host.socket()

    def later(sk, msg, size):
        host.platform.timer(host.platform.now_ns() + MS, lambda: msg.iocb.complete(size))
        return -EIOCBQUEUED

    names = set(ProtoOps.__slots__) - {"sendmsg"}
    sock.ops = ProtoOps(sendmsg=later, **{name: getattr(sock.ops, name) for name in names})
    assert api.sock_sendmsg(sock, Msghdr(None, [b"abc"], 3)) == 3
    iocb = Kiocb(host.platform)
    assert api.sock_sendmsg(sock, Msghdr(None, [b"abc"], 3), iocb) == -EIOCBQUEUED
    assert not iocb.done
    assert iocb.wait() == 3


def test_msg_probe_sends_nothing_and_confirms_with_msg_confirm(host):
    sock = host.socket()
    host.platform.advance(100 * SECOND)
    before = host.peer.confirmed
    assert sock.sendto(b"", api.MSG_PROBE | api.MSG_CONFIRM, PEER) == 0
    assert sock.sendto(b"abc", api.MSG_PROBE | api.MSG_MORE, PEER) == 3
    assert not sock.sk.pending
    assert host.peer.confirmed > before
    assert not host.dev.frames


def test_a_device_with_a_longer_header_gets_its_headroom(host):
    """A route over a device whose need grew after the datagram was built: the head is moved, the owner stays."""
    sock = host.socket()
    sock.sendto(b"one", api.MSG_MORE, PEER)
    host.dev.needed_headroom = 100
    host.dev.hold = True
    sock.sendto(b" two", PEER)
    (skb,) = host.dev.held
    assert skb.sk is sock.sk
    assert host.datagrams()[0].payload == b"one two"
    host.release()
    assert sock.sk.sk_wmem_alloc == 0


def test_the_payload_is_copied_once(host, monkeypatch):
    from hardwire.stack.core import skbuff_data

    for name in ("skb_copy", "pskb_expand_head", "skb_copy_bits", "skb_checksum"):
        monkeypatch.setattr(skbuff_data, name, lambda *_: pytest.fail("a copy"))
    host.dev.hold = True
    host.socket().sendto(b"x" * 1000, PEER)
    (skb,) = host.dev.held
    assert bytes(skb.view[skb.transport_header + 8 : skb.tail]) == b"x" * 1000


def test_routes_to_a_gateway_use_its_mac(host):
    route_add(host.net, "192.0.2.0/24", via="10.0.0.2")
    host.socket().sendto(b"x", ("192.0.2.9", 9))
    (frame,) = host.frames()
    assert frame.dst == PEER_MAC
    assert frame.payload[16:20] == bytes([192, 0, 2, 9])

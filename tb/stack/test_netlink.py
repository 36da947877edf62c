"""Sockets of netlink. Those that say so run on the real kernel, too, so that it is certain what they expect."""

import os
import socket as py
import struct
from contextlib import ExitStack, suppress
from dataclasses import replace
from errno import (
    EADDRINUSE,
    EAGAIN,
    ECONNREFUSED,
    EINVAL,
    EMSGSIZE,
    ENOBUFS,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack.core.dev_register import dev_close, dev_open, register_netdevice, unregister_netdevice
from hardwire.stack.core.dev_upper import netdev_master_upper_dev_link, netdev_upper_dev_unlink
from hardwire.stack.core.rtnl_link import RtnlLinkOps
from hardwire.stack.netlink.attr import NetlinkError, NlaPolicy, nla_parse
from hardwire.stack.netlink.if_link import Ifla, IflaInfo
from hardwire.stack.netlink.message import nlmsg_iter
from hardwire.stack.netlink.rtnetlink import Rtm, Rtnlgrp
from hardwire.stack.netlink.uapi import NLMSG_DONE, NLMSG_ERROR, NetlinkOpt, NlmF
from hardwire.stack.uapi import MSG_TRUNC, POLLIN
from hardwire.tb.stack.fake import FakeNetDevice, make_kernel
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.netlink_peer import attr, attrs_of, kernel_namespace, message, nested
from hardwire.tb.stack.netlink_words import addr, link, neigh, route, veth

ROUTE, USERSOCK, SOL_NETLINK = 0, 2, 270
DONTWAIT = py.MSG_DONTWAIT


@pytest.fixture(params=["ours", "kernel"])
def both(request):
    """Return what makes a socket of netlink: ours, then the kernel's."""
    with ExitStack() as stack:
        if request.param == "ours":
            net = make_kernel()[0].init_net

            def make(protocol=USERSOCK, kind=py.SOCK_RAW):
                return net.socket(py.AF_NETLINK, kind, protocol)
        else:
            if not can_make_namespaces():
                pytest.skip("namespaces need root")
            peer = LinuxPeer(f"hwns{os.getpid()}")
            stack.enter_context(kernel_namespace(peer.name))

            def make(protocol=USERSOCK, kind=py.SOCK_RAW):
                return peer.inside(lambda: py.socket(py.AF_NETLINK, kind, protocol))

        yield lambda *kind: stack.enter_context(make(*kind))


def test_a_text_goes_in_one_message_from_socket_to_socket(both):
    here, there = both(), both()
    here.bind((100, 0))
    there.bind((200, 0))
    header = struct.pack("=IHHII", 16 + 6, 0x11, 0, 5, 100)
    assert here.sendmsg([header, b"Hello\0", b"\0\0"], [], 0, (200, 0)) == 24
    data, _, flags, source = there.recvmsg(1000)
    assert (data, flags, source) == (header + b"Hello\0\0\0", 0, (100, 0))
    (one,) = nlmsg_iter(data)
    assert (one.type, one.seq, one.pid, one.data) == (0x11, 5, 100, b"Hello\0")


@pytest.mark.parametrize(
    ("kind", "protocol", "number"),
    [
        (py.SOCK_STREAM, ROUTE, ESOCKTNOSUPPORT),
        (py.SOCK_RAW, 31, EPROTONOSUPPORT),
        (py.SOCK_RAW, 99, EPROTONOSUPPORT),
    ],
)
def test_what_netlink_has_not_is_refused(both, kind, protocol, number):
    with raises(number):
        both(protocol, kind)


def test_numbers_of_sockets_are_unique(both):
    one, other, third = both(), both(), both()
    assert one.getsockname() == (0, 0)
    one.bind((77, 0))
    with raises(EADDRINUSE):
        other.bind((77, 0))
    with raises(EINVAL):
        one.bind((78, 0))
    one.bind((77, 5))
    assert one.getsockname() == (77, 5)
    other.bind((0, 0))
    third.bind((0, 0))
    assert other.getsockname()[0] not in (0, 77)
    assert third.getsockname()[0] >= 1 << 31
    one.close()
    both().bind((77, 0))


def test_sending_gives_a_number_and_nobody_refuses_what_is_not_there(both):
    here = both()
    with raises(ECONNREFUSED):
        here.sendto(b"x", (12345, 0))
    assert here.getsockname()[0]
    with raises(ECONNREFUSED):
        here.send(b"x")
    with raises(EOPNOTSUPP):
        here.sendto(b"x", py.MSG_OOB, (1, 0))
    with raises(EOPNOTSUPP):
        here.recv(1, py.MSG_OOB | DONTWAIT)
    with raises(EAGAIN):
        here.recv(1, DONTWAIT)
    with raises(EOPNOTSUPP):
        here.shutdown(py.SHUT_WR)
    size = here.getsockopt(py.SOL_SOCKET, py.SO_SNDBUF)
    with raises(EMSGSIZE):
        here.sendto(bytes(size), (12345, 0))


def test_a_connected_socket_takes_messages_of_its_peer_only(both):
    one, two, three = both(), both(), both()
    for sock, pid in ((one, 1001), (two, 1002), (three, 1003)):
        sock.bind((pid, 0))
    one.connect((1002, 0))
    assert one.getpeername() == (1002, 0)
    one.send(b"to two")
    assert two.recvfrom(100) == (b"to two", (1001, 0))
    with raises(ECONNREFUSED):
        three.sendto(b"x", (1001, 0))
    two.sendto(b"back", (1001, 0))
    assert one.recv(100, DONTWAIT) == b"back"


def test_what_is_too_long_is_cut_and_peeking_leaves_it_there(both):
    here, there = both(), both()
    there.bind((5, 0))
    here.sendto(b"0123456789", (5, 0))
    assert there.recv(4, py.MSG_PEEK) == b"0123"
    assert there.recvmsg(4, 0, py.MSG_PEEK)[2] & MSG_TRUNC
    assert there.recv_into(bytearray(4), 4, py.MSG_PEEK | MSG_TRUNC) == 10
    data, _, flags, _ = there.recvmsg(4)
    assert data == b"0123"
    assert flags & MSG_TRUNC
    with raises(EAGAIN):
        there.recv(1, DONTWAIT)


def test_groups_hear_what_is_sent_to_them(both):
    sender, one, two, outside = both(), both(), both(), both()
    for sock, pid in ((sender, 1001), (one, 1002), (two, 1003), (outside, 1004)):
        sock.bind((pid, 0))
    one.bind((1002, 1 << 4))
    two.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, 5)
    two.setsockopt(SOL_NETLINK, NetlinkOpt.PKTINFO, 1)
    sender.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, 5)
    with raises(ECONNREFUSED):  # Heard by the group, but there is no socket 0.
        sender.sendto(b"all", (0, 1 << 4))
    assert one.recvfrom(100) == (b"all", (1001, 1 << 4))
    data, control, _, source = two.recvmsg(100, 100)
    assert (data, source) == (b"all", (1001, 1 << 4))
    assert control == [(SOL_NETLINK, NetlinkOpt.PKTINFO, struct.pack("=I", 5))]
    for sock in (sender, outside):
        with raises(EAGAIN):
            sock.recv(100, DONTWAIT)
    sender.sendto(b"twice?", (1003, 1 << 4))  # To a group and to one that is in it: that one gets it once.
    assert one.recv(100) == two.recv(100) == b"twice?"
    with raises(EAGAIN):
        two.recv(100, DONTWAIT)
    two.setsockopt(SOL_NETLINK, NetlinkOpt.DROP_MEMBERSHIP, 5)
    sender.sendto(b"again", (1004, 1 << 4))
    assert one.recv(100) == outside.recv(100) == b"again"
    with raises(EAGAIN):
        two.recv(100, DONTWAIT)


def test_options_of_netlink(both):
    sock = both(ROUTE)
    for option in ("PKTINFO", "BROADCAST_ERROR", "NO_ENOBUFS", "CAP_ACK", "EXT_ACK", "GET_STRICT_CHK"):
        number = NetlinkOpt[option]
        assert sock.getsockopt(SOL_NETLINK, number) == 0
        sock.setsockopt(SOL_NETLINK, number, 1)
        assert sock.getsockopt(SOL_NETLINK, number) == 1
    for group in (0, 500):
        with raises(EINVAL):
            sock.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, group)
    sock.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, 33)
    sock.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, 2)
    assert sock.getsockopt(SOL_NETLINK, NetlinkOpt.LIST_MEMBERSHIPS, 8) == struct.pack("=II", 2, 1)
    sock.setsockopt(SOL_NETLINK, NetlinkOpt.DROP_MEMBERSHIP, 33)
    assert sock.getsockopt(SOL_NETLINK, NetlinkOpt.LIST_MEMBERSHIPS, 8) == struct.pack("=II", 2, 0)
    for call in (lambda: sock.setsockopt(SOL_NETLINK, 99, 1), lambda: sock.setsockopt(6, 1, 1)):
        with raises(ENOPROTOOPT):
            call()
    with raises(ENOPROTOOPT):
        sock.getsockopt(SOL_NETLINK, 99)


def test_a_full_receiver_refuses_and_a_full_listener_is_told(both):
    sender, there, listener, deaf = both(), both(), both(), both()
    there.bind((5, 0))
    for sock in (listener, deaf):
        sock.bind((0, 1))
    deaf.setsockopt(SOL_NETLINK, NetlinkOpt.NO_ENOBUFS, 1)
    for sock in (there, listener, deaf):
        sock.setsockopt(py.SOL_SOCKET, py.SO_RCVBUF, 4096)
    sent = 0
    with raises(EAGAIN):
        while sent < 100:
            sender.sendto(bytes(1000), DONTWAIT, (5, 1))
            sent += 1
    assert 1 < sent < 20
    with raises(ENOBUFS):
        listener.recv(2000)
    heard = 0
    for sock in (listener, deaf):
        count = 0
        with raises(EAGAIN):
            while True:
                assert len(sock.recv(2000, DONTWAIT)) == 1000
                count += 1
        heard = heard or count
        assert count == heard > 1
    while sent:
        there.recv(2000)
        sent -= 1
    sender.sendto(b"room again", (5, 1))
    assert there.recv(100) == listener.recv(100) == deaf.recv(100) == b"room again"


def test_a_request_that_is_none_is_left_alone_and_each_message_is_answered(both):
    sock = both(ROUTE)
    sock.settimeout(1)
    ok = message(Rtm.GETLINK, NlmF.ACK, link(1), 1)
    for octets in (b"", b"short", struct.pack("=IHHII", 15, 18, 1, 1, 0), struct.pack("=IHHII", 99, 18, 1, 1, 0)):
        if octets:
            sock.send(octets)
    sock.send(struct.pack("=IHHII", 32, 18, 0, 1, 0) + link(1))  # Not NLM_F_REQUEST.
    sock.send(struct.pack("=IHHII", 32, 18, NlmF.ACK, 2, 0) + link(1))
    (one,) = nlmsg_iter(sock.recv(1000))
    assert (one.type, one.seq, one.data[:4]) == (NLMSG_ERROR, 2, bytes(4))
    sock.send(message(3, NlmF.ACK, b"", 3))  # Of netlink itself.
    (one,) = nlmsg_iter(sock.recv(1000))
    assert (one.type, one.seq, one.data[:4]) == (NLMSG_ERROR, 3, bytes(4))
    sock.send(ok + message(Rtm.GETLINK, 0, link(99), 4) + b"tail")
    kinds = [next(nlmsg_iter(sock.recv(5000))).type for _ in range(3)]
    assert kinds == [Rtm.NEWLINK, NLMSG_ERROR, NLMSG_ERROR]


def test_an_error_has_the_request_unless_it_is_capped(both):
    sock = both(ROUTE)
    request = message(Rtm.GETLINK, 0, link(99), 7)
    sock.send(request)
    (one,) = nlmsg_iter(sock.recv(1000))
    assert one.flags == 0
    assert one.data[4:] == request
    sock.setsockopt(SOL_NETLINK, NetlinkOpt.CAP_ACK, 1)
    sock.send(request)
    (one,) = nlmsg_iter(sock.recv(1000))
    assert one.flags == NlmF.CAPPED
    assert one.data[4:] == request[:16]


def test_an_error_says_which_attribute_it_is_about(both):
    sock = both(ROUTE)
    sock.setsockopt(SOL_NETLINK, NetlinkOpt.EXT_ACK, 1)
    sock.setsockopt(SOL_NETLINK, NetlinkOpt.CAP_ACK, 1)
    sock.send(message(Rtm.GETLINK, 0, link(1, 0, 0, attr(29, 1), attr(4, b"x"))))
    (one,) = nlmsg_iter(sock.recv(1000))
    assert one.flags == NlmF.CAPPED | NlmF.ACK_TLVS
    attrs = attrs_of(one.octets, 36)
    assert attrs[2] == struct.pack("=I", 16 + 16 + 8)
    assert attrs[1]


def test_one_dump_at_a_time(both):
    sock = both(ROUTE)
    sock.send(message(Rtm.GETLINK, NlmF.DUMP, link(), 1))
    sock.send(message(Rtm.GETLINK, NlmF.DUMP, link(), 2))
    seen = []
    while (2, NLMSG_ERROR) not in seen or (1, NLMSG_DONE) not in seen:
        seen += [(one.seq, one.type) for one in nlmsg_iter(sock.recv(10000))]
    assert [kind for seq, kind in seen if seq == 1][-1] == NLMSG_DONE


class Talk:
    """A host with many devices and a socket of rtnetlink."""

    def __init__(self, pairs: int = 0) -> None:
        self.kernel, self.platform = make_kernel()
        self.net = self.kernel.init_net
        self.sock = self.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
        self.sock.bind((0, 0))
        for number in range(pairs):
            self.do(Rtm.NEWLINK, NlmF.CREATE | NlmF.EXCL, veth(f"a{number}", f"b{number}"))

    def do(self, kind: int, flags: int, payload: bytes) -> int:
        self.sock.send(message(kind, flags | NlmF.ACK, payload))
        (one,) = nlmsg_iter(self.sock.recv(65536))
        return -struct.unpack_from("=i", one.data)[0]


@pytest.mark.parametrize("bufsize", [4096, 8192, 65536])
def test_a_long_dump_comes_in_parts_that_fit_the_program(bufsize):
    talk = Talk(40)
    sock = talk.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
    sock.send(message(Rtm.GETLINK, NlmF.DUMP, link()))
    indices, parts = [], 0
    while True:
        data, _, flags, _ = sock.recvmsg(bufsize)
        assert not flags & MSG_TRUNC
        messages = list(nlmsg_iter(data))
        if messages[-1].type == NLMSG_DONE:
            break
        parts += 1
        indices += [struct.unpack_from("=i", one.data, 4)[0] for one in messages]
    assert indices == list(range(1, 82))
    assert parts >= {4096: 17, 8192: 9, 65536: 3}[bufsize]


def test_a_dump_during_which_something_changes_says_so():
    talk = Talk(20)
    talk.sock.send(message(Rtm.GETLINK, NlmF.DUMP, link()))
    other = talk.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
    other.send(message(Rtm.DELLINK, NlmF.ACK, link(2)))
    other.recv(1000)
    interrupted = False
    while True:
        messages = list(nlmsg_iter(talk.sock.recv(8192)))
        interrupted |= any(one.flags & NlmF.DUMP_INTR for one in messages)
        if messages[-1].type == NLMSG_DONE:
            break
    assert interrupted


def test_a_closed_socket_leaves_no_memory_behind():
    talk = Talk(5)
    before = len(talk.platform.buffers)
    sock = talk.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
    sock.bind((0, (1 << Rtnlgrp.LINK) - 1))
    sock.send(message(Rtm.GETLINK, NlmF.DUMP, link()))
    talk.do(Rtm.NEWLINK, 0, link(3, 1, 1))
    assert len(talk.platform.buffers) > before
    sock.close()
    assert len(talk.platform.buffers) == before
    with raises(9):
        sock.recv(1)


def test_without_memory_a_listener_is_told_that_it_missed_something():
    talk = Talk(1)
    talk.do(Rtm.NEWLINK, 0, link(2, 1, 1))
    listener = talk.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
    listener.bind((0, 0))  # A socket without a number hears nothing, in Linux either.
    listener.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, Rtnlgrp.LINK)
    talk.platform.fail_kmalloc = 0
    dev_close(talk.net.devices[2])
    with raises(ENOBUFS):
        listener.recv(100)
    talk.platform.fail_kmalloc = -1
    dev_open(talk.net.devices[2])
    assert next(nlmsg_iter(listener.recv(2000))).type == Rtm.NEWLINK


def test_a_receive_waits_for_a_notification():
    talk = Talk(1)
    listener = talk.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
    listener.bind((0, 0))  # A socket without a number hears nothing, in Linux either.
    listener.setsockopt(SOL_NETLINK, NetlinkOpt.ADD_MEMBERSHIP, Rtnlgrp.LINK)
    assert listener.poll(POLLIN, 0.1) == 0
    talk.platform.timer(talk.platform.now_ns() + 5_000_000, lambda: dev_open(talk.net.devices[2]))
    assert next(nlmsg_iter(listener.recv(2000))).type == Rtm.NEWLINK
    assert talk.platform.now_ns() >= 5_000_000


def test_an_echo_comes_back_to_who_asked():
    talk = Talk(1)
    talk.sock.send(message(Rtm.NEWADDR, NlmF.CREATE | NlmF.ECHO | NlmF.ACK, addr(2, "10.0.0.1/24"), 9))
    one, ack = (next(nlmsg_iter(talk.sock.recv(1000))) for _ in range(2))
    assert (one.type, one.seq, ack.type) == (Rtm.NEWADDR, 9, NLMSG_ERROR)


def test_enslaving_is_done_by_the_master_s_driver_and_shown():
    """A master whose driver is a test's: what is shown of slaves and of their values, and the notifications."""
    talk = Talk(1)
    policy = {1: "u16", 2: "mac", 3: "be32", 4: "string", 5: "flag"}
    values = {1: 258, 2: b"abcdef", 3: 0x0A000001, 4: "text", 5: True}
    changes = []
    ops = RtnlLinkOps(
        "team",
        lambda *_: None,
        unregister_netdevice,
        slave_policy=policy,
        fill_slave_info=lambda dev: values,
        slave_changelink=lambda dev, data: changes.append((dev.name, dict(data))),
    )
    master = FakeNetDevice(talk.net, "m0")
    master.netdev_ops = replace(
        master.netdev_ops,
        ndo_add_slave=lambda master, dev: netdev_master_upper_dev_link(dev, master),
        ndo_del_slave=lambda master, dev: netdev_upper_dev_unlink(dev, master),
    )
    master.rtnl_link_ops = ops
    register_netdevice(master)
    listener = talk.net.socket(py.AF_NETLINK, py.SOCK_RAW, ROUTE)
    listener.bind((0, 1))
    assert talk.do(Rtm.SETLINK, 0, link(2, 0, 0, attr(Ifla.MASTER, 4))) == 0
    (one,) = nlmsg_iter(listener.recv(5000))
    attrs = attrs_of(one.octets, 32)
    assert attrs[Ifla.MASTER] == struct.pack("=I", 4)
    info = attrs_of(attrs[Ifla.LINKINFO], 0)
    assert (info[IflaInfo.KIND], info[IflaInfo.SLAVE_KIND]) == (b"veth\0", b"team\0")
    encoded = attrs_of(info[IflaInfo.SLAVE_DATA], 0)
    assert encoded == {1: b"\2\1", 2: b"abcdef", 3: b"\x0a\0\0\1", 4: b"text\0", 5: b""}
    assert talk.do(Rtm.SETLINK, 0, link(3, 0, 0, attr(Ifla.MASTER, 2))) == EOPNOTSUPP
    data = nested(Ifla.LINKINFO, nested(IflaInfo.SLAVE_DATA, *(attr(kind, octets) for kind, octets in encoded.items())))
    assert talk.do(Rtm.NEWLINK, 0, link(2, 0, 0, data)) == 0
    assert changes == [("b0", {**values, 5: 1})]
    assert talk.do(Rtm.NEWLINK, 0, link(3, 0, 0, data)) == EOPNOTSUPP
    talk.sock.send(message(Rtm.GETLINK, NlmF.DUMP, link(0, 0, 0, attr(Ifla.MASTER, 4))))
    assert [struct.unpack_from("=i", one.data, 4)[0] for one in nlmsg_iter(talk.sock.recv(9000))] == [2]
    assert next(nlmsg_iter(talk.sock.recv(9000))).type == NLMSG_DONE
    while listener.poll(POLLIN, 0):
        listener.recv(5000)
    assert talk.do(Rtm.SETLINK, 0, link(2, 0, 0, attr(Ifla.MASTER, 0))) == 0
    (one,) = nlmsg_iter(listener.recv(5000))
    assert Ifla.MASTER not in attrs_of(one.octets, 32)
    assert master.slaves == []


@given(st.binary(max_size=60), st.sampled_from(["u8", "u32", "string", "nul_string", "binary", "nested", "flag"]))
def test_arbitrary_octets_are_attributes_or_an_error(octets, kind):
    for strict in (False, True):
        with suppress(NetlinkError):
            found = nla_parse(octets, 0, {n: NlaPolicy(kind, 4) for n in range(1, 9)}, 8, strict=strict)
            assert all(octets[one.offset + 4 :][: len(one.data)] == one.data for one in found.values())


REQUESTS = [
    (Rtm.NEWLINK, link(2, 1, 1, attr(4, 1400), attr(13, 5))),
    (Rtm.NEWLINK, veth("p0", "p1", attr(1, bytes(6)))),
    (Rtm.SETLINK, link(3, 0x100, 0x100, attr(3, "new"), attr(10, 1))),
    (Rtm.GETLINK, link(2, 0, 0, attr(29, 1))),
    (Rtm.DELLINK, link(4)),
    (Rtm.NEWADDR, addr(2, "10.1.0.1/24", attr(6, bytes(16)), attr(8, 1), broadcast="10.1.0.255")),
    (Rtm.DELADDR, addr(2, "10.1.0.1/24")),
    (Rtm.GETADDR, addr(2, "10.1.0.1/24")),
    (Rtm.NEWROUTE, route("10.2.0.0/16", attr(8, attr(2, 1400)), attr(9, bytes(16)), attr(6, 1), via="10.0.0.2", oif=2)),
    (Rtm.NEWROUTE, route("10.2.0.0/16", attr(9, struct.pack("=HBBi", 16, 0, 0, 2) + attr(5, 1)))),
    (Rtm.DELROUTE, route("10.2.0.0/16", via="10.0.0.2", oif=2)),
    (Rtm.GETROUTE, route("10.0.0.2/32", attr(2, 7), attr(3, 2), attr(27, b"\6"), attr(29, b"\0\1"))),
    (Rtm.NEWNEIGH, neigh(2, "10.0.0.7", "02:00:00:00:00:07")),
    (Rtm.DELNEIGH, neigh(2, "10.0.0.7", state=0, flags=8)),
    (Rtm.GETNEIGH, neigh(2, "10.0.0.7", state=0)),
]


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_no_request_however_wrong_breaks_anything(data):
    """Requests with octets changed, cut and put in leave a host that works, without memory lost."""
    talk = Talk(2)
    for index in (2, 3):
        assert talk.do(Rtm.NEWLINK, 0, link(index, 1, 1)) == 0
    assert talk.do(Rtm.NEWADDR, NlmF.CREATE, addr(2, "10.0.0.1/24")) == 0
    before = len(talk.platform.buffers)
    if data.draw(st.booleans()):
        talk.sock.setsockopt(SOL_NETLINK, NetlinkOpt.EXT_ACK, 1)
        talk.sock.setsockopt(SOL_NETLINK, NetlinkOpt.GET_STRICT_CHK, 1)
    for _ in range(data.draw(st.integers(1, 6))):
        kind, payload = data.draw(st.sampled_from(REQUESTS))
        octets = bytearray(payload)
        for at, value in data.draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)):
            octets[at % len(octets)] = value
        octets = octets[: data.draw(st.sampled_from([None, None, None, 1, 3, 8, 12, 16, 20, 30]))]
        flags = data.draw(
            st.sampled_from([0, NlmF.CREATE, NlmF.CREATE | NlmF.REPLACE, NlmF.DUMP, NlmF.CREATE | NlmF.APPEND])
        )
        talk.sock.send(message(kind, flags | NlmF.ACK, bytes(octets)))
        talk.platform.advance(1_000_000)
        try:
            while True:
                talk.sock.recv(65536, DONTWAIT)
        except BlockingIOError:
            pass
    talk.sock.send(message(Rtm.GETLINK, NlmF.DUMP, b"\0" * 16))
    assert next(nlmsg_iter(talk.sock.recv(65536))).type == Rtm.NEWLINK
    while next(nlmsg_iter(talk.sock.recv(65536))).type != NLMSG_DONE:
        pass
    for index in list(talk.net.devices):
        dev_close(talk.net.devices[index])
    talk.platform.advance(10_000_000_000)
    assert len(talk.platform.buffers) <= before

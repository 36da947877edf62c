"""Talking netlink to our stack and to the real kernel, in the same words."""

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import run
from typing import Any

from hardwire.stack.core.net import Net
from hardwire.stack.netlink.attr import nla_iter
from hardwire.stack.netlink.message import Nlmsghdr, nlmsg_iter
from hardwire.stack.netlink.uapi import NLMSG_DONE, NLMSG_ERROR, NlmF
from hardwire.tb.stack.linux_peer import LinuxPeer

__all__ = ["Answer", "NetlinkClient", "attr", "attrs_of", "kernel_namespace", "message", "nested", "ours"]

SOL_NETLINK, ADD_MEMBERSHIP = 270, 1


def message(kind: int, flags: int = 0, payload: bytes = b"", seq: int = 1, pid: int = 0) -> bytes:
    """Return a request."""
    return struct.pack("=IHHII", 16 + len(payload), kind, flags | NlmF.REQUEST, seq, pid) + payload


def attr(kind: int, data: "bytes | int | str") -> bytes:
    """Return an attribute: octets, a number of 32 bits, or a text."""
    if isinstance(data, int):
        data = struct.pack("=I", data)
    elif isinstance(data, str):
        data = data.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def nested(kind: int, *attrs: bytes) -> bytes:
    """Return an attribute that holds others."""
    return attr(kind, b"".join(attrs))


def attrs_of(octets: bytes, start: int) -> dict[int, bytes]:
    """Return the attributes behind a message's fixed part."""
    return {one.type: one.data for one in nla_iter(octets, start)}


@dataclass
class Answer:
    """What came back: messages, the error (positive, 0 for an acknowledgement, None if there was none) and its text."""

    messages: list[Nlmsghdr]
    error: int | None
    text: str = ""


class NetlinkClient:
    """A program that talks rtnetlink through a socket: of our stack, or of the kernel."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        sock.bind((0, 0))
        self.seq = 0

    def __enter__(self) -> "NetlinkClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def option(self, number: int, value: int = 1) -> None:
        """Set an option of netlink."""
        self.sock.setsockopt(SOL_NETLINK, number, value)

    def datagrams(self) -> Iterator[bytes]:
        """Yield what can be received now."""
        while True:
            if isinstance(self.sock, socket.socket) and not select.select([self.sock], [], [], 0.03)[0]:
                return
            try:
                yield self.sock.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return

    def raw(self, octets: bytes) -> list[Nlmsghdr]:
        """Send octets as they are, and return the messages that come."""
        self.sock.send(octets)
        return [one for datagram in self.datagrams() for one in nlmsg_iter(datagram)]

    def ask(self, kind: int, flags: int = 0, payload: bytes = b"") -> Answer:
        """Send a request that wants an acknowledgement, and return its answer."""
        self.seq += 1
        dump = kind & 3 == 2 and flags & NlmF.DUMP
        self.sock.send(message(kind, flags | NlmF.ACK, payload, self.seq))
        answer = Answer([], None)
        while answer.error is None:
            datagram = self.sock.recv(65536)
            for one in nlmsg_iter(datagram):
                assert one.seq == self.seq
                if one.type == NLMSG_ERROR or (one.type == NLMSG_DONE and dump):
                    (number,) = struct.unpack_from("=i", one.data)
                    answer.error = -number
                    if one.flags & NlmF.ACK_TLVS:
                        answer.text = _text(one)
                else:
                    answer.messages.append(one)
        return answer

    def listen(self, *groups: int) -> None:
        """Hear notifications of groups."""
        for group in groups:
            self.option(ADD_MEMBERSHIP, group)

    def events(self) -> list[Nlmsghdr]:
        """Return the notifications that have come."""
        return [one for datagram in self.datagrams() for one in nlmsg_iter(datagram)]


def _text(one: Nlmsghdr) -> str:
    at = 36
    if one.type == NLMSG_DONE:
        at = 20
    elif not one.flags & NlmF.CAPPED:
        (length,) = struct.unpack_from("=I", one.octets, 20)
        at = 20 + (length + 3 & ~3)
    return attrs_of(one.octets, at).get(1, b"\0")[:-1].decode()


def ours(net: Net) -> NetlinkClient:
    """Return a client of our stack."""
    return NetlinkClient(net.socket(16, 3, 0))


@contextmanager
def kernel_namespace(name: str) -> Iterator[Any]:
    """Make a namespace of the real kernel without IPv6, with lo up; yields a function that makes clients in it."""
    peer = LinuxPeer(name)
    run(["ip", "netns", "add", name], check=True)
    try:
        peer.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        peer.ip("link", "set", "lo", "up")
        yield lambda: NetlinkClient(peer.inside(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)))
    finally:
        run(["ip", "netns", "del", name], check=True)

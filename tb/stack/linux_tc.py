"""Traffic control of a real kernel by netlink, and programs of it that run there and on our stack.

As a program by itself it runs the programs that it is given as JSON, and prints what the kernel did: so a kernel with
more qdiscs than the test machine's says what is kept in ``golden/tc-6.1.json``.
"""

import fcntl
import json
import os
import select
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any

from hardwire.stack.sched.tc_options import decode_options, encode_options

__all__ = ["LinuxTc", "frame", "run_on_linux"]

_RTM_NEWLINK, _RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC, _RTM_NEWTFILTER, _RTM_DELTFILTER = 16, 36, 37, 38, 44, 45
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 1, 4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_TCA_KIND, _TCA_OPTIONS, _TCA_XSTATS, _TCA_STATS2 = 1, 2, 4, 7
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 2, 0x1000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_ROOT = 0xFFFFFFFF


def frame(number: int, flow: int, length: int) -> bytes:
    """Return an Ethernet frame with a datagram: its number is in the payload, the flow in address and port."""
    payload = struct.pack("!I", number).ljust(length - 42, b"\0")
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, length - 14, 0, 0, 64, 17, 0))
    header += bytes((10, 0, 0, 1, 10, 0, 1, flow))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    udp = struct.pack("!HHHH", 1000 + flow, 9000, length - 34, 0)
    return bytes.fromhex("02000000000202000000000108004500")[:14] + bytes(header) + udp + payload


def _attribute(kind: int, octets: bytes) -> bytes:
    return (struct.pack("=HH", 4 + len(octets), kind) + octets).ljust(-(-len(octets) // 4) * 4 + 4, b"\0")


def _decode(octets: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(octets) >= 4:
        length, kind = struct.unpack_from("=HH", octets)
        if length < 4:
            raise ValueError(f"an attribute of {length} octets: {octets.hex()}")
        found[kind & 0x3FFF] = octets[4:length]
        octets = octets[-(-length // 4) * 4 :]
    return found


class LinuxTc:
    """A TAP device of a kernel, in the namespace of the thread that makes it; use it in a ``with``."""

    def __init__(self, queues: int = 1) -> None:
        name = f"q{os.getpid()}"
        self.taps = []
        for _ in range(queues):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            multi = 0x0100 if queues > 1 else 0
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | multi))
            self.taps.append(fd)
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.netlink.bind((0, 0))
        self.packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        fcntl.ioctl(self.packet, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), _IFF_UP))
        self.packet.bind((name, 0))
        self.ifindex = socket.if_nametoindex(name)
        self.sequence = 0
        self.settle()

    def __enter__(self) -> "LinuxTc":
        return self

    def __exit__(self, *_: object) -> None:
        self.netlink.close()
        self.packet.close()
        for fd in self.taps:
            os.close(fd)

    def request(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        """Send a message and return those that come back.

        Raises
        ------
        OSError
            What the kernel says.
        """
        self.sequence += 1
        self.netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags | _NLM_F_REQUEST, self.sequence, 0) + body)
        found: list[tuple[int, bytes]] = []
        while True:
            octets = self.netlink.recv(1 << 20)
            while octets:
                length, answer, _, sequence, _ = struct.unpack_from("=IHHII", octets)
                payload, octets = octets[16:length], octets[-(-length // 4) * 4 :]
                if sequence != self.sequence:
                    continue
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    (error,) = struct.unpack_from("=i", payload)
                    if error:
                        raise OSError(-error, os.strerror(-error))
                    return found
                found.append((answer, payload))

    def message(
        self, kind: int, flags: int, parent: int, handle: int, info: int, name: str | None, options: bytes | None
    ) -> list[tuple[int, bytes]]:
        """Send a message of traffic control."""
        body = struct.pack("=BxxxiIII", 0, self.ifindex, handle, parent, info)
        if name is not None:
            body += _attribute(_TCA_KIND, name.encode() + b"\0")
        if options is not None:
            body += _attribute(_TCA_OPTIONS, options)
        return self.request(kind, flags | _NLM_F_ACK, body)

    def dump(self, kinds: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the qdiscs of the device: kind, handle, parent, options, statistics."""
        found = []
        body = struct.pack("=BxxxiIII", 0, self.ifindex, 0, 0, 0)
        for _, octets in self.request(_RTM_GETQDISC, _NLM_F_DUMP, body):
            _, ifindex, handle, parent, _ = struct.unpack_from("=BxxxiIII", octets)
            if ifindex != self.ifindex:
                continue
            attributes = _decode(octets[20:])
            kind = attributes[_TCA_KIND].rstrip(b"\0").decode()
            stats = _decode(attributes[_TCA_STATS2])
            # With a counter for each CPU the first is packed; bytes, then packets.
            octets_sent, packets = struct.unpack_from("=QI", stats[1])
            qlen, backlog, drops, requeues, overlimits = struct.unpack("=5I", stats[3])
            found.append(
                {
                    "kind": kind,
                    "handle": handle,
                    "parent": parent,
                    "options": decode_options(kinds[kind].qopt, kinds[kind].policy, attributes.get(_TCA_OPTIONS, b"")),
                    "bytes": octets_sent,
                    "packets": packets,
                    "drops": drops,
                    "overlimits": overlimits,
                    "requeues": requeues,
                    "backlog": backlog,
                    "qlen": qlen,
                }
            )
        return found

    def send(self, octets: bytes, priority: int, mark: int) -> None:
        """Send a frame."""
        self.packet.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
        self.packet.setsockopt(socket.SOL_SOCKET, 36, mark)
        address = (self.packet.getsockname()[0], 0x0800, 0, 1, b"\x02\0\0\0\0\x02")
        try:
            self.packet.sendto(octets, address)
        except OSError as error:
            if error.errno != 105:  # ENOBUFS: the qdisc says that it dropped.
                raise

    def settle(self, timeout: float = 0.15) -> list[int]:
        """Return the numbers of the frames that came out, until none comes for so many seconds."""
        found: list[int] = []
        while ready := select.select(self.taps, [], [], timeout)[0]:
            if len(found) > 1000:
                raise RuntimeError("frames without end")
            for fd in ready:
                octets = os.read(fd, 65536)
                if octets[12:14] == b"\x08\0" and octets[23] == 17 and octets[36:38] == b"\x23\x28":
                    found.append(int.from_bytes(octets[42:46], "big"))
        return found


def run_on_linux(program: list[list[Any]], queues: int = 1) -> list[Any]:
    """Run a program on the kernel of this thread's namespace; return what each step brought."""
    from hardwire.stack.sched.cls_filter import KINDS as filters
    from hardwire.stack.sched.sch_api import QDISCS as qdiscs

    said: list[Any] = []
    number = 0
    with LinuxTc(queues) as tc:
        for step, *args in program:
            try:
                if step == "qdisc":
                    flags, kind, parent, handle, options = args
                    octets = None
                    if options is not None:
                        octets = (
                            encode_options(qdiscs[kind].qopt, qdiscs[kind].policy, options) if kind in qdiscs else b""
                        )
                    tc.message(_RTM_NEWQDISC, flags, parent, handle, 0, kind, octets)
                elif step == "del":
                    kind, parent, handle = args
                    tc.message(_RTM_DELQDISC, 0, parent, handle, 0, kind, None)
                elif step == "filter":
                    flags, kind, parent, protocol, prio, handle, options = args
                    info = prio << 16 | socket.htons(protocol)
                    octets = None
                    if options is not None:
                        octets = (
                            encode_options(None, filters[kind].policy, as_options(options)) if kind in filters else b""
                        )
                    tc.message(_RTM_NEWTFILTER, flags, parent, handle, info, kind, octets)
                elif step == "delfilter":
                    kind, parent, protocol, prio, handle = args
                    tc.message(_RTM_DELTFILTER, 0, parent, handle, prio << 16 | socket.htons(protocol), kind, None)
                elif step == "send":
                    flow, length, priority, mark = args
                    number += 1
                    tc.send(frame(number, flow, length), priority, mark)
                    continue
                elif step == "order":
                    said.append(tc.settle())
                    continue
                elif step == "dump":
                    said.append(tc.dump(qdiscs))
                    continue
                said.append(0)
            except OSError as error:
                said.append(error.errno)
    return said


def as_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the selectors that JSON has as words."""
    from hardwire.stack.sched.u32_match import u32_sel

    found = dict(options)
    if "sel" in found:
        matches, more = found["sel"]
        found["sel"] = u32_sel(*matches, **more)
    return found


if __name__ == "__main__":
    given = json.load(sys.stdin)
    answers = {}
    for name, entry in given.items():
        print(name, file=sys.stderr, flush=True)
        answers[name] = run_on_linux(entry["program"], entry["queues"])
    print(json.dumps(answers))

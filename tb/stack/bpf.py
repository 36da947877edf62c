"""Classic BPF for tests: random programs, and filters of real sockets."""

import random
import socket as real
from collections.abc import Iterable
from ctypes import CDLL, Structure, byref, c_char_p, c_ushort, get_errno, sizeof
from struct import pack

from hardwire.stack.core.filter_check import (
    SKF_AD_OFF,
    SKF_LL_OFF,
    SKF_NET_OFF,
    Ancillary,
    SockFilter,
    sock_filters_octets,
)
from hardwire.stack.uapi import SO_ATTACH_FILTER, SOL_SOCKET

__all__ = ["attach", "random_frame", "random_program"]

_LOADS = (0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xB1)
_STORES = (0x02, 0x03)
_ALU = tuple({0x04 | n << 4 | s for n in range(11) for s in (0, 8)} - {0x8C})
_JUMPS = (0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x45, 0x4D)
_MISC = (0x07, 0x87)
# What is the same on both: no processor, no random number, no hash, no number of a device.
_ANCILLARY = (
    Ancillary.PROTOCOL,
    Ancillary.PKTTYPE,
    Ancillary.NLATTR,
    Ancillary.NLATTR_NEST,
    Ancillary.MARK,
    Ancillary.HATYPE,
    Ancillary.ALU_XOR_X,
    Ancillary.VLAN_TAG,
    Ancillary.VLAN_TAG_PRESENT,
    Ancillary.VLAN_TPID,
    Ancillary.PAY_OFFSET,
)
_NUMBERS = (0, 1, 2, 4, 14, 20, 31, 32, 60, 255, 0x800, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class _SockFprog(Structure):
    _fields_ = [("len", c_ushort), ("filter", c_char_p)]


def attach(sock: real.socket, program: Iterable[SockFilter]) -> None:
    """Attach a program to a socket of this machine.

    Raises
    ------
    OSError
        What the kernel says.
    """
    octets = sock_filters_octets(program)
    fprog = _SockFprog(len(octets) // 8, octets)
    libc = CDLL(None, use_errno=True)
    if libc.setsockopt(sock.fileno(), SOL_SOCKET, SO_ATTACH_FILTER, byref(fprog), sizeof(fprog)):
        raise OSError(get_errno(), "SO_ATTACH_FILTER")


def random_program(rng: random.Random, wrong: float = 0.02) -> list[SockFilter]:
    """Return a program that is mostly valid; each instruction is wrong somehow with a probability of ``wrong``."""
    count = rng.randrange(1, 24)
    program = [SockFilter(0x00, 0, 0, rng.choice(_NUMBERS)), SockFilter(0x01, 0, 0, rng.randrange(64))]
    program += [SockFilter(0x02, 0, 0, word) for word in range(rng.randrange(4))]
    program += [_instruction(rng, count - pc - 1) for pc in range(count)]
    program.append(SockFilter(rng.choice((0x06, 0x16, 0x16)), 0, 0, rng.choice(_NUMBERS)))
    return [_spoilt(rng, one) if rng.random() < wrong else one for one in program]


def _instruction(rng: random.Random, after: int) -> SockFilter:
    kind = rng.random()
    if kind < 0.35:
        code = rng.choice(_LOADS)
        k = rng.randrange(80)
        if code in (0x60, 0x61):
            k = rng.randrange(2)
        elif code in (0x00, 0x01):
            k = rng.choice((*_NUMBERS, k))
        elif rng.random() < 0.3:
            k = rng.choice((SKF_NET_OFF, SKF_LL_OFF)) + rng.randrange(70)
            if code in (0x20, 0x28, 0x30) and rng.random() < 0.7:
                k = SKF_AD_OFF + rng.choice(_ANCILLARY)
        return SockFilter(code, 0, 0, k)
    if kind < 0.6:
        code = rng.choice(_ALU)
        k = rng.choice((*_NUMBERS, rng.getrandbits(32), rng.randrange(64)))
        if code in (0x64, 0x74):
            k &= 31
        elif code in (0x34, 0x94):
            k = k or 1
        return SockFilter(code, 0, 0, k)
    if kind < 0.85 and after > 0:
        if rng.random() < 0.1:
            return SockFilter(0x05, 0, 0, rng.randrange(after))
        targets = [rng.randrange(min(after, 4)) for _ in range(2)]
        return SockFilter(rng.choice(_JUMPS), *targets, rng.choice((*_NUMBERS, rng.randrange(64))))
    if kind < 0.9:
        return SockFilter(rng.choice(_STORES), 0, 0, rng.randrange(16))
    if kind < 0.92:
        return SockFilter(rng.choice((0x06, 0x16)), 0, 0, rng.choice(_NUMBERS))
    return SockFilter(rng.choice(_MISC), 0, 0, 0)


def _spoilt(rng: random.Random, one: SockFilter) -> SockFilter:
    """Return an instruction with one field changed at random."""
    field = rng.choice(("code", "jt", "jf", "k"))
    bits = {"code": rng.choice((8, 16)), "jt": 8, "jf": 8, "k": 32}[field]
    return one._replace(**{field: rng.getrandbits(bits)})


def random_frame(rng: random.Random, mac: bytes) -> bytes:
    """Return a frame, often of IPv4 or ARP, to ``mac``, to all, to a group or to somebody else."""
    to = rng.choice((mac, b"\xff" * 6, bytes.fromhex("01005e000001"), bytes.fromhex("02000000ee00")))
    kind = rng.choice((b"\x08\x00", b"\x08\x00", b"\x08\x06", b"\x88\xb5", b"\x00\x20"))
    tag = b"\x81\x00" + pack("!H", rng.getrandbits(16) | 1) if rng.random() < 0.2 else b""
    octets = bytearray(rng.randbytes(rng.randrange(20, 90)))
    if kind == b"\x08\x00":
        octets[0] = 0x40 | rng.choice((5, 5, 5, 6, 15, 4))
        octets[6:8] = rng.choice((b"\0\0", b"\x40\0", b"\x20\0", b"\0\x10"))
        octets[9] = rng.choice((1, 2, 6, 17, 33, 132, 136, 200))
    return to + bytes.fromhex("020000000001") + tag + kind + bytes(octets)

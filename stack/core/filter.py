"""Filters of sockets: running classic BPF, and attaching it (Linux: net/core/filter.c; socket(7))."""

from errno import ENOENT, EPERM
from typing import TYPE_CHECKING

from .filter_check import (
    BPF_MEMWORDS,
    SKF_AD_OFF,
    Ancillary,
    SockFilter,
    bpf_check_classic,
    sock_filters,
    sock_filters_octets,
)
from .flow_dissector import skb_get_poff
from .skbuff import NO_HEADER, SkBuff
from .skbuff_data import pskb_trim, skb_copy_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sock import Sock

__all__ = ["bpf_prog_run", "sk_attach_filter", "sk_detach_filter", "sk_filter_trim_cap", "sk_get_filter"]

_MASK = 0xFFFF_FFFF
_NET_OFF, _LL_OFF = -0x100000, -0x200000  # SKF_NET_OFF and SKF_LL_OFF as numbers with a sign.
_NLA_HDRLEN = 4
_NLA_TYPE_MASK = 0x3FFF


def sk_filter_trim_cap(sk: "Sock", skb: SkBuff, cap: int) -> int:
    """Run the filter that a program may have attached to a socket; return 0 if the packet may pass, else ``-EPERM``.

    What passes is cut to what the filter returned, but not to less than ``cap`` octets.
    """
    program = sk.sk_filter
    if program is None:
        return 0
    length = bpf_prog_run(program, skb)
    if not length:
        return -EPERM
    pskb_trim(skb, max(length, cap))
    return 0


def sk_attach_filter(sk: "Sock", octets: bytes) -> None:
    """Have a socket receive only what a program of classic BPF lets pass (``SO_ATTACH_FILTER``).

    Parameters
    ----------
    sk : Sock
        The socket.
    octets : bytes
        The array of ``struct sock_filter`` itself: a ``struct sock_fprog`` would have a pointer to it.

    Raises
    ------
    OSError
        ``EPERM`` if the filter is locked; ``EINVAL`` if the program is not valid.
    """
    _check_unlocked(sk)
    program = sock_filters(octets)
    bpf_check_classic(program)
    sk.sk_filter = program


def sk_detach_filter(sk: "Sock") -> None:
    """Have a socket receive everything again (``SO_DETACH_FILTER``).

    Raises
    ------
    OSError
        ``EPERM`` if the filter is locked; ``ENOENT`` if there is none.
    """
    _check_unlocked(sk)
    if sk.sk_filter is None:
        raise OSError(ENOENT, "the socket has no filter")
    sk.sk_filter = None


def sk_get_filter(sk: "Sock") -> bytes:
    """Return the program of a socket's filter, as it was attached (``SO_GET_FILTER``); nothing if there is none."""
    return sock_filters_octets(sk.sk_filter or ())


def _check_unlocked(sk: "Sock") -> None:
    if sk.sk_filter_locked:
        raise OSError(EPERM, "the filter is locked")


def bpf_internal_load_pointer_neg_helper(skb: SkBuff, k: int, size: int) -> int | None:
    """Return where in the head ``size`` octets lie that ``SKF_NET_OFF`` or ``SKF_LL_OFF`` mean; None: outside."""
    if k >= _NET_OFF:
        at = skb.network_header + k - _NET_OFF
    elif k >= _LL_OFF and skb.mac_header != NO_HEADER:
        at = skb.mac_header + k - _LL_OFF
    else:
        return None
    return at if 0 <= at <= skb.tail - size else None


def _load(skb: SkBuff, k: int, size: int) -> int | None:
    """Return the number in ``size`` octets of the packet; None if it has not all of them."""
    if k < 0x8000_0000:
        at = skb.data + k
        if at + size > skb.tail:
            return int.from_bytes(skb_copy_bits(skb, k, size), "big") if k + size <= skb.len else None
    else:
        place = bpf_internal_load_pointer_neg_helper(skb, k - 0x1_0000_0000, size)
        if place is None:
            return None
        at = place
    return int.from_bytes(skb.view[at : at + size], "big")


def bpf_prog_run(program: "Sequence[SockFilter]", skb: SkBuff) -> int:
    """Run a checked program on a packet; return how many of its octets it accepts, 0 for none.

    A load from beyond the packet, and a division by 0, end it with 0.
    """
    a = x = pc = 0
    memory = [0] * BPF_MEMWORDS
    while True:
        code, jt, jf, k = program[pc]
        pc += 1
        kind = code & 7
        if kind == 5:  # JMP
            if code == 0x05:  # JA
                pc += k
                continue
            other = x if code & 8 else k
            test = code & 0xF0
            if test == 0x10:
                holds = a == other
            elif test == 0x20:
                holds = a > other
            elif test == 0x30:
                holds = a >= other
            else:
                holds = a & other != 0
            pc += jt if holds else jf
        elif kind == 0:  # LD
            value = _load_accumulator(skb, code, k, a, x, memory)
            if value is None:
                return 0
            a = value
        elif kind == 6:  # RET
            return a if code == 0x16 else k
        elif kind == 4:  # ALU
            result = _calculate(code & 0xF0, a, x if code & 8 else k)
            if result is None:
                return 0
            a = result
        elif kind == 1:  # LDX
            if code == 0xB1:  # MSH: the length of the IPv4 header at k.
                octet = _load(skb, k, 1)
                if octet is None:
                    return 0
                x = (octet & 15) << 2
            else:
                x = k if code == 0x01 else memory[k] if code == 0x61 else skb.len
        elif kind == 2:
            memory[k] = a
        elif kind == 3:
            memory[k] = x
        elif code == 0x07:
            x = a
        else:
            a = x


def _load_accumulator(skb: SkBuff, code: int, k: int, a: int, x: int, memory: list[int]) -> int | None:
    """Return what an instruction of class LD loads; None ends the program."""
    mode = code & 0xE0
    size = 4 if not code & 0x18 else 2 if code & 0x08 else 1
    if mode == 0x20:
        return _ancillary(skb, k - SKF_AD_OFF, a, x) if k >= SKF_AD_OFF else _load(skb, k, size)
    if mode == 0x40:
        return _load(skb, x + k & _MASK, size)
    return k if mode == 0x00 else memory[k] if mode == 0x60 else skb.len


def _calculate(operation: int, a: int, b: int) -> int | None:
    """Return the result of an instruction of class ALU, of 32 bits; None for a division by 0."""
    if operation == 0x00:
        result = a + b
    elif operation == 0x10:
        result = a - b
    elif operation == 0x20:
        result = a * b
    elif operation == 0x30 or operation == 0x90:
        if not b:
            return None
        result = a // b if operation == 0x30 else a % b
    elif operation == 0x40:
        result = a | b
    elif operation == 0x50:
        result = a & b
    elif operation == 0x60:
        result = a << (b & 31)
    elif operation == 0x70:
        result = a >> (b & 31)
    elif operation == 0x80:
        result = -a
    else:
        result = a ^ b
    return result & _MASK


def _ancillary(skb: SkBuff, number: int, a: int, x: int) -> int | None:
    """Return what is known of a packet besides its octets."""
    if number == Ancillary.PROTOCOL:
        return skb.protocol
    if number == Ancillary.PKTTYPE:
        return skb.pkt_type
    if number == Ancillary.IFINDEX:
        return None if skb.dev is None else skb.dev.ifindex
    if number == Ancillary.HATYPE:
        return None if skb.dev is None else skb.dev.type
    if number == Ancillary.NLATTR or number == Ancillary.NLATTR_NEST:
        return bpf_skb_get_nlattr(skb, a, x, nested=number == Ancillary.NLATTR_NEST)
    if number == Ancillary.MARK:
        return skb.mark
    if number == Ancillary.QUEUE:
        return skb.queue_mapping
    if number == Ancillary.RXHASH:
        return skb.hash
    if number == Ancillary.ALU_XOR_X:
        return a ^ x
    if number == Ancillary.VLAN_TAG:
        return skb.vlan_tci
    if number == Ancillary.VLAN_TAG_PRESENT:
        return int(skb.vlan_proto != 0)
    if number == Ancillary.VLAN_TPID:
        return skb.vlan_proto
    if number == Ancillary.PAY_OFFSET:
        return skb_get_poff(skb)
    if number == Ancillary.RANDOM:
        return skb.kernel.platform.random_u32()
    return 0  # CPU: there is one.


def bpf_skb_get_nlattr(skb: SkBuff, a: int, x: int, *, nested: bool) -> int:
    """Return where the Netlink attribute of type ``x`` is, of those from ``a`` on or in the one there; 0: nowhere."""
    if skb.data_len or a > skb.len - _NLA_HDRLEN:
        return 0
    octets = skb.view[skb.data : skb.tail]
    at, end = a, skb.len
    if nested:
        length = int.from_bytes(octets[a : a + 2], "little")
        if length > skb.len - a:
            return 0
        at, end = a + _NLA_HDRLEN, a + length
    while end - at >= _NLA_HDRLEN:
        length = int.from_bytes(octets[at : at + 2], "little")
        if not _NLA_HDRLEN <= length <= end - at:
            return 0
        if int.from_bytes(octets[at + 2 : at + 4], "little") & _NLA_TYPE_MASK == x:
            return at
        at += length + 3 & ~3
    return 0

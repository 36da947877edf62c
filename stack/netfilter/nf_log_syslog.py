"""Packets as lines of the kernel's log (Linux: net/netfilter/nf_log_syslog.c)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import NO_HEADER
from ..core.skbuff_data import skb_header_pointer
from ..ipv4.icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_ECHO,
    ICMP_ECHOREPLY,
    ICMP_ERRORS,
    ICMP_FRAG_NEEDED,
    ICMP_PARAMETERPROB,
    ICMP_REDIRECT,
)
from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from ..wire.address import ipv4_to_text, mac_to_text

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["nf_log_packet"]

_HEADER = Struct("!BBHHHBBHII")
_INCOMPLETE = " bytes] "  # What a packet ends with whose header is not whole.
# Octets that a message of a type has at least.
_ICMP_OCTETS = dict.fromkeys(ICMP_ERRORS, 28) | {13: 20, 14: 20, 17: 12, 18: 12}
_TCP_FLAGS = ((32, "URG"), (16, "ACK"), (8, "PSH"), (4, "RST"), (2, "SYN"), (1, "FIN"))


def nf_log_packet(skb: "SkBuff", state: "NfHookState", prefix: str) -> None:
    """Write a packet to the log; those of a namespace other than the first only if they are asked for."""
    net = state.net
    if net is not net.kernel.init_net and not net.nf.sysctl_nf_log_all_netns:
        return
    names = [dev.name if dev is not None else "" for dev in (state.in_dev, state.out_dev)]
    text = f"{prefix}IN={names[0]} OUT={names[1]} "
    if state.in_dev is not None:
        text += _mac_header(skb)
    text += dump_ipv4_packet(skb, 0)
    cut_short = text.endswith(_INCOMPLETE) and skb.view[skb.network_header + 9] in (IPPROTO_TCP, IPPROTO_UDP)
    if skb.mark and not cut_short:
        text += f"MARK=0x{skb.mark:x} "
    net.kernel.log.append(text)


def _mac_header(skb: "SkBuff") -> str:
    text = "MAC="
    dev = skb.dev
    if dev is not None and dev.hard_header_len and skb.mac_header not in (NO_HEADER, skb.network_header):
        text += mac_to_text(bytes(skb.view[skb.mac_header : skb.mac_header + dev.hard_header_len]))
    return text + " "


def dump_ipv4_packet(skb: "SkBuff", nhoff: int) -> str:
    """Return a packet's header, and that behind it, as text; an ICMP error with the packet that it is about."""
    header = skb_header_pointer(skb, nhoff, 20)
    if header is None:
        return "TRUNCATED"
    first, tos, length, ident, frag_off, ttl, protocol, _, saddr, daddr = _HEADER.unpack(header)
    text = f"SRC={ipv4_to_text(saddr)} DST={ipv4_to_text(daddr)} LEN={length} TOS=0x{tos & 0x1E:02X} "
    text += f"PREC=0x{tos & 0xE0:02X} TTL={ttl} ID={ident} "
    for bit, name in ((0x8000, "CE"), (0x4000, "DF"), (0x2000, "MF")):
        if frag_off & bit:
            text += f"{name} "
    fragment = frag_off & 0x1FFF
    if fragment:
        text += f"FRAG:{fragment} "
    at = nhoff + ((first & 15) << 2)
    if protocol == IPPROTO_TCP:
        return text + _tcp(skb, at, fragment)
    if protocol == IPPROTO_UDP:
        return text + _udp(skb, at, fragment)
    if protocol == IPPROTO_ICMP:
        return text + _icmp(skb, at, fragment, nested=bool(nhoff))
    return text + f"PROTO={protocol} "


def _incomplete(skb: "SkBuff", at: int) -> str:
    return f"INCOMPLETE [{skb.len - at}{_INCOMPLETE}"


def _udp(skb: "SkBuff", at: int, fragment: int) -> str:
    if fragment:
        return "PROTO=UDP "
    header = skb_header_pointer(skb, at, 8)
    if header is None:
        return "PROTO=UDP " + _incomplete(skb, at)
    sport, dport, length = (int.from_bytes(header[n : n + 2], "big") for n in (0, 2, 4))
    return f"PROTO=UDP SPT={sport} DPT={dport} LEN={length} "


def _tcp(skb: "SkBuff", at: int, fragment: int) -> str:
    if fragment:
        return "PROTO=TCP "
    header = skb_header_pointer(skb, at, 20)
    if header is None:
        return "PROTO=TCP " + _incomplete(skb, at)
    sport, dport, window, urgent = (int.from_bytes(header[n : n + 2], "big") for n in (0, 2, 14, 18))
    flags = "".join(f"{name} " for bit, name in _TCP_FLAGS if header[13] & bit)
    reserved = header[12] & 0x0F
    return f"PROTO=TCP SPT={sport} DPT={dport} WINDOW={window} RES=0x{reserved:02x} {flags}URGP={urgent} "


def _icmp(skb: "SkBuff", at: int, fragment: int, *, nested: bool) -> str:
    text = "PROTO=ICMP "
    if fragment:
        return text
    header = skb_header_pointer(skb, at, 8)
    if header is None:
        return text + _incomplete(skb, at)
    kind, code = header[0], header[1]
    text += f"TYPE={kind} CODE={code} "
    if skb.len - at < _ICMP_OCTETS.get(kind, 0):
        return text + _incomplete(skb, at)
    if kind in (ICMP_ECHO, ICMP_ECHOREPLY):
        return text + f"ID={header[4] << 8 | header[5]} SEQ={header[6] << 8 | header[7]} "
    if kind not in ICMP_ERRORS:
        return text
    if kind == ICMP_PARAMETERPROB:
        return text + f"PARAMETER={header[4]} "
    if kind == ICMP_REDIRECT:
        text += f"GATEWAY={ipv4_to_text(int.from_bytes(header[4:8], 'big'))} "
    if not nested:
        text += f"[{dump_ipv4_packet(skb, at + 8)}] "
        if kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED:
            text += f"MTU={header[6] << 8 | header[7]} "
    return text

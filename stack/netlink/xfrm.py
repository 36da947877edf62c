"""Messages about policies and states of IPsec (Linux: include/uapi/linux/xfrm.h)."""

from enum import IntEnum
from struct import Struct

from ..uapi import AF_INET
from ..xfrm.xfrm import (
    XfrmEncap,
    XfrmLifetimeCfg,
    XfrmLifetimeCur,
    XfrmMark,
    XfrmSelector,
    XfrmTmpl,
)
from ..xfrm.xfrm_algo import XfrmAlgo

__all__ = [
    "XFRM_LIFETIME_CFG",
    "XFRM_LIFETIME_CUR",
    "XFRM_MARK",
    "XFRM_REPLAY_STATE",
    "XFRM_STATS",
    "XFRM_USERPOLICY_ID",
    "XFRM_USERPOLICY_INFO",
    "XFRM_USERSA_ID",
    "XFRM_USERSA_INFO",
    "XFRM_USERSPI_INFO",
    "XFRM_USER_ACQUIRE",
    "XFRM_USER_EXPIRE",
    "XFRM_USER_MAPPING",
    "XFRM_USER_POLEXPIRE",
    "XFRM_USER_TMPL",
    "XfrmMsg",
    "XfrmNlgrp",
    "Xfrma",
    "pack_address",
    "pack_algo",
    "pack_algo_aead",
    "pack_algo_auth",
    "pack_encap",
    "pack_id",
    "pack_lifetimes",
    "pack_replay_esn",
    "pack_selector",
    "pack_tmpl",
    "unpack_address",
    "unpack_algo",
    "unpack_algo_aead",
    "unpack_algo_auth",
    "unpack_encap",
    "unpack_id",
    "unpack_lifetime_cfg",
    "unpack_lifetime_cur",
    "unpack_mark",
    "unpack_replay_esn",
    "unpack_selector",
    "unpack_tmpls",
]


class XfrmMsg(IntEnum):
    """Types of messages (``XFRM_MSG_*``)."""

    NEWSA = 0x10
    DELSA = 0x11
    GETSA = 0x12
    NEWPOLICY = 0x13
    DELPOLICY = 0x14
    GETPOLICY = 0x15
    ALLOCSPI = 0x16
    ACQUIRE = 0x17
    EXPIRE = 0x18
    UPDPOLICY = 0x19
    UPDSA = 0x1A
    POLEXPIRE = 0x1B
    FLUSHSA = 0x1C
    FLUSHPOLICY = 0x1D
    GETSADINFO = 0x23
    NEWSADINFO = 0x22
    NEWSPDINFO = 0x24
    GETSPDINFO = 0x25
    MAPPING = 0x26
    SETDEFAULT = 0x27
    GETDEFAULT = 0x28


class Xfrma(IntEnum):
    """Attributes (``XFRMA_*``)."""

    ALG_AUTH = 1
    ALG_CRYPT = 2
    ALG_COMP = 3
    ENCAP = 4
    TMPL = 5
    REPLAY_VAL = 10
    SRCADDR = 13
    COADDR = 14
    LASTUSED = 15
    POLICY_TYPE = 16
    ALG_AEAD = 18
    ALG_AUTH_TRUNC = 20
    MARK = 21
    REPLAY_ESN_VAL = 23
    PROTO = 25
    PAD = 27
    IF_ID = 31


class XfrmNlgrp(IntEnum):
    """Groups (``XFRMNLGRP_*``)."""

    ACQUIRE = 1
    EXPIRE = 2
    SA = 3
    POLICY = 4
    AEVENTS = 5
    REPORT = 6
    MIGRATE = 7
    MAPPING = 8


XFRM_LIFETIME_CFG = Struct("=8Q")
XFRM_LIFETIME_CUR = Struct("=4Q")
XFRM_STATS = Struct("=3I")
XFRM_MARK = Struct("=II")
XFRM_REPLAY_STATE = Struct("=3I")
XFRM_USERSA_INFO = Struct("=56s24s16s64s32s12sIIHBBB7x")
XFRM_USERSA_ID = Struct("=16s4sHBx")
XFRM_USERSPI_INFO = Struct("=224sII")
XFRM_USERPOLICY_INFO = Struct("=56s64s32sIIBBBB4x")
XFRM_USERPOLICY_ID = Struct("=56sIB3x")
XFRM_USER_TMPL = Struct("=24sH2x16sIBBBxIII")
XFRM_USER_EXPIRE = Struct("=224sB7x")
XFRM_USER_POLEXPIRE = Struct("=168sB7x")
XFRM_USER_ACQUIRE = Struct("=24s16s56s168sIIII")
XFRM_USER_MAPPING = Struct("=24sI16s16s4s")
_SELECTOR = Struct("=16s16s8sHBBB3xiI")
_PORTS = Struct("!HHHH")
_ID = Struct("=16s4sB3x")
_ENCAP = Struct("=H4s2x16s")
_ENCAP_PORTS = Struct("!HH")
_ALGO = Struct("=64sI")
_ALGO_LONG = Struct("=64sII")
_REPLAY_ESN = Struct("=6I")
_U32_BITS = 32


def pack_address(address: int) -> bytes:
    """Return an ``xfrm_address_t``."""
    return address.to_bytes(4, "big").ljust(16, b"\0")


def unpack_address(octets: bytes) -> int:
    """Return the IPv4 address of one."""
    return int.from_bytes(octets[:4], "big")


def pack_selector(sel: XfrmSelector) -> bytes:
    """Return a ``struct xfrm_selector``."""
    return _SELECTOR.pack(
        pack_address(sel.daddr),
        pack_address(sel.saddr),
        _PORTS.pack(sel.dport, sel.dport_mask, sel.sport, sel.sport_mask),
        *(sel.family, sel.prefixlen_d, sel.prefixlen_s, sel.proto, sel.ifindex, sel.user),
    )


def unpack_selector(octets: bytes) -> XfrmSelector:
    """Return what one says."""
    daddr, saddr, ports, *others = _SELECTOR.unpack_from(octets)
    return XfrmSelector(unpack_address(daddr), unpack_address(saddr), *_PORTS.unpack(ports), *others)


def pack_id(daddr: int, spi: int, proto: int) -> bytes:
    """Return a ``struct xfrm_id``."""
    return _ID.pack(pack_address(daddr), spi.to_bytes(4, "big"), proto)


def unpack_id(octets: bytes) -> tuple[int, int, int]:
    """Return destination, index and protocol of one."""
    daddr, spi, proto = _ID.unpack_from(octets)
    return unpack_address(daddr), int.from_bytes(spi, "big"), proto


def pack_lifetimes(lft: XfrmLifetimeCfg, cur: XfrmLifetimeCur) -> tuple[bytes, bytes]:
    """Return a ``struct xfrm_lifetime_cfg`` and a ``struct xfrm_lifetime_cur``."""
    cfg = XFRM_LIFETIME_CFG.pack(
        *(lft.soft_byte_limit, lft.hard_byte_limit, lft.soft_packet_limit, lft.hard_packet_limit),
        *(lft.soft_add_expires_seconds, lft.hard_add_expires_seconds),
        *(lft.soft_use_expires_seconds, lft.hard_use_expires_seconds),
    )
    return cfg, XFRM_LIFETIME_CUR.pack(cur.bytes, cur.packets, cur.add_time, cur.use_time)


def unpack_lifetime_cfg(octets: bytes) -> XfrmLifetimeCfg:
    """Return what the first of them says."""
    return XfrmLifetimeCfg(*XFRM_LIFETIME_CFG.unpack_from(octets))


def unpack_lifetime_cur(octets: bytes) -> XfrmLifetimeCur:
    """Return what the second says."""
    return XfrmLifetimeCur(*XFRM_LIFETIME_CUR.unpack_from(octets))


def pack_tmpl(tmpl: XfrmTmpl) -> bytes:
    """Return a ``struct xfrm_user_tmpl``."""
    return XFRM_USER_TMPL.pack(
        pack_id(tmpl.daddr, tmpl.spi, tmpl.proto),
        tmpl.family,
        pack_address(tmpl.saddr),
        *(tmpl.reqid, tmpl.mode, tmpl.share, tmpl.optional, tmpl.aalgos, tmpl.ealgos, tmpl.calgos),
    )


def unpack_tmpls(octets: bytes) -> tuple[XfrmTmpl, ...]:
    """Return what some of them in a row say."""
    found: list[XfrmTmpl] = []
    for at in range(0, len(octets) - XFRM_USER_TMPL.size + 1, XFRM_USER_TMPL.size):
        ident, family, saddr, reqid, mode, share, optional, *algos = XFRM_USER_TMPL.unpack_from(octets, at)
        aalgos, ealgos, calgos = algos
        daddr, spi, proto = unpack_id(ident)
        source = unpack_address(saddr)
        many = optional != 0
        found.append(
            XfrmTmpl(daddr, source, spi, proto, reqid, mode, share, many, aalgos, ealgos, calgos, family or AF_INET)
        )
    return tuple(found)


def unpack_mark(octets: bytes) -> XfrmMark:
    """Return what a ``struct xfrm_mark`` says."""
    return XfrmMark(*XFRM_MARK.unpack_from(octets))


def pack_encap(encap: XfrmEncap) -> bytes:
    """Return a ``struct xfrm_encap_tmpl``."""
    ports = _ENCAP_PORTS.pack(encap.encap_sport, encap.encap_dport)
    return _ENCAP.pack(encap.encap_type, ports, pack_address(encap.encap_oa))


def unpack_encap(octets: bytes) -> XfrmEncap:
    """Return what one says."""
    kind, ports, oa = _ENCAP.unpack_from(octets)
    sport, dport = _ENCAP_PORTS.unpack(ports)
    return XfrmEncap(kind, sport, dport, unpack_address(oa))


def _name(octets: bytes) -> str:
    return octets.split(b"\0")[0].decode("ascii", "replace")


def pack_algo(algo: XfrmAlgo) -> bytes:
    """Return a ``struct xfrm_algo``."""
    return _ALGO.pack(algo.name.encode(), len(algo.key) * 8) + algo.key


def unpack_algo(octets: bytes) -> XfrmAlgo:
    """Return what one says; a key that is cut short is as long as it is."""
    name, bits = _ALGO.unpack_from(octets)
    return XfrmAlgo(_name(name), octets[_ALGO.size : _ALGO.size + (bits + 7) // 8])


def pack_algo_auth(algo: XfrmAlgo, icv_bits: int) -> bytes:
    """Return a ``struct xfrm_algo_auth``."""
    return _ALGO_LONG.pack(algo.name.encode(), len(algo.key) * 8, icv_bits) + algo.key


def unpack_algo_auth(octets: bytes) -> XfrmAlgo:
    """Return what one says."""
    name, bits, icv = _ALGO_LONG.unpack_from(octets)
    return XfrmAlgo(_name(name), octets[_ALGO_LONG.size : _ALGO_LONG.size + (bits + 7) // 8], icv)


def pack_algo_aead(algo: XfrmAlgo) -> bytes:
    """Return a ``struct xfrm_algo_aead``."""
    return pack_algo_auth(algo, algo.icv_bits)


def unpack_algo_aead(octets: bytes) -> XfrmAlgo:
    """Return what one says."""
    return unpack_algo_auth(octets)


def pack_replay_esn(oseq: int, seq: int, window: int, bitmap: int) -> bytes:
    """Return a ``struct xfrm_replay_state_esn``; the bit map starts with the highest number received here."""
    words = -(-window // _U32_BITS)
    low = 0xFFFFFFFF
    head = _REPLAY_ESN.pack(words, oseq & low, seq & low, oseq >> 32, seq >> 32, window)
    return head + bitmap.to_bytes(words * 4, "little")


def unpack_replay_esn(octets: bytes) -> tuple[int, int, int, int]:
    """Return the numbers sent and received, the window and the bit map of one."""
    words, oseq, seq, oseq_hi, seq_hi, window = _REPLAY_ESN.unpack_from(octets)
    bitmap = int.from_bytes(octets[_REPLAY_ESN.size : _REPLAY_ESN.size + words * 4], "little")
    return oseq_hi << 32 | oseq, seq_hi << 32 | seq, window, bitmap

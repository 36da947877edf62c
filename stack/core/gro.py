"""Generic receive offload: segments of a stream that arrive together go up as one packet (Linux: net/core/gro.c)."""

from enum import IntEnum
from typing import TYPE_CHECKING

from ..wire.checksum import csum_add
from .dev_receive import netif_receive_skb_list_internal
from .drop_reasons import SkbDropReason
from .netdevice import NETIF_F_GRO
from .skbuff import (
    CHECKSUM_COMPLETE,
    CHECKSUM_NONE,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNNECESSARY,
    MAX_SKB_FRAGS,
    STRUCT_OCTETS,
    Page,
    SkBuff,
    kfree_skb_reason,
)
from .skbuff_data import skb_checksum, skb_cloned
from .timer import jiffies

if TYPE_CHECKING:
    from .dev_napi import Napi
    from .packet_type import PacketType

__all__ = [
    "GRO_HASH_BUCKETS",
    "GroResult",
    "NapiGroCb",
    "dev_gro_receive",
    "flush_gro_hash",
    "gro_normal_list",
    "gro_normal_one",
    "napi_gro_complete",
    "napi_gro_flush",
    "napi_gro_receive",
    "skb_gro_checksum_validate",
    "skb_gro_len",
    "skb_gro_receive",
]

GRO_HASH_BUCKETS = 8
GRO_MAX_SIZE = 65536
GRO_NORMAL_BATCH = 8
MAX_GRO_SKBS = 8


class GroResult(IntEnum):
    """What became of a packet (Linux: ``gro_result_t``)."""

    MERGED = 0  # Its data belongs to another one that is held.
    HELD = 2  # It waits for others of its flow.
    NORMAL = 3  # It goes on as it is.


class NapiGroCb:
    """What is known of a packet while others may join it (Linux: ``struct napi_gro_cb``).

    Members
    -------
    data_offset : int
        How far behind ``data`` the protocol that looks at it begins; behind the last header in the end.
    same_flow : bool
        Of a held packet: it has been like the new one so far. Of the new one: a held one has taken its data.
    flush : bool
        It cannot be joined with others.
    flush_id : int
        How far the new packet's identification is off: 0 if it may follow the held one.
    is_atomic : bool
        It may not be fragmented, so that its identification says nothing (RFC 6864).
    count : int
        Of how many segments it has the data.
    age : int
        When it began to be held, in jiffies.
    last : SkBuff
        Which of the packets that hang on it takes further data.
    csum, csum_valid : int, bool
        The sum of its octets from ``data_offset`` on, and whether that is known.
    csum_cnt : int
        How many checksums its device vouches for.
    """

    __slots__ = (
        "age",
        "count",
        "csum",
        "csum_cnt",
        "csum_valid",
        "data_offset",
        "flush",
        "flush_id",
        "is_atomic",
        "last",
        "same_flow",
    )

    def __init__(self, skb: SkBuff) -> None:
        self.data_offset = self.flush_id = self.age = 0
        self.same_flow = False
        self.flush = skb.frag_list is not None or skb.gso_size != 0
        self.is_atomic = True
        self.count = 1
        self.last = skb
        summed = skb.ip_summed
        self.csum_valid = summed == CHECKSUM_COMPLETE
        self.csum = skb.csum if self.csum_valid else 0
        self.csum_cnt = skb.csum_level + 1 if summed == CHECKSUM_UNNECESSARY else 0


def napi_gro_receive(napi: "Napi", skb: SkBuff) -> None:
    """Receive a packet from a driver's poll; it may wait for others of its stream until that ends."""
    if dev_gro_receive(napi, skb) is GroResult.NORMAL:  # napi_skb_finish()
        gro_normal_one(napi, skb, 1)


def _offload(skb: SkBuff) -> "PacketType | None":
    """Return the protocol that can join packets, if it is one."""
    assert skb.dev is not None
    protocol = skb.protocol
    for ptype in skb.dev.net.ptype_base[protocol & 15]:
        if ptype.type == protocol and ptype.gro_receive is not None:
            return ptype
    return None


def dev_gro_receive(napi: "Napi", skb: SkBuff) -> GroResult:
    """Join a packet with one that is held, or hold it; its data starts behind the link header.

    A held packet of the same flow that it cannot be joined with goes on before it: the order in a flow stays.
    """
    dev = skb.dev
    assert dev is not None
    ptype = _offload(skb) if dev.features & NETIF_F_GRO else None
    if ptype is None:
        return GroResult.NORMAL
    assert ptype.gro_receive is not None
    held = napi.gro_hash[skb.hash & GRO_HASH_BUCKETS - 1]
    cb = skb.cb = NapiGroCb(skb)
    if held:
        gro_list_prepare(held, skb)
    done = ptype.gro_receive(held, skb)
    if done is not None:
        held.remove(done)
        napi_gro_complete(napi, done)
    if cb.same_flow:
        return GroResult.MERGED
    if cb.flush:
        skb.cb = None
        return GroResult.NORMAL
    if len(held) >= MAX_GRO_SKBS:
        napi_gro_complete(napi, held.pop(0))  # gro_flush_oldest()
    cb.age = jiffies(skb.kernel)
    skb.gso_size = skb_gro_len(skb)
    held.append(skb)
    return GroResult.HELD


def gro_list_prepare(held: list[SkBuff], skb: SkBuff) -> None:
    """See which of the held packets are like a new one below the network header."""
    mac = skb.mac_header
    header = skb.view[mac : skb.data]
    for p in held:
        cb: NapiGroCb = p.cb
        cb.flush = False
        cb.same_flow = (
            p.hash == skb.hash
            and p.dev is skb.dev
            and p.protocol == skb.protocol
            and p.vlan_proto == skb.vlan_proto
            and p.vlan_tci == skb.vlan_tci
            and p.view[p.mac_header : p.data] == header
            and p.dst is skb.dst
            and p.nfct == skb.nfct
            and p.sp == skb.sp
        )


def skb_gro_len(skb: SkBuff) -> int:
    """Return how many octets lie behind the headers that were looked at."""
    offset: int = skb.cb.data_offset
    return skb.len - offset


def skb_gro_checksum_validate(skb: SkBuff, pseudo: int) -> bool:
    """Return whether the checksum over the rest of a packet and a pseudo header is right; it is summed if need be.

    It is noted in ``ip_summed`` that it is, so that it is not summed again.
    """
    cb: NapiGroCb = skb.cb
    if cb.csum_cnt:  # skb_gro_incr_csum_unnecessary()
        cb.csum_cnt -= 1
        return True
    if skb.ip_summed != CHECKSUM_PARTIAL and not (cb.csum_valid and csum_add(pseudo, cb.csum) == 0xFFFF):
        cb.csum = skb_checksum(skb, cb.data_offset, skb_gro_len(skb))
        cb.csum_valid = csum_add(pseudo, cb.csum) == 0xFFFF
        if not cb.csum_valid:
            return False
    if skb.ip_summed == CHECKSUM_NONE:
        skb.ip_summed = CHECKSUM_UNNECESSARY
        skb.csum_level = 0
    elif skb.ip_summed == CHECKSUM_UNNECESSARY:
        skb.csum_level += 1
    return True


def skb_gro_receive(p: SkBuff, skb: SkBuff) -> bool:
    """Put the data of a packet behind that of a held one; return False if that must not grow so far.

    The memory goes along: as fragments, or as a further packet in the list if there are too many.
    """
    cb: NapiGroCb = skb.cb
    held: NapiGroCb = p.cb
    length = skb_gro_len(skb)
    if p.len + length >= GRO_MAX_SIZE or cb.flush:
        return False
    at, tail = skb.data + cb.data_offset, skb.tail
    last = held.last
    if len(last.frags) + 1 + len(skb.frags) <= MAX_SKB_FRAGS and not skb_cloned(skb):
        if at < tail:
            last.frags.append((Page(skb.head), at, tail - at))
        else:
            skb.kernel.kfree(skb.head)
        last.frags += skb.frags
        truesize = skb.truesize - STRUCT_OCTETS
        if last is not p:
            last.len += length
            last.data_len += length
            last.truesize += truesize
    else:
        truesize = skb.truesize
        skb.data = at
        skb.len = length
        if last is p:
            p.frag_list = skb
        else:
            last.next = skb
        held.last = skb
    p.len += length
    p.data_len += length
    p.truesize += truesize
    held.count += cb.count
    cb.same_flow = True
    return True


def napi_gro_complete(napi: "Napi", skb: SkBuff) -> None:
    """Let a packet that was held go on, with headers for all that it stands for."""
    cb: NapiGroCb = skb.cb
    skb.cb = None
    if cb.count == 1:
        skb.gso_size = 0
    else:
        ptype = _offload(skb)
        assert ptype is not None
        assert ptype.gro_complete is not None
        skb.gso_segs = cb.count
        ptype.gro_complete(skb, cb)
    gro_normal_one(napi, skb, cb.count)


def napi_gro_flush(napi: "Napi", flush_old: bool) -> None:
    """Let all that is held go on, the oldest first; with ``flush_old`` only what is older than this jiffy."""
    now = jiffies(napi.kernel)
    for held in napi.gro_hash:
        while held and not (flush_old and held[0].cb.age == now):
            napi_gro_complete(napi, held.pop(0))


def flush_gro_hash(napi: "Napi") -> None:
    """Drop what is held for a device that goes."""
    for held in napi.gro_hash:
        while held:
            kfree_skb_reason(held.pop(), SkbDropReason.NOT_SPECIFIED)


def gro_normal_one(napi: "Napi", skb: SkBuff, segs: int) -> None:
    """Let a packet go on, in a batch with those that follow."""
    napi.rx_list.append(skb)
    napi.rx_count += segs
    if napi.rx_count >= GRO_NORMAL_BATCH:
        gro_normal_list(napi)


def gro_normal_list(napi: "Napi") -> None:
    """Let the batch go on."""
    rx_list = napi.rx_list
    if rx_list:
        napi.rx_list = []
        napi.rx_count = 0
        netif_receive_skb_list_internal(rx_list)

"""Receiving with our NIC: completions into skbs, and buffers back to the device."""

from ...abi.desc import RX_CPL, RX_PAD_OCTETS, RxFlags, RxStatus
from ...core.dev_napi import Napi
from ...core.gro import gro_normal_list, napi_gro_flush, napi_gro_receive
from ...core.if_vlan import ETH_P_8021Q
from ...core.netdevice import NETIF_F_RXCSUM
from ...core.skbuff import CHECKSUM_COMPLETE, CHECKSUM_UNNECESSARY, PACKET_MULTICAST, SkBuff
from ...core.skbuff_rx import napi_alloc_skb, napi_build_skb, skb_add_rx_frag
from ...core.softirq import local_bh_disable, local_bh_enable
from ...ethernet.eth import eth_type_trans
from .rx_ring import RX_HEADROOM_OCTETS, RxRing

__all__ = ["COPYBREAK_OCTETS", "hardwire_clean_rx", "hardwire_drop_rx", "hardwire_flush_rx"]

COPYBREAK_OCTETS = 256  # A copy costs less than another buffer up to here.

# Plain numbers and bound methods: these are used for every frame.
_CPL_OCTETS = RX_CPL.size_octets
_PHASE_OCTET = _CPL_OCTETS - 1
_unpack_cpl = RX_CPL.struct.unpack_from
_DATA = RX_HEADROOM_OCTETS + RX_PAD_OCTETS
_L4_GOOD = int(RxFlags.CSUM_L4_GOOD)
_BAD = int(RxFlags.CSUM_IPV4_BAD | RxFlags.CSUM_L4_BAD)
_VLAN = int(RxFlags.VLAN)
_OK = int(RxStatus.OK)
_COUNTERS = {
    RxStatus.PAYLOAD_ERROR: "payload_errors",
    RxStatus.DESC_ERROR: "desc_errors",
    RxStatus.BAD_DESCRIPTOR: "bad_descriptors",
    RxStatus.NO_BUFFER: "no_buffer",
    RxStatus.ABORTED: "aborted",
}


def hardwire_clean_rx(ring: RxRing, napi: Napi, budget: int) -> int:
    """Hand up to ``budget`` received frames to the stack; return how many completions that took.

    A short frame is copied out of its buffer, which stays mapped: the memory is coherent, so that nothing has to be
    synchronised. The device's verdict on the transport checksum is ``CHECKSUM_UNNECESSARY``; for other protocols, and
    what it does not look into, the stack gets the sum.
    """
    dev = ring.dev
    mask = ring.mask
    view = ring.cpl_view
    use_csum = dev.features & NETIF_F_RXCSUM
    cpl, phase, clean, posted = ring.cpl_next, ring.phase, ring.next_to_clean, ring.posted
    work = packets = octets = multicast = copied = 0
    while work < budget:
        at = cpl * _CPL_OCTETS
        if view[at + _PHASE_OCTET] != phase:
            break
        _, _, _, length, csum, tci, flags, index, _, _, status, _ = _unpack_cpl(view, at)
        if (index - clean) & mask >= (posted - clean) & mask:
            raise RuntimeError(f"{dev.name} completed RX descriptor {index}, which was not posted")
        cpl = (cpl + 1) & mask
        if not cpl:
            phase ^= 1
        work += 1
        first = clean
        clean = (index + 1) & mask
        if status != _OK:
            _count_failed(ring, status)
            continue
        if length <= COPYBREAK_OCTETS and first == index:
            block = ring.blocks[first]
            assert block is not None
            try:
                skb = napi_alloc_skb(napi, length)
            except OSError:
                ring.stat["alloc_errors"] += 1
                dev.stats.rx_dropped += 1
                continue
            start = skb.tail
            skb.tail = end = start + length
            skb.len = length
            skb.view[start:end] = block.view[_DATA : _DATA + length]
            copied += 1
        else:
            skb = _build_skb(ring, first, index, length)
        if use_csum:
            if flags & _L4_GOOD:
                skb.ip_summed = CHECKSUM_UNNECESSARY
            elif not flags & _BAD:
                skb.ip_summed = CHECKSUM_COMPLETE
                skb.csum = csum
        if flags & _VLAN:
            skb.vlan_proto = ETH_P_8021Q
            skb.vlan_tci = tci
        skb.protocol = eth_type_trans(skb, dev)
        packets += 1
        octets += length
        if skb.pkt_type == PACKET_MULTICAST:
            multicast += 1
        napi_gro_receive(napi, skb)
    ring.cpl_next, ring.phase, ring.next_to_clean = cpl, phase, clean
    if packets:
        stats = dev.stats
        stats.rx_packets += packets
        stats.rx_bytes += octets
        stats.multicast += multicast
        ring.stat["copied"] += copied
    return work


def _build_skb(ring: RxRing, first: int, last: int, length: int) -> SkBuff:
    """Make an skb of the buffers from ``first`` to ``last``, which go up the stack as far as the frame is in them."""
    skb = napi_build_skb(ring.dev, ring.take(first))
    part = min(length, ring.head_octets)
    skb.data = _DATA
    skb.tail = _DATA + part
    skb.len = part
    length -= part
    while length:
        if first == last:
            raise RuntimeError(f"{ring.dev.name} received more octets than the buffers up to {last} hold")
        first = (first + 1) & ring.mask
        part = min(length, ring.room_octets)
        skb_add_rx_frag(skb, ring.take(first), RX_HEADROOM_OCTETS, part)
        length -= part
    return skb


def _count_failed(ring: RxRing, status: int) -> None:
    """Count a frame that was not received; its buffers stay in the ring."""
    stats = ring.dev.stats
    if status == RxStatus.ABORTED:
        stats.rx_dropped += 1
    else:
        stats.rx_errors += 1
        if status == RxStatus.NO_BUFFER:
            stats.rx_over_errors += 1
    ring.stat[_COUNTERS[RxStatus(status)]] += 1


def hardwire_flush_rx(ring: RxRing) -> None:
    """Hand all that a ring holds, which the device has let go of, to the stack, and free its buffers."""
    kernel = ring.dev.kernel
    local_bh_disable(kernel)
    hardwire_clean_rx(ring, ring.napi, ring.count)
    napi_gro_flush(ring.napi, flush_old=False)
    gro_normal_list(ring.napi)
    ring.free_buffers()
    local_bh_enable(kernel)


def hardwire_drop_rx(ring: RxRing) -> None:
    """Drop all that a ring holds, which the device has let go of, for a device that is down, and free its buffers."""
    while ring.is_completed():
        status = _unpack_cpl(ring.cpl_view, ring.cpl_next * _CPL_OCTETS)[10]
        ring.cpl_next = (ring.cpl_next + 1) & ring.mask
        ring.phase ^= not ring.cpl_next
        if status == _OK:
            ring.dev.stats.rx_dropped += 1
            ring.stat["flushed"] += 1
        else:
            _count_failed(ring, status)
    ring.free_buffers()

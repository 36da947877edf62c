"""Sending with our NIC: frames into descriptors, and completions back into freed skbs."""

from typing import TYPE_CHECKING

from ...abi.desc import TX_CPL, TX_DESC, TxFlags, TxStatus
from ...core.dev_queue import (
    __netdev_tx_sent_queue,
    netdev_tx_completed_queue,
    netif_tx_stop_queue,
    netif_tx_wake_queue,
)
from ...core.drop_reasons import SkbDropReason
from ...core.if_vlan import ETH_P_8021Q
from ...core.netdevice import (
    LINK_STATE_START,
    NETDEV_TX_BUSY,
    NETDEV_TX_OK,
    NETIF_F_HW_CSUM,
    NETIF_F_HW_VLAN_CTAG_TX,
    QUEUE_STATE_DRV_XOFF,
    NetDevice,
)
from ...core.skbuff import CHECKSUM_PARTIAL, SkBuff, consume_skb, kfree_skb_reason
from ...core.skbuff_data import skb_linearize
from ...ethernet.eth import ETH_P_IP
from ..bus import Direction
from .ring import TxRing

if TYPE_CHECKING:
    from .main import Hardwire

__all__ = [
    "hardwire_clean_all",
    "hardwire_clean_tx",
    "hardwire_maybe_stop_tx",
    "hardwire_start_xmit",
]

# Plain numbers and bound methods: these are used for every frame.
_DESC_OCTETS = TX_DESC.size_octets
_CPL_OCTETS = TX_CPL.size_octets
_pack_desc = TX_DESC.struct.pack_into
_unpack_cpl = TX_CPL.struct.unpack_from
_FIRST = int(TxFlags.FIRST)
_LAST = int(TxFlags.LAST)
_ONLY = _FIRST | _LAST
_CSUM_PARTIAL = int(TxFlags.CSUM_PARTIAL)
_CSUM_IPV4 = int(TxFlags.CSUM_IPV4)
_RESOLVE = int(TxFlags.RESOLVE)
_VLAN = int(TxFlags.VLAN)
_OK = int(TxStatus.OK)
_RESOLVE_MISS = int(TxStatus.RESOLVE_MISS)
_TO_DEVICE = Direction.TO_DEVICE

_REASONS: dict[int, SkbDropReason] = {
    TxStatus.PAYLOAD_ERROR: SkbDropReason.HW_PAYLOAD_ERROR,
    TxStatus.DESC_ERROR: SkbDropReason.HW_DESC_ERROR,
    TxStatus.ABORTED: SkbDropReason.HW_ABORTED,
    TxStatus.BAD_LENGTH: SkbDropReason.HW_BAD_LENGTH,
    TxStatus.UNSUPPORTED: SkbDropReason.HW_UNSUPPORTED,
    TxStatus.BAD_CHECKSUM_FIELD: SkbDropReason.HW_BAD_CHECKSUM_FIELD,
    TxStatus.BAD_SEQUENCE: SkbDropReason.HW_BAD_SEQUENCE,
}


def hardwire_maybe_stop_tx(ring: TxRing, parts: int) -> bool:
    """Stop the queue unless there is room for a frame of so many parts; return whether it is stopped."""
    if (ring.next_to_clean - ring.next_to_use - 1) & ring.mask >= parts:
        return False
    netif_tx_stop_queue(ring.txq)
    return True


def hardwire_start_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Hand a frame to the device: map it, describe it, ring the doorbell unless more frames follow.

    Returns
    -------
    int
        ``NETDEV_TX_OK`` when the skb is the driver's, sent or dropped; ``NETDEV_TX_BUSY`` when the ring is full.
    """
    nic: Hardwire = dev.priv
    ring = nic.rings[skb.queue_mapping]
    txq = ring.txq
    frags = skb.frags
    if len(frags) >= ring.max_parts:
        try:
            skb_linearize(skb)
        except OSError:
            return _drop(skb, ring, SkbDropReason.NOMEM)
        ring.stat["linearized"] += 1
        frags = skb.frags
    parts = 1 + len(frags)
    if hardwire_maybe_stop_tx(ring, parts):
        ring.stat["busy"] += 1
        _ring_doorbell(ring)  # For frames before this one, which counted on it to follow.
        return NETDEV_TX_BUSY

    data = skb.data
    flags = csum_start = csum_offset = l3_start = next_hop = vlan_tci = 0
    if skb.vlan_proto == ETH_P_8021Q and dev.features & NETIF_F_HW_VLAN_CTAG_TX:
        flags = _VLAN
        vlan_tci = skb.vlan_tci
    if skb.ip_summed == CHECKSUM_PARTIAL:
        flags |= _CSUM_PARTIAL
        csum_start = skb.csum_start - data
        csum_offset = skb.csum_offset
    dst = skb.dst
    if dst is not None and skb.protocol == ETH_P_IP:
        # Only packets from our own IPv4 have a dst; raw frames go out as they are.
        view = skb.view
        header = skb.network_header
        if dev.features & NETIF_F_HW_CSUM:
            flags |= _CSUM_IPV4
            l3_start = header - data
            if not csum_start:
                csum_start = l3_start + (view[header] & 15) * 4
        if nic.shadow and dst.dev is dev:  # Devices above this one have neighbours of their own.
            next_hop = dst.gw or int.from_bytes(view[header + 16 : header + 20], "big")
            if next_hop in nic.shadow:
                flags |= _RESOLVE
            else:
                next_hop = 0

    index = ring.next_to_use
    length = skb.tail - data
    try:
        bus = ring.dma.map(skb.head.addr + data, length, _TO_DEVICE)
    except OSError:
        ring.stat["mapping_errors"] += 1
        return _drop(skb, ring, SkbDropReason.DMA_MAPPING)
    ring.bus[index] = bus
    ring.length[index] = length
    _pack_desc(
        ring.desc_view,
        index * _DESC_OCTETS,
        bus,
        length,
        flags | _FIRST if frags else flags | _ONLY,
        csum_start,
        csum_offset,
        0,
        0,
        vlan_tci,
        l3_start,
        0,
        next_hop,
        index,
    )
    if frags:
        last = _map_frags(skb, ring, index)
        if last is None:
            return _drop(skb, ring, SkbDropReason.DMA_MAPPING)
        index = last
    ring.skbs[index] = skb
    ring.next_to_use = (index + 1) & ring.mask
    # Stop now rather than refuse the next frame, whatever its number of parts.
    hardwire_maybe_stop_tx(ring, ring.max_parts)
    if __netdev_tx_sent_queue(txq, skb.len, dev.kernel.softnet.xmit_more):
        ring.stat["doorbells"] += 1
        ring.post()
    return NETDEV_TX_OK


def _map_frags(skb: SkBuff, ring: TxRing, index: int) -> int | None:
    """Fill the descriptors of the fragments; return the last one, or None with nothing left mapped."""
    first = index
    left = len(skb.frags)
    for page, offset, length in skb.frags:
        left -= 1
        index = (index + 1) & ring.mask
        try:
            bus = ring.dma.map(page.addr + offset, length, _TO_DEVICE)
        except OSError:
            ring.stat["mapping_errors"] += 1
            while first != index:
                ring.dma.unmap(ring.bus[first], ring.length[first], _TO_DEVICE)
                first = (first + 1) & ring.mask
            return None
        ring.bus[index] = bus
        ring.length[index] = length
        _pack_desc(
            ring.desc_view, index * _DESC_OCTETS, bus, length, 0 if left else _LAST, 0, 0, 0, 0, 0, 0, 0, 0, index
        )
    return index


def _ring_doorbell(ring: TxRing) -> None:
    """Post the frames whose doorbell was put off."""
    if ring.posted != ring.next_to_use:
        ring.stat["doorbells"] += 1
        ring.post()


def _drop(skb: SkBuff, ring: TxRing, reason: SkbDropReason) -> int:
    """Drop a frame that cannot be handed over; those before it must not wait for its doorbell."""
    dev = ring.txq.dev
    dev.stats.tx_dropped += 1
    kfree_skb_reason(skb, reason)
    if not dev.kernel.softnet.xmit_more:
        _ring_doorbell(ring)
    return NETDEV_TX_OK


def hardwire_clean_tx(ring: TxRing) -> bool:
    """Free what the device is done with, up to a lap; return whether that was all.

    A completion covers all descriptors up to its index. Its status is that of the frame whose last part is among them;
    one that covers only the first parts of a frame reports a descriptor that could not be read, and the frame's last
    part follows with the same status.
    """
    txq = ring.txq
    dev = txq.dev
    mask = ring.mask
    skbs = ring.skbs
    unmap = ring.dma.unmap
    cpl_view = ring.cpl_view
    packets = octets = sent = sent_octets = 0
    missed: list[SkBuff] = []
    clean = ring.next_to_clean
    complete = False
    for _ in range(ring.count):
        _, _, index, status, phase = _unpack_cpl(cpl_view, ring.cpl_next * _CPL_OCTETS)
        if phase != ring.phase:
            complete = True
            break
        ring.cpl_next = (ring.cpl_next + 1) & mask
        if not ring.cpl_next:
            ring.phase ^= 1
        if (index - clean) & mask >= (ring.next_to_use - clean) & mask:
            raise RuntimeError(f"{dev.name} completed descriptor {index}, which was not posted")
        end = (index + 1) & mask
        ended = packets
        while clean != end:
            unmap(ring.bus[clean], ring.length[clean], _TO_DEVICE)
            skb = skbs[clean]
            if skb is not None:
                skbs[clean] = None
                packets += 1
                octets += skb.len
                if status == _OK:
                    sent += 1
                    sent_octets += skb.len
                    consume_skb(skb)
                elif status == _RESOLVE_MISS:
                    missed.append(skb)
                else:
                    _drop_failed(skb, dev, status)
            clean = (clean + 1) & mask
        if packets == ended:
            ring.stat["part_errors"] += 1
    ring.next_to_clean = clean
    if packets:
        stats = dev.stats
        stats.tx_packets += sent
        stats.tx_bytes += sent_octets
        netdev_tx_completed_queue(txq, packets, octets)
        _maybe_wake(ring)
        for skb in missed:
            _resolve_again(skb, ring)
    return complete


def _maybe_wake(ring: TxRing) -> None:
    """Wake a stopped queue once there is room for several frames, so that it does not stop again at once."""
    txq = ring.txq
    if not txq.state & QUEUE_STATE_DRV_XOFF:
        return
    unused = (ring.next_to_clean - ring.next_to_use - 1) & ring.mask
    if unused >= min(2 * ring.max_parts, ring.mask) and txq.dev.state & LINK_STATE_START:
        netif_tx_wake_queue(txq)


def _resolve_again(skb: SkBuff, ring: TxRing) -> None:
    """Give a frame back whose next hop was not in the cache: the neighbour layer sends it again, resolved or not."""
    dev = ring.txq.dev
    nic: Hardwire = dev.priv
    ring.stat["resolve_misses"] += 1
    nic.neigh.missed(skb)


def _drop_failed(skb: SkBuff, dev: NetDevice, status: int) -> None:
    """Drop a frame that the device did not send."""
    stats = dev.stats
    stats.tx_errors += 1
    if status == TxStatus.ABORTED:
        stats.tx_aborted_errors += 1
    kfree_skb_reason(skb, _REASONS.get(status, SkbDropReason.NOT_SPECIFIED))


def hardwire_clean_all(ring: TxRing) -> None:
    """Empty a ring that the device has let go of: what it completed, then the rest as aborted."""
    hardwire_clean_tx(ring)
    dev = ring.txq.dev
    clean = ring.next_to_clean
    while clean != ring.next_to_use:
        ring.dma.unmap(ring.bus[clean], ring.length[clean], _TO_DEVICE)
        skb = ring.skbs[clean]
        if skb is not None:
            ring.skbs[clean] = None
            _drop_failed(skb, dev, TxStatus.ABORTED)
        clean = (clean + 1) & ring.mask
    ring.next_to_clean = clean

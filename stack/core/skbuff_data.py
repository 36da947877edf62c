"""Socket buffers: reaching, copying, sharing and summing their data (Linux: net/core/skbuff.c)."""

from collections.abc import Iterable, Iterator

from ..wire.checksum import csum_block_add, csum_partial
from .drop_reasons import SkbDropReason
from .skbuff import (
    NO_HEADER,
    DataRef,
    SkBuff,
    __alloc_skb,
    consume_skb,
    kfree_skb_list_reason,
    put_page,
    skb_headlen,
    skb_put,
)

__all__ = [
    "__copy_skb_header",
    "__pskb_pull_tail",
    "pskb_copy",
    "pskb_expand_head",
    "pskb_may_pull",
    "pskb_put",
    "pskb_trim",
    "skb_checksum",
    "skb_clone",
    "skb_cloned",
    "skb_copy",
    "skb_copy_and_csum_bits",
    "skb_copy_bits",
    "skb_cow_head",
    "skb_ensure_writable",
    "skb_expand_head",
    "skb_hang_frags",
    "skb_has_frag_list",
    "skb_header_pointer",
    "skb_is_nonlinear",
    "skb_linearize",
    "skb_realloc_headroom",
    "skb_runs",
    "skb_runs_between",
    "skb_share_check",
    "skb_store_bits",
    "skb_walk_frags",
]


def skb_is_nonlinear(skb: SkBuff) -> bool:
    """Return whether data lies outside the head."""
    return skb.data_len != 0


def skb_has_frag_list(skb: SkBuff) -> bool:
    """Return whether further skbs hang on this one."""
    return skb.frag_list is not None


def skb_hang_frags(head: SkBuff, skbs: Iterable[SkBuff]) -> None:
    """Hang skbs on one that has none yet, as its fragment list: their data comes behind its own."""
    last: SkBuff | None = None
    for skb in skbs:
        if last is None:
            head.frag_list = skb
        else:
            last.next = skb
        last = skb
        head.len += skb.len
        head.data_len += skb.len
        head.truesize += skb.truesize


def skb_walk_frags(skb: SkBuff) -> Iterator[SkBuff]:
    """Yield the skbs of the fragment list."""
    frag = skb.frag_list
    while frag is not None:
        following = frag.next
        yield frag
        frag = following


def skb_runs(skb: SkBuff) -> Iterator[memoryview]:
    """Yield the data as its runs of memory, in order; none of them empty."""
    if skb.tail > skb.data:
        yield skb.view[skb.data : skb.tail]
    for page, offset, size in skb.frags:
        if size:
            yield page.view[offset : offset + size]
    if skb.frag_list is not None:
        for frag in skb_walk_frags(skb):
            yield from skb_runs(frag)


def skb_runs_between(skb: SkBuff, offset: int, length: int) -> Iterator[memoryview]:
    """Yield the runs of ``length`` octets from ``offset`` on."""
    if offset < 0 or length < 0 or offset + length > skb.len:
        raise ValueError(f"octets {offset}..{offset + length} are not all in {skb!r}")
    for run in skb_runs(skb):
        if not length:
            return
        size = len(run)
        if offset >= size:
            offset -= size
            continue
        part = run[offset : offset + length]
        offset = 0
        length -= len(part)
        yield part


def skb_copy_bits(skb: SkBuff, offset: int, length: int) -> bytes:
    """Return ``length`` octets from ``offset`` on, wherever they lie.

    Raises
    ------
    ValueError
        If the skb does not have them all.
    """
    return b"".join(skb_runs_between(skb, offset, length))


def skb_header_pointer(skb: SkBuff, offset: int, length: int) -> memoryview | bytes | None:
    """Return ``length`` octets from ``offset`` on, or None if there are not so many; the octets are for reading."""
    if offset + length > skb.len:
        return None
    at = skb.data + offset
    return skb.view[at : at + length] if at + length <= skb.tail else skb_copy_bits(skb, offset, length)


def skb_copy_and_csum_bits(skb: SkBuff, offset: int, view: memoryview, to: int, length: int) -> int:
    """Copy ``length`` octets from ``offset`` on to ``view[to:]``, and return their sum."""
    octets = skb_copy_bits(skb, offset, length)
    view[to : to + length] = octets
    return csum_partial(octets)


def skb_store_bits(skb: SkBuff, offset: int, octets: bytes) -> None:
    """Write octets over the data from ``offset`` on.

    Raises
    ------
    ValueError
        If the skb does not reach so far.
    """
    at = 0
    for run in skb_runs_between(skb, offset, len(octets)):
        run[:] = octets[at : at + len(run)]
        at += len(run)


def skb_checksum(skb: SkBuff, offset: int, length: int, csum: int = 0) -> int:
    """Add ``length`` octets from ``offset`` on to an Internet checksum in progress."""
    if offset + length <= skb.tail - skb.data:
        at = skb.data + offset
        return csum_partial(skb.view[at : at + length], csum)
    done = 0
    for run in skb_runs_between(skb, offset, length):
        csum = csum_block_add(csum, csum_partial(run), done)
        done += len(run)
    return csum


def __copy_skb_header(new: SkBuff, old: SkBuff) -> None:
    """Copy what describes a packet, without ownership: neither socket nor destructor."""
    new.dev = old.dev
    new.dst = old.dst
    new.nfct = old.nfct
    new.sp = old.sp
    new.cb = old.cb
    new.protocol = old.protocol
    new.pkt_type = old.pkt_type
    new.priority = old.priority
    new.mark = old.mark
    new.hash = old.hash
    new.queue_mapping = old.queue_mapping
    new.tstamp_ns = old.tstamp_ns
    new.ignore_df = old.ignore_df
    new.ip_summed = old.ip_summed
    new.csum = old.csum
    new.csum_offset = old.csum_offset
    new.csum_start = old.csum_start
    new.csum_valid = old.csum_valid
    new.csum_complete_sw = old.csum_complete_sw
    new.csum_level = old.csum_level
    new.vlan_proto = old.vlan_proto
    new.vlan_tci = old.vlan_tci
    new.skb_iif = old.skb_iif
    if old.gso_size:
        new.gso_size, new.gso_segs, new.gso_type = old.gso_size, old.gso_segs, old.gso_type
    new.mac_header = old.mac_header
    new.network_header = old.network_header
    new.transport_header = old.transport_header


def _move_headers(skb: SkBuff, delta: int) -> None:
    """Count the places in the head anew, after its data moved by ``delta``."""
    if skb.mac_header != NO_HEADER:
        skb.mac_header += delta
    if skb.network_header != NO_HEADER:
        skb.network_header += delta
    if skb.transport_header != NO_HEADER:
        skb.transport_header += delta
    skb.csum_start += delta


def skb_cloned(skb: SkBuff) -> bool:
    """Return whether a clone shares the data, so that it must not be written."""
    return skb.dataref is not None and skb.dataref.count != 1


def skb_clone(skb: SkBuff) -> SkBuff:
    """Return another skb for the same data; it belongs to no socket."""
    if skb.dataref is None:
        skb.dataref = DataRef()
    skb.dataref.count += 1
    new = SkBuff(skb.kernel, skb.head, skb.end)
    __copy_skb_header(new, skb)
    new.dataref = skb.dataref
    new.data = skb.data
    new.tail = skb.tail
    new.len = skb.len
    new.data_len = skb.data_len
    new.frags = skb.frags
    new.frag_list = skb.frag_list
    new.truesize = skb.truesize
    return new


def skb_share_check(skb: SkBuff) -> SkBuff:
    """Return the skb, or a clone in its place if somebody else holds it, too."""
    if skb.users == 1:
        return skb
    new = skb_clone(skb)
    consume_skb(skb)
    return new


def skb_copy(skb: SkBuff) -> SkBuff:
    """Return an skb with a copy of all data, in its head."""
    new = __alloc_skb(skb.kernel, skb.data + skb.len)
    __copy_skb_header(new, skb)
    new.data = skb.data
    new.tail = skb.data + skb.len
    new.len = skb.len
    at = new.data
    for run in skb_runs(skb):
        new.view[at : at + len(run)] = run
        at += len(run)
    return new


def pskb_copy(skb: SkBuff, headroom: int | None = None) -> SkBuff:
    """Return an skb with a copy of the head that shares the fragments (Linux: also ``__pskb_copy``)."""
    room = skb.data if headroom is None else headroom
    head = skb.tail - skb.data
    new = __alloc_skb(skb.kernel, room + head)
    __copy_skb_header(new, skb)
    new.data = room
    new.tail = room + head
    new.len = skb.len
    new.data_len = skb.data_len
    new.truesize += skb.data_len
    new.view[room : room + head] = skb.view[skb.data : skb.tail]
    _move_headers(new, room - skb.data)
    _share_frags(new, skb)
    return new


def _share_frags(new: SkBuff, old: SkBuff) -> None:
    """Let another skb (or the same, when its data was shared) refer to the same fragments and list for itself."""
    new.frags = list(old.frags)
    for page, _, _ in new.frags:
        page.count += 1
    clones = [skb_clone(frag) for frag in skb_walk_frags(old)]
    for clone, following in zip(clones, clones[1:], strict=False):
        clone.next = following
    new.frag_list = clones[0] if clones else None


def pskb_expand_head(skb: SkBuff, nhead: int, ntail: int) -> None:
    """Move the head into new memory with so much more room in front and behind, not shared with any clone.

    Raises
    ------
    OSError
        ``ENOMEM``; the skb is as it was.
    """
    kernel = skb.kernel
    size = nhead + skb.end + ntail
    head = kernel.kmalloc(size)
    view = head.view
    view[nhead + skb.data : nhead + skb.tail] = skb.view[skb.data : skb.tail]
    # Octets in front of the data may hold headers that were pulled.
    view[nhead : nhead + skb.data] = skb.view[: skb.data]
    if skb_cloned(skb):
        assert skb.dataref is not None
        skb.dataref.count -= 1
        _share_frags(skb, skb)
    else:
        kernel.kfree(skb.head)
    skb.dataref = None
    skb.head = head
    skb.view = view
    skb.end = size
    skb.data += nhead
    skb.tail += nhead
    _move_headers(skb, nhead)


def skb_realloc_headroom(skb: SkBuff, headroom: int) -> SkBuff:
    """Return a private copy with at least so much room in front; it belongs to no socket."""
    if headroom <= skb.data:
        return pskb_copy(skb)
    new = skb_clone(skb)
    try:
        pskb_expand_head(new, headroom - skb.data, 0)
    except OSError:
        consume_skb(new)
        raise
    return new


def skb_expand_head(skb: SkBuff, headroom: int) -> SkBuff:
    """Return the skb, or a copy in its place, with at least so much room in front; its socket stays the owner.

    The head is moved in place when nobody else refers to the skb, so the destructor finds what it was set for.

    Raises
    ------
    OSError
        ``ENOMEM``; the skb is freed.
    """
    delta = headroom - skb.data
    if delta <= 0 and not skb_cloned(skb):
        return skb
    try:
        if skb.users == 1:
            pskb_expand_head(skb, max(delta, 0), 0)
            return skb
        new = skb_realloc_headroom(skb, headroom)
    except OSError:
        kfree_skb_list_reason(skb, SkbDropReason.NOMEM)
        raise
    new.sk, new.destructor = skb.sk, skb.destructor
    skb.sk = skb.destructor = None
    consume_skb(skb)
    return new


def skb_cow_head(skb: SkBuff, headroom: int) -> None:
    """Make the head writable, with so much room in front.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    delta = max(headroom - skb.data, 0)
    if delta or skb_cloned(skb):
        pskb_expand_head(skb, delta, 0)


def skb_ensure_writable(skb: SkBuff, length: int) -> bool:
    """Bring ``length`` octets into the head, and make it writable; return whether that could be done."""
    try:
        if not pskb_may_pull(skb, length):
            return False
        if skb_cloned(skb):
            pskb_expand_head(skb, 0, 0)
    except OSError:
        return False
    return True


def __pskb_pull_tail(skb: SkBuff, delta: int) -> None:
    """Move ``delta`` octets out of fragments and list to the end of the head.

    Raises
    ------
    OSError
        ``ENOMEM``; the skb is as it was.
    """
    if skb.tail + delta > skb.end or skb_cloned(skb):
        pskb_expand_head(skb, 0, max(skb.tail + delta - skb.end, 0))
    octets = skb_copy_bits(skb, skb_headlen(skb), delta)
    skb.view[skb.tail : skb.tail + delta] = octets
    skb.tail += delta
    skb.data_len -= delta
    while delta and skb.frags:
        page, offset, size = skb.frags[0]
        eaten = min(size, delta)
        delta -= eaten
        if eaten == size:
            put_page(skb.kernel, page)
            del skb.frags[0]
        else:
            skb.frags[0] = (page, offset + eaten, size - eaten)
    while delta and skb.frag_list is not None:
        frag = skb.frag_list
        if delta < frag.len:
            _eat(frag, delta)
            return
        delta -= frag.len
        skb.frag_list = frag.next
        frag.next = None
        consume_skb(frag)


def pskb_trim(skb: SkBuff, length: int) -> None:
    """Cut an skb, fragments and list included, down to ``length`` octets.

    Raises
    ------
    OSError
        ``ENOMEM``; the skb is as it was.
    """
    if length >= skb.len:
        return
    if not skb.data_len:
        skb.len = length
        skb.tail = skb.data + length
        return
    if skb_cloned(skb):
        pskb_expand_head(skb, 0, 0)  # The fragments may not be cut for the others.
    _trim_list(skb, length)
    while skb.len > length and skb.frags:
        page, offset, size = skb.frags.pop()
        cut = min(size, skb.len - length)
        skb.len -= cut
        skb.data_len -= cut
        if cut < size:
            skb.frags.append((page, offset, size - cut))
        else:
            put_page(skb.kernel, page)
    if skb.len > length:
        skb.tail -= skb.len - length
        skb.len = length


def _trim_list(skb: SkBuff, length: int) -> None:
    """Cut the fragment list of an skb so that no more than ``length`` octets are left, if it reaches so far."""
    start = skb.len - sum(frag.len for frag in skb_walk_frags(skb))
    last: SkBuff | None = None
    frag = skb.frag_list
    while frag is not None and start < length:
        start += frag.len
        last = frag
        frag = frag.next
    if last is None:
        skb.frag_list = None
    else:
        last.next = None
        if start > length:
            pskb_trim(last, last.len - (start - length))
            start = length
    if frag is not None or start < skb.len:
        skb.data_len -= skb.len - start
        skb.len = start
    kfree_skb_list_reason(frag, SkbDropReason.CONSUMED)


def _eat(frag: SkBuff, delta: int) -> None:
    """Take octets off the front of an skb of a fragment list."""
    if delta > frag.tail - frag.data:
        __pskb_pull_tail(frag, delta - (frag.tail - frag.data))
    frag.data += delta
    frag.len -= delta


def pskb_may_pull(skb: SkBuff, length: int) -> bool:
    """Return whether ``length`` octets lie, or could be brought, into the head."""
    head = skb.len - skb.data_len
    if length <= head:
        return True
    if length > skb.len:
        return False
    __pskb_pull_tail(skb, length - head)
    return True


def pskb_put(skb: SkBuff, length: int) -> int:
    """Grow a linear packet at its end, where there is room for it; return where the new octets start."""
    return skb_put(skb, length)


def skb_linearize(skb: SkBuff) -> None:
    """Bring all data into the head.

    Raises
    ------
    OSError
        ``ENOMEM``; the skb is as it was.
    """
    if skb.data_len:
        __pskb_pull_tail(skb, skb.data_len)

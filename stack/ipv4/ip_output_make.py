"""Building IPv4 packets from a program's octets (Linux: net/ipv4/ip_output.c)."""

from collections import deque
from collections.abc import Callable
from errno import EMSGSIZE, ENETUNREACH, ENOBUFS
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.dst import dst_mtu
from ..core.msghdr import Msghdr, copy_from_iter
from ..core.netdevice import NETIF_F_CSUM_MASK, NETIF_F_SG
from ..core.skbuff import (
    CHECKSUM_NONE,
    CHECKSUM_PARTIAL,
    MAX_SKB_FRAGS,
    NO_HEADER,
    SkBuff,
    __alloc_skb,
    alloc_page,
    kfree_skb,
    put_page,
)
from ..core.skbuff_data import pskb_trim, skb_copy_bits, skb_hang_frags
from ..core.sock import sock_alloc_send_pskb, sock_wfree
from ..uapi import IP_PMTUDISC_PROBE, IPPROTO_ICMP, MSG_DONTWAIT, MSG_MORE, MSG_PROBE
from ..wire.checksum import csum_add, csum_block_add, csum_partial
from .icmp_defs import icmp_out_count
from .inet_sock import InetCork, InetSock, IpcmCookie
from .ip import DF_ALWAYS, DF_IF_IT_FITS, IGNORES_DF, IP_DF, IP_MAX_MTU, SETS_DF
from .ip_options import ip_options_build
from .ip_output import ip_send_skb
from .ip_recv import ip_local_error
from .route import __ip_select_ident

if TYPE_CHECKING:
    from .flow import Flowi4
    from .route import RTable

__all__ = [
    "GetFrag",
    "__ip_append_data",
    "__ip_make_skb",
    "ip_append_data",
    "ip_flush_pending_frames",
    "ip_generic_getfrag",
    "ip_make_skb",
    "ip_push_pending_frames",
    "ip_select_ident_segs",
    "ip_select_ttl",
    "ip_setup_cork",
    "ip_write_header",
]

# getfrag(source, view, to, offset, length, odd, skb): copy a part of the payload and, unless the device sums, add it
# to skb.csum; ``odd`` is its place among the octets that the sum covers.
GetFrag = Callable[[Any, memoryview, int, int, int, int, SkBuff], None]

_IP_HEADER = Struct("!BBHHHBBHII")
_FRAG_PAGE_OCTETS = 32768  # Size of the memory that fragments of several datagrams share (sk_page_frag).
SKB_MAX_ALLOC = 16384 - 320  # Longest head on a device that gathers.
_MULTICAST = 5  # RtType.MULTICAST


def ip_generic_getfrag(msg: Msghdr, view: memoryview, to: int, offset: int, length: int, odd: int, skb: SkBuff) -> None:
    """Copy the next part of a message."""
    copy_from_iter(msg, view, to, length)
    if skb.ip_summed != CHECKSUM_PARTIAL:
        skb.csum = csum_block_add(skb.csum, csum_partial(view[to : to + length]), odd)


def ip_setup_cork(inet: InetSock, cork: InetCork, ipc: IpcmCookie, rt: "RTable") -> None:
    """Note what the packets of a datagram have in common.

    Raises
    ------
    OSError
        ``ENETUNREACH`` if the route's MTU has no room for IPv4.
    """
    cork.opt = ipc.opt
    cork.addr = ipc.addr
    cork.fragsize = dst_mtu(rt) if inet.pmtudisc < IP_PMTUDISC_PROBE else min(rt.dev.mtu, IP_MAX_MTU)
    if cork.fragsize < 68:
        raise OSError(ENETUNREACH, "the MTU is less than 68")
    cork.gso_size = ipc.gso_size
    cork.dst = rt
    cork.length = 0
    cork.ttl = ipc.ttl
    cork.tos = ipc.tos
    cork.priority = ipc.priority
    cork.mark = ipc.mark


def __ip_append_data(
    inet: InetSock,
    fl4: "Flowi4",
    queue: deque[SkBuff],
    cork: InetCork,
    getfrag: GetFrag,
    source: Any,
    length: int,
    transhdrlen: int,
    flags: int,
) -> None:
    """Append octets to the packets of a datagram, none longer than the MTU; those after the first become fragments.

    ``length`` includes ``transhdrlen``, the transport header that the caller fills in later.

    Raises
    ------
    OSError
        ``EMSGSIZE``; ``EAGAIN`` or the socket's error, as ``sock_alloc_send_pskb``; ``ENOBUFS``; ``ENOMEM``.
    """
    rt = cork.dst
    dev = rt.dev
    paged = cork.gso_size != 0
    mtu = IP_MAX_MTU if paged else cork.fragsize
    exthdrlen = rt.header_len
    hh_len = (dev.hard_header_len + dev.needed_headroom & ~15) + 16 + exthdrlen  # LL_RESERVED_SPACE()
    roomlen = hh_len + 15 + rt.trailer_len
    fragheaderlen = 20 + len(cork.opt or b"")
    maxfraglen = (mtu - fragheaderlen & ~7) + fragheaderlen
    longest = IP_MAX_MTU if IGNORES_DF[inet.pmtudisc] else mtu
    if cork.length + length > longest - fragheaderlen:
        ip_local_error(inet, EMSGSIZE, fl4.daddr, inet.inet_dport, mtu - (fragheaderlen - 20))
        raise OSError(EMSGSIZE, f"{cork.length + length} octets do not fit {longest}")
    csummode = CHECKSUM_NONE
    if (
        transhdrlen
        and length + fragheaderlen <= mtu
        and dev.features & NETIF_F_CSUM_MASK
        and not exthdrlen  # What is to be transformed cannot be summed later.
        and (paged or not flags & MSG_MORE)
    ):
        csummode = CHECKSUM_PARTIAL
    cork.length += length
    offset = 0
    skb = queue[-1] if queue else None
    try:
        while length > 0 or skb is None:
            room = 0
            if skb is not None:
                room = mtu - skb.len
                if room < length:
                    room = maxfraglen - skb.len
            if room > 0:
                assert skb is not None
                copy = min(room, length)
                _append_to_skb(inet, skb, getfrag, source, offset, copy, paged or dev.features & NETIF_F_SG != 0)
                offset += copy
                length -= copy
                continue
            previous = skb
            fraggap = previous.len - maxfraglen if previous is not None else 0
            datalen = length + fraggap
            if datalen > mtu - fragheaderlen:
                datalen = maxfraglen - fragheaderlen
            headlen = fragheaderlen + datalen
            alloclen = headlen + roomlen
            if paged:
                headlen = fragheaderlen + transhdrlen  # The headers alone: each datagram gets its own.
                alloclen = headlen + roomlen
            elif not dev.features & NETIF_F_SG:
                if flags & MSG_MORE:
                    alloclen = mtu + roomlen  # What comes later has to fit behind it.
            elif alloclen > SKB_MAX_ALLOC:
                headlen = fragheaderlen + transhdrlen + fraggap  # The rest goes into fragments, next time round.
                alloclen = headlen + roomlen
            if transhdrlen:
                skb = sock_alloc_send_pskb(inet, alloclen, 0, flags & MSG_DONTWAIT != 0)
            else:
                if inet.sk_wmem_alloc > 2 * inet.sk_sndbuf:
                    raise OSError(ENOBUFS, "the send buffer is full")
                skb = __alloc_skb(inet.kernel, alloclen)
                skb.destructor = sock_wfree
                skb.sk = inet
                inet.sk_wmem_alloc += skb.truesize
            skb.ip_summed = csummode
            skb.network_header = skb.data = hh_len
            data = skb.transport_header = hh_len + fragheaderlen
            skb.tail = hh_len + headlen
            skb.len = headlen
            if fraggap:
                assert previous is not None
                _move_gap(previous, skb, maxfraglen, data + transhdrlen, fraggap)
            copy = headlen - fragheaderlen - transhdrlen - fraggap
            if copy > 0:
                getfrag(source, skb.view, data + transhdrlen + fraggap, offset, copy, fraggap, skb)
            offset += copy
            length -= copy + transhdrlen
            transhdrlen = 0
            csummode = CHECKSUM_NONE
            queue.append(skb)
    except OSError:
        cork.length -= length
        inet.net.mib["Ip:OutDiscards"] += 1
        raise


def _move_gap(previous: SkBuff, skb: SkBuff, maxfraglen: int, to: int, fraggap: int) -> None:
    """Move what a packet has too much, now that it will be a fragment and not the last, to the next one."""
    octets = skb_copy_bits(previous, maxfraglen, fraggap)
    skb.view[to : to + fraggap] = octets
    skb.csum = csum_partial(octets)
    # All offsets here are even, and what is still to be appended to was never left to the device to sum.
    previous.csum = csum_add(previous.csum, 0xFFFF - skb.csum)
    pskb_trim(previous, maxfraglen)


def _append_to_skb(
    inet: InetSock, skb: SkBuff, getfrag: GetFrag, source: Any, offset: int, copy: int, scatter: bool
) -> None:
    """Append octets to a packet that has room by its MTU: behind its head, or in fragments on devices that gather."""
    odd = skb.len - (skb.transport_header - skb.network_header)
    if not scatter and not skb.data_len and skb.end - skb.tail >= copy:
        at = skb.tail
        skb.tail += copy
        skb.len += copy
        getfrag(source, skb.view, at, offset, copy, odd, skb)
        return
    while copy:
        page = inet.sk_frag
        if page is None or inet.sk_frag_offset == _FRAG_PAGE_OCTETS:
            if page is not None:
                put_page(inet.kernel, page)
                inet.sk_frag = None
            page = inet.sk_frag = alloc_page(inet.kernel, _FRAG_PAGE_OCTETS)
            inet.sk_frag_offset = 0
        at = inet.sk_frag_offset
        part = min(copy, _FRAG_PAGE_OCTETS - at)
        last = skb.frags[-1] if skb.frags else None
        if last is not None and last[0] is page and last[1] + last[2] == at:
            skb.frags[-1] = (page, last[1], last[2] + part)
        elif len(skb.frags) >= MAX_SKB_FRAGS:
            raise OSError(EMSGSIZE, "more than MAX_SKB_FRAGS fragments")
        else:
            page.count += 1
            skb.frags.append((page, at, part))
        getfrag(source, page.view, at, offset, part, odd, skb)
        inet.sk_frag_offset = at + part
        skb.len += part
        skb.data_len += part
        skb.truesize += part
        inet.sk_wmem_alloc += part
        offset += part
        odd += part
        copy -= part


def __ip_make_skb(inet: InetSock, fl4: "Flowi4", queue: deque[SkBuff], cork: InetCork) -> SkBuff:
    """Join the packets of a datagram, the others in the first one's list, and write the IPv4 header."""
    skb = queue.popleft()
    if queue:
        _join(skb, queue)
    rt = cork.dst
    skb.ignore_df = IGNORES_DF[inet.pmtudisc]
    sets_df = SETS_DF[inet.pmtudisc]
    fits = sets_df != DF_ALWAYS and skb.len <= dst_mtu(rt)
    df = IP_DF if sets_df == DF_ALWAYS or (fits and sets_df == DF_IF_IT_FITS and not rt.mtu_locked) else 0
    ttl = cork.ttl
    if not ttl:
        ttl = inet.mc_ttl if rt.type == _MULTICAST else ip_select_ttl(inet)
    ident = ip_select_ident_segs(inet, skb, df, fl4.saddr, fl4.daddr, 1)
    tos = cork.tos if cork.tos != -1 else inet.tos
    protocol = inet.sk_protocol
    ip_write_header(skb, rt, tos, ident, df, ttl, protocol, fl4.saddr, fl4.daddr, cork.opt, cork.addr or fl4.daddr)
    if protocol == IPPROTO_ICMP:
        icmp_out_count(inet.net, skb.view[skb.transport_header])
    skb.priority = cork.priority if cork.tos != -1 else inet.sk_priority
    skb.mark = cork.mark
    skb.dst = rt
    return skb


def ip_select_ttl(inet: InetSock) -> int:
    """Return the TTL of a socket's unicasts."""
    return inet.uc_ttl if inet.uc_ttl >= 0 else inet.net.ipv4.sysctl_ip_default_ttl


def ip_select_ident_segs(inet: InetSock, skb: SkBuff, df: int, saddr: int, daddr: int, segs: int) -> int:
    """Return the IP identification for a socket's packet that goes out as so many, and reserve theirs."""
    if inet.inet_daddr:
        # A connected socket counts for itself.
        ident = inet.inet_id
        inet.inet_id = ident + segs & 0xFFFF
        return ident
    if df and not skb.ignore_df:
        return 0  # RFC 6864 §4.1: of no meaning in a packet that is never fragmented.
    return __ip_select_ident(inet.net, saddr, daddr, inet.sk_protocol, segs)


def ip_write_header(
    skb: SkBuff,
    rt: "RTable",
    tos: int,
    ident: int,
    df: int,
    ttl: int,
    protocol: int,
    saddr: int,
    daddr: int,
    opt: bytes | None,
    final: int,
) -> None:
    """Write a packet's IPv4 header, and options behind it; ``final`` is where a source route ends.

    ``__ip_local_out`` writes length and checksum.
    """
    _IP_HEADER.pack_into(
        skb.view,
        skb.network_header,
        0x45 + (len(opt or b"") >> 2),
        tos,
        0,
        ident,
        df,
        ttl,
        protocol,
        0,
        saddr,
        daddr,
    )
    if opt is not None:
        ip_options_build(skb, opt, final, rt)


def _join(skb: SkBuff, queue: deque[SkBuff]) -> None:
    """Hang packets on the first one; their memory counts with it."""
    for frag in queue:
        hlen = frag.transport_header - frag.network_header
        frag.data += hlen
        frag.len -= hlen
        frag.destructor = None
        frag.sk = None
        frag.network_header = NO_HEADER
    skb_hang_frags(skb, queue)
    queue.clear()


def ip_make_skb(
    inet: InetSock,
    fl4: "Flowi4",
    getfrag: GetFrag,
    source: Any,
    length: int,
    transhdrlen: int,
    ipc: IpcmCookie,
    rt: "RTable",
    cork: InetCork,
    flags: int,
) -> SkBuff | None:
    """Return a whole datagram, without touching what the socket has corked; None for ``MSG_PROBE``.

    Raises
    ------
    OSError
        As ``ip_setup_cork`` and ``__ip_append_data``.
    """
    if flags & MSG_PROBE:
        return None
    queue: deque[SkBuff] = deque()
    ip_setup_cork(inet, cork, ipc, rt)
    try:
        __ip_append_data(inet, fl4, queue, cork, getfrag, source, length, transhdrlen, flags)
    except OSError:
        for skb in queue:
            kfree_skb(skb)
        raise
    return __ip_make_skb(inet, fl4, queue, cork)


def ip_append_data(
    inet: InetSock,
    fl4: "Flowi4",
    getfrag: GetFrag,
    source: Any,
    length: int,
    transhdrlen: int,
    ipc: IpcmCookie | None,
    rt: "RTable | None",
    flags: int,
) -> None:
    """Append octets to the datagram that the socket puts together; only the first time ``ipc`` and ``rt`` count.

    Raises
    ------
    OSError
        As ``ip_setup_cork`` and ``__ip_append_data``.
    """
    if flags & MSG_PROBE:
        return
    if inet.sk_write_queue:
        transhdrlen = 0
    else:
        assert ipc is not None
        assert rt is not None
        inet.cork = InetCork()
        ip_setup_cork(inet, inet.cork, ipc, rt)
    __ip_append_data(inet, fl4, inet.sk_write_queue, inet.cork, getfrag, source, length, transhdrlen, flags)


def ip_push_pending_frames(inet: InetSock, fl4: "Flowi4") -> int:
    """Send what the socket has put together, for protocols without a header of their own."""
    if not inet.sk_write_queue:
        return 0
    return ip_send_skb(inet.net, __ip_make_skb(inet, fl4, inet.sk_write_queue, inet.cork))


def ip_flush_pending_frames(inet: InetSock) -> None:
    """Throw away what the socket has put together."""
    while inet.sk_write_queue:
        kfree_skb(inet.sk_write_queue.pop())

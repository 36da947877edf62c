"""The Internet Control Message Protocol (Linux: net/ipv4/icmp.c; RFC 792, RFC 1122 §3.2.2)."""

from contextlib import suppress
from dataclasses import dataclass
from errno import EOPNOTSUPP
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.netdevice import IFF_LOOPBACK
from ..core.skbuff import CHECKSUM_NONE, PACKET_HOST
from ..core.skbuff_data import skb_copy_and_csum_bits
from ..core.sock import SOCK_MIN_SNDBUF, Proto
from ..core.softirq import local_bh_disable, local_bh_enable
from ..netfilter.core import nf_ct_attach
from ..uapi import AF_INET, IP_PMTUDISC_DONT, IPPROTO_ICMP, MSG_DONTWAIT, SOCK_RAW
from ..wire.checksum import csum_add, csum_block_add, csum_fold, csum_partial
from ..xfrm.xfrm_policy import XFRM_LOOKUP_ICMP, xfrm_decode_session_reverse, xfrm_lookup
from .fib_frontend import fib_compute_spec_dst, inet_addr_type_dev_table
from .flow import FLOWI_FLAG_ANYSRC, Flowi4
from .icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_ERRORS,
    ICMP_HOST_UNREACH,
    NR_ICMP_TYPES,
    icmp_err_convert,
)
from .icmp_limit import icmpv4_global_allow, icmpv4_xrlim_allow
from .inet_sock import InetSock, IpcmCookie
from .ip_options import first_hop
from .ip_options_rcv import __ip_options_echo
from .ip_output_make import ip_append_data, ip_flush_pending_frames, ip_push_pending_frames
from .route import RTCF_LOCAL, ip_route_output_flow, ip_route_output_key_hash, ipv4_mtu
from .rtnetlink import RtType

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .route import RTable

__all__ = ["IcmpBxm", "icmp_glue_bits", "icmp_push_reply", "icmp_reply", "icmp_send", "icmp_sk_init"]

_HEADER = Struct("!BBHI")
_ADDRESSES = Struct("!II")
_INADDR_DUMMY = 0xC0000008  # RFC 7600 §4.8: the source of a host that has no address.
_PREC_INTERNETCONTROL = 0xC0
_RTCF_GROUP = 0x30000000  # RTCF_BROADCAST | RTCF_MULTICAST


@dataclass(slots=True)
class IcmpBxm:
    """A message that is being built (Linux: ``struct icmp_bxm``).

    Members
    -------
    skb : SkBuff
        The packet that it answers, or is about.
    offset, data_len : int
        Which of its octets, from ``data`` on, are the message's data.
    type, code : int
        What it is.
    rest : int
        Octets 4 to 7 of its header.
    head : bytes
        What lies between header and data.
    """

    skb: "SkBuff"
    offset: int
    data_len: int
    type: int
    code: int
    rest: int
    head: bytes = b""


def icmp_sk_init(net: "Net") -> None:
    """Give a namespace the socket that its messages are sent with."""
    sk = InetSock(net, AF_INET, SOCK_RAW, IPPROTO_ICMP, _ICMP_PROT)
    sk.sk_sndbuf = max(2 * (65536 + 576), SOCK_MIN_SNDBUF)
    sk.pmtudisc = IP_PMTUDISC_DONT
    net.ipv4.icmp_sk = sk


def icmp_glue_bits(
    param: IcmpBxm, view: memoryview, to: int, offset: int, length: int, odd: int, skb: "SkBuff"
) -> None:
    """Copy the next part of a message's data, and sum it."""
    csum = skb_copy_and_csum_bits(param.skb, param.offset + offset, view, to, length)
    skb.csum = csum_block_add(skb.csum, csum, odd)
    if param.type in ICMP_ERRORS:
        nf_ct_attach(skb, param.skb)


def icmp_push_reply(net: "Net", param: IcmpBxm, fl4: Flowi4, ipc: IpcmCookie, rt: "RTable") -> None:
    """Put a message together and send it."""
    sk = net.ipv4.icmp_sk
    head_len = 8 + len(param.head)
    try:
        ip_append_data(sk, fl4, icmp_glue_bits, param, param.data_len + head_len, head_len, ipc, rt, MSG_DONTWAIT)
    except OSError:
        net.mib["Icmp:OutErrors"] += 1
        ip_flush_pending_frames(sk)
        return
    skb = sk.sk_write_queue[0]
    at = skb.transport_header
    header = _HEADER.pack(param.type, param.code, 0, param.rest) + param.head
    csum = csum_partial(header)
    for part in sk.sk_write_queue:
        csum = csum_add(csum, part.csum)
    view = skb.view
    view[at : at + head_len] = header
    check = csum_fold(csum)
    view[at + 2] = check >> 8
    view[at + 3] = check & 0xFF
    skb.ip_summed = CHECKSUM_NONE
    ip_push_pending_frames(sk, fl4)


def _xmit_lock(net: "Net") -> bool:
    """Take the namespace's ICMP socket; False if a message is being sent with it (``icmp_xmit_lock``)."""
    sk = net.ipv4.icmp_sk
    if sk.sk_owned:
        return False
    sk.sk_owned = True
    return True


def icmp_reply(param: IcmpBxm) -> None:
    """Answer a message that this host received, to the sender and along the way that its options recorded."""
    skb = param.skb
    dev = skb.dev
    assert dev is not None
    net = dev.net
    at = skb.network_header
    view = skb.view
    options = __ip_options_echo(skb)
    local_bh_disable(net.kernel)
    if icmpv4_global_allow(net, param.type, param.code) and _xmit_lock(net):
        sk = net.ipv4.icmp_sk
        try:
            sk.tos = view[at + 1]
            (daddr,) = _SADDR.unpack_from(view, at + 12)
            saddr = fib_compute_spec_dst(skb)
            ipc = IpcmCookie(daddr, 0, 0, options or None)
            hop = first_hop(options) if options else 0
            fl4 = Flowi4(hop or daddr, saddr, IPPROTO_ICMP, tos=sk.tos & 0x1E)
            with suppress(OSError):
                rt = ip_route_output_flow(net, fl4)
                if icmpv4_xrlim_allow(net, rt, fl4.daddr, param.type, param.code):
                    icmp_push_reply(net, param, fl4, ipc, rt)
        finally:
            sk.sk_owned = False
    local_bh_enable(net.kernel)


def icmp_send(skb: "SkBuff", type: int, code: int, info: int = 0) -> None:
    """Tell the sender of a packet what happened to it.

    A socket of this host that asked for all errors (``IP_RECVERR``) gets the message by the loopback device, as any
    other. Others are told at once, without one: if they are connected, and of a host that does not answer always, as
    the mission map's row B12 wants it, where a UDP socket of Linux 6.1 would see nothing.

    Nobody is told about a packet to a group, a fragment that is not the first, or an ICMP error (RFC 1122 §3.2.2).
    """
    sk = skb.sk
    if isinstance(sk, InetSock) and not sk.recverr:
        # Nobody reads errors of the socket that ICMP messages are sent with: the next message would fail with it.
        if type == ICMP_DEST_UNREACH and code < len(icmp_err_convert) and sk is not sk.net.ipv4.icmp_sk:
            if code == ICMP_HOST_UNREACH or sk.connected:
                sk.sk_err = icmp_err_convert[code][0]
        return
    __icmp_send(skb, type, code, info)


def __icmp_send(skb: "SkBuff", type: int, code: int, info: int) -> None:
    """Send a message about a packet that came from elsewhere, if there may be one."""
    rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt is None or skb.dev is None:
        return
    net = rt.dev.net
    at = skb.network_header
    view = skb.view
    if skb.pkt_type != PACKET_HOST or rt.flags & _RTCF_GROUP or view[at + 6] & 0x1F or view[at + 7]:
        return
    if type in ICMP_ERRORS and view[at + 9] == IPPROTO_ICMP:
        kind = view[skb.transport_header] if skb.transport_header < skb.tail else NR_ICMP_TYPES + 1
        if kind > NR_ICMP_TYPES or kind in ICMP_ERRORS:
            return
    local_bh_disable(net.kernel)
    if (skb.dev.flags & IFF_LOOPBACK or icmpv4_global_allow(net, type, code)) and _xmit_lock(net):
        try:
            with suppress(OSError):
                _send_locked(net, skb, rt, type, code, info)
        finally:
            net.ipv4.icmp_sk.sk_owned = False
    local_bh_enable(net.kernel)


def _send_locked(net: "Net", skb: "SkBuff", rt: "RTable", type: int, code: int, info: int) -> None:
    at = skb.network_header
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, at + 12)
    tos = skb.view[at + 1]
    if type in ICMP_ERRORS:
        tos = tos & 0x1E | _PREC_INTERNETCONTROL
    options = __ip_options_echo(skb)
    source = daddr if rt.flags & RTCF_LOCAL else 0
    sk = net.ipv4.icmp_sk
    sk.tos = tos
    ipc = IpcmCookie(saddr, 0, 0, options)
    hop = first_hop(options) if options else 0
    fl4 = Flowi4(hop or saddr, source, IPPROTO_ICMP, type, code, tos=tos & 0x1E)
    out = icmp_route_lookup(net, fl4, skb)
    if not icmpv4_xrlim_allow(net, out, fl4.daddr, type, code):
        return
    fl4.saddr = fl4.saddr or _INADDR_DUMMY
    # RFC 1812 §4.3.2.3: as much of the packet as fits 576 octets.
    room = min(ipv4_mtu(out), 576) - 20 - len(options) - 8
    # The headers may have been pulled: they lie in front of the data.
    pulled = skb.data - at
    skb.data = at
    skb.len += pulled
    try:
        icmp_push_reply(net, IcmpBxm(skb, 0, min(skb.len, room), type, code, info), fl4, ipc, out)
    finally:
        skb.data = at + pulled
        skb.len -= pulled


def icmp_route_lookup(net: "Net", fl4: Flowi4, skb_in: "SkBuff") -> "RTable":
    """Find the route for a message about a packet, and what IPsec makes of it.

    If policies say nothing about the message itself, they are asked about the packet turned round (RFC 4301 §6): the
    message may go where answers to the packet may. That lookup is done even while there are no policies, as in Linux.

    Raises
    ------
    OSError
        As ``ip_route_output_flow``.
    """
    from .route_input import ip_route_input_noref  # It needs the functions here.

    plain = ip_route_output_key_hash(net, fl4)
    rt = xfrm_lookup(net, plain, fl4, None, 0) or plain
    if rt is not plain or inet_addr_type_dev_table(net, plain.dev, fl4.daddr) == RtType.LOCAL:
        return rt
    turned = xfrm_decode_session_reverse(skb_in)
    try:
        if inet_addr_type_dev_table(net, plain.dev, turned.saddr) == RtType.LOCAL:
            other = ip_route_output_key_hash(net, turned)
        else:
            # The way of a packet that came from where this one was to go.
            from .route_input import ip_route_input_noref  # Here: what it imports needs icmp_send().

            way = ip_route_output_key_hash(net, Flowi4(turned.saddr, turned.daddr, flags=FLOWI_FLAG_ANYSRC))
            kept, skb_in.dst = skb_in.dst, None
            ip_route_input_noref(skb_in, turned.daddr, turned.saddr, fl4.tos, way.dev)
            other, skb_in.dst = skb_in.dst, kept  # type: ignore[assignment]  # What an IPv4 packet has.
        found = None if other is None else xfrm_lookup(net, other, turned, None, XFRM_LOOKUP_ICMP)
    except OSError:
        return rt
    return rt if found is None else found


_SADDR = Struct("!I")


def _not_for_programs(*_: Any) -> Any:
    """Refuse: no program has the socket that ICMP messages are sent with."""
    raise OSError(EOPNOTSUPP, "the kernel's own socket")


_ICMP_PROT = Proto(
    "ICMP",
    sendmsg=_not_for_programs,
    recvmsg=_not_for_programs,
    connect=_not_for_programs,
    get_port=_not_for_programs,
    unhash=_not_for_programs,
    close=_not_for_programs,
    setsockopt=_not_for_programs,
    getsockopt=_not_for_programs,
)

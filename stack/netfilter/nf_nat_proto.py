"""Network address translation: changing packets (Linux: net/netfilter/nf_nat_proto.c; RFC 3022 §4, RFC 5508)."""

from struct import Struct
from typing import TYPE_CHECKING, Any

from ..core.skbuff import CHECKSUM_PARTIAL, skb_orphan
from ..core.skbuff_csum import inet_proto_csum_replace4
from ..core.skbuff_data import skb_checksum, skb_ensure_writable
from ..ipv4.icmp_defs import ICMP_REDIRECT
from ..ipv4.netfilter import ip_route_me_harder
from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from ..wire.checksum import csum_replace2
from ..xfrm.xfrm import IPPROTO_AH, IPPROTO_ESP
from ..xfrm.xfrm_policy import __xfrm_decode_session, xfrm_lookup
from .core import (
    NF_ACCEPT,
    NF_DROP,
    NF_DROP_ERR,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING,
    NF_IP_PRI_NAT_DST,
    NF_IP_PRI_NAT_SRC,
    NfHookOps,
)
from .nf_checksum import nf_ip_checksum
from .nf_conntrack_common import (
    CTINFO2DIR,
    IP_CT_DIR_REPLY,
    IP_CT_RELATED,
    IP_CT_RELATED_REPLY,
    IPS_DST_NAT,
    IPS_NAT_DONE_MASK,
    IPS_NAT_MASK,
    IPS_SRC_NAT,
)
from .nf_conntrack_core import NfConn, nf_ct_get
from .nf_conntrack_tuple import NfConntrackTuple, nf_ct_invert_tuple
from .nf_nat_core import (
    HOOK2MANIP,
    NF_NAT_MANIP_SRC,
    nf_nat_inet_fn,
    nf_nat_register_fn,
    nf_nat_unregister_fn,
)

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..ipv4.route import RTable
    from .core import NfHookState

__all__ = [
    "l4proto_manip_pkt",
    "nf_csum_update",
    "nf_nat_icmp_reply_translation",
    "nf_nat_ipv4_local_fn",
    "nf_nat_ipv4_local_in",
    "nf_nat_ipv4_manip_pkt",
    "nf_nat_ipv4_out",
    "nf_nat_ipv4_pre_routing",
    "nf_nat_ipv4_register_fn",
    "nf_nat_ipv4_unregister_fn",
    "nf_nat_manip_pkt",
    "nf_xfrm_me_harder",
]

_PORT = Struct("!H")
_ADDRESS = Struct("!I")
_CHECK_AT = {IPPROTO_TCP: 16, IPPROTO_UDP: 6}
_HEADER_OCTETS = {IPPROTO_TCP: 20, IPPROTO_UDP: 8}
_ICMP_WITH_ID = frozenset({0, 8, 13, 14, 15, 16, 17, 18})


def nf_nat_manip_pkt(skb: "SkBuff", ct: NfConn, mtype: int, dir: int) -> int:
    """Give a packet the source, or destination, that its connection has on the other side; return a verdict."""
    target = nf_ct_invert_tuple(ct.tuples[not dir])
    assert target is not None
    return NF_ACCEPT if nf_nat_ipv4_manip_pkt(skb, 0, target, mtype) else NF_DROP


def nf_nat_ipv4_manip_pkt(skb: "SkBuff", iphdroff: int, target: NfConntrackTuple, maniptype: int) -> bool:
    """Change a packet's addresses and ports; its header is ``iphdroff`` octets behind ``data``."""
    if not skb_ensure_writable(skb, iphdroff + 20):
        return False
    at = skb.data + iphdroff
    hdroff = iphdroff + ((skb.view[at] & 15) << 2)
    if not l4proto_manip_pkt(skb, iphdroff, hdroff, target, maniptype):
        return False
    at = skb.data + iphdroff
    view = skb.view
    field, address = (at + 12, target.saddr) if maniptype == NF_NAT_MANIP_SRC else (at + 16, target.daddr)
    (old,) = _ADDRESS.unpack_from(view, field)
    check = view[at + 10] << 8 | view[at + 11]
    check = csum_replace2(csum_replace2(check, old >> 16, address >> 16), old & 0xFFFF, address & 0xFFFF)
    _PORT.pack_into(view, at + 10, check)
    _ADDRESS.pack_into(view, field, address)
    return True


def l4proto_manip_pkt(skb: "SkBuff", iphdroff: int, hdroff: int, target: NfConntrackTuple, maniptype: int) -> bool:
    """Change a packet's ports or ICMP identifier, and bring its checksum up to date with that and the address.

    Of a packet inside an ICMP error there may be less than its header: then its checksum stays.
    """
    protonum = target.protonum
    if protonum == IPPROTO_ICMP:
        return _icmp_manip_pkt(skb, hdroff, target)
    check_at = _CHECK_AT.get(protonum)
    if check_at is None:
        return True
    # RFC 792 brings 8 octets of a packet back: of TCP the checksum is not among them.
    whole = _HEADER_OCTETS[protonum]
    has_check = skb.len >= hdroff + whole
    if not skb_ensure_writable(skb, hdroff + (whole if has_check else 8)):
        return False
    at = skb.data + hdroff
    view = skb.view
    port_at, port = (at, target.sport) if maniptype == NF_NAT_MANIP_SRC else (at + 2, target.dport)
    (old,) = _PORT.unpack_from(view, port_at)
    _PORT.pack_into(view, port_at, port)
    if not has_check:
        return True
    check = at + check_at
    if protonum == IPPROTO_UDP and not (view[check] or view[check + 1]) and skb.ip_summed != CHECKSUM_PARTIAL:
        return True  # RFC 768: the sender made none.
    nf_csum_update(skb, iphdroff, check, target, maniptype)
    inet_proto_csum_replace4(skb, check, old, port, False)
    if protonum == IPPROTO_UDP and not (view[check] or view[check + 1]):
        view[check] = view[check + 1] = 0xFF
    return True


def _icmp_manip_pkt(skb: "SkBuff", hdroff: int, target: NfConntrackTuple) -> bool:
    if not skb_ensure_writable(skb, hdroff + 8):
        return False
    at = skb.data + hdroff
    view = skb.view
    if view[at] in _ICMP_WITH_ID:
        (old,) = _PORT.unpack_from(view, at + 4)
        _PORT.pack_into(view, at + 4, target.sport)
        inet_proto_csum_replace4(skb, at + 2, old, target.sport, False)
    return True


def nf_csum_update(skb: "SkBuff", iphdroff: int, check: int, target: NfConntrackTuple, maniptype: int) -> None:
    """Bring a checksum up to date with the address that a packet gets: there is only IPv4."""
    source = maniptype == NF_NAT_MANIP_SRC
    (old,) = _ADDRESS.unpack_from(skb.view, skb.data + iphdroff + (12 if source else 16))
    inet_proto_csum_replace4(skb, check, old, target.saddr if source else target.daddr, True)


def nf_nat_icmp_reply_translation(skb: "SkBuff", ct: NfConn, ctinfo: int, hooknum: int) -> bool:
    """Translate an ICMP error and the packet inside it (RFC 5508 §4); return False if it has to be dropped."""
    hdrlen = (skb.view[skb.data] & 15) << 2
    if not skb_ensure_writable(skb, hdrlen + 8 + 20) or nf_ip_checksum(skb, hooknum, hdrlen, IPPROTO_ICMP):
        return False
    if skb.view[skb.data + hdrlen] == ICMP_REDIRECT:
        # What is behind another address has another way.
        if ct.status & IPS_NAT_DONE_MASK != IPS_NAT_DONE_MASK or ct.status & IPS_NAT_MASK:
            return False
    manip = HOOK2MANIP(hooknum)
    dir = CTINFO2DIR(ctinfo)
    statusbit = IPS_SRC_NAT if manip == NF_NAT_MANIP_SRC else IPS_DST_NAT
    if dir == IP_CT_DIR_REPLY:
        statusbit ^= IPS_NAT_MASK
    if not ct.status & statusbit:
        return True
    other = ct.tuples[not dir]
    # The packet inside went the other way: its destination is this one's source.
    if not nf_nat_ipv4_manip_pkt(skb, hdrlen + 8, other, not manip):
        return False
    if skb.ip_summed != CHECKSUM_PARTIAL:
        at = skb.data + hdrlen + 2
        _PORT.pack_into(skb.view, at, 0)
        _PORT.pack_into(skb.view, at, ~skb_checksum(skb, hdrlen, skb.len - hdrlen) & 0xFFFF)
    target = nf_ct_invert_tuple(other)
    assert target is not None
    return nf_nat_ipv4_manip_pkt(skb, 0, target._replace(protonum=IPPROTO_ICMP), manip)


def nf_nat_ipv4_fn(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Translate a packet: ICMP errors by the connection that they are about."""
    ct, ctinfo = nf_ct_get(skb)
    if ct is None:
        return NF_ACCEPT
    if ctinfo in (IP_CT_RELATED, IP_CT_RELATED_REPLY) and skb.view[skb.network_header + 9] == IPPROTO_ICMP:
        return NF_ACCEPT if nf_nat_icmp_reply_translation(skb, ct, ctinfo, state.hook) else NF_DROP
    return nf_nat_inet_fn(priv, skb, state)


def _addresses(skb: "SkBuff") -> bytes:
    at = skb.network_header
    return bytes(skb.view[at + 12 : at + 20])


def nf_nat_ipv4_pre_routing(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Translate the destination of a received packet, before its route is looked for."""
    daddr = _addresses(skb)[4:]
    ret = nf_nat_ipv4_fn(priv, skb, state)
    if ret == NF_ACCEPT and _addresses(skb)[4:] != daddr:
        skb.dst = None
    return ret


def nf_nat_ipv4_local_in(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Translate the source of a packet for this host; it may be another socket's then."""
    saddr = _addresses(skb)[:4]
    ret = nf_nat_ipv4_fn(priv, skb, state)
    if ret == NF_ACCEPT and skb.sk is not None and _addresses(skb)[:4] != saddr:
        skb_orphan(skb)
    return ret


def nf_nat_ipv4_out(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Translate the source of a packet that leaves; a policy may want it elsewhere then."""
    ret = nf_nat_ipv4_fn(priv, skb, state)
    ct, ctinfo = nf_ct_get(skb)
    if ret != NF_ACCEPT or ct is None:
        return ret
    mine, other = ct.tuples[CTINFO2DIR(ctinfo)], ct.tuples[not CTINFO2DIR(ctinfo)]
    ports = mine.protonum != IPPROTO_ICMP and mine.sport != other.dport
    return nf_xfrm_me_harder(state.net, skb) if mine.saddr != other.daddr or ports else ret


def nf_xfrm_me_harder(net: "Net", skb: "SkBuff") -> int:
    """Ask the policies again about a packet that is another one now; return a verdict."""
    from ..xfrm.xfrm_dst import XfrmDst  # Routes are built on modules that import this one.

    fl = __xfrm_decode_session(skb, reverse=False)
    if fl.proto in (IPPROTO_ESP, IPPROTO_AH):
        return NF_ACCEPT  # Its policy is done.
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if isinstance(rt, XfrmDst):
        rt = rt.route
    fl.oif = rt.dev.ifindex
    try:
        skb.dst = xfrm_lookup(net, rt, fl, skb.sk, 0)
    except OSError as error:
        return NF_DROP_ERR(error.errno or 0)
    return NF_ACCEPT


def nf_nat_ipv4_local_fn(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Translate the destination of a packet of this host, and look for its route anew."""
    ret = nf_nat_ipv4_fn(priv, skb, state)
    ct, ctinfo = nf_ct_get(skb)
    if ret != NF_ACCEPT or ct is None:
        return ret
    mine, other = ct.tuples[CTINFO2DIR(ctinfo)], ct.tuples[not CTINFO2DIR(ctinfo)]
    if mine.daddr != other.saddr:
        try:
            ip_route_me_harder(state.net, state.sk, skb)
        except OSError as error:
            return NF_DROP_ERR(error.errno or 0)
    return ret


_NAT_OPS = (
    NfHookOps(nf_nat_ipv4_pre_routing, NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST),
    NfHookOps(nf_nat_ipv4_out, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC),
    NfHookOps(nf_nat_ipv4_local_fn, NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST),
    NfHookOps(nf_nat_ipv4_local_in, NF_INET_LOCAL_IN, NF_IP_PRI_NAT_SRC),
)


def nf_nat_ipv4_register_fn(net: "Net", ops: NfHookOps) -> None:
    """Let a chain say how new connections are translated."""
    nf_nat_register_fn(net, ops, _NAT_OPS)


def nf_nat_ipv4_unregister_fn(net: "Net", ops: NfHookOps) -> None:
    """Forget a chain."""
    nf_nat_unregister_fn(net, ops)

"""IP Authentication Header (Linux: net/ipv4/ah4.c; RFC 4302)."""

from errno import EBADMSG, EINVAL, ENOMEM
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import CHECKSUM_NONE, skb_push
from ..core.skbuff_csum import skb_pull_rcsum
from ..core.skbuff_data import pskb_expand_head, pskb_may_pull, skb_cloned, skb_linearize
from ..netlink.attr import NetlinkError
from ..xfrm.xfrm import IPPROTO_AH, XFRM_MODE_TUNNEL, XFRM_STATE_ALIGN4
from ..xfrm.xfrm_algo import Ahash, xfrm_aalg_get_byname
from ..xfrm.xfrm_replay import ReplayMode, xfrm_replay_seqhi
from ..xfrm.xfrm_state import XfrmState
from ..xfrm.xfrm_type import XfrmType
from .esp4 import xfrm4_err_learn
from .xfrm4_input import xfrm4_rcv
from .xfrm4_protocol import Xfrm4Protocol, xfrm4_protocol_register

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["ah4_init_net", "ah_input", "ah_output", "ah_type", "ip_clear_mutable_options"]

_HEADER = Struct("!BBHII")
_U32 = Struct("!I")
# RFC 4302 §A1: options that routers leave alone, by number: end, no operation, security, commercial security, router
# alert, upstream multicast packet. Source routes change in a way that can be foretold.
_END, _NOOP = 0, 1
_IMMUTABLE = (130, 133, 134, 148, 149)
_SOURCE_ROUTES = (131, 137)


def _align(x: XfrmState, length: int) -> int:
    """Return a length up to where Linux lets a packet go on: a multiple of 8, or of 4 as RFC 4302 §3.3.3.2.1 says."""
    step = 4 if x.flags & XFRM_STATE_ALIGN4 else 8
    return -(-length // step) * step


def _ahash(x: XfrmState) -> Ahash:
    assert x.ahash is not None
    return x.ahash


def ah_init_state(x: XfrmState) -> None:
    """Set a state's algorithm and lengths up.

    Raises
    ------
    OSError
        As ``xfrm_aalg_get_byname``; ``EINVAL`` without a hash, or with a cipher or UDP around it.
    """
    if x.aalg is None:
        raise NetlinkError(EINVAL, "AH requires a state with an AUTH algorithm")
    if x.encap is not None:
        raise NetlinkError(EINVAL, "AH is not compatible with encapsulation")
    if x.ealg is not None or x.aead_alg is not None:
        raise NetlinkError(EINVAL, "AH has no cipher")
    x.ahash = xfrm_aalg_get_byname(x.aalg)
    x.header_len = _align(x, _HEADER.size + x.ahash.icv_octets) + (20 if x.mode == XFRM_MODE_TUNNEL else 0)


def ah4_get_mtu(x: XfrmState, mtu: int) -> int:
    """Return the longest packet that fits an MTU with AH."""
    return mtu - x.header_len


def ip_clear_mutable_options(header: bytearray, *, outgoing: bool) -> None:
    """Make the options of a header zero that may change on the way (RFC 4302 §3.3.3.1.1.2).

    The destination of a source route counts as it is in the end: of a header that leaves, the last address.
    """
    at = 20
    while at < len(header) and header[at] != _END:
        kind = header[at]
        if kind == _NOOP:
            at += 1
            continue
        length = header[at + 1] if at + 1 < len(header) else 0
        if length < 2 or at + length > len(header):
            return
        if kind in _SOURCE_ROUTES and outgoing and length >= 7:
            header[16:20] = header[at + length - 4 : at + length]
        if kind not in _IMMUTABLE:
            header[at : at + length] = bytes(length)
        at += length


def _covered(x: XfrmState, skb: "SkBuff", ah_at: int, seq_hi: int, *, outgoing: bool) -> bytes:
    """Return what the check value is made of (RFC 4302 §3.3.3).

    That is all, what fills the header up included; but what may change on the way, and the value itself, as zero.
    """
    view, at = skb.view, skb.network_header
    header = bytearray(view[at:ah_at])
    header[1] = header[8] = 0
    header[6:8] = header[10:12] = bytes(2)
    ip_clear_mutable_options(header, outgoing=outgoing)
    icv_at = ah_at + _HEADER.size
    octets = _ahash(x).icv_octets
    tail = _U32.pack(seq_hi) if x.repl_mode == ReplayMode.ESN else b""
    return bytes(header) + bytes(view[ah_at:icv_at]) + bytes(octets) + bytes(view[icv_at + octets : skb.tail]) + tail


def ah_output(x: XfrmState, skb: "SkBuff") -> int:
    """Put the header into a packet; as ``XfrmType.output``."""
    ahash = _ahash(x)
    try:
        skb_linearize(skb)
        if skb_cloned(skb):
            pskb_expand_head(skb, 0, 0)
    except OSError as error:
        return -(error.errno or ENOMEM)
    skb_push(skb, skb.data - skb.network_header)
    view, at, ah_at = skb.view, skb.network_header, skb.transport_header
    hlen = _align(x, _HEADER.size + ahash.icv_octets)
    seq = x.replay.oseq
    _HEADER.pack_into(view, ah_at, view[at + 9], (hlen >> 2) - 2, 0, x.spi, seq & 0xFFFFFFFF)
    view[at + 9] = IPPROTO_AH
    view[at + 2 : at + 4] = skb.len.to_bytes(2, "big")
    icv_at = ah_at + _HEADER.size
    view[icv_at : ah_at + hlen] = bytes(hlen - _HEADER.size)
    covered = _covered(x, skb, ah_at, seq >> 32, outgoing=True)
    view[icv_at : icv_at + ahash.icv_octets] = ahash.digest(covered)
    return 0


def ah_input(x: XfrmState, skb: "SkBuff") -> int:
    """Take the header out of a packet, if that is genuine; as ``XfrmType.input``."""
    ahash = _ahash(x)
    if not pskb_may_pull(skb, _HEADER.size):
        return -EINVAL
    nexthdr, hdrlen, _, _, seq = _HEADER.unpack_from(skb.view, skb.data)
    hlen = hdrlen + 2 << 2
    if hlen != _align(x, _HEADER.size + ahash.icv_octets) or skb.len < hlen:
        return -EINVAL
    skb_linearize(skb)
    if skb_cloned(skb):
        pskb_expand_head(skb, 0, 0)
    skb.ip_summed = CHECKSUM_NONE
    skb.csum_valid = False
    at = skb.data
    icv = bytes(skb.view[at + _HEADER.size : at + _HEADER.size + ahash.icv_octets])
    if not ahash.verify(_covered(x, skb, at, xfrm_replay_seqhi(x, seq), outgoing=False), icv):
        return -EBADMSG
    skb_pull_rcsum(skb, hlen)
    return int(nexthdr)


def ah4_err(skb: "SkBuff", info: int) -> int:
    """Learn of an ICMP error about a packet of AH."""
    return xfrm4_err_learn(skb, info, IPPROTO_AH, 4)


def ah4_rcv_cb(skb: "SkBuff") -> int:
    """Say nothing more to a packet that was received."""
    return 0


def ah4_rcv(skb: "SkBuff") -> int:
    """Receive a packet of AH."""
    return xfrm4_rcv(skb, IPPROTO_AH)


ah_type = XfrmType(IPPROTO_AH, ah_init_state, ah_input, ah_output, ah4_get_mtu)


def ah4_init_net(net: "Net") -> None:
    """Have a namespace receive AH."""
    xfrm4_protocol_register(net, Xfrm4Protocol(ah4_rcv, ah4_rcv_cb, ah4_err), IPPROTO_AH)

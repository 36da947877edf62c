"""Encapsulating Security Payload (Linux: net/ipv4/esp4.c; RFC 4303, RFC 4106, RFC 3602, RFC 3948)."""

from errno import EBADMSG, EINVAL, ENOMEM
from struct import Struct
from typing import TYPE_CHECKING

from ..core.skbuff import CHECKSUM_NONE, CHECKSUM_UNNECESSARY, skb_push, skb_tailroom
from ..core.skbuff_csum import skb_pull_rcsum
from ..core.skbuff_data import (
    pskb_expand_head,
    pskb_may_pull,
    pskb_put,
    pskb_trim,
    skb_cloned,
    skb_copy_bits,
    skb_linearize,
)
from ..netlink.attr import NetlinkError
from ..uapi import IPPROTO_UDP
from ..xfrm.xfrm import IPPROTO_ESP, UDP_ENCAP_ESPINUDP, XFRM_MODE_TUNNEL, XfrmEncap
from ..xfrm.xfrm_algo import (
    Aead,
    crypto_aead_decrypt,
    crypto_aead_encrypt,
    xfrm_alloc_aead,
    xfrm_alloc_authenc,
)
from ..xfrm.xfrm_replay import ReplayMode, xfrm_replay_seqhi
from ..xfrm.xfrm_state import XfrmState, xfrm_state_lookup
from ..xfrm.xfrm_type import XfrmType
from .icmp_defs import ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP_REDIRECT
from .route_icmp import ipv4_redirect, ipv4_update_pmtu
from .xfrm4_input import xfrm4_rcv
from .xfrm4_protocol import Xfrm4Protocol, xfrm4_protocol_register

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["esp4_init_net", "esp_input", "esp_output", "esp_type", "xfrm4_err_learn"]

_HEADER = Struct("!II")
_UDP_HEADER = Struct("!HHHH")
_U32 = Struct("!I")
_NO_NEXT_HEADER = 59  # RFC 4303 §2.6: a dummy packet.


def esp_init_state(x: XfrmState) -> None:
    """Set a state's algorithms and lengths up.

    Raises
    ------
    OSError
        As ``xfrm_alloc_aead``; ``EINVAL`` without a cipher, or for an unknown encapsulation.
    """
    crypto = x.net.kernel.crypto
    if x.encap is not None and x.encap.encap_type != UDP_ENCAP_ESPINUDP:
        raise NetlinkError(EINVAL, "Unsupported encapsulation type for ESP")
    if x.aead_alg is not None:
        aead = xfrm_alloc_aead(crypto, x.aead_alg)
    elif x.ealg is not None:
        aead = xfrm_alloc_authenc(crypto, x.ealg, x.aalg)
    else:
        raise NetlinkError(EINVAL, "ESP: AEAD or CRYPT must be provided")
    x.aead = aead
    random_u32 = x.net.kernel.platform.random_u32
    x.iv_salt = random_u32() << 32 | random_u32()
    x.header_len = _HEADER.size + aead.ivsize
    x.header_len += 20 if x.mode == XFRM_MODE_TUNNEL else 0
    x.header_len += _UDP_HEADER.size if x.encap is not None else 0
    x.trailer_len = _block(aead) + 1 + aead.authsize


def _aead(x: XfrmState) -> Aead:
    assert x.aead is not None
    return x.aead


def _block(aead: Aead) -> int:
    """Return what the payload with its trailer is padded to a multiple of (RFC 4303 §2.4)."""
    return max(aead.blocksize, 4)


def esp4_get_mtu(x: XfrmState, mtu: int) -> int:
    """Return the longest packet that fits an MTU as ESP: the payload, pad length and next header fill whole blocks."""
    aead = _aead(x)
    clear = 0 if x.mode == XFRM_MODE_TUNNEL else 20
    block = _block(aead)
    return (mtu - x.header_len - aead.authsize - clear) // block * block + clear - 2


def esp_output(x: XfrmState, skb: "SkBuff") -> int:
    """Make a packet one of ESP; as ``XfrmType.output``."""
    aead = _aead(x)
    block = _block(aead)
    padlen = -(skb.len + 2) % block
    try:
        esp_output_head(x, skb, padlen)
    except OSError as error:
        return -(error.errno or ENOMEM)
    skb_push(skb, skb.data - skb.network_header)
    esp_output_tail(x, skb, aead)
    return 0


def esp_output_head(x: XfrmState, skb: "SkBuff", padlen: int) -> None:
    """Make room for the trailer and write it, and the UDP header if there is to be one.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    tailen = padlen + 2 + _aead(x).authsize
    skb_linearize(skb)
    if skb_tailroom(skb) < tailen or skb_cloned(skb):
        pskb_expand_head(skb, 0, max(tailen - skb_tailroom(skb), 0))
    protocol_at = skb.network_header + 9
    protocol = skb.view[protocol_at]
    start = pskb_put(skb, tailen)
    # RFC 4303 §2.4: 1, 2, 3 and so on.
    skb.view[start : start + padlen + 2] = bytes((*range(1, padlen + 1), padlen, protocol))
    if x.encap is not None:
        esp_output_udp_encap(x.encap, skb)
    else:
        skb.view[protocol_at] = IPPROTO_ESP


def esp_output_udp_encap(encap: XfrmEncap, skb: "SkBuff") -> None:
    """Write the UDP header in front of ESP, without a checksum (RFC 3948 §2.1)."""
    at = skb.transport_header
    _UDP_HEADER.pack_into(skb.view, at, encap.encap_sport, encap.encap_dport, skb.tail - at, 0)
    skb.view[skb.network_header + 9] = IPPROTO_UDP


def _next_iv(x: XfrmState, aead: Aead) -> bytes:
    """Return an initialisation vector: one that never comes again, or, for CBC, one that nobody can foretell."""
    if aead.counts:
        return (x.replay.oseq ^ x.iv_salt).to_bytes(aead.ivsize, "big")
    random_u32 = x.net.kernel.platform.random_u32
    return b"".join(random_u32().to_bytes(4, "big") for _ in range(aead.ivsize // 4))


def esp_output_tail(x: XfrmState, skb: "SkBuff", aead: Aead) -> None:
    """Write the header, and encipher what follows."""
    view = skb.view
    seq = x.replay.oseq
    at = skb.transport_header + (_UDP_HEADER.size if x.encap is not None else 0)
    _HEADER.pack_into(view, at, x.spi, seq & 0xFFFFFFFF)
    payload = at + _HEADER.size + aead.ivsize
    iv = _next_iv(x, aead)
    view[at + _HEADER.size : payload] = iv
    seq_hi = _U32.pack(seq >> 32) if x.repl_mode == ReplayMode.ESN else b""
    plaintext = bytes(view[payload : skb.tail - aead.authsize])
    view[payload : skb.tail] = crypto_aead_encrypt(aead, bytes(view[at : at + 8]), seq_hi, iv, plaintext)


def esp_input(x: XfrmState, skb: "SkBuff") -> int:
    """Decipher a packet, if it is genuine; as ``XfrmType.input``."""
    aead = _aead(x)
    hlen = _HEADER.size + aead.ivsize
    length = skb.len - hlen - aead.authsize
    if length <= 0 or length % _block(aead) or not pskb_may_pull(skb, hlen):
        return -EINVAL
    skb_linearize(skb)
    if skb_cloned(skb):
        pskb_expand_head(skb, 0, 0)
    skb.ip_summed = CHECKSUM_NONE
    skb.csum_valid = False
    view, at = skb.view, skb.data
    (seq,) = _U32.unpack_from(view, at + 4)
    seq_hi = _U32.pack(xfrm_replay_seqhi(x, seq)) if x.repl_mode == ReplayMode.ESN else b""
    start = at + hlen
    iv = bytes(view[at + _HEADER.size : start])
    plaintext = crypto_aead_decrypt(aead, bytes(view[at : at + 8]), seq_hi, iv, bytes(view[start : skb.tail]))
    if plaintext is None:
        return -EBADMSG
    view[start : start + len(plaintext)] = plaintext
    return esp_input_done2(x, skb, aead)


def esp_input_done2(x: XfrmState, skb: "SkBuff", aead: Aead) -> int:
    """Take header and trailer off a packet that is deciphered; return the protocol inside or a negative errno."""
    hlen = _HEADER.size + aead.ivsize
    end = skb.len - aead.authsize
    padlen, nexthdr = skb_copy_bits(skb, end - 2, 2)
    if hlen + padlen + 2 >= end or nexthdr == _NO_NEXT_HEADER:
        return -EINVAL
    if x.encap is not None:
        _mapping(x, skb)
        if x.mode != XFRM_MODE_TUNNEL:
            # RFC 3948 §3.1.2: a NAT on the way has spoilt the checksum; ESP vouches for the packet.
            skb.ip_summed = CHECKSUM_UNNECESSARY
    pskb_trim(skb, end - padlen - 2)
    skb_pull_rcsum(skb, hlen)
    return nexthdr


def _mapping(x: XfrmState, skb: "SkBuff") -> None:
    """Say that the peer is behind another port or address of a NAT now, if it is."""
    from ..xfrm.xfrm_user_notify import km_new_mapping

    assert x.encap is not None
    at, view = skb.network_header, skb.view
    saddr = int.from_bytes(view[at + 12 : at + 16], "big")
    ports = at + ((view[at] & 15) << 2)
    sport = int.from_bytes(view[ports : ports + 2], "big")
    if saddr != x.saddr or sport != x.encap.encap_sport:
        km_new_mapping(x, saddr, sport)


def xfrm4_err_learn(skb: "SkBuff", info: int, protocol: int, spi_offset: int) -> int:
    """Have the route learn from an ICMP error about a packet of a state; return ``-ENOENT`` if it is of none."""
    dev = skb.dev
    assert dev is not None
    kind, code = skb.view[skb.transport_header], skb.view[skb.transport_header + 1]
    if not (kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED) and kind != ICMP_REDIRECT:
        return 0
    at = skb.data + ((skb.view[skb.data] & 15) << 2)
    (daddr,) = _U32.unpack_from(skb.view, skb.data + 16)
    if not pskb_may_pull(skb, at - skb.data + spi_offset + 4):
        return 0
    (spi,) = _U32.unpack_from(skb.view, at + spi_offset)
    if xfrm_state_lookup(dev.net, skb.mark, daddr, spi, protocol) is None:
        return 0
    if kind == ICMP_REDIRECT:
        ipv4_redirect(skb, dev.net, 0, protocol)
    else:
        ipv4_update_pmtu(skb, dev.net, info, 0, protocol)
    return 0


def esp4_err(skb: "SkBuff", info: int) -> int:
    """Learn of an ICMP error about a packet of ESP."""
    return xfrm4_err_learn(skb, info, IPPROTO_ESP, 0)


def esp4_rcv_cb(skb: "SkBuff") -> int:
    """Say nothing more to a packet that was received."""
    return 0


def esp4_rcv(skb: "SkBuff") -> int:
    """Receive a packet of ESP."""
    return xfrm4_rcv(skb, IPPROTO_ESP)


esp_type = XfrmType(IPPROTO_ESP, esp_init_state, esp_input, esp_output, esp4_get_mtu)


def esp4_init_net(net: "Net") -> None:
    """Have a namespace receive ESP."""
    xfrm4_protocol_register(net, Xfrm4Protocol(esp4_rcv, esp4_rcv_cb, esp4_err), IPPROTO_ESP)

"""Undoing the transforms of received packets (Linux: net/xfrm/xfrm_input.c; RFC 4301 §5.2)."""

from collections.abc import Callable
from errno import EBADMSG, EINVAL, ENOBUFS
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev_napi import NETDEV_MAX_BACKLOG
from ..core.drop_reasons import SkbDropReason
from ..core.gro_cells import gro_cells_receive
from ..core.skbuff import CHECKSUM_NONE, NO_HEADER, kfree_skb_reason
from ..core.skbuff_data import pskb_may_pull, skb_cow_head
from ..core.softirq import local_bh_disable, local_bh_enable
from ..core.workqueue import DelayedWork, schedule_work
from ..ethernet.eth import ETH_P_IP
from ..uapi import IPPROTO_IPIP
from .xfrm import (
    IPPROTO_AH,
    IPPROTO_ESP,
    XFRM_MAX_DEPTH,
    XFRM_MODE_TUNNEL,
    XFRM_STATE_DECAP_DSCP,
    XFRM_STATE_NOECN,
)
from .xfrm_proc import xfrm_inc_stats
from .xfrm_replay import xfrm_replay_advance, xfrm_replay_check, xfrm_replay_recheck, xfrm_replay_seqhi
from .xfrm_state import XfrmState, XfrmStateState, xfrm_state_check_expire, xfrm_state_lookup

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = ["xfrm_input", "xfrm_parse_spi", "xfrm_rcv_cb", "xfrm_trans_queue", "xfrm_trans_reinject"]

_ADDRESSES = Struct("!II")
_SPI = Struct("!II")
_SPI_AT = {IPPROTO_ESP: 0, IPPROTO_AH: 4}
_CE = 3


def xfrm_parse_spi(skb: "SkBuff", nexthdr: int) -> tuple[int, int] | None:
    """Return index and sequence number of a packet of ESP or AH; None of other protocols.

    Raises
    ------
    ValueError
        If the packet is too short for them.
    """
    at = _SPI_AT.get(nexthdr)
    if at is None:
        return None
    if not pskb_may_pull(skb, at + _SPI.size):
        raise ValueError("shorter than its header")
    spi, seq = _SPI.unpack_from(skb.view, skb.data + at)
    return spi, seq


def _drop(net: "Net", skb: "SkBuff", counter: str) -> int:
    xfrm_inc_stats(net, counter)
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return 0


def xfrm_input(skb: "SkBuff", nexthdr: int, spi: int, encap_type: int) -> int:
    """Undo a packet's transforms, of which the outermost header is where its data starts; then it goes on.

    Parameters
    ----------
    skb : SkBuff
        The packet.
    nexthdr, spi : int
        Protocol of that header; its index if it is known already, else 0.
    encap_type : int
        ``UDP_ENCAP_*`` if it came in UDP, else 0.

    Returns
    -------
    int
        0; what was refused is counted.
    """
    dev = skb.dev
    assert dev is not None
    net = dev.net
    try:
        found = xfrm_parse_spi(skb, nexthdr)
    except (OSError, ValueError):
        return _drop(net, skb, "InHdrError")
    tunnel = False
    while found is not None:
        counter, nexthdr, tunnel = _undo(net, skb, nexthdr, spi or found[0], found[1], encap_type)
        if counter:
            return _drop(net, skb, counter)
        if tunnel:
            break
        encap_type = spi = 0
        try:
            found = xfrm_parse_spi(skb, nexthdr)
        except (OSError, ValueError):
            return _drop(net, skb, "InHdrError")
    xfrm_rcv_cb(skb, skb.sp[-1].proto)
    skb.nfct = None
    if tunnel:
        skb.dst = None
        gro_cells_receive(None, skb)
        return 0
    from ..ipv4.xfrm4_input import xfrm4_transport_finish  # It is built on this module.

    return xfrm4_transport_finish(skb, nexthdr)


def _undo(net: "Net", skb: "SkBuff", nexthdr: int, spi: int, seq: int, encap_type: int) -> tuple[str, int, bool]:
    """Undo one transform.

    Returns
    -------
    tuple
        The counter for why it was refused, or an empty text; the protocol inside; and whether it was a tunnel.
    """
    if len(skb.sp) >= XFRM_MAX_DEPTH:
        return "InBufferError", 0, False
    (daddr,) = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)[1:]
    x = xfrm_state_lookup(net, skb.mark, daddr, spi, nexthdr)
    if x is None:
        return "InNoStates", 0, False
    skb.sp = (*skb.sp, x)
    counter = _may_come(x, seq, encap_type)
    if counter:
        return counter, 0, False
    seq_hi = xfrm_replay_seqhi(x, seq)
    try:
        nexthdr = x.type.input(x, skb)
    except OSError:
        return "InError", 0, False
    if nexthdr < 0:
        if nexthdr == -EBADMSG:
            x.stats.integrity_failed += 1
        return "InStateProtoError", 0, False
    if not xfrm_replay_recheck(x, seq, seq_hi):
        return "InStateSeqError", 0, False
    xfrm_replay_advance(x, seq)
    x.curlft.bytes += skb.len
    x.curlft.packets += 1
    x.lastused = net.kernel.now_ns()
    try:
        if xfrm_inner_mode_input(x, skb, nexthdr):
            return "InStateModeError", 0, False
    except OSError:
        return "InError", 0, False
    return "", nexthdr, x.mode == XFRM_MODE_TUNNEL


def _may_come(x: XfrmState, seq: int, encap_type: int) -> str:
    """Return the counter for why a state does not take a packet, or an empty text."""
    if x.state != XfrmStateState.VALID:
        return "AcquireError" if x.state == XfrmStateState.ACQ else "InStateInvalid"
    if (x.encap.encap_type if x.encap is not None else 0) != encap_type:
        return "InStateMismatch"
    if not xfrm_replay_check(x, seq):
        return "InStateSeqError"
    return "" if xfrm_state_check_expire(x) else "InStateExpired"


def xfrm_inner_mode_input(x: XfrmState, skb: "SkBuff", nexthdr: int) -> int:
    """Take the header of a transform out of a packet, whose data starts behind it; return 0 or a negative errno."""
    if x.mode == XFRM_MODE_TUNNEL:
        return xfrm4_remove_tunnel_encap(x, skb, nexthdr)
    xfrm4_transport_input(skb, nexthdr)
    return 0


def xfrm4_transport_input(skb: "SkBuff", nexthdr: int) -> None:
    """Move the IPv4 header up to the data, and have it say what that is and how long."""
    at, view = skb.network_header, skb.view
    ihl = (view[at] & 15) << 2
    new = skb.data - ihl
    view[new : new + ihl] = bytes(view[at : at + ihl])
    view[new + 9] = nexthdr
    view[new + 2 : new + 4] = (skb.len + ihl).to_bytes(2, "big")
    skb.network_header = new
    skb.transport_header = skb.data


def xfrm4_remove_tunnel_encap(x: XfrmState, skb: "SkBuff", nexthdr: int) -> int:
    """Forget the outer header, but for the congestion that it met (RFC 4301 §5.1.2.1, note 6); the link's stays."""
    if nexthdr != IPPROTO_IPIP or not pskb_may_pull(skb, 20):
        return -EINVAL
    skb_cow_head(skb, 0)
    view, data = skb.view, skb.data
    outer = view[skb.network_header + 1]
    tos = view[data + 1]
    if x.flags & XFRM_STATE_DECAP_DSCP:
        tos = outer & 0xFC | tos & 3
    if not x.flags & XFRM_STATE_NOECN and outer & 3 == _CE and tos & 3:
        tos |= _CE
    skb.transport_header = skb.network_header = data
    if tos != view[data + 1] and view[data] & 15 >= 5 and pskb_may_pull(skb, (view[data] & 15) << 2):
        from ..ipv4.ip import ip_send_check  # Packages import each other.

        skb.view[skb.network_header + 1] = tos
        ip_send_check(skb)
    dev = skb.dev
    if skb.mac_header != NO_HEADER and dev is not None:
        length = dev.hard_header_len
        skb.view[skb.data - length : skb.data] = bytes(skb.view[skb.mac_header : skb.mac_header + length])
        skb.mac_header = skb.data - length
    skb.protocol = ETH_P_IP
    skb.ip_summed = CHECKSUM_NONE
    skb.csum_valid = False
    return 0


def xfrm_rcv_cb(skb: "SkBuff", proto: int) -> int:
    """Tell who else wants to know that a packet was received."""
    from ..ipv4.xfrm4_protocol import xfrm4_rcv_cb  # It is built on this module.

    return xfrm4_rcv_cb(skb, proto)


def xfrm_trans_queue(skb: "SkBuff", finish: "Callable[[Net, SkBuff], int]") -> int:
    """Have a packet that was in transport mode received a little later, so that the nesting of calls has an end."""
    dev = skb.dev
    assert dev is not None
    return xfrm_trans_queue_net(dev.net, skb, finish)


def xfrm_trans_queue_net(net: "Net", skb: "SkBuff", finish: "Callable[[Net, SkBuff], int]") -> int:
    """The same; return 0, or ``-ENOBUFS`` if too many wait."""
    queue = net.xfrm.trans_queue
    if len(queue) >= NETDEV_MAX_BACKLOG:
        return -ENOBUFS
    queue.append((skb, finish))
    if len(queue) == 1:
        schedule_work(DelayedWork(net.kernel, lambda: xfrm_trans_reinject(net)))
    return 0


def xfrm_trans_reinject(net: "Net") -> None:
    """Receive the packets that wait."""
    queue = net.xfrm.trans_queue
    waiting = list(queue)
    queue.clear()
    local_bh_disable(net.kernel)
    for skb, finish in waiting:
        finish(net, skb)
    local_bh_enable(net.kernel)  # Runs the softirqs that were raised.

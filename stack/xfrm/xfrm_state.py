"""States of IPsec, security associations (Linux: net/xfrm/xfrm_state.c; RFC 4301 §4.4.2)."""

from dataclasses import dataclass
from enum import IntEnum
from errno import EEXIST, EINVAL, ESRCH
from typing import TYPE_CHECKING, TypeVar

from ..core.timer import TimerList, del_timer, jiffies, mod_timer
from ..netlink.attr import NetlinkError
from .xfrm import (
    XFRM_MODE_TRANSPORT,
    XFRM_MODE_TUNNEL,
    XFRM_STATE_ESN,
    XfrmEncap,
    XfrmLifetimeCfg,
    XfrmLifetimeCur,
    XfrmMark,
    XfrmSelector,
)
from .xfrm_lifetime import get_seconds, xfrm_lifetime_over, xfrm_timer_next
from .xfrm_replay import ReplayMode, XfrmReplay

if TYPE_CHECKING:
    from ..core.net import Net
    from .xfrm_algo import Aead, Ahash, XfrmAlgo
    from .xfrm_type import XfrmType

__all__ = [
    "XfrmState",
    "XfrmStateState",
    "XfrmStats",
    "__xfrm_state_delete",
    "xfrm_init_state",
    "xfrm_state_add",
    "xfrm_state_check_expire",
    "xfrm_state_delete",
    "xfrm_state_flush",
    "xfrm_state_insert",
    "xfrm_state_lookup",
    "xfrm_state_mtu",
    "xfrm_state_update",
]

_WINDOW_MOST = 4096
_Key = TypeVar("_Key")


class XfrmStateState(IntEnum):
    """What has become of a state (``XFRM_STATE_*``)."""

    VOID = 0
    ACQ = 1
    VALID = 2
    ERROR = 3
    EXPIRED = 4
    DEAD = 5


@dataclass(slots=True)
class XfrmStats:
    """Packets that a state has refused: too old, seen before, forged."""

    replay_window: int = 0
    replay: int = 0
    integrity_failed: int = 0


class XfrmState:
    """How the packets of one direction between two hosts are protected (Linux: ``struct xfrm_state``).

    Members
    -------
    daddr, spi, proto : int
        What it is found by: destination, index and protocol (``IPPROTO_ESP``, ``IPPROTO_AH``).
    sel : XfrmSelector
        The flows that it is for.
    mode, reqid : int
        ``XFRM_MODE_*``; which templates it is for.
    aalg, ealg, aead_alg : XfrmAlgo or None
        Its algorithms: hash and cipher, or both at once.
    aead, ahash : Aead or None, Ahash or None
        What ESP, or AH, works with.
    type : XfrmType
        What its protocol does with packets.
    header_len, trailer_len : int
        How much longer it makes packets, in front and at most behind.
    replay, repl_mode : XfrmReplay, ReplayMode
        Sequence numbers, and how they are kept.
    dying : bool
        It was said that its time will be over soon.
    genid : int
        Bundles made under another number are looked at anew.
    """

    type: "XfrmType"

    def __init__(
        self,
        net: "Net",
        *,
        daddr: int,
        saddr: int = 0,
        spi: int = 0,
        proto: int,
        mode: int = XFRM_MODE_TRANSPORT,
        reqid: int = 0,
        sel: XfrmSelector | None = None,
        aalg: "XfrmAlgo | None" = None,
        ealg: "XfrmAlgo | None" = None,
        aead_alg: "XfrmAlgo | None" = None,
        encap: XfrmEncap | None = None,
        mark: XfrmMark | None = None,
        if_id: int = 0,
        flags: int = 0,
        replay_window: int = 0,
        lft: XfrmLifetimeCfg | None = None,
        extended: bool = False,
    ) -> None:
        self.net = net
        self.daddr, self.saddr, self.spi, self.proto = daddr, saddr, spi, proto
        self.mode, self.reqid, self.if_id, self.flags = mode, reqid, if_id, flags
        self.sel = sel if sel is not None else XfrmSelector()
        self.aalg, self.ealg, self.aead_alg = aalg, ealg, aead_alg
        self.encap = encap
        self.mark = mark if mark is not None else XfrmMark()
        self.lft = lft if lft is not None else XfrmLifetimeCfg()
        self.curlft = XfrmLifetimeCur()
        self.stats = XfrmStats()
        self.replay = XfrmReplay(replay_window)
        self.repl_mode = ReplayMode.LEGACY
        if flags & XFRM_STATE_ESN:
            self.repl_mode = ReplayMode.ESN
        elif extended:
            self.repl_mode = ReplayMode.BMP
        self.seq = self.genid = 0
        self.dying = False
        self.state = XfrmStateState.VOID
        self.aead: Aead | None = None
        self.ahash: Ahash | None = None
        self.iv_salt = 0
        self.header_len = self.trailer_len = 0
        self.lastused = 0
        self.timer = TimerList(net.kernel, lambda: xfrm_timer_handler(self))


def xfrm_init_state(x: XfrmState) -> None:
    """Set a state's protocol and algorithms up.

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOSYS``, ``EPROTONOSUPPORT``.
    """
    from .xfrm_type import xfrm_get_type  # Types are built on this module.

    if x.mode not in (XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL):
        raise NetlinkError(EINVAL, "Requested mode not found")
    most = 32 if x.repl_mode == ReplayMode.LEGACY else _WINDOW_MOST
    if not 0 <= x.replay.window <= most:
        raise NetlinkError(EINVAL, f"Replay window exceeds maximum of {most}")
    if x.repl_mode == ReplayMode.ESN and not x.replay.window:
        raise NetlinkError(EINVAL, "ESN replay window must be > 0")
    x.type = xfrm_get_type(x.proto)
    x.type.init_state(x)
    x.state = XfrmStateState.VALID


def __xfrm_state_insert(net: "Net", x: XfrmState) -> None:
    xfrm = net.xfrm
    xfrm.genid += 1
    x.genid = xfrm.genid
    x.curlft.add_time = get_seconds(net.kernel)
    xfrm.state_all.append(x)
    xfrm.state_bydst.setdefault((x.daddr, x.saddr), []).append(x)
    if x.spi:
        xfrm.state_byspi.setdefault((x.daddr, x.spi, x.proto), []).append(x)
    xfrm_timer_next(x.timer, x.lft, x.curlft, False)


def xfrm_state_bump_genids(net: "Net", x: XfrmState) -> None:
    """Have bundles made anew that would now get another state."""
    for other in net.xfrm.state_bydst.get((x.daddr, x.saddr), []):
        if (other.reqid, other.if_id, other.mark) == (x.reqid, x.if_id, x.mark):
            net.xfrm.genid += 1
            other.genid = net.xfrm.genid


def xfrm_state_insert(net: "Net", x: XfrmState) -> None:
    """Add a state that is set up."""
    xfrm_state_bump_genids(net, x)
    __xfrm_state_insert(net, x)


def _larval(net: "Net", x: XfrmState) -> XfrmState | None:
    """Return the state that was asked for and that this one is the answer to."""
    for other in net.xfrm.state_bydst.get((x.daddr, x.saddr), []):
        if other.state == XfrmStateState.ACQ and (
            (x.seq and other.seq == x.seq)
            or (not other.spi and (other.proto, other.mode, other.reqid) == (x.proto, x.mode, x.reqid))
        ):
            return other
    return None


def xfrm_state_add(net: "Net", x: XfrmState) -> None:
    """Add a state that is set up, in place of the one that was asked for if there is one.

    Raises
    ------
    OSError
        ``EEXIST`` if there is one with its destination, index and protocol, also one that is waited for.
    """
    for other in net.xfrm.state_byspi.get((x.daddr, x.spi, x.proto), []):
        if other.mark == x.mark:
            raise OSError(EEXIST, "there is such a state")
    larval = _larval(net, x)
    if larval is not None:
        __xfrm_state_delete(larval)
    xfrm_state_insert(net, x)


def xfrm_state_update(net: "Net", x: XfrmState) -> None:
    """Change the lifetimes, the ports and the selector of a state; what was asked for becomes the new one.

    Raises
    ------
    OSError
        ``ESRCH`` if it is not there; ``EINVAL`` if it is over.
    """
    chain = net.xfrm.state_byspi.get((x.daddr, x.spi, x.proto), [])
    old = next((other for other in chain if other.mark == x.mark), None)
    if old is None:
        raise OSError(ESRCH, "no such state")
    if old.state == XfrmStateState.ACQ:
        __xfrm_state_delete(old)
        xfrm_state_insert(net, x)
        return
    if old.state != XfrmStateState.VALID:
        raise OSError(EINVAL, "the state is over")
    if x.encap is not None and old.encap is not None:
        old.encap = x.encap
    old.sel = x.sel
    old.lft = x.lft
    old.dying = False
    net.xfrm.genid += 1
    old.genid = net.xfrm.genid
    mod_timer(old.timer, jiffies(net.kernel) + 1)


def _unchain(table: dict[_Key, list[XfrmState]], key: _Key, x: XfrmState) -> None:
    chain = table[key]
    chain.remove(x)
    if not chain:
        del table[key]


def __xfrm_state_delete(x: XfrmState) -> None:
    """Take a state out.

    Raises
    ------
    OSError
        ``ESRCH`` if it is out.
    """
    if x.state == XfrmStateState.DEAD:
        raise OSError(ESRCH, "no such state")
    x.state = XfrmStateState.DEAD
    xfrm = x.net.xfrm
    xfrm.state_all.remove(x)
    _unchain(xfrm.state_bydst, (x.daddr, x.saddr), x)
    if x.spi:
        _unchain(xfrm.state_byspi, (x.daddr, x.spi, x.proto), x)
    del_timer(x.timer)


def xfrm_state_delete(x: XfrmState) -> None:
    """Take a state out, on request; as ``__xfrm_state_delete``."""
    __xfrm_state_delete(x)


def xfrm_state_flush(net: "Net", proto: int) -> int:
    """Take all states of a protocol out, 0 for any; return how many there were."""
    found = [x for x in net.xfrm.state_all if proto in (0, 255, x.proto)]
    for x in found:
        __xfrm_state_delete(x)
    return len(found)


def xfrm_state_lookup(net: "Net", mark: int, daddr: int, spi: int, proto: int) -> XfrmState | None:
    """Return the state for a received packet."""
    return __xfrm_state_lookup(net, mark, daddr, spi, proto)


def __xfrm_state_lookup(net: "Net", mark: int, daddr: int, spi: int, proto: int) -> XfrmState | None:
    """The same; there is one table only."""
    for x in net.xfrm.state_byspi.get((daddr, spi, proto), []):
        if x.mark.matches(mark):
            return x
    return None


def _over(lft: XfrmLifetimeCfg, cur: XfrmLifetimeCur) -> bool:
    return cur.bytes >= lft.hard_byte_limit or cur.packets >= lft.hard_packet_limit


def xfrm_state_check_expire(x: XfrmState) -> bool:
    """Note that a state is used; return False if its octets or packets are used up, and say so if they soon will be."""
    from .xfrm_user_notify import km_state_expired

    cur, lft = x.curlft, x.lft
    if not cur.use_time:
        cur.use_time = get_seconds(x.net.kernel)
        xfrm_timer_next(x.timer, lft, cur, x.dying)
    if _over(lft, cur):
        x.state = XfrmStateState.EXPIRED
        mod_timer(x.timer, jiffies(x.net.kernel) + 1)
        return False
    if not x.dying and (cur.bytes >= lft.soft_byte_limit or cur.packets >= lft.soft_packet_limit):
        x.dying = True
        km_state_expired(x, hard=False)
    return True


def xfrm_timer_handler(x: XfrmState) -> None:
    """Delete a state whose time is over; say so once when it is about to be."""
    from .xfrm_user_notify import km_state_expired

    if x.state == XfrmStateState.DEAD:
        return
    now = get_seconds(x.net.kernel)
    if x.state == XfrmStateState.EXPIRED or xfrm_lifetime_over(x.lft, x.curlft, now, hard=True):
        __xfrm_state_delete(x)
        km_state_expired(x, hard=True)
        return
    if not x.dying and xfrm_lifetime_over(x.lft, x.curlft, now, hard=False):
        x.dying = True
        km_state_expired(x, hard=False)
    xfrm_timer_next(x.timer, x.lft, x.curlft, x.dying)


def xfrm_state_mtu(x: XfrmState, mtu: int) -> int:
    """Return the longest packet that fits an MTU once a state has made it longer."""
    return x.type.get_mtu(x, mtu)

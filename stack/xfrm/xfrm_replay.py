"""Sequence numbers, and packets that come twice (Linux: net/xfrm/xfrm_replay.c; RFC 4303 §3.4.3, appendix A)."""

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .xfrm_state import XfrmState

__all__ = [
    "ReplayMode",
    "XfrmReplay",
    "xfrm_replay_advance",
    "xfrm_replay_check",
    "xfrm_replay_overflow",
    "xfrm_replay_recheck",
    "xfrm_replay_seqhi",
]

_LOW = 0xFFFFFFFF


class ReplayMode(Enum):
    """How sequence numbers are kept (``XFRM_REPLAY_MODE_*``)."""

    LEGACY = 0  # A window of up to 32.
    BMP = 1  # A longer one.
    ESN = 2  # Of 64 bits, of which packets have the lower half.


class XfrmReplay:
    """The last sequence numbers, and which of those before were seen.

    Members
    -------
    oseq, seq : int
        The last number sent, and the highest received; with their high halves, where there are such.
    window : int
        How far behind the highest a number may be; 0: they are not looked at.
    bitmap : int
        Bit n: the number n behind the highest was received.
    """

    __slots__ = ("bitmap", "oseq", "seq", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.oseq = self.seq = self.bitmap = 0


def xfrm_replay_seqhi(x: "XfrmState", seq: int) -> int:
    """Return the high half of a received number: the one that puts it nearest the window (RFC 4303 §A2.2)."""
    if x.repl_mode != ReplayMode.ESN:
        return 0
    high, low = x.replay.seq >> 32, x.replay.seq & _LOW
    bottom = low - x.replay.window + 1
    if bottom >= 0:  # Case A: the window lies in one subspace.
        return high if seq >= bottom else high + 1
    return high - 1 if seq >= bottom & _LOW and high else high


def xfrm_replay_check(x: "XfrmState", seq: int) -> bool:
    """Return whether a number may be received: neither before the window nor seen."""
    return _CHECKS[x.repl_mode](x, seq)


def xfrm_replay_check_legacy(x: "XfrmState", seq: int) -> bool:
    """The same for a window of up to 32."""
    return _check(x, seq)


def xfrm_replay_check_bmp(x: "XfrmState", seq: int) -> bool:
    """The same for a longer one."""
    return _check(x, seq)


def xfrm_replay_check_esn(x: "XfrmState", seq: int) -> bool:
    """The same for numbers of 64 bits."""
    return _check(x, xfrm_replay_seqhi(x, seq) << 32 | seq)


def _check(x: "XfrmState", seq: int) -> bool:
    replay = x.replay
    if not replay.window:
        return True
    if not seq:  # RFC 4303 §3.3.3: the first one is 1.
        x.stats.replay += 1
        return False
    behind = replay.seq - seq
    if behind < 0:
        return True
    if behind >= replay.window:
        x.stats.replay_window += 1
        return False
    if replay.bitmap >> behind & 1:
        x.stats.replay += 1
        return False
    return True


_CHECKS = {
    ReplayMode.LEGACY: xfrm_replay_check_legacy,
    ReplayMode.BMP: xfrm_replay_check_bmp,
    ReplayMode.ESN: xfrm_replay_check_esn,
}


def xfrm_replay_recheck(x: "XfrmState", seq: int, seq_hi: int) -> bool:
    """Check a number once more after the packet was found genuine, with the high half that it was found so with."""
    if x.repl_mode == ReplayMode.ESN and xfrm_replay_seqhi(x, seq) != seq_hi:
        x.stats.replay_window += 1
        return False
    return _CHECKS[x.repl_mode](x, seq)


def xfrm_replay_advance(x: "XfrmState", seq: int) -> None:
    """Note that a number was received, of a genuine packet; the window moves on to it."""
    replay = x.replay
    if not replay.window:
        return
    full = xfrm_replay_seqhi(x, seq) << 32 | seq if x.repl_mode == ReplayMode.ESN else seq
    ahead = full - replay.seq
    if ahead > 0:
        replay.bitmap = replay.bitmap << ahead if ahead < replay.window else 0
        replay.bitmap = (replay.bitmap | 1) & (1 << replay.window) - 1
        replay.seq = full
    else:
        replay.bitmap |= 1 << -ahead


def xfrm_replay_overflow(x: "XfrmState") -> int | None:
    """Return the next number to send, or None if there is none left (RFC 4303 §3.3.3)."""
    replay = x.replay
    if replay.oseq >= (_LOW << 32 | _LOW if x.repl_mode == ReplayMode.ESN else _LOW):
        return None
    replay.oseq += 1
    return replay.oseq

"""Counters of IPsec, and the text of ``/proc/net/xfrm_stat`` (Linux: net/xfrm/xfrm_proc.c)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["xfrm_inc_stats", "xfrm_statistics_seq_show"]

# In the order of the file, as of Linux 6.1.
_NAMES = """
InError InBufferError InHdrError InNoStates InStateProtoError InStateModeError InStateSeqError InStateExpired
InStateMismatch InStateInvalid InTmplMismatch InNoPols InPolBlock InPolError OutError OutBundleGenError
OutBundleCheckError OutNoStates OutStateProtoError OutStateModeError OutStateSeqError OutStateExpired OutPolBlock
OutPolDead OutPolError FwdHdrError OutStateInvalid AcquireError
""".split()


def xfrm_inc_stats(net: "Net", name: str) -> None:
    """Count an event (``XFRM_INC_STATS``), by the name of its counter without ``Xfrm`` in front."""
    net.mib[f"Xfrm:Xfrm{name}"] += 1


def xfrm_statistics_seq_show(net: "Net") -> str:
    """Return the counters, one a line."""
    return "".join(f"{'Xfrm' + name:<24}\t{net.mib.get(f'Xfrm:Xfrm{name}', 0)}\n" for name in _NAMES)

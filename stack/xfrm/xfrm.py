"""What policies and states are made of (Linux: include/net/xfrm.h, include/uapi/linux/xfrm.h)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..ipv4.flow import Flowi4
from ..uapi import AF_INET

if TYPE_CHECKING:
    from .xfrm_dst import XfrmDst

__all__ = [
    "IPPROTO_AH",
    "IPPROTO_ESP",
    "UDP_ENCAP_ESPINUDP",
    "XFRM_INF",
    "XFRM_MAX_DEPTH",
    "XFRM_MODE_TRANSPORT",
    "XFRM_MODE_TUNNEL",
    "XFRM_POLICY_ALLOW",
    "XFRM_POLICY_BLOCK",
    "XFRM_POLICY_FWD",
    "XFRM_POLICY_ICMP",
    "XFRM_POLICY_IN",
    "XFRM_POLICY_OUT",
    "XFRM_POLICY_TYPE_MAIN",
    "XFRM_POLICY_TYPE_SUB",
    "XFRM_STATE_ALIGN4",
    "XFRM_STATE_DECAP_DSCP",
    "XFRM_STATE_ESN",
    "XFRM_STATE_NOECN",
    "XFRM_STATE_NOPMTUDISC",
    "XfrmEncap",
    "XfrmLifetimeCfg",
    "XfrmLifetimeCur",
    "XfrmMark",
    "XfrmPolicy",
    "XfrmSelector",
    "XfrmTmpl",
    "xfrm_selector_match",
]

IPPROTO_ESP = 50
IPPROTO_AH = 51

XFRM_INF = (1 << 64) - 1  # No limit.
XFRM_MAX_DEPTH = 6  # Transforms of a packet.
XFRM_MODE_TRANSPORT = 0
XFRM_MODE_TUNNEL = 1
XFRM_POLICY_IN = 0
XFRM_POLICY_OUT = 1
XFRM_POLICY_FWD = 2
XFRM_POLICY_ALLOW = 0
XFRM_POLICY_BLOCK = 1
XFRM_POLICY_ICMP = 2  # Of the flags: it is also for errors about its flows.
XFRM_POLICY_TYPE_MAIN = 0
XFRM_POLICY_TYPE_SUB = 1
XFRM_STATE_NOECN = 1
XFRM_STATE_DECAP_DSCP = 2
XFRM_STATE_NOPMTUDISC = 4
XFRM_STATE_ALIGN4 = 64
XFRM_STATE_ESN = 128
UDP_ENCAP_ESPINUDP = 2


@dataclass(frozen=True, slots=True)
class XfrmSelector:
    """Which flows are meant (Linux: ``struct xfrm_selector``); a mask or a length of 0 means any."""

    daddr: int = 0
    saddr: int = 0
    dport: int = 0
    dport_mask: int = 0
    sport: int = 0
    sport_mask: int = 0
    family: int = AF_INET
    prefixlen_d: int = 0
    prefixlen_s: int = 0
    proto: int = 0
    ifindex: int = 0
    user: int = 0


@dataclass(frozen=True, slots=True)
class XfrmMark:
    """Which marks are meant: those that are ``v`` under the mask ``m``."""

    v: int = 0
    m: int = 0

    def matches(self, mark: int) -> bool:
        """Return whether a packet's mark is meant."""
        return mark & self.m == self.v


@dataclass(frozen=True, slots=True)
class XfrmTmpl:
    """What a policy wants done with a packet (Linux: ``struct xfrm_user_tmpl``).

    Members
    -------
    daddr, saddr : int
        Ends of the tunnel.
    spi, reqid : int
        Which states will do; 0 is any SPI.
    mode : int
        ``XFRM_MODE_*``.
    optional : bool
        Without a state the packet may go all the same.
    """

    daddr: int = 0
    saddr: int = 0
    spi: int = 0
    proto: int = IPPROTO_ESP
    reqid: int = 0
    mode: int = XFRM_MODE_TRANSPORT
    share: int = 0
    optional: bool = False
    aalgos: int = 0xFFFFFFFF
    ealgos: int = 0xFFFFFFFF
    calgos: int = 0xFFFFFFFF
    family: int = AF_INET


@dataclass(frozen=True, slots=True)
class XfrmLifetimeCfg:
    """Limits: octets, packets, and seconds since it was made or first used; 0 seconds are no limit."""

    soft_byte_limit: int = XFRM_INF
    hard_byte_limit: int = XFRM_INF
    soft_packet_limit: int = XFRM_INF
    hard_packet_limit: int = XFRM_INF
    soft_add_expires_seconds: int = 0
    hard_add_expires_seconds: int = 0
    soft_use_expires_seconds: int = 0
    hard_use_expires_seconds: int = 0


@dataclass(slots=True)
class XfrmLifetimeCur:
    """What was used of them: octets, packets, and the seconds when it was made and first used, 0 for never."""

    bytes: int = 0
    packets: int = 0
    add_time: int = 0
    use_time: int = 0


@dataclass(frozen=True, slots=True)
class XfrmEncap:
    """UDP ports around ESP (RFC 3948; Linux: ``struct xfrm_encap_tmpl``)."""

    encap_type: int
    encap_sport: int
    encap_dport: int
    encap_oa: int = 0


def _no_bundles() -> "list[XfrmDst]":
    return []


@dataclass(slots=True, eq=False)
class XfrmPolicy:
    """What is to be done with the packets of some flows (Linux: ``struct xfrm_policy``).

    Members
    -------
    priority, pos : int
        The lower, the earlier it is asked; of equal ones the older.
    index : int
        Its number, with the direction in the low three bits.
    dead : bool
        It was deleted.
    dying : bool
        It was said that its time will be over soon.
    bundles : list[XfrmDst]
        What was made for its flows, where routes are cached, too.
    """

    selector: XfrmSelector
    dir: int
    action: int = XFRM_POLICY_ALLOW
    priority: int = 0
    tmpls: tuple[XfrmTmpl, ...] = ()
    type: int = XFRM_POLICY_TYPE_MAIN
    mark: XfrmMark = XfrmMark()
    if_id: int = 0
    flags: int = 0
    share: int = 0
    lft: XfrmLifetimeCfg = XfrmLifetimeCfg()
    index: int = 0
    pos: int = 0
    dead: bool = False
    curlft: XfrmLifetimeCur = field(default_factory=XfrmLifetimeCur)
    dying: bool = False
    bundles: "list[XfrmDst]" = field(default_factory=_no_bundles)


def xfrm_selector_match(sel: XfrmSelector, fl: Flowi4) -> bool:
    """Return whether a selector means a flow (RFC 4301 §4.4.1.1)."""
    return (
        not (fl.daddr ^ sel.daddr) >> 32 - sel.prefixlen_d
        and not (fl.saddr ^ sel.saddr) >> 32 - sel.prefixlen_s
        and not (fl.dport ^ sel.dport) & sel.dport_mask
        and not (fl.sport ^ sel.sport) & sel.sport_mask
        and (not sel.proto or fl.proto == sel.proto)
        and (not sel.ifindex or fl.oif == sel.ifindex)
    )

"""What messages say about a policy or a state (Linux: net/xfrm/xfrm_user.c)."""

from typing import TYPE_CHECKING

from ..netlink.xfrm import (
    XFRM_MARK,
    XFRM_REPLAY_STATE,
    XFRM_STATS,
    XFRM_USERPOLICY_INFO,
    XFRM_USERSA_ID,
    XFRM_USERSA_INFO,
    Xfrma,
    pack_address,
    pack_algo,
    pack_algo_aead,
    pack_algo_auth,
    pack_encap,
    pack_id,
    pack_lifetimes,
    pack_replay_esn,
    pack_selector,
    pack_tmpl,
)
from ..uapi import AF_INET
from .xfrm_algo import xfrm_aalg_get_byname
from .xfrm_replay import ReplayMode

if TYPE_CHECKING:
    from .xfrm import XfrmPolicy
    from .xfrm_state import XfrmState

__all__ = ["policy_attrs", "policy_info", "state_attrs", "state_info", "usersa_id"]

_NSEC_PER_SEC = 1_000_000_000


def usersa_id(daddr: int, spi: int, family: int, proto: int) -> bytes:
    """Return a ``struct xfrm_usersa_id``."""
    return XFRM_USERSA_ID.pack(pack_address(daddr), spi.to_bytes(4, "big"), family, proto)


def state_info(x: "XfrmState") -> bytes:
    """Return a ``struct xfrm_usersa_info``."""
    window = x.replay.window if x.repl_mode == ReplayMode.LEGACY else 0
    cfg, cur = pack_lifetimes(x.lft, x.curlft)
    stats = XFRM_STATS.pack(x.stats.replay_window, x.stats.replay, x.stats.integrity_failed)
    return XFRM_USERSA_INFO.pack(
        pack_selector(x.sel),
        pack_id(x.daddr, x.spi, x.proto),
        pack_address(x.saddr),
        *(cfg, cur, stats, x.seq, x.reqid, AF_INET, x.mode, window, x.flags),
    )


def _mark_attrs(v: int, m: int, if_id: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    if v or m:
        found.append((Xfrma.MARK, XFRM_MARK.pack(v, m)))
    if if_id:
        found.append((Xfrma.IF_ID, if_id.to_bytes(4, "little")))
    return found


def state_attrs(x: "XfrmState") -> list[tuple[int, bytes]]:
    """Return the attributes of a state, in the kernel's order."""
    found: list[tuple[int, bytes]] = []
    if x.lastused:
        found.append((Xfrma.LASTUSED, (x.lastused // _NSEC_PER_SEC).to_bytes(8, "little")))
    if x.aead_alg is not None:
        found.append((Xfrma.ALG_AEAD, pack_algo_aead(x.aead_alg)))
    if x.aalg is not None:
        found.append((Xfrma.ALG_AUTH, pack_algo(x.aalg)))
        icv = xfrm_aalg_get_byname(x.aalg).icv_octets * 8
        found.append((Xfrma.ALG_AUTH_TRUNC, pack_algo_auth(x.aalg, icv)))
    if x.ealg is not None:
        found.append((Xfrma.ALG_CRYPT, pack_algo(x.ealg)))
    if x.encap is not None:
        found.append((Xfrma.ENCAP, pack_encap(x.encap)))
    replay = x.replay
    if x.repl_mode != ReplayMode.LEGACY:
        octets = pack_replay_esn(replay.oseq, replay.seq, replay.window, replay.bitmap)
        found.append((Xfrma.REPLAY_ESN_VAL, octets))
    else:
        found.append((Xfrma.REPLAY_VAL, XFRM_REPLAY_STATE.pack(replay.oseq, replay.seq, replay.bitmap)))
    return found + _mark_attrs(x.mark.v, x.mark.m, x.if_id)


def policy_info(policy: "XfrmPolicy") -> bytes:
    """Return a ``struct xfrm_userpolicy_info``."""
    cfg, cur = pack_lifetimes(policy.lft, policy.curlft)
    return XFRM_USERPOLICY_INFO.pack(
        pack_selector(policy.selector),
        *(cfg, cur, policy.priority, policy.index, policy.dir, policy.action, policy.flags, policy.share),
    )


def policy_attrs(policy: "XfrmPolicy") -> list[tuple[int, bytes]]:
    """Return the attributes of a policy, in the kernel's order."""
    found: list[tuple[int, bytes]] = []
    if policy.tmpls:
        found.append((Xfrma.TMPL, b"".join(map(pack_tmpl, policy.tmpls))))
    found.append((Xfrma.POLICY_TYPE, bytes((policy.type, 0, 0, 0, 0, 0))))
    return found + _mark_attrs(policy.mark.v, policy.mark.m, policy.if_id)

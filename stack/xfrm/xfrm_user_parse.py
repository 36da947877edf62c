"""Policies and states as requests describe them (Linux: net/xfrm/xfrm_user.c)."""

from errno import EINVAL, ENOENT, EPROTONOSUPPORT
from typing import TYPE_CHECKING

from ..netlink.attr import NetlinkError, Nlattr
from ..netlink.xfrm import (
    XFRM_REPLAY_STATE,
    XFRM_USERPOLICY_INFO,
    XFRM_USERSA_INFO,
    Xfrma,
    unpack_address,
    unpack_algo,
    unpack_algo_aead,
    unpack_algo_auth,
    unpack_encap,
    unpack_id,
    unpack_lifetime_cfg,
    unpack_mark,
    unpack_replay_esn,
    unpack_selector,
    unpack_tmpls,
)
from ..uapi import AF_INET
from .xfrm import (
    IPPROTO_AH,
    IPPROTO_ESP,
    XFRM_MAX_DEPTH,
    XFRM_MODE_TRANSPORT,
    XFRM_MODE_TUNNEL,
    XFRM_POLICY_BLOCK,
    XFRM_POLICY_FWD,
    XFRM_POLICY_TYPE_SUB,
    XFRM_STATE_ESN,
    XfrmLifetimeCfg,
    XfrmMark,
    XfrmPolicy,
    XfrmSelector,
    XfrmTmpl,
)
from .xfrm_algo import xfrm_algo_named
from .xfrm_state import XfrmState, XfrmStateState, xfrm_init_state, xfrm_state_insert

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["policy_construct", "state_construct", "xfrm_find_acq"]

_SPI_TRIES = 64


def _check_selector(sel: XfrmSelector) -> None:
    if sel.prefixlen_d > 32 or sel.prefixlen_s > 32:
        raise NetlinkError(EINVAL, "Invalid prefix length in selector (must be <= 32 for IPv4)")


def state_construct(net: "Net", octets: bytes, attrs: dict[int, Nlattr]) -> XfrmState:
    """Return the state that a request describes, set up (``verify_newsa_info``, ``xfrm_state_construct``).

    Raises
    ------
    OSError
        ``EINVAL``, ``ENOSYS``, ``EPROTONOSUPPORT``.
    """
    selector, ident, saddr, lft, _, _, seq, reqid, family, mode, window, flags = XFRM_USERSA_INFO.unpack(octets)
    daddr, spi, proto = unpack_id(ident)
    sel = unpack_selector(selector)
    if family != AF_INET or sel.family not in (0, AF_INET):
        raise NetlinkError(EINVAL, "Invalid address family")
    _check_selector(sel)
    if Xfrma.ALG_COMP in attrs or proto not in (IPPROTO_ESP, IPPROTO_AH):
        raise NetlinkError(EPROTONOSUPPORT, "Requested type not found")
    if Xfrma.ALG_AEAD in attrs and (Xfrma.ALG_AUTH in attrs or Xfrma.ALG_CRYPT in attrs):
        raise NetlinkError(EINVAL, "AEAD can not be used together with AUTH, AUTH_TRUNC, CRYPT")
    aalg = unpack_algo(attrs[Xfrma.ALG_AUTH].data) if Xfrma.ALG_AUTH in attrs else None
    if Xfrma.ALG_AUTH_TRUNC in attrs:
        aalg = unpack_algo_auth(attrs[Xfrma.ALG_AUTH_TRUNC].data)
    extended = Xfrma.REPLAY_ESN_VAL in attrs
    if flags & XFRM_STATE_ESN and not extended:
        raise NetlinkError(EINVAL, "Missing required attribute for ESN")
    replay = unpack_replay_esn(attrs[Xfrma.REPLAY_ESN_VAL].data) if extended else None
    x = XfrmState(
        net,
        daddr=daddr,
        saddr=unpack_address(saddr),
        spi=spi,
        proto=proto,
        mode=mode,
        reqid=reqid,
        sel=sel if sel.family else XfrmSelector(),
        aalg=xfrm_algo_named(aalg),
        ealg=xfrm_algo_named(unpack_algo(attrs[Xfrma.ALG_CRYPT].data) if Xfrma.ALG_CRYPT in attrs else None),
        aead_alg=unpack_algo_aead(attrs[Xfrma.ALG_AEAD].data) if Xfrma.ALG_AEAD in attrs else None,
        encap=unpack_encap(attrs[Xfrma.ENCAP].data) if Xfrma.ENCAP in attrs else None,
        mark=unpack_mark(attrs[Xfrma.MARK].data) if Xfrma.MARK in attrs else None,
        if_id=attrs[Xfrma.IF_ID].u32 if Xfrma.IF_ID in attrs else 0,
        flags=flags,
        replay_window=replay[2] if replay is not None else min(window, 32),
        lft=unpack_lifetime_cfg(lft),
        extended=extended,
    )
    x.seq = seq
    if replay is not None:
        x.replay.oseq, x.replay.seq, _, x.replay.bitmap = replay
    elif Xfrma.REPLAY_VAL in attrs:
        x.replay.oseq, x.replay.seq, x.replay.bitmap = XFRM_REPLAY_STATE.unpack_from(attrs[Xfrma.REPLAY_VAL].data)
    xfrm_init_state(x)
    return x


def _check_tmpls(tmpls: tuple[XfrmTmpl, ...]) -> None:
    if len(tmpls) > XFRM_MAX_DEPTH:
        raise NetlinkError(EINVAL, "Template count must be <= XFRM_MAX_DEPTH (6)")
    for tmpl in tmpls:
        if tmpl.family not in (0, AF_INET):
            raise NetlinkError(EINVAL, "Invalid family in template")
        if tmpl.mode not in (XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL):
            raise NetlinkError(EINVAL, "Template has unsupported mode")
        if tmpl.proto not in (IPPROTO_ESP, IPPROTO_AH, 0):
            raise NetlinkError(EINVAL, "Invalid XFRM protocol in template")


def policy_construct(octets: bytes, attrs: dict[int, Nlattr]) -> XfrmPolicy:
    """Return the policy that a request describes (``verify_newpolicy_info``, ``xfrm_policy_construct``).

    Raises
    ------
    OSError
        ``EINVAL``.
    """
    selector, lft, _, priority, index, direction, action, flags, share = XFRM_USERPOLICY_INFO.unpack(octets)
    sel = unpack_selector(selector)
    if direction > XFRM_POLICY_FWD:
        raise NetlinkError(EINVAL, "Invalid policy direction")
    if action > XFRM_POLICY_BLOCK:
        raise NetlinkError(EINVAL, "Invalid policy action")
    if sel.family != AF_INET:
        raise NetlinkError(EINVAL, "Invalid selector family")
    if index and index & 7 != direction:
        raise NetlinkError(EINVAL, "Policy index doesn't match direction")
    _check_selector(sel)
    kind = attrs[Xfrma.POLICY_TYPE].u8 if Xfrma.POLICY_TYPE in attrs else 0
    if kind > XFRM_POLICY_TYPE_SUB:
        raise NetlinkError(EINVAL, "Invalid policy type")
    tmpls = unpack_tmpls(attrs[Xfrma.TMPL].data) if Xfrma.TMPL in attrs else ()
    _check_tmpls(tmpls)
    return XfrmPolicy(
        sel,
        direction,
        action,
        priority,
        tmpls,
        kind,
        mark=unpack_mark(attrs[Xfrma.MARK].data) if Xfrma.MARK in attrs else XfrmMark(),
        if_id=attrs[Xfrma.IF_ID].u32 if Xfrma.IF_ID in attrs else 0,
        flags=flags,
        share=share,
        lft=unpack_lifetime_cfg(lft),
        index=index,
    )


def xfrm_find_acq(net: "Net", info: bytes, low: int, high: int, mark: XfrmMark, if_id: int) -> XfrmState:
    """Return a state that is waited for, with an index out of a range that is its own (also ``xfrm_alloc_spi``).

    Raises
    ------
    OSError
        ``EINVAL`` for a range that is none; ``ENOENT`` if none is free.
    """
    _, ident, saddr, _, _, _, seq, reqid, family, mode, _, _ = XFRM_USERSA_INFO.unpack(info)
    daddr, _, proto = unpack_id(ident)
    if family != AF_INET or proto not in (IPPROTO_ESP, IPPROTO_AH):
        raise NetlinkError(EINVAL, "Invalid protocol (must be one of AH, ESP, IPCOMP)")
    if low > high:
        raise NetlinkError(EINVAL, "Invalid SPI range: min > max")
    source = unpack_address(saddr)
    waiting = [
        x
        for x in net.xfrm.state_bydst.get((daddr, source), [])
        if x.state == XfrmStateState.ACQ
        and (x.proto, x.mode, x.reqid, x.mark, x.if_id) == (proto, mode, reqid, mark, if_id)
        and not x.spi
    ]
    taken = {spi for there, spi, kind in net.xfrm.state_byspi if (there, kind) == (daddr, proto)}
    spi = next((spi for spi in _candidates(net, low, high) if spi and spi not in taken), None)
    if spi is None:
        raise NetlinkError(ENOENT, "No SPI available in the requested range")
    if waiting:
        x = waiting[0]
        net.xfrm.state_byspi[daddr, spi, proto] = [x]
        x.spi = spi
        return x
    lft = XfrmLifetimeCfg(hard_add_expires_seconds=net.xfrm.sysctl_acq_expires)
    x = XfrmState(
        net,
        daddr=daddr,
        saddr=source,
        spi=spi,
        proto=proto,
        mode=mode,
        reqid=reqid,
        mark=mark,
        if_id=if_id,
        lft=lft,
        sel=XfrmSelector(daddr=daddr, saddr=source, prefixlen_d=32, prefixlen_s=32),
    )
    x.seq = seq
    x.state = XfrmStateState.ACQ
    xfrm_state_insert(net, x)
    return x


def _candidates(net: "Net", low: int, high: int) -> list[int]:
    size = high - low + 1
    return [low + net.kernel.platform.random_u32() % size for _ in range(_SPI_TRIES)] if size > 1 else [low]

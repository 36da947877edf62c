"""Requests about policies and states of IPsec (Linux: net/xfrm/xfrm_user.c; netlink(7), ip-xfrm(8))."""

from collections.abc import Callable
from errno import EINVAL, ENOENT, ESRCH
from typing import TYPE_CHECKING

from ..netlink.af_netlink_kernel import (
    dump_items,
    netlink_dump_start,
    netlink_kernel_create,
    netlink_rcv_skb,
    nlmsg_unicast,
)
from ..netlink.attr import NetlinkError, NlaPolicy, Nlattr, nla_put, nlmsg_parse
from ..netlink.message import nlmsg_end, nlmsg_new, nlmsg_put
from ..netlink.uapi import NETLINK_XFRM, NLMSG_HDRLEN, NlmF
from ..netlink.xfrm import (
    XFRM_USERPOLICY_ID,
    XFRM_USERPOLICY_INFO,
    XFRM_USERSA_ID,
    XFRM_USERSA_INFO,
    XFRM_USERSPI_INFO,
    Xfrma,
    XfrmMsg,
    XfrmNlgrp,
    unpack_address,
    unpack_mark,
    unpack_selector,
)
from .netns import NetnsXfrm
from .xfrm import XFRM_POLICY_BLOCK, XFRM_POLICY_FWD, XFRM_POLICY_IN, XFRM_POLICY_OUT, XfrmMark, XfrmPolicy
from .xfrm_policy import (
    xfrm_policy_byid,
    xfrm_policy_bysel,
    xfrm_policy_delete,
    xfrm_policy_flush,
    xfrm_policy_insert,
)
from .xfrm_state import (
    XfrmState,
    xfrm_state_add,
    xfrm_state_delete,
    xfrm_state_flush,
    xfrm_state_lookup,
    xfrm_state_update,
)
from .xfrm_user_fill import policy_attrs, policy_info, state_attrs, state_info
from .xfrm_user_notify import xfrm_user_notify
from .xfrm_user_parse import policy_construct, state_construct

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from ..netlink.message import NetlinkCallback, Nlmsghdr

__all__ = ["xfrm_net_init", "xfrm_user_net_init"]

_MESSAGE_OCTETS = 2048
_DEFAULT_ORDER = (XFRM_POLICY_IN, XFRM_POLICY_FWD, XFRM_POLICY_OUT)  # Of struct xfrm_userpolicy_default.
_MOST_ATTR = max(Xfrma)
_POLICY: dict[int, NlaPolicy] = {
    Xfrma.ALG_AUTH: NlaPolicy("unspec", 68),
    Xfrma.ALG_CRYPT: NlaPolicy("unspec", 68),
    Xfrma.ALG_COMP: NlaPolicy("unspec", 68),
    Xfrma.ALG_AEAD: NlaPolicy("unspec", 72),
    Xfrma.ALG_AUTH_TRUNC: NlaPolicy("unspec", 72),
    Xfrma.ENCAP: NlaPolicy("unspec", 24),
    Xfrma.TMPL: NlaPolicy("unspec", 64),
    Xfrma.REPLAY_VAL: NlaPolicy("unspec", 12),
    Xfrma.REPLAY_ESN_VAL: NlaPolicy("unspec", 24),
    Xfrma.SRCADDR: NlaPolicy("unspec", 16),
    Xfrma.POLICY_TYPE: NlaPolicy("unspec", 6),
    Xfrma.MARK: NlaPolicy("unspec", 8),
    Xfrma.PROTO: NlaPolicy("u8"),
    Xfrma.IF_ID: NlaPolicy("u32"),
}
Attrs = dict[int, Nlattr]


def xfrm_net_init(net: "Net") -> None:
    """Give a namespace its databases."""
    net.xfrm = NetnsXfrm()


def xfrm_user_net_init(net: "Net") -> None:
    """Give a namespace its ``NETLINK_XFRM``."""
    net.xfrm.nlsk = netlink_kernel_create(net, NETLINK_XFRM, max(XfrmNlgrp), xfrm_netlink_rcv)


def xfrm_netlink_rcv(skb: "SkBuff") -> None:
    """Handle the requests of a datagram."""
    netlink_rcv_skb(skb, xfrm_user_rcv_msg)


def xfrm_user_rcv_msg(skb: "SkBuff", nlh: "Nlmsghdr") -> int:
    """Handle a request.

    Raises
    ------
    OSError
        ``EINVAL`` if there is none of its type; what its handler raises.
    """
    assert skb.sk is not None
    net = skb.sk.net
    link = _HANDLERS.get(nlh.type)
    if link is None:
        raise OSError(EINVAL, "")
    doit, size, dump = link
    if dump is not None and nlh.flags & NlmF.DUMP:
        netlink_dump_start(net.xfrm.nlsk, skb, nlh, dump)
        return 0
    attrs = nlmsg_parse(nlh, size, _POLICY, _MOST_ATTR)
    try:
        doit(net, skb, nlh, attrs)
    except NetlinkError:
        raise
    except OSError as error:  # The kernel has numbers for these, and no texts.
        raise OSError(error.errno, "") from error
    return 0


def _mark(attrs: Attrs) -> XfrmMark:
    return unpack_mark(attrs[Xfrma.MARK].data) if Xfrma.MARK in attrs else XfrmMark()


def _if_id(attrs: Attrs) -> int:
    return attrs[Xfrma.IF_ID].u32 if Xfrma.IF_ID in attrs else 0


def _type(attrs: Attrs) -> int:
    return attrs[Xfrma.POLICY_TYPE].u8 if Xfrma.POLICY_TYPE in attrs else 0


def _payload(nlh: "Nlmsghdr", size: int) -> bytes:
    return nlh.octets[NLMSG_HDRLEN : NLMSG_HDRLEN + size]


def _answer(
    net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", kind: int, payload: bytes, attrs: list[tuple[int, bytes]]
) -> None:
    answer = nlmsg_new(net.kernel, _MESSAGE_OCTETS)
    _append(answer, skb.cb.portid, nlh.seq, kind, payload, attrs)
    nlmsg_unicast(net.xfrm.nlsk, answer, skb.cb.portid)


def _append(
    skb: "SkBuff", portid: int, seq: int, kind: int, payload: bytes, attrs: list[tuple[int, bytes]], flags: int = 0
) -> int:
    at = nlmsg_put(skb, portid, seq, kind, payload, flags)
    try:
        for number, octets in attrs:
            nla_put(skb, number, octets)
    except OSError:
        skb.len -= skb.tail - at
        skb.tail = at
        raise
    nlmsg_end(skb, at)
    return at


def xfrm_add_sa(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Add a state, or change one."""
    x = state_construct(net, _payload(nlh, XFRM_USERSA_INFO.size), attrs)
    if nlh.type == XfrmMsg.NEWSA:
        xfrm_state_add(net, x)
    else:
        xfrm_state_update(net, x)
    xfrm_user_notify(net, XfrmNlgrp.SA, nlh.type, state_info(x), state_attrs(x), nlh.seq, skb.cb.portid)


def xfrm_user_state_lookup(net: "Net", nlh: "Nlmsghdr", attrs: Attrs) -> XfrmState:
    """Return the state that a request names.

    Raises
    ------
    OSError
        ``ESRCH``.
    """
    daddr, spi, _, proto = XFRM_USERSA_ID.unpack(_payload(nlh, XFRM_USERSA_ID.size))
    number = int.from_bytes(spi, "big")
    x = xfrm_state_lookup(net, _mark(attrs).v, unpack_address(daddr), number, proto)
    if x is None:
        raise OSError(ESRCH, "no such state")
    return x


def xfrm_del_sa(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Delete a state."""
    x = xfrm_user_state_lookup(net, nlh, attrs)
    xfrm_state_delete(x)
    ident = _payload(nlh, XFRM_USERSA_ID.size)
    told: list[tuple[int, bytes]] = [(6, state_info(x)), *state_attrs(x)]  # XFRMA_SA
    xfrm_user_notify(net, XfrmNlgrp.SA, XfrmMsg.DELSA, ident, told, nlh.seq, skb.cb.portid)


def xfrm_get_sa(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Answer with one state."""
    x = xfrm_user_state_lookup(net, nlh, attrs)
    _answer(net, skb, nlh, XfrmMsg.NEWSA, state_info(x), state_attrs(x))


def _dump(kind: int, payload: bytes, attrs: list[tuple[int, bytes]]) -> "Callable[[SkBuff, NetlinkCallback], int]":
    return lambda skb, cb: _append(skb, cb.portid, cb.nlh.seq, kind, payload, attrs, NlmF.MULTI)


def xfrm_dump_sa(skb: "SkBuff", cb: "NetlinkCallback") -> int:
    """Answer with all states, the newest first, as Linux does."""
    states: list[XfrmState] = cb.sk.net.xfrm.state_all
    cb.seq = cb.sk.net.xfrm.genid
    items = [(n, _dump(XfrmMsg.NEWSA, state_info(x), state_attrs(x))) for n, x in enumerate(reversed(states))]
    return dump_items(skb, cb, items)


def xfrm_alloc_userspi(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Choose an index for a state that is still to be made, and answer with it."""
    from .xfrm_user_parse import xfrm_find_acq

    info, low, high = XFRM_USERSPI_INFO.unpack(_payload(nlh, XFRM_USERSPI_INFO.size))
    x = xfrm_find_acq(net, info, low, high, _mark(attrs), _if_id(attrs))
    _answer(net, skb, nlh, XfrmMsg.NEWSA, state_info(x), state_attrs(x))


def xfrm_flush_sa(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Delete all states of a protocol."""
    xfrm_state_flush(net, nlh.data[0])


def xfrm_add_policy(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Add a policy, or put it in another's place."""
    policy = policy_construct(_payload(nlh, XFRM_USERPOLICY_INFO.size), attrs)
    xfrm_policy_insert(net, policy, nlh.type == XfrmMsg.NEWPOLICY)
    _policy_event(net, skb, nlh, nlh.type, policy)


def _policy_event(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", kind: int, policy: XfrmPolicy) -> None:
    xfrm_user_notify(net, XfrmNlgrp.POLICY, kind, policy_info(policy), policy_attrs(policy), nlh.seq, skb.cb.portid)


def xfrm_get_policy(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Answer with one policy, or delete it, by its number or by its flows."""
    selector, index, direction = XFRM_USERPOLICY_ID.unpack(_payload(nlh, XFRM_USERPOLICY_ID.size))
    if index:
        policy = xfrm_policy_byid(net, _type(attrs), direction, index)
    else:
        sel = unpack_selector(selector)
        policy = xfrm_policy_bysel(net, _type(attrs), direction, _mark(attrs), _if_id(attrs), sel)
    if policy is None:
        raise OSError(ENOENT, "no such policy")
    if nlh.type == XfrmMsg.DELPOLICY:
        xfrm_policy_delete(net, policy)
        ident = XFRM_USERPOLICY_ID.pack(selector, policy.index, direction)
        told: list[tuple[int, bytes]] = [(7, policy_info(policy)), *policy_attrs(policy)]  # XFRMA_POLICY
        xfrm_user_notify(net, XfrmNlgrp.POLICY, XfrmMsg.DELPOLICY, ident, told, nlh.seq, skb.cb.portid)
    else:
        _answer(net, skb, nlh, XfrmMsg.NEWPOLICY, policy_info(policy), policy_attrs(policy))


def xfrm_dump_policy(skb: "SkBuff", cb: "NetlinkCallback") -> int:
    """Answer with all policies, the newest first, as Linux does."""
    policies: list[XfrmPolicy] = cb.sk.net.xfrm.policy_all
    items = [
        (n, _dump(XfrmMsg.NEWPOLICY, policy_info(policy), policy_attrs(policy)))
        for n, policy in enumerate(reversed(policies))
    ]
    return dump_items(skb, cb, items)


def xfrm_flush_policy(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Delete all policies of a type."""
    xfrm_policy_flush(net, _type(attrs))


def xfrm_set_default(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Say what happens to packets that no policy is about: they pass (2), are blocked (1), or as before (0)."""
    for direction, action in zip(_DEFAULT_ORDER, nlh.data, strict=False):
        if action:
            net.xfrm.policy_default[direction] = XFRM_POLICY_BLOCK if action == 1 else 0
    net.ipv4.rt_genid += 1


def xfrm_get_default(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Answer what happens to packets that no policy is about."""
    actions = (net.xfrm.policy_default[direction] for direction in _DEFAULT_ORDER)
    words = bytes(1 if action == XFRM_POLICY_BLOCK else 2 for action in actions)
    _answer(net, skb, nlh, XfrmMsg.GETDEFAULT, words, [])


def _count_sa(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Answer how many states there are (``xfrm_get_sadinfo``)."""
    count = len(net.xfrm.state_all).to_bytes(4, "little")
    _answer(net, skb, nlh, XfrmMsg.NEWSADINFO, nlh.data[:4], [(1, count)])


def _count_policies(net: "Net", skb: "SkBuff", nlh: "Nlmsghdr", attrs: Attrs) -> None:
    """Answer how many policies there are (``xfrm_get_spdinfo``): in, out and forward, and as many of sockets, none."""
    counts = b"".join(count.to_bytes(4, "little") for count in (*net.xfrm.policy_count, 0, 0, 0))
    _answer(net, skb, nlh, XfrmMsg.NEWSPDINFO, nlh.data[:4], [(1, counts)])


_Handler = Callable[["Net", "SkBuff", "Nlmsghdr", Attrs], None]
_Dump = Callable[["SkBuff", "NetlinkCallback"], int]
_HANDLERS: "dict[int, tuple[_Handler, int, _Dump | None]]" = {
    XfrmMsg.NEWSA: (xfrm_add_sa, XFRM_USERSA_INFO.size, None),
    XfrmMsg.UPDSA: (xfrm_add_sa, XFRM_USERSA_INFO.size, None),
    XfrmMsg.DELSA: (xfrm_del_sa, XFRM_USERSA_ID.size, None),
    XfrmMsg.GETSA: (xfrm_get_sa, XFRM_USERSA_ID.size, xfrm_dump_sa),
    XfrmMsg.ALLOCSPI: (xfrm_alloc_userspi, XFRM_USERSPI_INFO.size, None),
    XfrmMsg.FLUSHSA: (xfrm_flush_sa, 1, None),
    XfrmMsg.NEWPOLICY: (xfrm_add_policy, XFRM_USERPOLICY_INFO.size, None),
    XfrmMsg.UPDPOLICY: (xfrm_add_policy, XFRM_USERPOLICY_INFO.size, None),
    XfrmMsg.DELPOLICY: (xfrm_get_policy, XFRM_USERPOLICY_ID.size, None),
    XfrmMsg.GETPOLICY: (xfrm_get_policy, XFRM_USERPOLICY_ID.size, xfrm_dump_policy),
    XfrmMsg.FLUSHPOLICY: (xfrm_flush_policy, 0, None),
    XfrmMsg.SETDEFAULT: (xfrm_set_default, 3, None),
    XfrmMsg.GETDEFAULT: (xfrm_get_default, 3, None),
    XfrmMsg.GETSADINFO: (_count_sa, 4, None),
    XfrmMsg.GETSPDINFO: (_count_policies, 4, None),
}

"""What programs that make states are told (Linux: net/xfrm/xfrm_user.c, and ``km_*`` in net/xfrm/xfrm_state.c)."""

from typing import TYPE_CHECKING

from ..netlink.af_netlink_kernel import nlmsg_notify
from ..netlink.af_netlink_unicast import netlink_has_listeners
from ..netlink.attr import nla_put
from ..netlink.message import nlmsg_end, nlmsg_new, nlmsg_put
from ..netlink.uapi import NETLINK_XFRM
from ..netlink.xfrm import (
    XFRM_USER_ACQUIRE,
    XFRM_USER_EXPIRE,
    XFRM_USER_MAPPING,
    XFRM_USER_POLEXPIRE,
    Xfrma,
    XfrmMsg,
    XfrmNlgrp,
    pack_address,
    pack_id,
    pack_selector,
    pack_tmpl,
)
from ..uapi import AF_INET
from .xfrm_user_fill import policy_attrs, policy_info, state_attrs, state_info, usersa_id

if TYPE_CHECKING:
    from ..core.net import Net
    from .xfrm import XfrmPolicy, XfrmTmpl
    from .xfrm_state import XfrmState

__all__ = [
    "km_is_alive",
    "km_new_mapping",
    "km_query",
    "km_state_expired",
    "xfrm_send_policy_notify_expire",
    "xfrm_user_notify",
]

_MESSAGE_OCTETS = 2048


def xfrm_user_notify(
    net: "Net", group: int, kind: int, payload: bytes, attrs: list[tuple[int, bytes]], seq: int = 0, portid: int = 0
) -> bool:
    """Send a message to a group; return whether there was memory for it and anybody who listens."""
    if not netlink_has_listeners(net, NETLINK_XFRM, group):
        return False
    try:
        skb = nlmsg_new(net.kernel, _MESSAGE_OCTETS)
    except OSError:
        return False
    at = nlmsg_put(skb, portid, seq, kind, payload)
    for number, octets in attrs:
        nla_put(skb, number, octets)
    nlmsg_end(skb, at)
    return nlmsg_notify(net.xfrm.nlsk, skb, 0, group, False) == 0


def km_is_alive(net: "Net") -> bool:
    """Return whether there is a program that makes states when they are asked for."""
    return netlink_has_listeners(net, NETLINK_XFRM, XfrmNlgrp.ACQUIRE)


def km_query(x: "XfrmState", tmpl: "XfrmTmpl", policy: "XfrmPolicy") -> bool:
    """Ask for a state; return whether somebody was asked."""
    net = x.net
    payload = XFRM_USER_ACQUIRE.pack(
        pack_id(x.daddr, x.spi, x.proto),
        pack_address(x.saddr),
        pack_selector(x.sel),
        policy_info(policy),
        *(tmpl.aalgos, tmpl.ealgos, tmpl.calgos, x.seq),
    )
    attrs: list[tuple[int, bytes]] = [(Xfrma.TMPL, b"".join(map(pack_tmpl, policy.tmpls)))]
    attrs += [entry for entry in policy_attrs(policy) if entry[0] != Xfrma.TMPL]
    return xfrm_user_notify(net, XfrmNlgrp.ACQUIRE, XfrmMsg.ACQUIRE, payload, attrs)


def km_state_expired(x: "XfrmState", *, hard: bool) -> None:
    """Say that a state is over, or soon will be."""
    payload = XFRM_USER_EXPIRE.pack(state_info(x), hard)
    xfrm_user_notify(x.net, XfrmNlgrp.EXPIRE, XfrmMsg.EXPIRE, payload, state_attrs(x))


def km_new_mapping(x: "XfrmState", saddr: int, sport: int) -> None:
    """Say that the peer of a state is behind another address or port of a NAT now (RFC 3948 §3.1.1)."""
    old = x.encap.encap_sport if x.encap is not None else 0
    ports = old.to_bytes(2, "big") + sport.to_bytes(2, "big")
    payload = XFRM_USER_MAPPING.pack(
        usersa_id(x.daddr, x.spi, AF_INET, x.proto), x.reqid, pack_address(x.saddr), pack_address(saddr), ports
    )
    xfrm_user_notify(x.net, XfrmNlgrp.MAPPING, XfrmMsg.MAPPING, payload, [])


def xfrm_send_policy_notify_expire(net: "Net", policy: "XfrmPolicy", *, hard: bool) -> None:
    """Say that a policy is over, or soon will be."""
    payload = XFRM_USER_POLEXPIRE.pack(policy_info(policy), hard)
    xfrm_user_notify(net, XfrmNlgrp.EXPIRE, XfrmMsg.POLEXPIRE, payload, policy_attrs(policy))

"""Messages about routing rules (Linux: net/core/fib_rules.c)."""

from collections.abc import Mapping
from errno import EAFNOSUPPORT, EEXIST, EINVAL, ENOENT, EPERM
from typing import TYPE_CHECKING

from ..ipv4.rtnetlink import RtTable
from ..netlink.af_netlink_kernel import DumpFill, dump_items
from ..netlink.attr import (
    NetlinkError,
    NlaPolicy,
    Nlattr,
    nla_put,
    nla_put_s32,
    nla_put_string,
    nla_put_u8,
    nla_put_u32,
    nla_total_size,
    nlmsg_parse,
)
from ..netlink.fib_rules import (
    FIB_RULE_HDR,
    FIB_RULE_IIF_DETACHED,
    FIB_RULE_OIF_DETACHED,
    FIB_RULE_PERMANENT,
    FIB_RULE_PORT_RANGE,
    FIB_RULE_UID_RANGE,
    FIB_RULE_UNRESOLVED,
    Fra,
    FrAct,
)
from ..netlink.message import NetlinkCallback, Nlmsghdr, nlmsg_cancel, nlmsg_end, nlmsg_put
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NLMSG_HDRLEN, NlmF
from ..uapi import AF_INET, AF_UNSPEC
from .fib_rules import (
    FibRule,
    FibRulesOps,
    fib_default_rule_pref,
    fib_rule_delete,
    fib_rule_insert,
    rule_exists,
    rule_find,
)
from .rtnetlink_rcv import rtnl_broadcast, rtnl_register

if TYPE_CHECKING:
    from .net import Kernel, Net
    from .skbuff import SkBuff

__all__ = ["fib_nl_delrule", "fib_nl_dumprule", "fib_nl_fill_rule", "fib_nl_newrule", "fib_rules_init"]

_IFNAMSIZ = 16
_NOBODY = 0xFFFF_FFFF  # No user has this number.

FIB_RULE_POLICY: Mapping[int, NlaPolicy] = {
    Fra.IIFNAME: NlaPolicy("string", _IFNAMSIZ - 1),
    Fra.OIFNAME: NlaPolicy("string", _IFNAMSIZ - 1),
    Fra.GOTO: NlaPolicy("u32"),
    Fra.PRIORITY: NlaPolicy("u32"),
    Fra.FWMARK: NlaPolicy("u32"),
    Fra.FLOW: NlaPolicy("u32"),
    Fra.TUN_ID: NlaPolicy("u64"),
    Fra.SUPPRESS_IFGROUP: NlaPolicy("u32"),
    Fra.SUPPRESS_PREFIXLEN: NlaPolicy("u32"),
    Fra.TABLE: NlaPolicy("u32"),
    Fra.FWMASK: NlaPolicy("u32"),
    Fra.L3MDEV: NlaPolicy("u8"),
    Fra.UID_RANGE: NlaPolicy("unspec", FIB_RULE_UID_RANGE.size),
    Fra.PROTOCOL: NlaPolicy("u8"),
    Fra.IP_PROTO: NlaPolicy("u8"),
    Fra.SPORT_RANGE: NlaPolicy("unspec", FIB_RULE_PORT_RANGE.size),
    Fra.DPORT_RANGE: NlaPolicy("unspec", FIB_RULE_PORT_RANGE.size),
}


def lookup_rules_ops(net: "Net", family: int) -> FibRulesOps | None:
    """Return the rules of an address family; None if it has none."""
    return net.ipv4.rules_ops if family == AF_INET else None


def _request(skb: "SkBuff", nlh: Nlmsghdr) -> tuple[FibRulesOps, dict[int, Nlattr]]:
    """Return the rules that a request is about, and its attributes."""
    if len(nlh.data) < FIB_RULE_HDR.size:
        raise NetlinkError(EINVAL, "Invalid msg length")
    assert skb.sk is not None
    ops = lookup_rules_ops(skb.sk.net, nlh.data[0])
    if ops is None:
        raise NetlinkError(EAFNOSUPPORT, "Rule family not supported")
    try:
        return ops, nlmsg_parse(nlh, FIB_RULE_HDR.size, FIB_RULE_POLICY, max(Fra))
    except NetlinkError as error:
        error.strerror = "Error parsing msg"
        raise


def _address(tb: dict[int, Nlattr], kind: int, length: int, name: str) -> int:
    if not length:
        return 0
    attr = tb.get(kind)
    if attr is None or length > 32 or len(attr.data) != 4:
        raise NetlinkError(EINVAL, f"Invalid {name} address")
    return attr.be32


def _u32(tb: dict[int, Nlattr], kind: int) -> int:
    return tb[kind].u32 if kind in tb else 0


def _u8(tb: dict[int, Nlattr], kind: int) -> int:
    return tb[kind].u8 if kind in tb else 0


def _text(tb: dict[int, Nlattr], kind: int) -> str:
    return tb[kind].text if kind in tb else ""


def _limit(tb: dict[int, Nlattr], kind: int) -> int:
    return tb[kind].s32 if kind in tb else -1


def _ports(tb: dict[int, Nlattr], kind: int, name: str) -> tuple[int, int] | None:
    if kind not in tb:
        return None
    first, last = FIB_RULE_PORT_RANGE.unpack_from(tb[kind].data)
    if not 0 < first <= last < 0xFFFF:
        raise NetlinkError(EINVAL, f"Invalid {name} range")
    return first, last


def _uids(tb: dict[int, Nlattr]) -> tuple[int, int] | None:
    if Fra.UID_RANGE not in tb:
        return None
    first, last = FIB_RULE_UID_RANGE.unpack_from(tb[Fra.UID_RANGE].data)
    if not first <= last < _NOBODY:
        raise NetlinkError(EINVAL, "Invalid uid range")
    return first, last


def _target(tb: dict[int, Nlattr], action: int, pref: int) -> int:
    if Fra.GOTO not in tb:
        if action == FrAct.GOTO:
            raise NetlinkError(EINVAL, "Missing goto target for action goto")
        return 0
    if action != FrAct.GOTO:
        raise NetlinkError(EINVAL, "Unexpected goto")
    target = tb[Fra.GOTO].u32
    if target <= pref:  # A way back would be an endless one.
        raise NetlinkError(EINVAL, "Backward goto not supported")
    return target


def fib_nl2rule(nlh: Nlmsghdr, ops: FibRulesOps, tb: dict[int, Nlattr]) -> FibRule:
    """Return the rule that a message describes.

    Raises
    ------
    NetlinkError
        ``EINVAL``.
    """
    _, dst_len, src_len, tos, table, action, flags = FIB_RULE_HDR.unpack_from(nlh.octets, NLMSG_HDRLEN)
    src = _address(tb, Fra.SRC, src_len, "source")
    dst = _address(tb, Fra.DST, dst_len, "dst")
    pref = tb[Fra.PRIORITY].u32 if Fra.PRIORITY in tb else fib_default_rule_pref(ops)
    mark = _u32(tb, Fra.FWMARK)
    if Fra.L3MDEV in tb:
        raise NetlinkError(EINVAL, "l3mdev support is not enabled in kernel")
    if _u32(tb, Fra.FLOW):
        raise NetlinkError(EINVAL, "realms are not supported", tb[Fra.FLOW])
    return FibRule(
        pref,
        action,
        flags,
        table=tb[Fra.TABLE].u32 if Fra.TABLE in tb else table,
        target=_target(tb, action, pref),
        iifname=_text(tb, Fra.IIFNAME),
        oifname=_text(tb, Fra.OIFNAME),
        mark=mark,
        mark_mask=tb[Fra.FWMASK].u32 if Fra.FWMASK in tb else 0xFFFF_FFFF if mark else 0,
        tun_id=int.from_bytes(tb[Fra.TUN_ID].data[:8], "big") if Fra.TUN_ID in tb else 0,
        suppress_ifgroup=_limit(tb, Fra.SUPPRESS_IFGROUP),
        suppress_prefixlen=_limit(tb, Fra.SUPPRESS_PREFIXLEN),
        src=src,
        src_len=src_len,
        dst=dst,
        dst_len=dst_len,
        tos=tos,
        uid_range=_uids(tb),
        ip_proto=_u8(tb, Fra.IP_PROTO),
        sport_range=_ports(tb, Fra.SPORT_RANGE, "sport"),
        dport_range=_ports(tb, Fra.DPORT_RANGE, "dport"),
        protocol=_u8(tb, Fra.PROTOCOL),
    )


def fib_nl_newrule(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_NEWRULE``.

    Raises
    ------
    OSError
        ``EINVAL``, ``ERANGE``, ``EAFNOSUPPORT``; ``EEXIST`` if there is the same and that is not wanted.
    """
    ops, tb = _request(skb, nlh)
    rule = fib_nl2rule(nlh, ops, tb)
    if nlh.flags & NlmF.EXCL and rule_exists(ops, rule):
        raise OSError(EEXIST, "the rule exists")
    fib_rule_insert(ops, rule)
    notify_rule_change(Rtm.NEWRULE, rule, ops, nlh, skb.cb.portid)
    ops.flush_cache()


def fib_nl_delrule(skb: "SkBuff", nlh: Nlmsghdr) -> None:
    """Answer ``RTM_DELRULE``: delete the first rule that fits.

    Raises
    ------
    OSError
        ``EINVAL``, ``ERANGE``, ``EAFNOSUPPORT``; ``ENOENT`` if there is none, ``EPERM`` if it is there to stay.
    """
    ops, tb = _request(skb, nlh)
    rule = rule_find(ops, fib_nl2rule(nlh, ops, tb), user_priority=Fra.PRIORITY in tb)
    if rule is None:
        raise OSError(ENOENT, "there is no such rule")
    if rule.flags & FIB_RULE_PERMANENT:
        raise OSError(EPERM, "the rule is there to stay")
    fib_rule_delete(ops, rule)
    notify_rule_change(Rtm.DELRULE, rule, ops, nlh, skb.cb.portid)
    ops.flush_cache()


def fib_rule_nlmsg_size() -> int:
    """Return the most room that a message about a rule takes, without its header."""
    numbers = 9 * nla_total_size(4) + 2 * nla_total_size(1) + 2 * nla_total_size(8)
    return FIB_RULE_HDR.size + numbers + 2 * nla_total_size(_IFNAMSIZ) + 2 * nla_total_size(FIB_RULE_PORT_RANGE.size)


def fib_nl_fill_rule(
    skb: "SkBuff", rule: FibRule, portid: int, seq: int, kind: int, flags: int, ops: FibRulesOps
) -> int:
    """Append a message about a rule, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE``.
    """
    table = rule.table if rule.table < 256 else RtTable.COMPAT
    state = rule.flags
    if rule.action == FrAct.GOTO and rule.ctarget is None:
        state |= FIB_RULE_UNRESOLVED
    if rule.iifindex == -1:
        state |= FIB_RULE_IIF_DETACHED
    if rule.oifindex == -1:
        state |= FIB_RULE_OIF_DETACHED
    header = FIB_RULE_HDR.pack(ops.family, rule.dst_len, rule.src_len, rule.tos, table, rule.action, state)
    at = nlmsg_put(skb, portid, seq, kind, header, flags)
    try:
        nla_put_u32(skb, Fra.TABLE, rule.table)
        nla_put_s32(skb, Fra.SUPPRESS_PREFIXLEN, rule.suppress_prefixlen)
        nla_put_u8(skb, Fra.PROTOCOL, rule.protocol)
        for number, name in ((Fra.IIFNAME, rule.iifname), (Fra.OIFNAME, rule.oifname)):
            if name:
                nla_put_string(skb, number, name)
        for number, value, shown in (
            (Fra.PRIORITY, rule.pref, rule.pref),
            (Fra.FWMARK, rule.mark, rule.mark),
            (Fra.FWMASK, rule.mark_mask, rule.mark_mask or rule.mark),
            (Fra.GOTO, rule.target, rule.target),
        ):
            if shown:
                nla_put_u32(skb, number, value)
        if rule.tun_id:
            nla_put(skb, Fra.TUN_ID, rule.tun_id.to_bytes(8, "big"))
        if rule.uid_range is not None:
            nla_put(skb, Fra.UID_RANGE, FIB_RULE_UID_RANGE.pack(*rule.uid_range))
        for number, ports in ((Fra.SPORT_RANGE, rule.sport_range), (Fra.DPORT_RANGE, rule.dport_range)):
            if ports is not None:
                nla_put(skb, number, FIB_RULE_PORT_RANGE.pack(*ports))
        if rule.ip_proto:
            nla_put_u8(skb, Fra.IP_PROTO, rule.ip_proto)
        if rule.suppress_ifgroup != -1:
            nla_put_s32(skb, Fra.SUPPRESS_IFGROUP, rule.suppress_ifgroup)
        ops.fill(rule, skb)
    except OSError:
        nlmsg_cancel(skb, at)
        raise
    nlmsg_end(skb, at)
    return at


def notify_rule_change(kind: int, rule: FibRule, ops: FibRulesOps, nlh: Nlmsghdr, portid: int) -> None:
    """Notify of a rule that came or goes."""
    rtnl_broadcast(
        ops.net,
        ops.nlgroup,
        fib_rule_nlmsg_size(),
        lambda skb: fib_nl_fill_rule(skb, rule, portid, nlh.seq, kind, 0, ops),
        portid,
        nlh,
    )


def _valid_dumprule_req(nlh: Nlmsghdr) -> None:
    """Check a request for a dump to the letter (Linux: ``fib_valid_dumprule_req``)."""
    if len(nlh.data) < FIB_RULE_HDR.size:
        raise NetlinkError(EINVAL, "Invalid header for fib rule dump request")
    if any(nlh.data[1 : FIB_RULE_HDR.size]):
        raise NetlinkError(EINVAL, "Invalid values in header for fib rule dump request")
    if len(nlh.data) > FIB_RULE_HDR.size:
        raise NetlinkError(EINVAL, "Invalid data after header in fib rule dump request")


def fib_nl_dumprule(skb: "SkBuff", cb: NetlinkCallback) -> int:
    """Dump the rules.

    Raises
    ------
    OSError
        ``EINVAL``, ``EAFNOSUPPORT``.
    """
    if cb.strict_check:
        _valid_dumprule_req(cb.nlh)
    ops = lookup_rules_ops(cb.sk.net, cb.nlh.data[0] or AF_INET)
    if ops is None:
        raise OSError(EAFNOSUPPORT, "no rules of this family")

    def fill(rule: FibRule) -> DumpFill:
        return lambda skb, cb: fib_nl_fill_rule(skb, rule, cb.portid, cb.nlh.seq, Rtm.NEWRULE, NlmF.MULTI, ops)

    return dump_items(skb, cb, [(place, fill(rule)) for place, rule in enumerate(ops.rules_list)])


def fib_rules_init(kernel: "Kernel") -> None:
    """Have messages about rules handled."""
    rtnl_register(kernel, AF_UNSPEC, Rtm.NEWRULE, fib_nl_newrule)
    rtnl_register(kernel, AF_UNSPEC, Rtm.DELRULE, fib_nl_delrule)
    rtnl_register(kernel, AF_UNSPEC, Rtm.GETRULE, dumpit=fib_nl_dumprule)

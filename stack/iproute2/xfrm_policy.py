"""``ip xfrm policy`` (iproute2: ip/xfrm_policy.c)."""

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..netlink.uapi import NETLINK_XFRM
from ..netlink.xfrm import (
    XFRM_MARK,
    XFRM_USERPOLICY_ID,
    XFRM_USERPOLICY_INFO,
    Xfrma,
    XfrmMsg,
    pack_lifetimes,
    pack_selector,
    pack_tmpl,
    unpack_selector,
    unpack_tmpls,
)
from ..wire.address import ipv4_to_text
from ..xfrm.xfrm import (
    XFRM_POLICY_FWD,
    XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
    XFRM_POLICY_TYPE_MAIN,
    XfrmLifetimeCfg,
    XfrmLifetimeCur,
    XfrmMark,
    XfrmSelector,
    XfrmTmpl,
)
from .args import Args, CommandError, dispatch, invarg
from .ipxfrm import (
    lifetime_text,
    mark_and_if_id_text,
    mode_text,
    number,
    parse_id,
    parse_limit,
    parse_mark,
    parse_mode,
    parse_selector,
    proto_text,
    selector_text,
)
from .libnetlink import Answer, Request, Rtnl

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_xfrm_policy"]

_DIRECTIONS = {"in": XFRM_POLICY_IN, "out": XFRM_POLICY_OUT, "fwd": XFRM_POLICY_FWD}
_ACTIONS = {"allow": 0, "block": 1}
_PTYPES = {"main": XFRM_POLICY_TYPE_MAIN, "sub": 1}
_FLAGS = {"localok": 1, "icmp": 2}
_LEVELS = {"required": False, "use": True}
_SHARES = {0: "any", 1: "session", 2: "user", 3: "unique"}
_SELECTOR_WORDS = ("src", "dst", "dev", "proto")
_DEFAULTS = {1: "block", 2: "accept"}
_COUNT = Struct("=I")
_COUNTS = Struct("=6I")


def do_xfrm_policy(ip: "Ip", args: Args) -> None:
    """Do ``ip xfrm policy ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    with Rtnl(ip.rtnl.net, NETLINK_XFRM) as xfrm:
        commands: dict[str, Any] = {name: partial(do, xfrm=xfrm) for name, do in _COMMANDS.items()}
        dispatch(ip, args, commands, "ip xfrm policy")


def _one_of(args: Args, names: dict[str, Any], what: str) -> Any:
    word = args.next()
    if word not in names:
        invarg(f"{what} value is invalid", word)
    return names[word]


class _Policy:
    """A policy as the words describe it; what they do not name is None."""

    def __init__(self) -> None:
        self.sel: XfrmSelector | None = None
        self.dir: int | None = None
        self.index: int | None = None
        self.ptype: int | None = None
        self.action: int | None = None
        self.priority: int | None = None
        self.flags: int | None = None
        self.mark: XfrmMark | None = None
        self.if_id = 0
        self.limits: dict[str, int] = {}
        self.tmpls: list[XfrmTmpl] = []

    def parse(self, ip: "Ip", args: Args) -> None:
        """Take all words."""
        while args:
            word = args.word
            if word in _SELECTOR_WORDS and self.sel is None:
                self.sel = parse_selector(ip, args)
            elif word == "dir" and self.dir is not None:
                raise CommandError('Error: duplicate "dir": "dir" is the second value.', status=255)
            elif args.taken("dir"):
                self.dir = _one_of(args, _DIRECTIONS, "DIR")
            elif args.taken("mark"):
                self.mark = parse_mark(args)
            elif args.taken("index"):
                self.index = number(args.next(), "INDEX")
            elif args.taken("ptype"):
                self.ptype = _one_of(args, _PTYPES, "PTYPE")
            elif args.taken("action"):
                self.action = _one_of(args, _ACTIONS, "ACTION")
            elif args.taken("priority"):
                self.priority = number(args.next(), "PRIORITY")
            elif args.taken("flag"):
                self.flags = (self.flags or 0) | _one_of(args, _FLAGS, "FLAG")
            elif args.taken("if_id"):
                self.if_id = number(args.next(), "IF_ID")
            elif args.taken("limit"):
                parse_limit(args, self.limits)
            elif args.taken("tmpl"):
                self.tmpls.append(_parse_tmpl(args))
            else:
                raise CommandError(f'Error: duplicate "unknown": "{word}" is the second value.', status=255)

    def put(self, request: Request) -> Request:
        """Append the attributes that each request may have."""
        if self.ptype is not None and self.ptype != XFRM_POLICY_TYPE_MAIN:
            request.put(Xfrma.POLICY_TYPE, bytes((self.ptype, 0, 0, 0, 0, 0)), "binary")
        if self.mark is not None and self.mark.m:
            request.put(Xfrma.MARK, XFRM_MARK.pack(self.mark.v, self.mark.m), "binary")
        if self.if_id:
            request.put(Xfrma.IF_ID, self.if_id)
        return request

    def direction(self) -> int:
        """Return the direction.

        Raises
        ------
        CommandError
            If the words do not say it.
        """
        if self.dir is None:
            raise CommandError("Not enough information: DIR is required.")
        return self.dir


def _parse_tmpl(args: Args) -> XfrmTmpl:
    found: dict[str, Any] = {"proto": 0}
    while args:
        if args.word in ("src", "dst", "proto", "spi"):
            ident = parse_id(args)
            found |= {"daddr": ident.daddr, "saddr": ident.saddr, "spi": ident.spi, "proto": ident.proto}
        elif args.taken("mode"):
            found["mode"] = parse_mode(args)
        elif args.taken("reqid"):
            found["reqid"] = number(args.next(), "REQID")
        elif args.taken("level"):
            found["optional"] = _one_of(args, _LEVELS, "LEVEL")
        else:
            break
    return XfrmTmpl(**found)


def _modify(ip: "Ip", args: Args, kind: int, xfrm: Rtnl) -> None:
    policy = _Policy()
    policy.parse(ip, args)
    direction = policy.direction()
    cfg, cur = pack_lifetimes(XfrmLifetimeCfg(**policy.limits), XfrmLifetimeCur())
    sel = pack_selector(policy.sel if policy.sel is not None else XfrmSelector())
    request = Request(
        kind,
        XFRM_USERPOLICY_INFO.pack(
            *(sel, cfg, cur, policy.priority or 0, policy.index or 0, direction),
            *(policy.action or 0, policy.flags or 0, 0),
        ),
    )
    if policy.tmpls:
        request.put(Xfrma.TMPL, b"".join(map(pack_tmpl, policy.tmpls)), "binary")
    xfrm.talk(policy.put(request))


def _ident(ip: "Ip", args: Args, kind: int) -> Request:
    policy = _Policy()
    policy.parse(ip, args)
    direction = policy.direction()
    if policy.sel is None and policy.index is None:
        raise CommandError("Not enough information: either SELECTOR or INDEX is required.")
    sel = pack_selector(policy.sel if policy.sel is not None else XfrmSelector())
    return policy.put(Request(kind, XFRM_USERPOLICY_ID.pack(sel, policy.index or 0, direction)))


def _delete(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    xfrm.talk(_ident(ip, args, XfrmMsg.DELPOLICY))


def _get(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    _print_policy(ip, xfrm.get(_ident(ip, args, XfrmMsg.GETPOLICY)))


def _wanted(ip: "Ip", args: Args, xfrm: Rtnl) -> list[Answer]:
    policy = _Policy()
    while args.taken("nosock"):
        continue
    policy.parse(ip, args)
    return [answer for answer in xfrm.dump(Request(XfrmMsg.GETPOLICY, b"")) if _matches(policy, answer)]


def _matches(policy: _Policy, answer: Answer) -> bool:
    header: tuple[Any, ...] = answer.header(XFRM_USERPOLICY_INFO)
    sel = unpack_selector(header[0])
    priority, index, direction, action, flags = header[3:8]
    pairs = ((policy.priority, priority), (policy.index, index), (policy.dir, direction), (policy.action, action))
    if any(wanted is not None and wanted != value for wanted, value in pairs):
        return False
    if policy.ptype is not None and policy.ptype != answer.attrs(XFRM_USERPOLICY_INFO)[Xfrma.POLICY_TYPE].u8:
        return False
    if policy.flags is not None and policy.flags & flags != policy.flags:
        return False
    return policy.sel is None or _selects(policy.sel, sel)


def _selects(wanted: XfrmSelector, sel: XfrmSelector) -> bool:
    """Return whether a selector is what the words ask for, as far as they say something."""
    for address, length, own in (
        (wanted.saddr, wanted.prefixlen_s, (sel.saddr, sel.prefixlen_s)),
        (wanted.daddr, wanted.prefixlen_d, (sel.daddr, sel.prefixlen_d)),
    ):
        if length and (own[1] < length or (own[0] ^ address) >> 32 - length):
            return False
    fields = ("proto", "sport", "dport", "ifindex")
    return all(getattr(wanted, name) in (0, getattr(sel, name)) for name in fields)


def _list(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    for answer in _wanted(ip, args, xfrm):
        _print_policy(ip, answer)


def _deleteall(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    for answer in _wanted(ip, args, xfrm):
        header: tuple[Any, ...] = answer.header(XFRM_USERPOLICY_INFO)
        request = Request(XfrmMsg.DELPOLICY, XFRM_USERPOLICY_ID.pack(header[0], header[4], header[5]))
        request.put(Xfrma.POLICY_TYPE, answer.attrs(XFRM_USERPOLICY_INFO)[Xfrma.POLICY_TYPE].data, "binary")
        xfrm.talk(request)


def _flush(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    policy = _Policy()
    policy.parse(ip, args)
    xfrm.talk(policy.put(Request(XfrmMsg.FLUSHPOLICY, b"")))


def _count(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    args.rest()
    answer = xfrm.get(Request(XfrmMsg.GETSPDINFO, bytes(4)))
    counts = _COUNTS.unpack_from(answer.attrs(_COUNT)[1].data)
    ip.out.text(f"\t SPD IN  {counts[0]} OUT {counts[1]} FWD {counts[2]}")
    if ip.statistics:
        ip.out.text(f" (Sock: IN {counts[3]} OUT {counts[4]} FWD {counts[5]})")
    ip.out.text("\n")


def _setdefault(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    actions = [0, 0, 0]
    names = {name: number for number, name in _DEFAULTS.items()}
    while args:
        word = args.take()
        if word not in _DIRECTIONS:
            invarg("unknown direction", word)
        action = args.next()
        if action not in names:
            invarg("unknown action", action)
        actions[_DIRECTIONS[word]] = names[action]
    # In the order of struct xfrm_userpolicy_default: in, forward, out.
    xfrm.talk(Request(XfrmMsg.SETDEFAULT, bytes((actions[0], actions[2], actions[1]))))


def _getdefault(ip: "Ip", args: Args, xfrm: Rtnl) -> None:
    answer = xfrm.get(Request(XfrmMsg.GETDEFAULT, bytes(3)))
    inbound, forward, out = answer.header(Struct("=3B"))
    ip.out.text("Default policies:\n")
    for name, action in (("in:  ", inbound), ("fwd: ", forward), ("out: ", out)):
        ip.out.text(f" {name}{_DEFAULTS[action]}\n")


def _tmpl_text(ip: "Ip", tmpl: XfrmTmpl) -> str:
    many = ip.statistics > 0
    text = f"\ttmpl src {ipv4_to_text(tmpl.saddr)} dst {ipv4_to_text(tmpl.daddr)}\n\t\tproto {proto_text(tmpl.proto)} "
    if tmpl.spi or many:
        text += f"spi 0x{tmpl.spi:08x}{f'({tmpl.spi})' if many else ''} "
    text += f"reqid {tmpl.reqid}{f'(0x{tmpl.reqid:08x})' if many else ''} mode {mode_text(tmpl.mode)}\n"
    if tmpl.optional or many:
        text += f"\t\tlevel {'use' if tmpl.optional else 'required'} "
        text += f"share {_SHARES.get(tmpl.share, tmpl.share)} \n" if many else "\n"
    if many:
        text += f"\t\tenc-mask {tmpl.ealgos:08x} auth-mask {tmpl.aalgos:08x} comp-mask {tmpl.calgos:08x}\n"
    return text


def _name(names: dict[str, int], value: int) -> str:
    return next((name for name, known in names.items() if known == value), str(value))


def _print_policy(ip: "Ip", answer: Answer) -> None:
    header: tuple[Any, ...] = answer.header(XFRM_USERPOLICY_INFO)
    sel, cfg, cur, priority, index, direction, action, flags, share = header
    tb = answer.attrs(XFRM_USERPOLICY_INFO)
    many = ip.statistics > 0
    out = ip.out
    out.text(selector_text(ip, unpack_selector(sel)))
    out.text(f"\tdir {_name(_DIRECTIONS, direction)} ")
    if many or action:
        out.text(f"action {_name(_ACTIONS, action)} ")
    if many:
        out.text(f"index {index} ")
    out.text(f"priority {priority} ptype {_name(_PTYPES, tb[Xfrma.POLICY_TYPE].u8)} ")
    if many:
        out.text(f"share {_SHARES.get(share, share)} ")
    if many or flags:
        out.text("flag " + " ".join(name for name, bit in _FLAGS.items() if flags & bit))
    if many:
        out.text(f" (0x{flags:08b})")  # So it is: in binary.
    out.text("\n")
    if many:
        out.text(lifetime_text(cfg, cur))
    mark, if_id = mark_and_if_id_text(tb)
    out.text(mark)
    for tmpl in unpack_tmpls(tb[Xfrma.TMPL].data) if Xfrma.TMPL in tb else ():
        out.text(_tmpl_text(ip, tmpl))
    out.text(if_id)


_COMMANDS: dict[str, Any] = {
    "list": _list,
    "show": _list,
    "lst": _list,
    "add": partial(_modify, kind=XfrmMsg.NEWPOLICY),
    "update": partial(_modify, kind=XfrmMsg.UPDPOLICY),
    "delete": _delete,
    "deleteall": _deleteall,
    "delall": _deleteall,
    "get": _get,
    "flush": _flush,
    "count": _count,
    "setdefault": _setdefault,
    "getdefault": _getdefault,
}

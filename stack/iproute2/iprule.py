"""``ip rule`` (iproute2: ip/iprule.c)."""

from struct import Struct
from typing import TYPE_CHECKING, Any

from ..ipv4.rtnetlink import RtTable
from ..netlink.attr import Nlattr
from ..netlink.fib_rules import FIB_RULE_INVERT, FIB_RULE_UNRESOLVED, Fra, FrAct
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text
from .args import Args, CommandError, dispatch, invarg, prefix
from .libnetlink import Answer, Request
from .rt_names import number, protocol_name, protocol_number, table_name, table_number, tos_number

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_iprule"]

# struct fib_rule_hdr: family, dst_len, src_len, tos, table, action, flags.
_HEADER = Struct("=BBBBBxxBI")
_RANGE = Struct("=HH")
_ACTIONS = {
    FrAct.NOP: "nop",
    FrAct.BLACKHOLE: "blackhole",
    FrAct.UNREACHABLE: "unreachable",
    FrAct.PROHIBIT: "prohibit",
}
_IP_PROTOS = {1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah"}
_STATIC = 3  # RTPROT_BOOT: who makes rules, unless said.


def do_iprule(ip: "Ip", args: Args) -> None:
    """Do ``ip rule ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip rule")


def _range(word: str, what: str) -> bytes:
    first, dash, last = word.partition("-")
    low = number(first, 0xFFFF, f'"{what}" value is invalid\n')
    return _RANGE.pack(low, number(last, 0xFFFF, f'"{what}" value is invalid\n') if dash else low)


class _Rule:
    """What the words of a rule say (iproute2: ``iprule_modify``)."""

    def __init__(self, args: Args) -> None:
        self.lengths = {Fra.SRC: 0, Fra.DST: 0}
        self.tos = self.table = self.action = self.flags = 0
        self.request = Request(0, b"")
        while args:
            self._word(args)

    def _word(self, args: Args) -> None:
        put = self.request.put
        if args.taken("not"):
            self.flags |= FIB_RULE_INVERT
        elif args.taken("from"):
            self._prefix(Fra.SRC, args.next())
        elif args.taken("to"):
            self._prefix(Fra.DST, args.next())
        elif args.taken("preference", "order", "priority", "prio", "pref"):
            put(Fra.PRIORITY, number(args.next(), 0xFFFF_FFFF, "preference value is invalid\n"))
        elif args.taken("tos", "dsfield"):
            self.tos = tos_number(args.next())
        elif args.taken("fwmark"):
            mark, slash, mask = args.next().partition("/")
            put(Fra.FWMARK, number(mark, 0xFFFF_FFFF, "fwmark value is invalid\n"))
            if slash:
                put(Fra.FWMASK, number(mask, 0xFFFF_FFFF, "fwmask value is invalid\n"))
        elif args.taken("protocol", "proto"):
            put(Fra.PROTOCOL, protocol_number(args.next()), "u8")
        elif args.taken("table", "lookup"):
            self.table = table_number(args.next())
            self.action = FrAct.TO_TBL
            if self.table > 255:
                put(Fra.TABLE, self.table)
        elif args.taken("suppress_prefixlength", "sup_pl"):
            put(Fra.SUPPRESS_PREFIXLEN, number(args.next(), 0x7FFF_FFFF, "suppress_prefixlength value is invalid\n"))
        elif args.taken("dev", "iif"):
            put(Fra.IIFNAME, args.next(), "string")
        elif args.taken("oif"):
            put(Fra.OIFNAME, args.next(), "string")
        elif args.taken("ipproto"):
            put(Fra.IP_PROTO, _ip_proto(args.next()), "u8")
        elif args.taken("sport"):
            put(Fra.SPORT_RANGE, _range(args.next(), "sport"), "binary")
        elif args.taken("dport"):
            put(Fra.DPORT_RANGE, _range(args.next(), "dport"), "binary")
        elif args.taken("goto"):
            self.action = FrAct.GOTO
            put(Fra.GOTO, number(args.next(), 0xFFFF_FFFF, "invalid target\n"))
        else:
            args.taken("type")
            self.action = _action(args.next())

    def _prefix(self, kind: Fra, word: str) -> None:
        address, length = prefix(word)
        self.lengths[kind] = length
        if length:
            self.request.put(kind, address, "be32")

    def send(self, ip: "Ip", kind: int, flags: int) -> None:
        if kind == Rtm.NEWRULE and not self.table and not self.action:
            self.table, self.action = RtTable.MAIN, FrAct.TO_TBL
        table = self.table if self.table < 256 else 0
        lengths = self.lengths
        self.request.kind = kind
        self.request.flags = flags
        self.request.header = _HEADER.pack(
            AF_INET, lengths[Fra.DST], lengths[Fra.SRC], self.tos, table, self.action, self.flags
        )
        ip.rtnl.talk(self.request)


def _ip_proto(word: str) -> int:
    for value, name in _IP_PROTOS.items():
        if name == word:
            return value
    return number(word, 255, 'Invalid "ipproto" value\n')


def _action(word: str) -> int:
    for action, name in _ACTIONS.items():
        if word == name:
            return action
    invarg("Failed to parse rule type", word)


def _add(ip: "Ip", args: Args) -> None:
    rule = _Rule(args)
    if not any(attr[2] == Fra.PROTOCOL for attr in rule.request.attrs):
        rule.request.put(Fra.PROTOCOL, _STATIC, "u8")
    rule.send(ip, Rtm.NEWRULE, NlmF.CREATE | NlmF.EXCL)


def _delete(ip: "Ip", args: Args) -> None:
    if not args:
        raise CommandError('"ip rule del" requires arguments.')
    _Rule(args).send(ip, Rtm.DELRULE, 0)


def _rules(ip: "Ip") -> list[Answer]:
    return ip.rtnl.dump(Request(Rtm.GETRULE, _HEADER.pack(AF_INET, 0, 0, 0, 0, 0, 0)))


def _flush(ip: "Ip", args: Args) -> None:
    """Delete all rules but the one of priority 0."""
    if args:
        raise CommandError(f'"{args.word}" is not understood: "ip rule flush" takes no arguments.')
    for answer in _rules(ip):
        header, tb = answer.header(_HEADER), answer.attrs(_HEADER)
        if Fra.PRIORITY not in tb:
            continue
        request = Request(Rtm.DELRULE, _HEADER.pack(*header))
        for kind, attr in tb.items():
            request.put(kind, attr.data, "binary")
        ip.rtnl.talk(request)


def _show(ip: "Ip", args: Args) -> None:
    """Do ``ip rule show``."""
    table = priority = None
    while args:
        if args.taken("table", "lookup"):
            table = table_number(args.next())
        elif args.taken("preference", "order", "priority", "prio", "pref"):
            priority = number(args.next(), 0xFFFF_FFFF, "preference value is invalid\n")
        else:
            raise CommandError(f'Error: either "from" is duplicate, or "{args.word}" is a garbage.', status=255)
    for answer in _rules(ip):
        header, tb = answer.header(_HEADER), answer.attrs(_HEADER)
        if table is not None and _table(header, tb) != table:
            continue
        if priority is None or _u32(tb, Fra.PRIORITY) == priority:
            _print_rule(ip, header, tb)


def _u32(tb: dict[int, Nlattr], kind: int) -> int:
    return tb[kind].u32 if kind in tb else 0


def _table(header: tuple[int, ...], tb: dict[int, Nlattr]) -> int:
    return _u32(tb, Fra.TABLE) or header[4]


def _print_prefix(ip: "Ip", word: str, key: str, length: int, attr: Nlattr | None) -> None:
    out = ip.out
    if attr is None and not length:
        return
    text = ipv4_to_text(attr.be32) if attr is not None else "0"
    out.json(key, text)
    if length != 32:
        out.json(f"{key}len", length)
        out.text(f"{word} {text}/{length} ")
    else:
        out.text(f"{word} {text} ")


def _print_rule(ip: "Ip", header: tuple[int, ...], tb: dict[int, Nlattr]) -> None:
    out = ip.out
    _, dst_len, src_len, tos, _, action, flags = header
    priority = _u32(tb, Fra.PRIORITY)
    out.open(None, {})
    out.any("priority", f"{priority}:\t", priority)
    if flags & FIB_RULE_INVERT:
        out.any("not", "not ", None)
    if Fra.SRC in tb or src_len:
        _print_prefix(ip, "from", "src", src_len, tb.get(Fra.SRC))
    else:
        out.any("src", "from all ", "all")
    _print_prefix(ip, "to", "dst", dst_len, tb.get(Fra.DST))
    if tos:
        out.any("tos", f"tos {tos:#04x} ", f"{tos:#04x}")
    _print_mark(ip, tb)
    for kind, word in ((Fra.IIFNAME, "iif"), (Fra.OIFNAME, "oif")):
        if kind in tb:
            out.any(word, f"{word} {tb[kind].text} ", tb[kind].text)
    if Fra.IP_PROTO in tb:
        name = _IP_PROTOS.get(tb[Fra.IP_PROTO].u8, f"ipproto-{tb[Fra.IP_PROTO].u8}")
        out.any("ipproto", f"ipproto {name} ", name)
    for kind, word in ((Fra.SPORT_RANGE, "sport"), (Fra.DPORT_RANGE, "dport")):
        if kind in tb:
            low, high = _RANGE.unpack_from(tb[kind].data)
            if low == high:
                out.any(word, f"{word} {low} ", low)
            else:
                out.text(f"{word} {low}-{high} ")
                out.json(f"{word}_start", low)
                out.json(f"{word}_end", high)
    _print_action(ip, header, tb, action, flags)
    if Fra.PROTOCOL in tb and (tb[Fra.PROTOCOL].u8 not in (2, _STATIC) or ip.details):
        name = protocol_name(tb[Fra.PROTOCOL].u8)
        out.any("protocol", f" proto {name} ", name)
    out.text("\n")
    out.close()


def _print_mark(ip: "Ip", tb: dict[int, Nlattr]) -> None:
    out = ip.out
    if Fra.FWMARK not in tb and Fra.FWMASK not in tb:
        return
    mark, mask = _u32(tb, Fra.FWMARK), _u32(tb, Fra.FWMASK)
    out.json("fwmark", f"{mark:#x}")
    if Fra.FWMASK in tb and mask != 0xFFFF_FFFF:
        out.json("fwmask", f"{mask:#x}")
        out.text(f"fwmark {mark:#x}/{mask:#x} ")
    else:
        out.text(f"fwmark {mark:#x} ")


def _print_action(ip: "Ip", header: tuple[int, ...], tb: dict[int, Nlattr], action: int, flags: int) -> None:
    out = ip.out
    table = _table(header, tb)
    if table:
        out.any("table", f"lookup {table_name(table)} ", table_name(table))
        if Fra.SUPPRESS_PREFIXLEN in tb and tb[Fra.SUPPRESS_PREFIXLEN].s32 != -1:
            length = tb[Fra.SUPPRESS_PREFIXLEN].s32
            out.any("suppress_prefixlen", f"suppress_prefixlength {length} ", length)
    if action == FrAct.GOTO:
        target = _u32(tb, Fra.GOTO)
        out.any("goto", f"goto {target}" if Fra.GOTO in tb else "goto none", target or None)
        if flags & FIB_RULE_UNRESOLVED:
            out.any("unresolved", " [unresolved]", None)
    elif action in _ACTIONS:
        name = _ACTIONS[FrAct(action)]
        out.any("action" if action != FrAct.NOP else "nop", name, name if action != FrAct.NOP else None)


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "list": _show,
    "lst": _show,
    "add": _add,
    "delete": _delete,
    "flush": _flush,
}

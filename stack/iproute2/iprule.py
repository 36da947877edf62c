"""``ip rule`` (iproute2: ip/iprule.c)."""

import re
from typing import TYPE_CHECKING, Any

from ..ipv4.rtnetlink import RtTable
from ..netlink.attr import Nlattr, nla_encode
from ..netlink.fib_rules import (
    FIB_RULE_HDR,
    FIB_RULE_IIF_DETACHED,
    FIB_RULE_INVERT,
    FIB_RULE_OIF_DETACHED,
    FIB_RULE_PORT_RANGE,
    FIB_RULE_UID_RANGE,
    FIB_RULE_UNRESOLVED,
    Fra,
    FrAct,
)
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text
from .args import Args, CommandError, dispatch, invarg, matches, prefix
from .libnetlink import Answer, Request
from .rt_names import (
    ip_proto_name,
    ip_proto_number,
    number,
    protocol_name,
    protocol_number,
    table_name,
    table_number,
    tos_number,
    type_name,
)

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_iprule"]

_ACTIONS = {
    FrAct.NOP: "nop",
    FrAct.BLACKHOLE: "blackhole",
    FrAct.UNREACHABLE: "unreachable",
    FrAct.PROHIBIT: "prohibit",
}
_GROUPS = {0: "default"}
_KERNEL = 2  # RTPROT_KERNEL: who makes the rules that there are at the start.
_IFNAMSIZ = 16


def do_iprule(ip: "Ip", args: Args) -> None:
    """Do ``ip rule ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip rule")


def _range(word: str) -> tuple[int, int]:
    """Return first and last port; numbers are read as ``%hu`` reads them."""
    found = re.match(r"(\d+)(?:-(\d+))?", word)
    if found is None:
        invarg("invalid port range\n", word)
    return int(found[1]) & 0xFFFF, int(found[2] or found[1]) & 0xFFFF


def _uids(word: str) -> tuple[int, int]:
    found = re.match(r"(\d+)-(\d+)", word)
    if found is None:
        invarg("invalid UID range\n", word)
    return int(found[1]) & 0xFFFF_FFFF, int(found[2]) & 0xFFFF_FFFF


def _device(word: str, what: str) -> str:
    if not 0 < len(word) < _IFNAMSIZ or "/" in word or any(letter.isspace() for letter in word):
        invarg(f"{what} not a valid ifname", word)
    return word


def _mark(word: str) -> tuple[int, int | None]:
    """Return mark and mask, None if it names none."""
    mark, slash, mask = word.partition("/")
    value = number(mark, 0xFFFF_FFFF, "fwmark value is invalid\n")
    return value, number(mask, 0xFFFF_FFFF, "fwmask value is invalid\n") if slash else None


def _table_id(word: str, what: str) -> int:
    if word == "all":
        invarg(what, word)
    return table_number(word, what)


def _tos(word: str) -> int:
    return tos_number(word, "TOS value is invalid\n")


def _group(word: str) -> int:
    for value, name in _GROUPS.items():
        if name == word:
            return value
    return number(word, 0xFFFF_FFFF, 'Invalid "suppress_ifgroup" value\n')


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
        word = args.take()
        if word == "not":
            self.flags |= FIB_RULE_INVERT
        elif word in ("from", "to"):
            self._prefix(Fra.SRC if word == "from" else Fra.DST, args.next())
        elif _is(word, "preference", "order", "priority"):
            put(Fra.PRIORITY, number(args.next(), 0xFFFF_FFFF, "preference value is invalid\n"))
        elif word == "tos" or matches(word, "dsfield"):
            self.tos = _tos(args.next())
        elif word == "fwmark":
            mark, mask = _mark(args.next())
            put(Fra.FWMARK, mark)
            if mask is not None:
                put(Fra.FWMASK, mask)
        elif matches(word, "protocol"):
            put(Fra.PROTOCOL, protocol_number(args.next()), "u8")
        elif matches(word, "table") or word == "lookup":
            self.table = _table_id(args.next(), "invalid table ID\n")
            self.action = FrAct.TO_TBL
            if self.table > 255:
                put(Fra.TABLE, self.table)
        elif matches(word, "suppress_prefixlength") or word == "sup_pl":
            put(Fra.SUPPRESS_PREFIXLEN, number(args.next(), 0x7FFF_FFFF, "suppress_prefixlength value is invalid\n"))
        elif matches(word, "suppress_ifgroup") or word == "sup_group":
            put(Fra.SUPPRESS_IFGROUP, _group(args.next()))
        elif word in ("dev", "iif"):
            put(Fra.IIFNAME, _device(args.next(), '"iif"/"dev"'), "string")
        elif word == "oif":
            put(Fra.OIFNAME, _device(args.next(), '"oif"'), "string")
        elif word == "uidrange":
            put(Fra.UID_RANGE, FIB_RULE_UID_RANGE.pack(*_uids(args.next())), "binary")
        elif matches(word, "tun_id"):
            key = number(args.next(), 0xFFFF_FFFF_FFFF_FFFF, '"tun_id" value is invalid\n')
            put(Fra.TUN_ID, key.to_bytes(8, "big"), "binary")
        elif matches(word, "ipproto"):
            put(Fra.IP_PROTO, ip_proto_number(args.next()), "u8")
        elif word in ("sport", "dport"):
            kind = Fra.SPORT_RANGE if word == "sport" else Fra.DPORT_RANGE
            put(kind, FIB_RULE_PORT_RANGE.pack(*_range(args.next())), "binary")
        else:
            self._action(args.next() if word == "type" else word, args)

    def _action(self, word: str, args: Args) -> None:
        if matches(word, "goto"):
            self.action = FrAct.GOTO
            self.request.put(Fra.GOTO, number(args.next(), 0xFFFF_FFFF, "invalid target\n"))
            return
        for action, name in _ACTIONS.items():
            if matches(word, name):
                self.action = action
                return
        invarg("Failed to parse rule type", word)

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
        self.request.header = FIB_RULE_HDR.pack(
            AF_INET, lengths[Fra.DST], lengths[Fra.SRC], self.tos, table, self.action, self.flags
        )
        ip.rtnl.talk(self.request)


def _is(word: str, *names: str) -> bool:
    return any(matches(word, name) for name in names)


def _add(ip: "Ip", args: Args) -> None:
    if not args:
        raise CommandError('"ip rule add" requires arguments.')
    _Rule(args).send(ip, Rtm.NEWRULE, NlmF.CREATE | NlmF.EXCL)


def _delete(ip: "Ip", args: Args) -> None:
    if not args:
        raise CommandError('"ip rule del" requires arguments.')
    _Rule(args).send(ip, Rtm.DELRULE, 0)


def _rules(ip: "Ip") -> list[Answer]:
    return ip.rtnl.dump(Request(Rtm.GETRULE, FIB_RULE_HDR.pack(AF_INET, 0, 0, 0, 0, 0, 0)))


class _Filter:
    """Which rules are asked for (iproute2: ``filter_nlmsg``): values of attributes, ranges of addresses, and more."""

    def __init__(self, args: Args) -> None:
        self.values: dict[int, bytes] = {}
        self.prefixes: dict[int, tuple[int, int]] = {}
        self.table = self.tos = 0
        self.inverted = False
        self.protocol: int | None = None
        while args:
            self._word(args.take(), args)

    def _word(self, word: str, args: Args) -> None:
        values = self.values
        if _is(word, "preference", "order", "priority"):
            values[Fra.PRIORITY] = nla_encode("u32", number(args.next(), 0xFFFF_FFFF, "preference value is invalid\n"))
        elif word == "not":
            self.inverted = True
        elif word == "tos" or matches(word, "dsfield"):
            self.tos = _tos(args.next())
        elif word == "fwmark":
            mark, mask = _mark(args.next())
            for kind, value in ((Fra.FWMARK, mark), (Fra.FWMASK, mask)):
                if value:
                    values[kind] = nla_encode("u32", value)
        elif word in ("iif", "dev"):
            values[Fra.IIFNAME] = nla_encode("string", _device(args.next(), '"iif"/"dev"'))
        elif word == "oif":
            values[Fra.OIFNAME] = nla_encode("string", _device(args.next(), '"oif"'))
        elif word == "uidrange":
            values[Fra.UID_RANGE] = FIB_RULE_UID_RANGE.pack(*_uids(args.next()))
        elif matches(word, "tun_id"):
            key = number(args.next(), 0xFFFF_FFFF_FFFF_FFFF, '"tun_id" value is invalid\n')
            values[Fra.TUN_ID] = key.to_bytes(8, "big")
        elif matches(word, "lookup") or matches(word, "table"):
            self.table = _table_id(args.next(), "table id value is invalid\n")
        elif matches(word, "from") or matches(word, "src"):
            self.prefixes[Fra.SRC] = prefix(args.next(), "inet")
        elif matches(word, "protocol"):
            name = args.next()
            self.protocol = None if name == "all" else protocol_number(name)
        else:
            self.prefixes[Fra.DST] = prefix(args.next() if matches(word, "dst") or word == "to" else word, "inet")

    def of_protocol(self, tb: dict[int, Nlattr]) -> bool:
        """Return whether a rule was made by who is asked for, which counts where rules are deleted only."""
        return self.protocol is None or Fra.PROTOCOL not in tb or tb[Fra.PROTOCOL].u8 == self.protocol

    def wants(self, header: tuple[int, ...], tb: dict[int, Nlattr]) -> bool:
        """Return whether a rule is among them."""
        for kind, (address, length) in self.prefixes.items():
            own = header[1 if kind == Fra.DST else 2]
            if kind not in tb or own < length or (tb[kind].be32 ^ address) >> 32 - length:
                return False
        return (
            (not self.inverted or header[6] & FIB_RULE_INVERT != 0)
            and self.tos in (0, header[3])
            and self.table in (0, _table(header, tb))
            and all(kind in tb and tb[kind].data == value for kind, value in self.values.items())
        )


def _flush(ip: "Ip", args: Args) -> None:
    """Delete the rules that are asked for, but the one of priority 0."""
    wanted = _Filter(args)
    for answer in _rules(ip):
        tb = answer.attrs(FIB_RULE_HDR)
        header = answer.header(FIB_RULE_HDR)
        if Fra.PRIORITY not in tb or not wanted.wants(header, tb) or not wanted.of_protocol(tb):
            continue
        request = Request(Rtm.DELRULE, FIB_RULE_HDR.pack(*header))
        for kind, attr in tb.items():
            request.put(kind, attr.data, "binary")
        ip.rtnl.talk(request)


def _show(ip: "Ip", args: Args) -> None:
    """Do ``ip rule show``."""
    wanted = _Filter(args)
    for answer in _rules(ip):
        header, tb = answer.header(FIB_RULE_HDR), answer.attrs(FIB_RULE_HDR)
        if wanted.wants(header, tb):
            _print_rule(ip, header, tb)


def _u32(tb: dict[int, Nlattr], kind: int) -> int:
    return tb[kind].u32 if kind in tb else 0


def _table(header: tuple[int, ...], tb: dict[int, Nlattr]) -> int:
    return _u32(tb, Fra.TABLE) or header[4]


def _print_prefix(ip: "Ip", word: str, key: str, length: int, attr: Nlattr | None) -> None:
    out = ip.out
    if not length:
        return
    text = ipv4_to_text(attr.be32) if attr is not None else "0"
    out.json(key, text)
    if length != 32:
        out.json(f"{key}len", length)
        text += f"/{length}"
    out.text(f"{word} {text}")


def _print_rule(ip: "Ip", header: tuple[int, ...], tb: dict[int, Nlattr]) -> None:
    out = ip.out
    _, dst_len, src_len, tos, _, action, flags = header
    priority = _u32(tb, Fra.PRIORITY)
    out.open(None, {})
    out.any("priority", f"{priority}:\t", priority)
    if flags & FIB_RULE_INVERT:
        out.any("not", "not ", None)
    if src_len:
        _print_prefix(ip, "from", "src", src_len, tb.get(Fra.SRC))
    else:
        out.any("src", "from all", "all")
    _print_prefix(ip, " to", "dst", dst_len, tb.get(Fra.DST))
    if tos:
        out.any("tos", f" tos {tos:#04x}", f"{tos:#04x}")
    _print_mark(ip, tb)
    for kind, word, detached in (
        (Fra.IIFNAME, "iif", FIB_RULE_IIF_DETACHED),
        (Fra.OIFNAME, "oif", FIB_RULE_OIF_DETACHED),
    ):
        if kind in tb:
            out.any(word, f" {word} {tb[kind].text}", tb[kind].text)
            if flags & detached:
                out.any(f"{word}_detached", " [detached]", None)
    if Fra.UID_RANGE in tb:
        first, last = FIB_RULE_UID_RANGE.unpack_from(tb[Fra.UID_RANGE].data)
        out.any("uid_start", f" uidrange {first}", first)
        out.any("uid_end", f"-{last}", last)
    if Fra.IP_PROTO in tb:
        name = ip_proto_name(tb[Fra.IP_PROTO].u8)
        out.any("ipproto", f" ipproto {name}", name)
    for kind, word in ((Fra.SPORT_RANGE, "sport"), (Fra.DPORT_RANGE, "dport")):
        if kind in tb:
            _print_ports(ip, word, *FIB_RULE_PORT_RANGE.unpack_from(tb[kind].data))
    if Fra.TUN_ID in tb:
        key = int.from_bytes(tb[Fra.TUN_ID].data, "big")
        out.any("tun_id", f" tun_id {key}", key)
    _print_table(ip, _table(header, tb), tb)
    _print_action(ip, action, flags, _u32(tb, Fra.GOTO))
    if Fra.PROTOCOL in tb and (tb[Fra.PROTOCOL].u8 not in (0, _KERNEL) or ip.details):
        name = protocol_name(tb[Fra.PROTOCOL].u8)
        out.any("protocol", f" proto {name}", name)
    out.text("\n")
    out.close()


def _print_mark(ip: "Ip", tb: dict[int, Nlattr]) -> None:
    out = ip.out
    if Fra.FWMARK not in tb and Fra.FWMASK not in tb:
        return
    # As C writes them, where 0 has no prefix.
    mark, mask = (f"{value:#x}" if value else "0" for value in (_u32(tb, Fra.FWMARK), _u32(tb, Fra.FWMASK)))
    out.any("fwmark", f" fwmark {mark}", mark)
    if Fra.FWMASK in tb and _u32(tb, Fra.FWMASK) != 0xFFFF_FFFF:
        out.any("fwmask", f"/{mask}", mask)


def _print_ports(ip: "Ip", word: str, low: int, high: int) -> None:
    if low == high:
        ip.out.any(word, f" {word} {low}", low)
    else:
        ip.out.any(f"{word}_start", f" {word} {low}", low)
        ip.out.any(f"{word}_end", f"-{high}", high)


def _print_table(ip: "Ip", table: int, tb: dict[int, Nlattr]) -> None:
    """Print a rule's table, and the routes in it that do not count."""
    if not table:
        return
    out = ip.out
    out.any("table", f" lookup {table_name(table)}", table_name(table))
    length = tb[Fra.SUPPRESS_PREFIXLEN].s32 if Fra.SUPPRESS_PREFIXLEN in tb else -1
    if length != -1:
        out.any("suppress_prefixlen", f" suppress_prefixlength {length}", length)
    group = tb[Fra.SUPPRESS_IFGROUP].s32 if Fra.SUPPRESS_IFGROUP in tb else -1
    if group != -1:
        name = _GROUPS.get(group, str(group))
        out.any("suppress_ifgroup", f" suppress_ifgroup {name}", name)


def _print_action(ip: "Ip", action: int, flags: int, target: int) -> None:
    out = ip.out
    if action == FrAct.GOTO:
        out.any("goto", f" goto {target}" if target else " goto none", target or None)
        if flags & FIB_RULE_UNRESOLVED:
            out.any("unresolved", " [unresolved]", None)
    elif action == FrAct.NOP:
        out.any("nop", " nop", None)
    elif action != FrAct.TO_TBL:
        name = type_name(action)
        out.any("action", f" {name}", name)


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "list": _show,
    "lst": _show,
    "add": _add,
    "delete": _delete,
    "flush": _flush,
}

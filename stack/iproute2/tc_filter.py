"""``tc filter``: by mark and by the packet's octets (iproute2: tc/tc_filter.c, f_fw.c, f_u32.c; tc-u32(8))."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ..ethernet.eth import ETH_P_ARP, ETH_P_IP
from ..netlink.rtnetlink import TCMSG, Rtm, Tca
from ..netlink.uapi import NlmF
from ..sched.cls_filter import KINDS
from ..sched.cls_u32 import TC_U32_TERMINAL, U32Key, U32Sel
from ..sched.tc_options import decode_options, encode_options
from ..uapi import AF_UNSPEC
from .args import Args, CommandError, dispatch, prefix
from .libnetlink import Answer, Request
from .tc_units import get_handle, get_whole, handle_text

if TYPE_CHECKING:
    from .json_print import Printer
    from .tc import Tc

__all__ = ["do_filter"]

_PROTOCOLS = {"all": 0x0003, "ip": ETH_P_IP, "arp": ETH_P_ARP, "ipv6": 0x86DD, "802.1Q": 0x8100}
# Fields of the IPv4 header: offset of the word, how far its lowest bit is from the word's, and its greatest value.
_IP_FIELDS = {
    "tos": (0, 16, 0xFF),
    "dsfield": (0, 16, 0xFF),
    "precedence": (0, 16, 0xFF),
    "ihl": (0, 24, 0xFF),
    "protocol": (8, 16, 0xFF),
    "sport": (20, 16, 0xFFFF),
    "dport": (20, 0, 0xFFFF),
    "icmp_type": (20, 24, 0xFF),
    "icmp_code": (20, 16, 0xFF),
}
_FRAGMENTS = {"nofrag": (0, 0x3FFF), "firstfrag": (0, 0x1FFF), "df": (0x4000, 0x4000), "mf": (0x2000, 0x2000)}
_WIDTHS = {"u32": 4, "u16": 2, "u8": 1}


def do_filter(tc: "Tc", args: Args) -> None:
    """Do ``tc filter ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(tc, args, _COMMANDS, "tc filter")


class _Where:
    """Device, qdisc, protocol, preference and handle (those of ``u32`` are written in their own way)."""

    def __init__(self, tc: "Tc", args: Args) -> None:
        self.dev: int | None = None
        self.parent = self.prio = self.protocol = 0
        self.handle: str | None = None
        self.kind: str | None = None
        while args:
            if args.taken("dev"):
                self.dev = tc.rtnl.index(args.next())
            elif args.taken("root"):
                self.parent = 0
            elif args.taken("parent"):
                self.parent = get_handle(args.next())
            elif args.taken("preference", "pref", "prio", "priority"):
                self.prio = get_whole("filter", "priority", args.next(), 0xFFFF)
            elif args.taken("protocol", "proto"):
                self.protocol = _protocol(args.next())
            elif args.taken("handle"):
                self.handle = args.next()
            else:
                self.kind = args.take()
                break
        if self.dev is None:
            raise CommandError('Error: argument "dev" is required')

    def header(self, handle: int) -> bytes:
        """Return the fixed part of a message."""
        swapped = (self.protocol & 0xFF) << 8 | self.protocol >> 8
        return TCMSG.pack(AF_UNSPEC, self.dev, handle, self.parent, self.prio << 16 | swapped)


def _protocol(word: str) -> int:
    if word in _PROTOCOLS:
        return _PROTOCOLS[word]
    try:
        return int(word, 16)
    except ValueError:
        raise CommandError(f'Error: argument "{word}" is wrong: invalid protocol') from None


def _modify(tc: "Tc", args: Args, kind: int, flags: int) -> None:
    """Make, change or delete a filter."""
    where = _Where(tc, args)
    if flags & NlmF.CREATE and not where.protocol:
        where.protocol = _PROTOCOLS["all"]
    options: dict[str, Any] = {}
    handle = 0
    if where.kind in ("u32", "fw"):
        parse = _parse_u32 if where.kind == "u32" else _parse_fw
        options = parse(args)
        handle = _handle(where)
    elif where.kind is not None:
        raise CommandError(f'Unknown filter "{where.kind}", hence option "{args.word if args else ""}" is unparsable')
    request = Request(kind, where.header(handle), flags)
    if where.kind is not None:
        request.put(Tca.KIND, where.kind, "string")
        ops = KINDS.get(where.kind)
        assert ops is not None
        if options:
            request.put(Tca.OPTIONS, encode_options(None, ops.policy, options), "binary")
    tc.rtnl.talk(request)


def _handle(where: _Where) -> int:
    if where.handle is None:
        return 0
    if where.kind == "fw":
        return get_whole("fw", "handle", where.handle.split("/")[0])
    return _u32_handle(where.handle)


def _u32_handle(word: str) -> int:
    """Return the number of ``HT:BUCKET:NODE``, each hexadecimal."""
    parts = word.split(":")
    try:
        numbers = [int(part or "0", 16) for part in parts]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 3 or numbers[0] > 0xFFF:
        raise CommandError(f'Illegal filter ID "{word}"')
    bucket, node = (numbers[1], numbers[2]) if len(numbers) == 3 else (0, numbers[1])
    if bucket > 0xFF or node > 0xFFF:
        raise CommandError(f'Illegal filter ID "{word}"')
    return numbers[0] << 20 | bucket << 12 | node


def _parse_fw(args: Args) -> dict[str, Any]:
    options: dict[str, Any] = {}
    while args:
        if args.taken("classid", "flowid"):
            options["classid"] = get_handle(args.next())
        elif args.taken("mask"):
            options["mask"] = get_whole("fw", "mask", args.next())
        else:
            raise CommandError(f'What is "{args.word}"?')
    return options


class _Selector:
    """A selector under construction (iproute2: ``struct tc_u32_sel``)."""

    def __init__(self) -> None:
        self.keys: list[U32Key] = []
        self.hoff = self.hmask = 0

    def add(self, value: int, mask: int, off: int, offmask: int = 0) -> None:
        """Add bits of a word to compare; those of one word go together."""
        value &= mask
        for at, key in enumerate(self.keys):
            if key.off == off and key.offmask == offmask:
                if (value ^ key.val) & mask & key.mask:
                    raise CommandError('Illegal "match"')
                self.keys[at] = U32Key(key.mask | mask, key.val | value, off, offmask)
                return
        self.keys.append(U32Key(mask, value, off, offmask))


def _parse_u32(args: Args) -> dict[str, Any]:
    options: dict[str, Any] = {}
    sel = _Selector()
    while args:
        if args.taken("match"):
            _parse_match(args, sel, options)
        elif args.taken("classid", "flowid"):
            options["classid"] = get_handle(args.next())
        elif args.taken("divisor"):
            options["divisor"] = get_whole("u32", "divisor", args.next(), 0x100)
        elif args.taken("link"):
            options["link"] = _u32_handle(args.next())
        elif args.taken("ht"):
            options["hash"] = _u32_handle(args.next())
        elif args.taken("hashkey"):
            if not args.taken("mask"):
                raise CommandError('Illegal "hashkey"')
            sel.hmask = _hexadecimal(args.next())
            if not args.taken("at"):
                raise CommandError('Illegal "hashkey"')
            sel.hoff = get_whole("u32", "hashkey", args.next(), 0x7FFF)
        else:
            raise CommandError(f'What is "{args.word}"?')
    if "divisor" not in options:
        flags = TC_U32_TERMINAL if "classid" in options else 0
        options["sel"] = U32Sel(tuple(sel.keys), flags, hoff=sel.hoff, hmask=sel.hmask)
    return options


def _hexadecimal(word: str) -> int:
    try:
        return int(word, 16)
    except ValueError:
        raise CommandError(f'Illegal "mask": "{word}"') from None


def _parse_match(args: Args, sel: _Selector, options: dict[str, Any]) -> None:
    word = args.next()
    if word == "ip":
        _parse_ip(args, sel)
    elif word in ("udp", "tcp"):
        field = args.next()
        if field not in ("src", "dst"):
            raise CommandError('Illegal "match"')
        value, mask = _value_mask(args, 0xFFFF)
        shift = 16 if field == "src" else 0
        sel.add(value << shift, mask << shift, 0, 0xFFFF_FFFF)
    elif word == "mark":
        options["mark"] = _value_mask(args, 0xFFFF_FFFF)
    elif word in _WIDTHS:
        width = _WIDTHS[word]
        value, mask = _value_mask(args, (1 << 8 * width) - 1, base=16)
        off, offmask = _at(args)
        shift = 8 * (4 - width - off % 4)
        if shift < 0:
            raise CommandError('Illegal "match"')
        sel.add(value << shift, mask << shift, off - off % 4, offmask)
    else:
        raise CommandError('Illegal "match"')


def _value_mask(args: Args, most: int, base: int = 0) -> tuple[int, int]:
    words = args.next(), args.next()
    try:
        value, mask = int(words[0], 0 if base == 0 or words[0].startswith("0x") else 10), int(words[1], 16)
    except ValueError:
        raise CommandError('Illegal "match"') from None
    if not (0 <= value <= most and 0 <= mask <= most):
        raise CommandError('Illegal "match"')
    return value, mask


def _at(args: Args) -> tuple[int, int]:
    """Return the offset of ``at [nexthdr+]N``, and whether it counts from the next header."""
    if not args.taken("at"):
        raise CommandError('Illegal "match"')
    word = args.next()
    offmask = 0xFFFF_FFFF if word.startswith("nexthdr+") else 0
    try:
        return int(word.removeprefix("nexthdr+"), 0), offmask
    except ValueError:
        raise CommandError('Illegal "match"') from None


def _parse_ip(args: Args, sel: _Selector) -> None:
    field = args.next()
    if field in ("src", "dst"):
        address, length = prefix(args.next())
        mask = 0xFFFF_FFFF << 32 - length & 0xFFFF_FFFF
        sel.add(address, mask, 12 if field == "src" else 16)
    elif field in _IP_FIELDS:
        off, shift, most = _IP_FIELDS[field]
        value, mask = _value_mask(args, most)
        sel.add(value << shift, mask << shift, off)
    elif field in _FRAGMENTS:
        sel.add(*_FRAGMENTS[field], 4)
    else:
        raise CommandError('Illegal "match"')


def _show(tc: "Tc", args: Args) -> None:
    """Do ``tc filter show``."""
    where = _Where(tc, args)
    for answer in tc.rtnl.dump(Request(Rtm.GETTFILTER, where.header(0))):
        info = answer.header(TCMSG)[4]
        protocol = (info & 0xFF) << 8 | info >> 8 & 0xFF
        if (where.prio and info >> 16 != where.prio) or (where.protocol and protocol != where.protocol):
            continue
        _print_filter(tc, answer, protocol, named_parent=not where.parent)


def _print_filter(tc: "Tc", answer: Answer, protocol: int, *, named_parent: bool) -> None:
    out = tc.out
    _, _, handle, parent, info = answer.header(TCMSG)
    tb = answer.attrs(TCMSG)
    kind = tb[Tca.KIND].text
    out.open(None, {})
    out.text("filter ")
    if named_parent:
        out.any("parent", f"parent {handle_text(parent)} ", handle_text(parent))
    name = next((name for name, number in _PROTOCOLS.items() if number == protocol), f"[{protocol}]")
    out.any("protocol", f"protocol {name} ", name)
    out.any("pref", f"pref {info >> 16} ", info >> 16)
    out.any("kind", f"{kind} ", kind)
    if Tca.CHAIN in tb:
        out.any("chain", f"chain {tb[Tca.CHAIN].u32} ", tb[Tca.CHAIN].u32)
    ops = KINDS.get(kind)
    if Tca.OPTIONS in tb and ops is not None:
        out.open("options", {})
        options = decode_options(None, ops.policy, tb[Tca.OPTIONS].data)
        if kind == "u32":
            _print_u32(out, handle, options)
        else:
            _print_fw(out, handle, options)
        out.close()
    out.text("\n")
    out.close()


def _print_fw(out: "Printer", handle: int, options: dict[str, Any]) -> None:
    mask = f"/{options['mask']:#x}" if "mask" in options else ""
    out.any("handle", f"handle {handle:#x}{mask} ", f"{handle:#x}{mask}")
    if "classid" in options:
        out.any("classid", f"classid {handle_text(options['classid'])} ", handle_text(options["classid"]))


def _handle_text(handle: int) -> str:
    bucket, node = handle >> 12 & 0xFF, handle & 0xFFF
    text = f"{handle >> 20:x}:"
    if bucket or node:
        text += f"{bucket:x}" if bucket else ""
        text += f":{node:x}" if node else ""
    return text


def _print_u32(out: "Printer", handle: int, options: dict[str, Any]) -> None:
    out.any("fh", f"fh {_handle_text(handle)} ", _handle_text(handle))
    if "divisor" in options:
        out.any("ht_divisor", f"ht divisor {options['divisor']} ", options["divisor"])
        return
    out.any("order", f"order {handle & 0xFFF} ", handle & 0xFFF)
    if "hash" in options:
        table, bucket = options["hash"] >> 20, options["hash"] >> 12 & 0xFF
        out.any("key_ht", f"key ht {table:x} ", f"{table:x}")
        out.any("bkt", f"bkt {bucket:x} ", f"{bucket:x}")
    sel: U32Sel = options.get("sel", U32Sel())
    if "classid" in options:
        text = handle_text(options["classid"])
        star = "" if sel.flags & TC_U32_TERMINAL else "??? "
        out.any("flowid", f"{star}*flowid {text} ", text)
    if "link" in options:
        out.any("link", f"link {_handle_text(options['link'])} ", _handle_text(options["link"]))
    out.any("not_in_hw", "not_in_hw ", True)
    out.open("match", [])
    for key in sel.keys:
        nexthdr = "nexthdr+" if key.offmask else ""
        out.text(f"\n  match {key.val:08x}/{key.mask:08x} at {nexthdr}{key.off}")
        out.json(None, {"value": f"{key.val:x}", "mask": f"{key.mask:x}", "offmask": nexthdr, "off": key.off})
    out.close()


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "add": partial(_modify, kind=Rtm.NEWTFILTER, flags=NlmF.CREATE | NlmF.EXCL),
    "change": partial(_modify, kind=Rtm.NEWTFILTER, flags=0),
    "replace": partial(_modify, kind=Rtm.NEWTFILTER, flags=NlmF.CREATE),
    "delete": partial(_modify, kind=Rtm.DELTFILTER, flags=0),
    "list": _show,
    "lst": _show,
}

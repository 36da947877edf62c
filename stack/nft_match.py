"""Matches of nft(8): what is looked at, and what it is compared with, as expressions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .netfilter.nf_tables_core import NftExpr
from .netfilter.nft_bitwise import NftBitwise
from .netfilter.nft_cmp import NftCmp
from .netfilter.nft_ct import NftCt
from .netfilter.nft_lookup import NftLookup
from .netfilter.nft_meta import NftMeta
from .netfilter.nft_payload import NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER, NftPayload
from .netfilter.nft_range import NftRange
from .nft_datatype import (
    ADDRESS,
    CT_DIRECTION,
    CT_STATE,
    CT_STATUS,
    DSCP,
    ECN,
    ICMP_CODE,
    ICMP_TYPE,
    IFNAME,
    MARK,
    NUMBER4,
    NUMBER8,
    NUMBER16,
    NUMBER32,
    PKTTYPE,
    PORT,
    PROTOCOL,
    DataType,
)
from .uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP

if TYPE_CHECKING:
    from .core.net import Net
    from .nft_scanner import Scanner

__all__ = ["CT_KEYS", "HEADERS", "META_KEYS", "Key", "Match", "parse_match", "parse_values"]

_OP_WORDS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_OPS = _OP_WORDS | {op: op for op in _OP_WORDS.values()}
Interval = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """Something of a packet that can be compared.

    Members
    -------
    name : str
        As nft writes it.
    load : tuple[NftExpr, ...]
        Expressions that load it.
    protocol : int
        The transport protocol that a packet must have for it; 0: any.
    """

    name: str
    type: DataType
    load: tuple[NftExpr, ...]
    protocol: int = 0


def _field(name: str, type: DataType, offset: int, octets: int, mask: int = 0, protocol: int = -1) -> Key:
    base = NFT_PAYLOAD_NETWORK_HEADER if protocol < 0 else NFT_PAYLOAD_TRANSPORT_HEADER
    load: tuple[NftExpr, ...] = (NftPayload(base, offset, octets),)
    if mask:
        load += (NftBitwise(mask, shift=(mask & -mask).bit_length() - 1),)
    return Key(name, type, load, max(protocol, 0))


def _ports(header: str, protocol: int) -> dict[str, Key]:
    return {
        "sport": _field(f"{header} sport", PORT, 0, 2, protocol=protocol),
        "dport": _field(f"{header} dport", PORT, 2, 2, protocol=protocol),
    }


HEADERS: dict[str, dict[str, Key]] = {
    "ip": {
        "version": _field("ip version", NUMBER4, 0, 1, 0xF0),
        "hdrlength": _field("ip hdrlength", NUMBER4, 0, 1, 0x0F),
        "dscp": _field("ip dscp", DSCP, 1, 1, 0xFC),
        "ecn": _field("ip ecn", ECN, 1, 1, 0x03),
        "length": _field("ip length", NUMBER16, 2, 2),
        "id": _field("ip id", NUMBER16, 4, 2),
        "frag-off": _field("ip frag-off", NUMBER16, 6, 2),
        "ttl": _field("ip ttl", NUMBER8, 8, 1),
        "protocol": _field("ip protocol", PROTOCOL, 9, 1),
        "checksum": _field("ip checksum", NUMBER16, 10, 2),
        "saddr": _field("ip saddr", ADDRESS, 12, 4),
        "daddr": _field("ip daddr", ADDRESS, 16, 4),
    },
    "udp": _ports("udp", IPPROTO_UDP)
    | {
        "length": _field("udp length", NUMBER16, 4, 2, protocol=IPPROTO_UDP),
        "checksum": _field("udp checksum", NUMBER16, 6, 2, protocol=IPPROTO_UDP),
    },
    "tcp": _ports("tcp", IPPROTO_TCP),
    "th": _ports("th", 0),
    "icmp": {
        "type": _field("icmp type", ICMP_TYPE, 0, 1, protocol=IPPROTO_ICMP),
        "code": _field("icmp code", ICMP_CODE, 1, 1, protocol=IPPROTO_ICMP),
    },
}
META_KEYS = {
    "mark": Key("meta mark", MARK, (NftMeta("mark"),)),
    "iif": Key("iif", IFNAME, (NftMeta("iif"),)),
    "oif": Key("oif", IFNAME, (NftMeta("oif"),)),
    "iifname": Key("iifname", IFNAME, (NftMeta("iifname"),)),
    "oifname": Key("oifname", IFNAME, (NftMeta("oifname"),)),
    "l4proto": Key("meta l4proto", PROTOCOL, (NftMeta("l4proto"),)),
    "length": Key("meta length", NUMBER32, (NftMeta("length"),)),
    "pkttype": Key("meta pkttype", PKTTYPE, (NftMeta("pkttype"),)),
}
CT_KEYS = {
    "state": Key("ct state", CT_STATE, (NftCt("state"),)),
    "status": Key("ct status", CT_STATUS, (NftCt("status"),)),
    "mark": Key("ct mark", MARK, (NftCt("mark"),)),
    "direction": Key("ct direction", CT_DIRECTION, (NftCt("direction"),)),
}


@dataclass(slots=True)
class Match:
    """A match: expressions, how it reads, and the transport protocols that it leaves."""

    exprs: list[NftExpr]
    text: str
    protocols: frozenset[int] | None = None


def _value(scanner: "Scanner", type: DataType) -> Interval:
    """Take a value, a prefix or a range, and return its first and its last number."""
    token = scanner.name()
    text = token.text
    if type.interface:
        if len(text) > 16 or not text.isascii():
            scanner.fail("String exceeds maximum length of 16", token)
        if text in ("", "*"):
            scanner.fail("All-wildcard strings are not supported", token)
    if type.flags:
        return _flags(scanner, type, token)
    try:
        if type.address and "/" in text and "-" not in text:
            return _prefix(text)
        value = type.parse(text)
    except ValueError as error:
        interval = _range(text, type)
        if interval is None:
            scanner.fail(str(error), token)
    else:
        if not scanner.accept("-"):
            return value, value
        other = scanner.word()
        interval = _range(f"{text}-{other.text}", type)
        if interval is None:
            scanner.fail(f"{other.text!r} ends no range", other)
    if interval[0] > interval[1]:
        scanner.fail("Range has zero or negative size", token)
    return interval


def _flags(scanner: "Scanner", type: DataType, token: Any) -> Interval:
    value = 0
    while True:
        try:
            value |= type.parse(token.text)
        except ValueError as error:
            scanner.fail(str(error), token)
        if not scanner.accept(","):
            return value, value
        token = scanner.word()


def _prefix(text: str) -> Interval:
    address, _, digits = text.partition("/")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text!r} has no prefix length")
    length = int(digits)
    if length > 32:
        raise ValueError(f"Prefix length {length} is invalid for type of 32 bits width")
    rest = (1 << 32 - length) - 1
    first = ADDRESS.parse(address) & ~rest
    return first, first | rest


def _range(text: str, type: DataType) -> Interval | None:
    """Return the ends of a range; names may have hyphens, too."""
    parts = text.split("-")
    for at in range(1, len(parts)):
        try:
            return type.parse("-".join(parts[:at])), type.parse("-".join(parts[at:]))
        except ValueError:
            continue
    return None


def _show(interval: Interval, type: DataType, *, prefix: bool) -> str:
    low, high = interval
    if low == high:
        return type.format(low)
    size = high - low + 1
    if type.address and prefix and not size & size - 1 and not low & size - 1:
        return f"{type.format(low)}/{33 - size.bit_length()}"
    return f"{type.format(low)}-{type.format(high)}"


def _set(scanner: "Scanner", type: DataType) -> tuple[list[Interval], bool]:
    """Take what follows an opening brace; return the intervals in order, and whether there is more than one value."""
    elements: list[Interval] = []
    while True:
        token = scanner.token
        elements.append(_element(scanner, type))
        if type.interface and elements[-1][0].endswith(b"*"):
            scanner.fail("wildcards in sets are not supported", token)
        if not scanner.accept(","):
            break
        if scanner.peek("}"):
            break
    scanner.expect("}")
    single = len(elements) == 1
    ordered = sorted(set(elements), key=lambda element: type.sort_key(element[0]))
    if all(low == high for low, high in ordered):
        return ordered, single
    merged = [ordered[0]]
    for low, high in ordered[1:]:
        if low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return merged, single


def _element(scanner: "Scanner", type: DataType) -> Interval:
    if not type.flags:
        return _value(scanner, type)
    token = scanner.word()
    try:
        value = type.parse(token.text)
    except ValueError as error:
        scanner.fail(str(error), token)
    return value, value


def parse_values(scanner: "Scanner", type: DataType) -> tuple[list[Interval], str]:
    """Take a value, a range or a set; return its intervals, and how it reads."""
    if not scanner.accept("{"):
        word = scanner.token.text
        low, high = _value(scanner, type)
        if low == high and "-" in word and word not in type.names and not type.interface:
            return [(low, high)], f"{type.format(low)}-{type.format(high)}"
        return [(low, high)], _show((low, high), type, prefix="/" in word)
    intervals, single = _set(scanner, type)
    text = ", ".join(_show(interval, type, prefix=True) for interval in intervals)
    return intervals, text if single else f"{{ {text} }}"


def parse_match(scanner: "Scanner", key: Key, net: "Net") -> Match:
    """Take the rest of a match; devices that are compared by number are looked for in the namespace."""
    exprs = list(key.load)
    type = key.type
    masked = ""
    if scanner.accept("&", "and"):
        mask = _number(scanner, type)
        exprs.append(NftBitwise(mask))
        masked = f" & {type.format(mask)}"
    token = scanner.accept(*_OPS)
    op = _OPS[token.text] if token is not None else "=="
    if type.flags and scanner.accept("!"):
        op = "!"
    shown = f" {op} " if op != "==" or masked else " "
    braces = scanner.peek("{")
    intervals, text = parse_values(scanner, type)
    if (braces or intervals[0][0] != intervals[0][1]) and op not in ("==", "!="):
        scanner.fail("only == and != compare with ranges and sets")
    text = f"{key.name}{masked}{shown}{text}"
    if key.name in ("iif", "oif"):
        intervals = [(index, index) for index in (_ifindex(scanner, net, name) for name, _ in intervals)]
    exprs += _compare(type, op, intervals, braces=text.endswith("}"))
    protocols = None
    if key.name in ("ip protocol", "meta l4proto") and op == "==" and not masked:
        protocols = frozenset(number for low, high in intervals for number in range(low, high + 1))
    return Match(exprs, text, protocols)


def _ifindex(scanner: "Scanner", net: "Net", name: bytes) -> int:
    dev = net.dev_by_name.get(name.decode())
    if dev is None:
        scanner.fail("Interface does not exist")
    return dev.ifindex


def _number(scanner: "Scanner", type: DataType) -> int:
    """Take a mask; several may stand in parentheses."""
    if scanner.accept("("):
        mask = _number(scanner, type)
        while scanner.accept("|"):
            mask |= _number(scanner, type)
        scanner.expect(")")
        return mask
    token = scanner.token
    low, high = _value(scanner, type)
    if low != high or not isinstance(low, int):
        scanner.fail("a mask is one number", token)
    return low


def _compare(type: DataType, op: str, intervals: list[Interval], *, braces: bool) -> list[NftExpr]:
    invert = op == "!="
    low, high = intervals[0]
    if braces:
        return [NftLookup(intervals, invert=invert)]
    if low != high:
        return [NftRange(low, high, invert=invert)]
    if type.flags and op in ("==", "!"):
        return [NftBitwise(low), NftCmp("!=" if op == "==" else "==", 0)]
    if isinstance(low, bytes) and low.endswith(b"*"):
        return [NftCmp(op, low[:-1], len(low) - 1)]
    return [NftCmp(op, low)]

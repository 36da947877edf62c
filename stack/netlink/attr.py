"""Attributes of messages, and checking them (Linux: lib/nlattr.c, include/net/netlink.h)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from errno import EINVAL, EMSGSIZE, ERANGE
from struct import Struct
from sys import byteorder

from ..core.skbuff import SkBuff, skb_put, skb_tailroom, skb_trim
from .message import Nlmsghdr, nlmsg_align
from .uapi import NLA_F_NESTED, NLA_HDRLEN, NLA_TYPE_MASK, NLMSG_HDRLEN

__all__ = [
    "NetlinkError",
    "NlaPolicy",
    "Nlattr",
    "nla_encode",
    "nla_iter",
    "nla_nest_cancel",
    "nla_nest_end",
    "nla_nest_start",
    "nla_parse",
    "nla_parse_nested",
    "nla_put",
    "nla_put_s32",
    "nla_put_string",
    "nla_put_u8",
    "nla_put_u16",
    "nla_put_u32",
    "nla_total_size",
    "nlattr",
    "nlmsg_parse",
]

_HEADER = Struct("=HH")


class NetlinkError(OSError):
    """An error of a request, with the attribute that it is about (Linux: ``NL_SET_ERR_MSG_ATTR``).

    Members
    -------
    offset : int or None
        Where the attribute starts in the message.
    """

    def __init__(self, errno: int, text: str, attr: "Nlattr | None" = None) -> None:
        super().__init__(errno, text)
        self.offset = attr.offset if attr is not None else None


@dataclass(frozen=True, slots=True)
class Nlattr:
    """An attribute that was received (Linux: ``struct nlattr``)."""

    type: int  # Without its flags.
    data: bytes
    offset: int = 0  # Where it starts in the message.
    nested: bool = False  # It says that it holds others.

    @property
    def number(self) -> int:
        """Its value as a number without a sign, in the host's order."""
        return int.from_bytes(self.data, byteorder)

    @property
    def u32(self) -> int:
        """The number in its first four octets."""
        return int.from_bytes(self.data[:4], byteorder)

    @property
    def s32(self) -> int:
        """The same with a sign."""
        return int.from_bytes(self.data[:4], byteorder, signed=True)

    @property
    def u8(self) -> int:
        """Its first octet."""
        return self.data[0]

    @property
    def u16(self) -> int:
        """The number in its first two octets."""
        return int.from_bytes(self.data[:2], byteorder)

    @property
    def be32(self) -> int:
        """The number in its first four octets in network order: an IPv4 address."""
        return int.from_bytes(self.data[:4], "big")

    @property
    def text(self) -> str:
        """Its value as a text, up to the first zero octet."""
        return self.data.split(b"\0")[0].decode("utf-8", "surrogateescape")


_MIN_LEN = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s32": 4, "be16": 2, "be32": 4, "mac": 6}


@dataclass(frozen=True, slots=True)
class NlaPolicy:
    """What an attribute must look like (Linux: ``struct nla_policy``).

    Parameters
    ----------
    type : str
        ``"u8"``, ``"u16"``, ``"u32"``, ``"u64"``, ``"s32"``, ``"be16"``, ``"be32"``, ``"mac"``, ``"flag"``,
        ``"string"``, ``"nul_string"``, ``"binary"``, ``"nested"``, ``"reject"`` or ``"unspec"``.
    len : int
        Longest value of a string or of ``"binary"``, shortest one of ``"unspec"``; 0: any.
    nested : Mapping[int, NlaPolicy] or None
        Policy of the attributes inside, if they are to be checked.
    min, max : int or None
        Bounds of a number.
    """

    type: str
    len: int = 0
    nested: "Mapping[int, NlaPolicy] | None" = None
    min: int | None = None
    max: int | None = None


def nla_iter(octets: bytes, start: int = 0) -> Iterator[Nlattr]:
    """Yield the attributes that octets of a message hold from ``start`` on, up to the first that cannot be."""
    at = start
    while len(octets) - at >= NLA_HDRLEN:
        length, kind = _HEADER.unpack_from(octets, at)
        if not NLA_HDRLEN <= length <= len(octets) - at:
            return
        yield Nlattr(kind & NLA_TYPE_MASK, octets[at + NLA_HDRLEN : at + length], at, kind & NLA_F_NESTED != 0)
        at += nlmsg_align(length)


def validate_nla(attr: Nlattr, policy: NlaPolicy, strict: bool) -> None:
    """Check an attribute; ``strict``: its length and its flag, too.

    Raises
    ------
    NetlinkError
        ``EINVAL``, ``ERANGE``.
    """
    kind = policy.type
    length = len(attr.data)
    least = _MIN_LEN.get(kind)
    if strict and least is not None and length != least:
        raise NetlinkError(EINVAL, "invalid attribute length", attr)
    if strict and kind != "unspec" and (kind == "nested") != attr.nested:
        fault = "NLA_F_NESTED is missing" if kind == "nested" else "NLA_F_NESTED not expected"
        raise NetlinkError(EINVAL, fault, attr)
    if kind == "reject":
        raise NetlinkError(EINVAL, "Attribute was rejected by its policy", attr)
    if kind == "nul_string":
        if b"\0" not in attr.data[: policy.len + 1 if policy.len else None]:
            raise NetlinkError(EINVAL, "Attribute failed policy validation", attr)
        kind = "string"
    if kind == "string":
        text = attr.data[:-1] if attr.data[-1:] == b"\0" else attr.data
        bad = length < 1 or 0 < policy.len < len(text)
    elif kind == "flag":
        bad = length > 0
    elif kind == "binary":
        bad = 0 < policy.len < length
    elif kind == "nested":
        bad = 0 < length < NLA_HDRLEN
    elif kind == "unspec":
        bad = length < policy.len
    else:
        bad = length < (least or 0)
    if bad:
        raise NetlinkError(ERANGE, "Attribute failed policy validation", attr)
    if kind == "nested" and policy.nested is not None:
        nla_parse_nested(attr, policy.nested, strict=strict)
    if policy.min is not None or policy.max is not None:
        value = attr.s32 if kind == "s32" else attr.number
        if not (policy.min or 0) <= value <= (value if policy.max is None else policy.max):
            raise NetlinkError(ERANGE, "integer out of range", attr)


def nla_parse(
    octets: bytes, start: int, policy: Mapping[int, NlaPolicy], maxtype: int, *, strict: bool = False, offset: int = 0
) -> dict[int, Nlattr]:
    """Return the attributes that octets hold from ``start`` on, the last one of each type.

    Parameters
    ----------
    octets : bytes
        The octets.
    start : int
        Where the first attribute is.
    policy : Mapping[int, NlaPolicy]
        What they must look like; those that it does not name may be anything.
    maxtype : int
        The highest type that is known; higher ones are left out.
    strict : bool
        Refuse what is unknown, or left over at the end.
    offset : int
        Where the octets are in the message.

    Raises
    ------
    NetlinkError
        ``EINVAL``, ``ERANGE``.
    """
    found: dict[int, Nlattr] = {}
    end = start
    for attr in nla_iter(octets, start):
        end = attr.offset + nlmsg_align(NLA_HDRLEN + len(attr.data))
        if offset:
            attr = Nlattr(attr.type, attr.data, attr.offset + offset, attr.nested)
        if not 0 < attr.type <= maxtype:
            if strict:
                raise NetlinkError(EINVAL, "Unknown attribute type", attr)
            continue
        rule = policy.get(attr.type)
        if rule is not None:
            validate_nla(attr, rule, strict)
        elif strict:
            raise NetlinkError(EINVAL, "Unsupported attribute", attr)
        found[attr.type] = attr
    if strict and end < len(octets):
        raise NetlinkError(EINVAL, "bytes leftover after parsing attributes")
    return found


def nla_parse_nested(
    attr: Nlattr, policy: Mapping[int, NlaPolicy], maxtype: int | None = None, *, strict: bool = False
) -> dict[int, Nlattr]:
    """Return the attributes inside another one; as ``nla_parse``."""
    top = max(policy, default=0) if maxtype is None else maxtype
    return nla_parse(attr.data, 0, policy, top, strict=strict, offset=attr.offset + NLA_HDRLEN)


def nlmsg_parse(
    nlh: Nlmsghdr, hdrlen: int, policy: Mapping[int, NlaPolicy], maxtype: int, *, strict: bool = False
) -> dict[int, Nlattr]:
    """Return the attributes of a message behind its fixed part of ``hdrlen`` octets; as ``nla_parse``.

    Raises
    ------
    NetlinkError
        ``EINVAL`` also if the fixed part is cut short.
    """
    start = NLMSG_HDRLEN + hdrlen
    if len(nlh.octets) < start:
        raise NetlinkError(EINVAL, "Invalid header length")
    return nla_parse(nlh.octets, NLMSG_HDRLEN + nlmsg_align(hdrlen), policy, maxtype, strict=strict)


def nla_total_size(payload: int) -> int:
    """Return how much room an attribute takes."""
    return nlmsg_align(NLA_HDRLEN + payload)


def nlattr(kind: int, data: bytes) -> bytes:
    """Return an attribute's octets, up to where the next one starts: for programs that make requests.

    Examples
    --------
    >>> nlattr(3, b"lo").hex()
    '060003006c6f0000'
    """
    octets = _HEADER.pack(NLA_HDRLEN + len(data), kind) + data
    return octets.ljust(nlmsg_align(len(octets)), b"\0")


def nla_put(skb: SkBuff, kind: int, data: bytes) -> int:
    """Append an attribute, and return where it starts.

    Raises
    ------
    OSError
        ``EMSGSIZE`` if there is no room.
    """
    octets = nlattr(kind, data)
    size = len(octets)
    if skb_tailroom(skb) < size:
        raise OSError(EMSGSIZE, "no room for one more attribute")
    at = skb_put(skb, size)
    skb.view[at : at + size] = octets
    return at


def nla_put_u8(skb: SkBuff, kind: int, value: int) -> None:
    """Append a number of 8 bits."""
    nla_put(skb, kind, bytes((value,)))


def nla_put_u16(skb: SkBuff, kind: int, value: int) -> None:
    """Append a number of 16 bits."""
    nla_put(skb, kind, value.to_bytes(2, byteorder))


def nla_put_u32(skb: SkBuff, kind: int, value: int) -> None:
    """Append a number of 32 bits."""
    nla_put(skb, kind, value.to_bytes(4, byteorder))


def nla_put_s32(skb: SkBuff, kind: int, value: int) -> None:
    """Append a number of 32 bits with a sign."""
    nla_put(skb, kind, value.to_bytes(4, byteorder, signed=True))


def nla_put_string(skb: SkBuff, kind: int, value: str) -> None:
    """Append a text with its zero octet."""
    nla_put(skb, kind, value.encode("utf-8", "surrogateescape") + b"\0")


def nla_nest_start(skb: SkBuff, kind: int, flag: int = 0) -> int:
    """Begin an attribute that holds others, with ``NLA_F_NESTED`` if given; return where it starts."""
    return nla_put(skb, kind | flag, b"")


def nla_nest_end(skb: SkBuff, at: int) -> None:
    """End it."""
    _HEADER.pack_into(skb.view, at, skb.tail - at, int.from_bytes(skb.view[at + 2 : at + 4], byteorder))


def nla_nest_cancel(skb: SkBuff, at: int) -> None:
    """Take it back."""
    skb_trim(skb, at - skb.data)


def nla_encode(policy: str, value: object) -> bytes:
    """Return the octets of a value that a policy of this name takes.

    Examples
    --------
    >>> nla_encode("be16", 0x8100).hex()
    '8100'
    """
    if isinstance(value, int):
        if policy in ("be16", "be32"):
            return value.to_bytes(2 if policy == "be16" else 4, "big")
        if policy == "flag":
            return b""
        return value.to_bytes(_MIN_LEN[policy], byteorder, signed=policy == "s32")
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\0"
    assert isinstance(value, bytes)
    return value

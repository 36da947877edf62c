"""Names of numbers in routes and rules (iproute2: lib/rt_names.c, /etc/iproute2)."""

from ..ipv4.rtnetlink import RtScope, RtTable, RtType
from .args import invarg

__all__ = [
    "ip_proto_name",
    "ip_proto_number",
    "protocol_name",
    "protocol_number",
    "scope_name",
    "scope_number",
    "table_name",
    "table_number",
    "tos_number",
    "type_name",
    "type_number",
]

_PROTOCOLS = {
    0: "unspec",
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    16: "dhcp",
}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
_TABLES = {0: "all", RtTable.DEFAULT: "default", RtTable.MAIN: "main", RtTable.LOCAL: "local"}
_IP_PROTOS = {
    1: "icmp",
    2: "igmp",
    4: "ipencap",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    89: "ospf",
    103: "pim",
    112: "vrrp",
    132: "sctp",
    136: "udplite",
}
_TYPES = {kind: kind.name.lower() for kind in RtType}


def number(text: str, most: int, what: str) -> int:
    """Return a number written in decimal, or with ``0x`` in hexadecimal, or with ``0`` in octal, as C does.

    Raises
    ------
    CommandError
        If it is none, or beyond ``most``.
    """
    try:
        value = int(text, 8) if text[:1] == "0" and text[1:].isdigit() else int(text, 0)
    except ValueError:
        invarg(what, text)
    if not 0 <= value <= most:
        invarg(what, text)
    return value


def _number(names: dict[int, str], text: str, most: int, what: str) -> int:
    for value, name in names.items():
        if name == text:
            return value
    return number(text, most, what)


def protocol_name(value: int) -> str:
    """Return who made a route."""
    return _PROTOCOLS.get(value, str(value))


def protocol_number(text: str) -> int:
    """Return its number."""
    return _number(_PROTOCOLS, text, 255, '"protocol" value is invalid')


def scope_name(value: int) -> str:
    """Return a scope's name."""
    return _SCOPES.get(value, str(value))


def scope_number(text: str) -> int:
    """Return its number."""
    return _number(_SCOPES, text, RtScope.NOWHERE, 'invalid "scope" value')


def table_name(value: int) -> str:
    """Return a table's name."""
    return _TABLES.get(value, str(value)) if value else "0"


def table_number(text: str, what: str = 'table" value is invalid') -> int:
    """Return its number."""
    return _number(_TABLES, text, 0xFFFF_FFFF, what)


def type_name(value: int) -> str:
    """Return a route's type."""
    return _TYPES.get(RtType(value), str(value)) if value in _TYPES else str(value)


def type_number(text: str) -> int | None:
    """Return its number, None if the text is none."""
    return next((int(kind) for kind, name in _TYPES.items() if name == text), None)


def tos_number(text: str, what: str = '"tos" value is invalid') -> int:
    """Return a type of service, written in hexadecimal (with or without ``0x``)."""
    try:
        value = int(text, 16)
    except ValueError:
        invarg(what, text)
    if not 0 <= value <= 255:
        invarg(what, text)
    return value


def ip_proto_name(value: int) -> str:
    """Return a protocol over IPv4, as in ``/etc/protocols``."""
    return _IP_PROTOS.get(value, f"ipproto-{value}")


def ip_proto_number(text: str) -> int:
    """Return its number."""
    for value, name in _IP_PROTOS.items():
        if name == text:
            return value
    return number(text, 255, 'Invalid "ipproto" value\n')

"""``ip xfrm``: words and output that states and policies have in common (iproute2: ip/ipxfrm.c; ip-xfrm(8))."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..netlink.attr import Nlattr
from ..netlink.xfrm import Xfrma, unpack_lifetime_cfg, unpack_lifetime_cur, unpack_mark
from ..uapi import AF_INET, IPPROTO_ICMP
from ..wire.address import ipv4_to_text
from ..xfrm.xfrm import (
    IPPROTO_AH,
    IPPROTO_ESP,
    XFRM_INF,
    XFRM_MODE_TRANSPORT,
    XFRM_MODE_TUNNEL,
    XfrmMark,
    XfrmSelector,
)
from .args import Args, CommandError, addr, invarg, prefix
from .rt_names import ip_proto_name, ip_proto_number

if TYPE_CHECKING:
    from .ip import Ip

__all__ = [
    "LIMITS",
    "PROTOCOLS",
    "Id",
    "do_xfrm",
    "lifetime_text",
    "mark_and_if_id_text",
    "mode_text",
    "number",
    "parse_id",
    "parse_limit",
    "parse_mark",
    "parse_mode",
    "parse_selector",
    "proto_text",
    "selector_text",
]

PROTOCOLS = {"esp": IPPROTO_ESP, "ah": IPPROTO_AH, "comp": 108, "route2": 43, "hao": 60}
_MODES = {"transport": XFRM_MODE_TRANSPORT, "tunnel": XFRM_MODE_TUNNEL, "ro": 2, "in_trigger": 3, "beet": 4}
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp")
_ICMP_KINDS = (IPPROTO_ICMP, 58)
# The word behind ``limit``, and which of a lifetime's limits it is.
LIMITS = {
    "time-soft": "soft_add_expires_seconds",
    "time-hard": "hard_add_expires_seconds",
    "time-use-soft": "soft_use_expires_seconds",
    "time-use-hard": "hard_use_expires_seconds",
    "byte-soft": "soft_byte_limit",
    "byte-hard": "hard_byte_limit",
    "packet-soft": "soft_packet_limit",
    "packet-hard": "hard_packet_limit",
}


class Id:
    """What a state is found by, as far as the words say it."""

    def __init__(self) -> None:
        self.saddr = self.daddr = self.spi = self.proto = 0


def number(word: str, what: str, most: int = 0xFFFFFFFF) -> int:
    """Return a number, as C writes it.

    Raises
    ------
    CommandError
        If it is none, or more than ``most``.
    """
    try:
        value = int(word, 8) if word[:1] == "0" and word.isdigit() else int(word, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        invarg(f"{what} value is invalid", word)
    return value


def parse_id(args: Args) -> Id:
    """Take ``src ADDR dst ADDR proto PROTO spi SPI``, each of which may lack."""
    ident = Id()
    while args:
        if args.taken("src"):
            ident.saddr = addr(args.next())
        elif args.taken("dst"):
            ident.daddr = addr(args.next())
        elif args.taken("proto"):
            word = args.next()
            if word not in PROTOCOLS:
                invarg("XFRM-PROTO value is invalid", word)
            ident.proto = PROTOCOLS[word]
        elif args.taken("spi"):
            ident.spi = number(args.next(), "SPI")
        else:
            break
    return ident


def parse_mode(args: Args) -> int:
    """Return the mode that the next word names."""
    word = args.next()
    if word not in _MODES:
        invarg("MODE value is invalid", word)
    return _MODES[word]


def parse_mark(args: Args) -> XfrmMark:
    """Return the mark, and the mask if there is one."""
    value = number(args.next(), "MARK")
    mask = number(args.next(), "MASK") if args.taken("mask") else 0xFFFFFFFF
    return XfrmMark(value, mask)


def parse_limit(args: Args, limits: dict[str, int]) -> None:
    """Take what follows ``limit``."""
    word = args.next()
    if word not in LIMITS:
        invarg("LIMIT value is invalid", word)
    limits[LIMITS[word]] = number(args.next(), word, XFRM_INF)


def _parse_upspec(args: Args, found: dict[str, int]) -> None:
    word = args.next()
    found["proto"] = proto = ip_proto_number(word)
    while args:
        if args.word in ("sport", "dport"):
            if word not in _WITH_PORTS:
                invarg(f'"sport" and "dport" are invalid with PROTO value "{word}"', args.word)
            name = args.take()
            found[name] = number(args.next(), name.upper(), 0xFFFF)
            found[f"{name}_mask"] = 0xFFFF
        elif args.word in ("type", "code"):
            if proto not in _ICMP_KINDS:
                invarg(f'"type" and "code" are invalid with PROTO value "{word}"', args.word)
            name = {"type": "sport", "code": "dport"}[args.take()]
            found[name] = number(args.next(), "value", 0xFFFF)
            found[f"{name}_mask"] = 0xFFFF
        else:
            return


def parse_selector(ip: "Ip", args: Args) -> XfrmSelector | None:
    """Take ``src PREFIX dst PREFIX dev DEV proto PROTO ...``; None if there is no word of it."""
    found: dict[str, int] = {}
    while args:
        if args.taken("src"):
            found["saddr"], found["prefixlen_s"] = prefix(args.next())
        elif args.taken("dst"):
            found["daddr"], found["prefixlen_d"] = prefix(args.next())
        elif args.taken("dev"):
            found["ifindex"] = ip.rtnl.index(args.next())
        elif args.taken("proto"):
            _parse_upspec(args, found)
        else:
            break
    return XfrmSelector(family=AF_INET, **found) if found else None


def proto_text(proto: int) -> str:
    """Return the name of a protocol of IPsec."""
    return next((name for name, value in PROTOCOLS.items() if value == proto), str(proto))


def mode_text(mode: int) -> str:
    """Return the name of a mode."""
    return next((name for name, value in _MODES.items() if value == mode), str(mode))


def selector_text(ip: "Ip", sel: XfrmSelector) -> str:
    """Return a selector as it is shown, with the line's end."""
    text = f"src {ipv4_to_text(sel.saddr)}/{sel.prefixlen_s} dst {ipv4_to_text(sel.daddr)}/{sel.prefixlen_d} "
    if sel.proto:
        name = ip_proto_name(sel.proto)
        text += f"proto {sel.proto if name.startswith('ipproto-') else name} "
        words = ("type", "code") if sel.proto in _ICMP_KINDS else ("sport", "dport")
        if sel.sport_mask:
            text += f"{words[0]} {sel.sport} "
        if sel.dport_mask:
            text += f"{words[1]} {sel.dport} "
    if sel.ifindex:
        text += f"dev {ip.rtnl.name(sel.ifindex)} "
    if ip.statistics:
        text += f"uid {sel.user}"
    return text + "\n"


def _time(seconds: int) -> str:
    if not seconds:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _limit(value: int) -> str:
    return "(INF)" if value == XFRM_INF else str(value)


def lifetime_text(config: bytes, current: bytes) -> str:
    """Return the limits of a state or policy, and what was used of them."""
    lft, cur = unpack_lifetime_cfg(config), unpack_lifetime_cur(current)
    return (
        "\tlifetime config:\n"
        f"\t  limit: soft {_limit(lft.soft_byte_limit)}(bytes), hard {_limit(lft.hard_byte_limit)}(bytes)\n"
        f"\t  limit: soft {_limit(lft.soft_packet_limit)}(packets), hard {_limit(lft.hard_packet_limit)}(packets)\n"
        f"\t  expire add: soft {lft.soft_add_expires_seconds}(sec), hard {lft.hard_add_expires_seconds}(sec)\n"
        f"\t  expire use: soft {lft.soft_use_expires_seconds}(sec), hard {lft.hard_use_expires_seconds}(sec)\n"
        "\tlifetime current:\n"
        f"\t  {cur.bytes}(bytes), {cur.packets}(packets)\n"
        f"\t  add {_time(cur.add_time)} use {_time(cur.use_time)}\n"
    )


def mark_and_if_id_text(tb: Mapping[int, Nlattr]) -> tuple[str, str]:
    """Return the lines of mark and interface id, empty without them."""
    mark = unpack_mark(tb[Xfrma.MARK].data) if Xfrma.MARK in tb else None
    return (
        f"\tmark {mark.v:#x}/{mark.m:#x} \n" if mark is not None else "",
        f"\tif_id {tb[Xfrma.IF_ID].u32:#x}\n" if Xfrma.IF_ID in tb else "",
    )


def do_xfrm(ip: "Ip", args: Args) -> None:
    """Do ``ip xfrm ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    from .xfrm_policy import do_xfrm_policy  # They are built on this module.
    from .xfrm_state import do_xfrm_state

    ip.out.is_json = False  # It knows no JSON, asked for or not.
    word = args.take() if args else ""
    for name, do in (("state", do_xfrm_state), ("policy", do_xfrm_policy)):
        if word and name.startswith(word):
            do(ip, args)
            return
    raise CommandError(
        "Usage: ip xfrm XFRM-OBJECT { COMMAND | help }\nwhere  XFRM-OBJECT := state | policy", status=255
    )

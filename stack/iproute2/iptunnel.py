"""``ip tunnel``: devices of kind ipip, in the words of its time (iproute2: ip/iptunnel.c)."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ..netlink.attr import Nlattr
from ..netlink.if_link import IFINFOMSG, Ifla, IflaInfo
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from ..uapi import AF_UNSPEC
from .args import Args, CommandError, dispatch, invarg, matches
from .ipaddress import links
from .iplink_show import linkinfo
from .libnetlink import Request, nla, nla_nest
from .link_kinds import KINDS, parse_options

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_iptunnel"]


def do_iptunnel(ip: "Ip", args: Args) -> None:
    """Do ``ip tunnel ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip tunnel")


def _delete(ip: "Ip", args: Args) -> None:
    ip.rtnl.talk(Request(Rtm.DELLINK, IFINFOMSG.pack(AF_UNSPEC, 0, ip.rtnl.index(_name(args)), 0, 0)))


def _name(args: Args) -> str:
    args.taken("name")
    return args.next()


def _modify(ip: "Ip", args: Args, flags: int) -> None:
    """Make or change a tunnel."""
    words = args.rest()
    rest: list[str] = []
    name = mode = None
    at = iter(words)
    for word in at:
        if word == "mode":
            mode = next(at, "")
            if mode not in ("ipip", "ip/ip", "ipip/ip"):
                invarg("Cannot guess tunnel mode.", mode)
        elif word == "name":
            name = next(at, None)
        elif name is None and not any(word == option or matches(word, option) for option in KINDS["ipip"]):
            name = word
        else:
            rest.append(word)
            if KINDS["ipip"].get(word) is None or KINDS["ipip"][word].value is None:
                rest += [value for value in (next(at, None),) if value is not None]
    if mode is None and flags:
        raise CommandError("cannot determine tunnel mode (ipip, gre, vti or sit)")
    if name is None:
        raise CommandError('Not enough information: "name" argument is required.')
    index = 0 if flags else ip.rtnl.index(name)
    request = Request(Rtm.NEWLINK, IFINFOMSG.pack(AF_UNSPEC, 0, index, 0, 0), flags)
    request.put(Ifla.IFNAME, name, "string")
    options = [] if flags else _present(ip, index)
    options += parse_options(ip, "ipip", KINDS["ipip"], Args(rest))
    request.nest(Ifla.LINKINFO, nla(IflaInfo.KIND, "ipip", "string"), nla_nest(IflaInfo.DATA, *options))
    ip.rtnl.talk(request)


def _present(ip: "Ip", index: int) -> list[bytes]:
    """Return how a tunnel is set: what is not named stays, and what is comes behind it and counts."""
    answer = ip.rtnl.get(Request(Rtm.GETLINK, IFINFOMSG.pack(AF_UNSPEC, 0, index, 0, 0)))
    return [nla(kind, attr.data, "binary") for kind, attr in linkinfo(answer.attrs(IFINFOMSG))[2].items()]


def _show(ip: "Ip", args: Args) -> None:
    """Do ``ip tunnel show [NAME]``."""
    wanted = _name(args) if args else None
    for answer in links(ip):
        tb = answer.attrs(IFINFOMSG)
        kind, _, data, _ = linkinfo(tb)
        if kind == "ipip" and wanted in (None, tb[Ifla.IFNAME].text):
            _print_tunnel(ip, tb[Ifla.IFNAME].text, data)


def _print_tunnel(ip: "Ip", name: str, data: dict[int, Nlattr]) -> None:
    out = ip.out
    options = KINDS["ipip"]
    out.open(None, {})
    out.any("ifname", f"{name}: ", name)
    out.any("mode", "ip/ip ", "ip/ip")
    for word in ("remote", "local"):
        attr = data.get(options[word].attr)
        text = options[word].show(ip, attr.be32 if attr is not None else 0)
        out.any(word, f"{word} {text} ", text)
    link = data.get(options["dev"].attr)
    if link is not None and link.u32:
        out.any("dev", f"dev {ip.rtnl.name(link.u32)} ", ip.rtnl.name(link.u32))
    ttl = data[options["ttl"].attr].u8 if options["ttl"].attr in data else 0
    out.any("ttl", f"ttl {ttl or 'inherit'}", ttl or "inherit")
    tos = data[options["tos"].attr].u8 if options["tos"].attr in data else 0
    if tos:
        text = "inherit" if tos == 1 else f"{tos & ~1:#04x}"
        out.any("tos", f" tos {text}", text)
    if options["pmtudisc"].attr in data and not data[options["pmtudisc"].attr].u8:
        out.any("pmtudisc", " nopmtudisc", False)
    out.text("\n")
    out.close()


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "add": partial(_modify, flags=NlmF.CREATE | NlmF.EXCL),
    "change": partial(_modify, flags=0),
    "delete": _delete,
    "list": _show,
    "lst": _show,
}

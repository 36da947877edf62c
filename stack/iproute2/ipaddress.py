"""``ip address``, and how ``ip link`` shows devices (iproute2: ip/ipaddress.c)."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ..netlink.if_addr import IFA_CACHEINFO, IFADDRMSG, Ifa
from ..netlink.if_link import IFINFOMSG, Ifla
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text
from .args import Args, CommandError, addr, dispatch, prefix
from .iplink_show import linkinfo, print_linkinfo, print_name, print_stats
from .libnetlink import Answer, Request
from .rt_names import number, scope_name, scope_number

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_ipaddr"]

_FOREVER = 0xFFFF_FFFF
_FLAGS = {0x01: "secondary", 0x80: "permanent"}


def do_ipaddr(ip: "Ip", args: Args) -> None:
    """Do ``ip address ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip address")


def _modify(ip: "Ip", args: Args, kind: int, flags: int) -> None:
    """Add, change or delete an address."""
    local: tuple[int, int] | None = None
    peer: tuple[int, int] | None = None
    dev = label = None
    brd: int | None = None
    scope: int | None = None
    lifetimes = [_FOREVER, _FOREVER]
    plus = ""
    while args:
        if args.taken("peer", "remote"):
            peer = prefix(args.next())
        elif args.taken("broadcast", "brd"):
            word = args.next()
            if word in ("+", "-"):
                plus = word
            else:
                brd = addr(word)
        elif args.taken("scope"):
            scope = scope_number(args.next())
        elif args.taken("dev"):
            dev = args.next()
        elif args.taken("label"):
            label = args.next()
        elif args.taken("valid_lft", "preferred_lft"):
            word = args.next()
            lifetimes[0] = _FOREVER if word == "forever" else number(word, _FOREVER, "lifetime value")
        else:
            args.taken("local")
            if local is not None:
                raise CommandError(f'Error: either "local" is duplicate, or "{args.word}" is a garbage.', status=255)
            local = prefix(args.next())
    if dev is None:
        raise CommandError('Not enough information: "dev" argument is required.')
    if label is not None and not label.startswith(dev):
        raise CommandError(f'"dev" ({dev}) must match "label" ({label}).')
    if local is None:
        if kind == Rtm.NEWADDR:
            raise CommandError('Not enough information: "local" argument is required.')
        local = 0, 0
    network = peer if peer is not None else local
    if plus:
        rest = 0xFFFF_FFFF >> network[1]
        brd = (network[0] | rest) if plus == "+" else network[0] & ~rest & 0xFFFF_FFFF
    if scope is None:
        scope = 254 if local[0] >> 24 == 127 else 0
    index = ip.rtnl.index(dev)
    request = Request(kind, IFADDRMSG.pack(AF_INET, network[1], 0, scope, index), flags)
    if local[0] or kind == Rtm.NEWADDR:
        request.put(Ifa.LOCAL, local[0], "be32")
        request.put(Ifa.ADDRESS, network[0], "be32")
    if brd is not None:
        request.put(Ifa.BROADCAST, brd, "be32")
    if label is not None:
        request.put(Ifa.LABEL, label, "string")
    ip.rtnl.talk(request)


class _Filter:
    """Which devices and addresses are asked for."""

    def __init__(self, ip: "Ip", args: Args) -> None:
        self.dev: int | None = None
        self.up = False
        self.master: int | None = None
        self.kind: str | None = None
        self.scope: int | None = None
        self.label: str | None = None
        self.to: tuple[int, int] | None = None
        while args:
            if args.taken("up"):
                self.up = True
            elif args.taken("scope"):
                word = args.next()
                self.scope = None if word == "all" else scope_number(word)
            elif args.taken("to"):
                self.to = prefix(args.next())
            elif args.taken("label"):
                self.label = args.next()
            elif args.taken("master"):
                self.master = ip.rtnl.index(args.next(), 'Device "{}" does not exist.')
            elif args.taken("type"):
                self.kind = args.next()
            else:
                args.taken("dev")
                self.dev = ip.rtnl.index(args.next(), 'Device "{}" does not exist.')

    def wants_address(self, answer: Answer) -> bool:
        _, _, _, scope, _ = answer.header(IFADDRMSG)
        tb = answer.attrs(IFADDRMSG)
        if self.scope is not None and scope != self.scope:
            return False
        if self.label is not None and tb[Ifa.LABEL].text != self.label:
            return False
        return self.to is None or (tb[Ifa.LOCAL].be32 ^ self.to[0]) >> 32 - self.to[1] == 0

    @property
    def of_inet(self) -> bool:
        """Whether IPv4 addresses are asked for, and nothing else."""
        return self.to is not None or self.label is not None

    def wants_link(self, answer: Answer) -> bool:
        _, _, index, flags, _ = answer.header(IFINFOMSG)
        tb = answer.attrs(IFINFOMSG)
        if (self.dev is not None and index != self.dev) or (self.up and not flags & 1):
            return False
        if self.master is not None and (Ifla.MASTER not in tb or tb[Ifla.MASTER].u32 != self.master):
            return False
        return self.kind is None or self.kind == linkinfo(tb)[0]


def show_links(ip: "Ip", args: Args) -> None:
    """Do ``ip link show``."""
    wanted = _Filter(ip, args)
    for answer in links(ip):
        if wanted.wants_link(answer):
            ip.out.open(None, {})
            print_linkinfo(ip, answer, with_mode=True)
            ip.out.close()


def links(ip: "Ip") -> list[Answer]:
    """Return all devices."""
    return ip.rtnl.dump(Request(Rtm.GETLINK, IFINFOMSG.pack(0, 0, 0, 0, 0)))


def _addresses(ip: "Ip", dev: int | None) -> list[Answer]:
    return ip.rtnl.dump(Request(Rtm.GETADDR, IFADDRMSG.pack(AF_INET, 0, 0, 0, dev or 0)))


def _show(ip: "Ip", args: Args) -> None:
    """Do ``ip address show``."""
    wanted = _Filter(ip, args)
    found: dict[int, list[Answer]] = {}
    others: set[int] = set()
    for answer in _addresses(ip, wanted.dev):
        index = answer.header(IFADDRMSG)[4]
        if wanted.wants_address(answer):
            found.setdefault(index, []).append(answer)
        else:
            others.add(index)
    for link in links(ip):
        index = link.header(IFINFOMSG)[2]
        # One that has no address at all is shown, unless certain ones of IPv4 are asked for.
        if not wanted.wants_link(link) or (index not in found and (wanted.of_inet or index in others)):
            continue
        ip.out.open(None, {})
        if ip.brief or not (ip.oneline or wanted.label is not None):
            print_linkinfo(ip, link, with_mode=False, with_address=not wanted.of_inet)
        ip.out.open("addr_info", [])
        for answer in found.get(index, []):
            _print_addrinfo(ip, link, answer)
        ip.out.close()
        if ip.brief:
            ip.out.text("\n")
        elif ip.statistics and not ip.oneline:
            print_stats(ip, link.attrs(IFINFOMSG))
            ip.out.text("\n")
        ip.out.close()


def _print_addrinfo(ip: "Ip", link: Answer, answer: Answer) -> None:
    """Print an address."""
    _, length, flags, scope, index = answer.header(IFADDRMSG)
    tb = answer.attrs(IFADDRMSG)
    out = ip.out
    local = tb[Ifa.LOCAL].be32
    network = tb[Ifa.ADDRESS].be32 if Ifa.ADDRESS in tb else local
    out.open(None, {})
    if ip.brief:
        text = ipv4_to_text(local)
        out.any("local", text, text)
        if network != local:
            out.any("address", f" peer {ipv4_to_text(network)}", ipv4_to_text(network))
        out.any("prefixlen", f"/{length} ", length)
        out.close()
        return
    if ip.oneline:
        out.text(f"{index}: {print_name(ip, link.header(IFINFOMSG)[2], link.attrs(IFINFOMSG)).split('@')[0]}")
    out.any("family", "    inet ", "inet")
    out.any("local", ipv4_to_text(local), ipv4_to_text(local))
    if network != local:
        out.any("address", f" peer {ipv4_to_text(network)}", ipv4_to_text(network))
    out.any("prefixlen", f"/{length} ", length)
    if Ifa.BROADCAST in tb:
        text = ipv4_to_text(tb[Ifa.BROADCAST].be32)
        out.any("broadcast", f"brd {text} ", text)
    out.any("scope", f"scope {scope_name(scope)} ", scope_name(scope))
    if flags & 1:
        out.any("secondary", "secondary ", True)
    if not flags & 0x80:
        out.any("dynamic", "dynamic ", True)
    if Ifa.LABEL in tb:
        out.any("label", tb[Ifa.LABEL].text, tb[Ifa.LABEL].text)
    if Ifa.CACHEINFO in tb:
        preferred, valid, _, _ = IFA_CACHEINFO.unpack_from(tb[Ifa.CACHEINFO].data)
        out.text(f"{out.nl}       ")
        out.any("valid_life_time", f"valid_lft {_lifetime(valid)} ", valid)
        out.any("preferred_life_time", f"preferred_lft {_lifetime(preferred)}", preferred)
    out.text("\n")
    out.close()


def _lifetime(seconds: int) -> str:
    return "forever" if seconds == _FOREVER else f"{seconds}sec"


def _flush(ip: "Ip", args: Args) -> None:
    """Delete the addresses that would be shown."""
    if not args:
        raise CommandError("Flush requires arguments.")
    wanted = _Filter(ip, args)
    for answer in _addresses(ip, wanted.dev):
        family, length, _, _, index = answer.header(IFADDRMSG)
        if wanted.wants_address(answer):
            tb = answer.attrs(IFADDRMSG)
            request = Request(Rtm.DELADDR, IFADDRMSG.pack(family, length, 0, 0, index))
            request.put(Ifa.LOCAL, tb[Ifa.LOCAL].be32, "be32")
            request.put(Ifa.ADDRESS, tb[Ifa.ADDRESS].be32, "be32")
            try:
                ip.rtnl.talk(request)
            except CommandError:
                continue  # A secondary that went with its primary.


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "add": partial(_modify, kind=Rtm.NEWADDR, flags=NlmF.CREATE | NlmF.EXCL),
    "change": partial(_modify, kind=Rtm.NEWADDR, flags=NlmF.REPLACE),
    "chg": partial(_modify, kind=Rtm.NEWADDR, flags=NlmF.REPLACE),
    "replace": partial(_modify, kind=Rtm.NEWADDR, flags=NlmF.CREATE | NlmF.REPLACE),
    "delete": partial(_modify, kind=Rtm.DELADDR, flags=0),
    "lst": _show,
    "list": _show,
    "flush": _flush,
}

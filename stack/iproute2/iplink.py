"""``ip link`` (iproute2: ip/iplink.c)."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.netdevice import IFF_ALLMULTI, IFF_MULTICAST, IFF_NOARP, IFF_PROMISC, IFF_UP
from ..netlink.if_link import IFINFOMSG, Ifla, IflaInfo, VethInfo
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from ..uapi import AF_UNSPEC
from .args import Args, CommandError, dispatch, invarg
from .ipaddress import show_links
from .libnetlink import Request, nla, nla_nest
from .link_kinds import KINDS, SLAVE_KINDS, parse_options
from .rt_names import number

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_iplink"]

_SWITCHES = {
    "multicast": (IFF_MULTICAST, True),
    "allmulticast": (IFF_ALLMULTI, True),
    "promisc": (IFF_PROMISC, True),
    "arp": (IFF_NOARP, False),
}
_GSO_LIMITS = {"gso_max_size": Ifla.GSO_MAX_SIZE, "gso_max_segs": Ifla.GSO_MAX_SEGS}


def do_iplink(ip: "Ip", args: Args) -> None:
    """Do ``ip link ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip link")


class _Words:
    """What the words before ``type`` say (iproute2: ``iplink_parse``)."""

    def __init__(self, ip: "Ip", args: Args) -> None:
        self.name: str | None = None
        self.dev: str | None = None
        self.link: str | None = None
        self.kind: str | None = None
        self.flags = self.change = 0
        self.address: bytes | None = None
        self.attrs: list[bytes] = []
        while args:
            if args.taken("up"):
                self._flag(IFF_UP, True)
            elif args.taken("down"):
                self._flag(IFF_UP, False)
            elif args.taken("name"):
                self.name = args.next()
            elif args.taken("link"):
                self.link = args.next()
            elif args.taken("address"):
                self.address = _lladdr(args.next())
                self.attrs.append(nla(Ifla.ADDRESS, self.address, "binary"))
            elif args.taken("broadcast", "brd"):
                self.attrs.append(nla(Ifla.BROADCAST, _lladdr(args.next()), "binary"))
            elif args.taken("txqueuelen", "qlen", "txqlen"):
                self.attrs.append(nla(Ifla.TXQLEN, number(args.next(), 0xFFFF_FFFF, 'Invalid "txqueuelen" value\n')))
            elif args.taken("mtu"):
                self.attrs.append(nla(Ifla.MTU, number(args.next(), 0xFFFF_FFFF, 'Invalid "mtu" value\n')))
            elif args.taken("numtxqueues"):
                self.attrs.append(nla(Ifla.NUM_TX_QUEUES, number(args.next(), 4096, 'Invalid "numtxqueues" value\n')))
            elif args and args.word in _GSO_LIMITS:
                word = args.take()
                value = number(args.next(), 0xFFFF_FFFF, f'Invalid "{word}" value\n')
                self.attrs.append(nla(_GSO_LIMITS[word], value))
            elif args.taken("master"):
                self.attrs.append(nla(Ifla.MASTER, ip.rtnl.index(args.next(), 'Device "{}" does not exist.')))
            elif args.taken("nomaster"):
                self.attrs.append(nla(Ifla.MASTER, 0))
            elif args and args.word in _SWITCHES:
                word = args.take()
                flag, straight = _SWITCHES[word]
                self._flag(flag, _on_off(word, args.next()) == straight)
            elif args.taken("type"):
                self.kind = args.next()
                return
            else:
                args.taken("dev")
                if self.dev is not None:
                    raise CommandError(f'Error: either "dev" is duplicate, or "{args.word}" is a garbage.', status=255)
                self.dev = args.next()

    def _flag(self, flag: int, on: bool) -> None:
        self.change |= flag
        self.flags = self.flags | flag if on else self.flags & ~flag


def _on_off(what: str, word: str) -> bool:
    if word not in ("on", "off"):
        raise CommandError(f'Error: argument of "{what}" must be "on" or "off", not "{word}"', status=255)
    return word == "on"


def _lladdr(word: str) -> bytes:
    parts = word.split(":")
    try:
        return bytes(int(part, 16) for part in parts)
    except ValueError:
        raise CommandError(f'"{word}" is invalid lladdr.') from None


def _check_length(ip: "Ip", index: int, address: bytes) -> None:
    answer = ip.rtnl.get(Request(Rtm.GETLINK, IFINFOMSG.pack(AF_UNSPEC, 0, index, 0, 0)))
    length = len(answer.attrs(IFINFOMSG)[Ifla.ADDRESS].data)
    if len(address) != length:
        raise CommandError(f"Invalid address length {len(address)} - must be {length} bytes")


def _modify(ip: "Ip", args: Args, kind: int, flags: int) -> None:
    """Make, change or delete a device."""
    words = _Words(ip, args)
    index = 0
    request = Request(kind, b"", flags)
    if flags & NlmF.CREATE:
        # "ip link add NAME type KIND": the device is not there yet.
        name = words.name or words.dev
        if words.kind is None:
            raise CommandError('Not enough information: "type" argument is required')
        if words.link is not None:
            request.put(Ifla.LINK, ip.rtnl.index(words.link))
    else:
        if words.dev is None:
            if words.name is None:
                raise CommandError('Not enough information: "dev" argument is required.')
            words.dev, words.name = words.name, None
        index = ip.rtnl.index(words.dev)
        name = words.name
    if name is not None:
        if not 0 < len(name) < 16 or "/" in name or any(char.isspace() for char in name):
            invarg('"name" not a valid ifname', name)
        request.put(Ifla.IFNAME, name, "string")
    request.header = IFINFOMSG.pack(AF_UNSPEC, 0, index, words.flags, words.change)
    if index and words.address is not None:
        _check_length(ip, index, words.address)
    request.attrs += words.attrs
    if words.kind is not None:
        request.attrs.append(_linkinfo(ip, words.kind, args))
    ip.rtnl.talk(request)


def _linkinfo(ip: "Ip", kind: str, args: Args) -> bytes:
    """Return the attribute for the words behind ``type``."""
    if kind == "veth":
        return nla_nest(Ifla.LINKINFO, nla(IflaInfo.KIND, kind, "string"), *_veth(ip, args))
    slave = kind.removesuffix("_slave")
    if slave != kind and slave in SLAVE_KINDS:
        data = nla_nest(IflaInfo.SLAVE_DATA, *parse_options(ip, kind, SLAVE_KINDS[slave], args))
        return nla_nest(Ifla.LINKINFO, nla(IflaInfo.SLAVE_KIND, slave, "string"), data)
    attrs = parse_options(ip, kind, KINDS.get(kind, {}), args)
    inner = [nla_nest(IflaInfo.DATA, *attrs)] if attrs else []
    return nla_nest(Ifla.LINKINFO, nla(IflaInfo.KIND, kind, "string"), *inner)


def _veth(ip: "Ip", args: Args) -> list[bytes]:
    """Return the data of ``type veth [peer name NAME ...]``."""
    if not args:
        return []
    if not args.taken("peer"):
        raise CommandError(f'veth: unknown option "{args.word}"?', status=255)
    words = _Words(ip, args)
    attrs = list(words.attrs)
    if words.name or words.dev:
        attrs.append(nla(Ifla.IFNAME, words.name or words.dev, "string"))
    peer = IFINFOMSG.pack(AF_UNSPEC, 0, 0, words.flags, words.change) + b"".join(attrs)
    return [nla_nest(IflaInfo.DATA, nla(VethInfo.PEER, peer, "binary"))]


_COMMANDS: dict[str, Any] = {
    "show": show_links,
    "add": partial(_modify, kind=Rtm.NEWLINK, flags=NlmF.CREATE | NlmF.EXCL),
    "set": partial(_modify, kind=Rtm.NEWLINK, flags=0),
    "change": partial(_modify, kind=Rtm.NEWLINK, flags=0),
    "replace": partial(_modify, kind=Rtm.NEWLINK, flags=NlmF.CREATE | NlmF.REPLACE),
    "delete": partial(_modify, kind=Rtm.DELLINK, flags=0),
    "list": show_links,
    "lst": show_links,
}

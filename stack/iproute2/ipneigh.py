"""``ip neighbour`` (iproute2: ip/ipneigh.c)."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.neighbour import NUD_NAMES, NUD_NOARP, NUD_PERMANENT
from ..netlink.neighbour import NDA_CACHEINFO, NDMSG, NTF_PROXY, NTF_ROUTER, Nda
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text
from .args import Args, CommandError, addr, dispatch, invarg, lladdr, prefix
from .libnetlink import Answer, Request

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_ipneigh"]

_STATES = {name.lower(): state for state, name in NUD_NAMES.items()}


def do_ipneigh(ip: "Ip", args: Args) -> None:
    """Do ``ip neigh ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip neigh")


def _state(word: str) -> int:
    if word in _STATES:
        return _STATES[word]
    try:
        return int(word, 0)
    except ValueError:
        invarg("nud state is bad", word)


def _modify(ip: "Ip", args: Args, kind: int, flags: int) -> None:
    """Add, change or delete a neighbour."""
    state = NUD_PERMANENT
    ntf = 0
    dst: int | None = None
    dev: str | None = None
    mac: bytes | None = None
    while args:
        if args.taken("lladdr"):
            mac = lladdr(args.next())
        elif args.taken("nud"):
            state = _state(args.next())
        elif args.taken("proxy"):
            dst = addr(args.next())
            ntf |= NTF_PROXY
        elif args.taken("router"):
            ntf |= NTF_ROUTER
        elif args.taken("dev"):
            dev = args.next()
        else:
            args.taken("to")
            if dst is not None:
                raise CommandError(f'Error: either "to" is duplicate, or "{args.word}" is a garbage.', status=255)
            dst = addr(args.next())
    if dev is None or dst is None:
        raise CommandError("Device and destination are required arguments.")
    request = Request(kind, NDMSG.pack(AF_INET, ip.rtnl.index(dev), state, ntf, 0), flags)
    request.put(Nda.DST, dst, "be32")
    if mac is not None:
        request.put(Nda.LLADDR, mac, "binary")
    ip.rtnl.talk(request)


class _Filter:
    """Which neighbours are asked for."""

    def __init__(self, ip: "Ip", args: Args, states: int) -> None:
        self.dev: int | None = None
        self.to: tuple[int, int] | None = None
        self.states = states
        self.proxy = False
        named = False
        while args:
            if args.taken("dev"):
                self.dev = ip.rtnl.index(args.next())
            elif args.taken("nud"):
                word = args.next()
                if not named:
                    named, self.states = True, 0
                self.states |= 0xFFFF if word == "all" else _state(word)
                self.none = word == "all"
            elif args.taken("proxy"):
                self.proxy = True
            elif args.taken("unused"):
                continue
            else:
                args.taken("to")
                self.to = prefix(args.next())

    def wants(self, header: tuple[int, ...], dst: int) -> bool:
        _, index, state, flags, _ = header
        if (self.dev is not None and index != self.dev) or self.proxy != bool(flags & NTF_PROXY):
            return False
        if not self.proxy and state and not state & self.states:
            return False
        if not self.proxy and not state and self.states != 0xFFFF:
            return False
        return self.to is None or (dst ^ self.to[0]) >> 32 - self.to[1] == 0


def _neighbours(ip: "Ip", wanted: _Filter) -> list[Answer]:
    flags = NTF_PROXY if wanted.proxy else 0
    request = Request(Rtm.GETNEIGH, NDMSG.pack(AF_INET, 0, 0, flags, 0))
    if wanted.dev is not None:
        request.put(Nda.IFINDEX, wanted.dev)
    return [
        answer
        for answer in ip.rtnl.dump(request)
        if wanted.wants(answer.header(NDMSG), answer.attrs(NDMSG)[Nda.DST].be32)
    ]


_SHOWN = 0xFF & ~NUD_NOARP


def _show(ip: "Ip", args: Args) -> None:
    """Do ``ip neighbour show``."""
    wanted = _Filter(ip, args, _SHOWN)
    for answer in _neighbours(ip, wanted):
        _print_neigh(ip, answer, wanted)


def _print_neigh(ip: "Ip", answer: Answer, wanted: _Filter) -> None:
    out = ip.out
    _, index, state, flags, _ = answer.header(NDMSG)
    tb = answer.attrs(NDMSG)
    out.open(None, {})
    text = ipv4_to_text(tb[Nda.DST].be32)
    out.any("dst", f"{text} ", text)
    if wanted.dev is None:
        name = ip.rtnl.name(index)
        out.any("dev", f"dev {name} ", name)
    if Nda.LLADDR in tb:
        text = tb[Nda.LLADDR].data.hex(":")
        out.any("lladdr", f"lladdr {text} ", text)
    if flags & NTF_ROUTER:
        out.any("router", "router ", None)
    if flags & NTF_PROXY:
        out.any("proxy", "proxy ", None)
    if ip.statistics:
        if Nda.CACHEINFO in tb:
            confirmed, used, updated, references = NDA_CACHEINFO.unpack_from(tb[Nda.CACHEINFO].data)
            if references:
                out.any("refcnt", f" ref {references}", references)
            out.any("used", f" used {used // 100}", used // 100)
            out.any("confirmed", f"/{confirmed // 100}", confirmed // 100)
            out.any("updated", f"/{updated // 100}", updated // 100)
        if Nda.PROBES in tb:
            out.any("probes", f"probes {tb[Nda.PROBES].u32} ", tb[Nda.PROBES].u32)
    if state:
        out.open("state", [])
        for bit, name in NUD_NAMES.items():
            if bit and state & bit:
                out.any(None, f"{name} ", name)
        out.close()
    out.text("\n")
    out.close()


def _flush(ip: "Ip", args: Args) -> None:
    """Delete the neighbours that would be shown."""
    if not args:
        raise CommandError("Flush requires arguments.")
    wanted = _Filter(ip, args, ~(NUD_PERMANENT | NUD_NOARP) & 0xFFFF)
    for answer in _neighbours(ip, wanted):
        family, index, _, flags, _ = answer.header(NDMSG)
        request = Request(Rtm.DELNEIGH, NDMSG.pack(family, index, 0, flags, 0))
        request.put(Nda.DST, answer.attrs(NDMSG)[Nda.DST].be32, "be32")
        ip.rtnl.talk(request)


def _get(ip: "Ip", args: Args) -> None:
    """Do ``ip neighbour get ADDR dev DEV``."""
    dst: int | None = None
    dev: str | None = None
    flags = 0
    while args:
        if args.taken("dev"):
            dev = args.next()
        elif args.taken("proxy"):
            flags, dst = NTF_PROXY, addr(args.next())
        else:
            args.taken("to")
            dst = addr(args.next())
    if dev is None or dst is None:
        raise CommandError("Device and address are required arguments.")
    request = Request(Rtm.GETNEIGH, NDMSG.pack(AF_INET, ip.rtnl.index(dev), 0, flags, 0))
    request.put(Nda.DST, dst, "be32")
    _print_neigh(ip, ip.rtnl.get(request), _Filter(ip, Args([]), 0xFFFF))


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "add": partial(_modify, kind=Rtm.NEWNEIGH, flags=NlmF.CREATE | NlmF.EXCL),
    "change": partial(_modify, kind=Rtm.NEWNEIGH, flags=NlmF.REPLACE),
    "chg": partial(_modify, kind=Rtm.NEWNEIGH, flags=NlmF.REPLACE),
    "replace": partial(_modify, kind=Rtm.NEWNEIGH, flags=NlmF.CREATE | NlmF.REPLACE),
    "delete": partial(_modify, kind=Rtm.DELNEIGH, flags=0),
    "get": _get,
    "list": _show,
    "lst": _show,
    "flush": _flush,
}

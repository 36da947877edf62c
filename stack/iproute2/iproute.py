"""``ip route`` (iproute2: ip/iproute.c)."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ..ipv4.fib_table import rt_cache_flush
from ..ipv4.rtnetlink import RtProtocol, RtScope, RtTable, RtType
from ..netlink.attr import Nlattr, nla_iter
from ..netlink.rtnetlink import (
    RTA_CACHEINFO,
    RTM_F_CLONED,
    RTM_F_LOOKUP_TABLE,
    RTMSG,
    RTNEXTHOP,
    RTNH_F_DEAD,
    RTNH_F_LINKDOWN,
    RTNH_F_ONLINK,
    RTNH_F_PERVASIVE,
    Rta,
    Rtax,
    Rtm,
)
from ..netlink.uapi import NlmF
from ..uapi import AF_INET
from ..wire.address import ipv4_to_text
from .args import Args, CommandError, addr, dispatch, prefix
from .libnetlink import Answer, Request, attributes, nla
from .rt_names import (
    ip_proto_number,
    number,
    protocol_name,
    protocol_number,
    scope_name,
    scope_number,
    table_name,
    table_number,
    tos_number,
    type_name,
    type_number,
)

if TYPE_CHECKING:
    from .ip import Ip

__all__ = ["do_iproute"]

# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
_METRICS = {
    "mtu": Rtax.MTU,
    "window": Rtax.WINDOW,
    "rtt": Rtax.RTT,
    "advmss": Rtax.ADVMSS,
    "hoplimit": Rtax.HOPLIMIT,
    "initcwnd": Rtax.INITCWND,
}
_NH_FLAGS = {
    RTNH_F_DEAD: "dead",
    RTNH_F_ONLINK: "onlink",
    RTNH_F_PERVASIVE: "pervasive",
    RTNH_F_LINKDOWN: "linkdown",
    0x20000000: "rt_offload_failed",  # The same bit as the cache's "mc".
}
_CACHE_FLAGS = {
    0x80000000: "local",
    0x10000000: "brd",
    0x20000000: "mc",
    0x40000: "redirected",
    0x01000000: "redirect",
    0x20000: "notify",
}


def do_iproute(ip: "Ip", args: Args) -> None:
    """Do ``ip route ...``.

    Raises
    ------
    CommandError
        As the command says it.
    """
    dispatch(ip, args, _COMMANDS, "ip route")


class _Route:
    """What the words of a route say (iproute2: ``iproute_modify``)."""

    def __init__(self, ip: "Ip", args: Args) -> None:
        self.dst: tuple[int, int] | None = None
        self.type: int | None = None
        self.table = 0
        self.protocol: int | None = None
        self.scope: int | None = None
        self.tos = self.flags = 0
        self.attrs: list[bytes] = []
        self.metrics: list[bytes] = []
        self.lock = 0
        self.dev: int | None = None
        self.via = False
        self.hops: list[bytes] = []
        while args:
            self._word(ip, args)

    def _word(self, ip: "Ip", args: Args) -> None:
        if args.taken("src"):
            self.attrs.append(nla(Rta.PREFSRC, addr(args.next()), "be32"))
        elif args.taken("via"):
            args.taken("inet")
            self.via = True
            self.attrs.append(nla(Rta.GATEWAY, addr(args.next()), "be32"))
        elif args.taken("from"):
            address, length = prefix(args.next())
            if length:
                self.attrs.append(nla(Rta.SRC, address, "be32"))
        elif args.taken("tos", "dsfield"):
            self.tos = tos_number(args.next())
        elif args.taken("metric", "priority", "preference"):
            self.attrs.append(nla(Rta.PRIORITY, number(args.next(), 0xFFFF_FFFF, '"metric" value is invalid')))
        elif args.taken("scope"):
            self.scope = scope_number(args.next())
        elif args.taken("protocol", "proto"):
            self.protocol = protocol_number(args.next())
        elif args.taken("table"):
            self.table = table_number(args.next())
        elif args.taken("dev", "oif"):
            self.dev = ip.rtnl.index(args.next())
        elif args.taken("onlink"):
            self.flags |= RTNH_F_ONLINK
        elif args.taken("nexthop"):
            self.hops.append(_nexthop(ip, args))
            while args:
                if not args.taken("nexthop"):
                    said = f'"nexthop" or end of line is expected instead of "{args.word}"'
                    raise CommandError(f"Error: {said}", status=255)
                self.hops.append(_nexthop(ip, args))
        elif args and args.word in _METRICS:
            self._metric(args, _METRICS[args.take()])
        else:
            self._destination(args)

    def _metric(self, args: Args, metric: int) -> None:
        if args.taken("lock"):
            self.lock |= 1 << metric
        self.metrics.append(nla(metric, number(args.next(), 0xFFFF_FFFF, "value is invalid")))

    def _destination(self, args: Args) -> None:
        args.taken("to")
        kind = type_number(args.word) if args else None
        if kind is not None and self.dst is None:
            args.take()
            self.type = kind
            if not args:
                raise CommandError('Command line is not complete. Try option "help"', status=255)
        if self.dst is not None:
            raise CommandError(f'Error: either "to" is duplicate, or "{args.word}" is a garbage.', status=255)
        self.dst = prefix(args.next())


def _nexthop(ip: "Ip", args: Args) -> bytes:
    """Return one of several next hops, as its words say."""
    flags = weight = dev = 0
    attrs = b""
    while args and args.word != "nexthop":
        if args.taken("via"):
            args.taken("inet")
            attrs += nla(Rta.GATEWAY, addr(args.next()), "be32")
        elif args.taken("dev"):
            dev = ip.rtnl.index(args.next())
        elif args.taken("weight"):
            weight = number(args.next(), 256, '"weight" is invalid') - 1
            if weight < 0:
                raise CommandError('Error: argument "0" is wrong: "weight" is invalid', status=255)
        elif args.taken("onlink"):
            flags |= RTNH_F_ONLINK
        else:
            break
    return RTNEXTHOP.pack(RTNEXTHOP.size + len(attrs), flags, weight, dev) + attrs


def _modify(ip: "Ip", args: Args, kind: int, flags: int) -> None:
    """Add, change or delete a route."""
    route = _Route(ip, args)
    deleting = kind == Rtm.DELROUTE
    dst, length = route.dst if route.dst is not None else (0, 0)
    type = route.type
    if type is None:
        type = RtType.UNSPEC if deleting else RtType.UNICAST
    table = route.table or (RtTable.LOCAL if type in (RtType.LOCAL, RtType.BROADCAST) else RtTable.MAIN)
    scope = route.scope
    if scope is None:
        if deleting:
            scope = RtScope.NOWHERE
        elif type == RtType.LOCAL:
            scope = RtScope.HOST
        elif type in (RtType.BROADCAST, RtType.MULTICAST, RtType.ANYCAST):
            scope = RtScope.LINK
        elif type in (RtType.UNICAST, RtType.UNSPEC) and not route.via and not route.hops:
            scope = RtScope.LINK
        else:
            scope = RtScope.UNIVERSE
    protocol = route.protocol
    if protocol is None:
        protocol = RtProtocol.UNSPEC if deleting else RtProtocol.BOOT
    header = RTMSG.pack(AF_INET, length, 0, route.tos, table if table < 256 else 0, protocol, scope, type, route.flags)
    request = Request(kind, header, flags)
    if length or dst:
        request.put(Rta.DST, dst, "be32")
    if table >= 256:
        request.put(Rta.TABLE, table)
    request.attrs += route.attrs
    if route.dev is not None:
        request.put(Rta.OIF, route.dev)
    if route.metrics:
        lock = [nla(Rtax.LOCK, route.lock)] if route.lock else []
        request.put(Rta.METRICS, b"".join(lock + route.metrics), "binary")
    if route.hops:
        request.put(Rta.MULTIPATH, b"".join(route.hops), "binary")
    ip.rtnl.talk(request)


class _Filter:
    """Which routes are asked for (iproute2: ``filter_nlmsg``)."""

    def __init__(self, ip: "Ip", args: Args) -> None:
        self.table = int(RtTable.MAIN)  # 0: all.
        self.dev: int | None = None
        self.protocol: int | None = None
        self.scope: int | None = None
        self.type: int | None = None
        self.via: int | None = None
        self.prefsrc: int | None = None
        self.root: tuple[int, int] | None = None
        self.match: tuple[int, int] | None = None
        self.exact: tuple[int, int] | None = None
        self.cached = False
        while args:
            if args.taken("table"):
                word = args.next()
                self.cached = word == "cache"
                self.table = 0 if word in ("all", "cache") else table_number(word)
            elif args.taken("cached", "cache"):
                self.cached, self.table = True, 0
            elif args.taken("dev", "oif"):
                self.dev = ip.rtnl.index(args.next())
            elif args.taken("protocol", "proto"):
                word = args.next()
                self.protocol = None if word == "all" else protocol_number(word)
            elif args.taken("scope"):
                word = args.next()
                self.scope = None if word == "all" else scope_number(word)
            elif args.taken("type"):
                self.type = type_number(args.next())
            elif args.taken("via"):
                self.via = addr(args.next())
            elif args.taken("src"):
                self.prefsrc = addr(args.next())
            else:
                args.taken("to")
                self._to(args)

    def _to(self, args: Args) -> None:
        if args.taken("root"):
            self.root = prefix(args.next())
        elif args.taken("match"):
            self.match = prefix(args.next())
        else:
            args.taken("exact")
            self.exact = prefix(args.next())

    def wants(self, header: tuple[int, ...], tb: dict[int, Nlattr]) -> bool:
        _, length, _, _, _, protocol, scope, kind, flags = header
        dst = tb[Rta.DST].be32 if Rta.DST in tb else 0
        table = _table(header, tb)
        if (self.table and table != self.table) or self.cached != bool(flags & RTM_F_CLONED):
            return False
        for wanted, value in (
            (self.protocol, protocol),
            (self.scope, scope),
            (self.type, kind),
            (self.dev, tb[Rta.OIF].u32 if Rta.OIF in tb else 0),
            (self.via, tb[Rta.GATEWAY].be32 if Rta.GATEWAY in tb else 0),
            (self.prefsrc, tb[Rta.PREFSRC].be32 if Rta.PREFSRC in tb else 0),
        ):
            if wanted is not None and wanted != value:
                return False
        if self.exact is not None and (dst, length) != self.exact:
            return False
        if self.root is not None and (length < self.root[1] or (dst ^ self.root[0]) >> 32 - self.root[1]):
            return False
        return self.match is None or (length <= self.match[1] and (dst ^ self.match[0]) >> 32 - length == 0)


def _table(header: tuple[int, ...], tb: dict[int, Nlattr]) -> int:
    return tb[Rta.TABLE].u32 if Rta.TABLE in tb else header[4]


def _routes(ip: "Ip", wanted: _Filter) -> list[Answer]:
    flags = RTM_F_CLONED if wanted.cached else 0
    request = Request(Rtm.GETROUTE, RTMSG.pack(AF_INET, 0, 0, 0, 0, 0, 0, 0, flags))
    if wanted.table:
        request.put(Rta.TABLE, wanted.table)
    return [answer for answer in ip.rtnl.dump(request) if wanted.wants(answer.header(RTMSG), answer.attrs(RTMSG))]


def _show(ip: "Ip", args: Args) -> None:
    """Do ``ip route show``."""
    wanted = _Filter(ip, args)
    for answer in _routes(ip, wanted):
        _print_route(ip, answer, wanted)


def _flush(ip: "Ip", args: Args) -> None:
    """Delete the routes that would be shown."""
    if not args:
        raise CommandError('"ip route flush" requires arguments.')
    wanted = _Filter(ip, args)
    if wanted.cached:
        rt_cache_flush(ip.rtnl.net)  # What is written to /proc/sys/net/ipv4/route/flush does.
        return
    for answer in _routes(ip, wanted):
        header = answer.header(RTMSG)
        request = Request(Rtm.DELROUTE, RTMSG.pack(*header[:8], 0))
        for kind, attr in answer.attrs(RTMSG).items():
            if kind != Rta.CACHEINFO:
                request.put(kind, attr.data, "binary")
        ip.rtnl.talk(request)


def _get(ip: "Ip", args: Args) -> None:
    """Do ``ip route get``: which way a packet would take."""
    request = Request(Rtm.GETROUTE, b"")
    dst: tuple[int, int] | None = None
    length = tos = 0
    flags = RTM_F_LOOKUP_TABLE
    while args:
        if args.taken("from"):
            address, length = prefix(args.next())
            request.put(Rta.SRC, address, "be32")
        elif args.taken("tos", "dsfield"):
            tos = tos_number(args.next())
        elif args.taken("iif"):
            request.put(Rta.IIF, ip.rtnl.index(args.next()))
        elif args.taken("oif", "dev"):
            request.put(Rta.OIF, ip.rtnl.index(args.next()))
        elif args.taken("mark"):
            request.put(Rta.MARK, number(args.next(), 0xFFFF_FFFF, "invalid mark value"))
        elif args.taken("ipproto"):
            request.put(Rta.IP_PROTO, ip_proto_number(args.next()), "u8")
        elif args.taken("sport"):
            request.put(Rta.SPORT, number(args.next(), 0xFFFF, "invalid sport"), "be16")
        elif args.taken("dport"):
            request.put(Rta.DPORT, number(args.next(), 0xFFFF, "invalid dport"), "be16")
        else:
            args.taken("to")
            dst = prefix(args.next())
            request.put(Rta.DST, dst[0], "be32")
    if dst is None:
        raise CommandError("need at least a destination address")
    request.header = RTMSG.pack(AF_INET, dst[1], length, tos, 0, 0, 0, 0, flags)
    _print_route(ip, ip.rtnl.get(request), None)


def _host(address: int, length: int) -> str:
    if length == 0 and not address:
        return "default"
    return ipv4_to_text(address) if length == 32 else f"{ipv4_to_text(address)}/{length}"


def _print_route(ip: "Ip", answer: Answer, wanted: _Filter | None) -> None:
    """Print a route; without a filter it is an answer to ``ip route get``."""
    header = answer.header(RTMSG)
    _, length, src_length, tos, _, protocol, scope, kind, flags = header
    tb = answer.attrs(RTMSG)
    out = ip.out
    out.open(None, {})
    if kind != RtType.UNICAST or ip.details:
        out.any("type", f"{type_name(kind)} ", type_name(kind))
    text = _host(tb[Rta.DST].be32 if Rta.DST in tb else 0, length)
    out.any("dst", f"{text} ", text)
    if Rta.SRC in tb:
        text = _host(tb[Rta.SRC].be32, src_length)
        out.any("from", f"from {text} ", text)
    if tos:
        out.any("tos", f"tos {tos:#04x} ", f"{tos:#04x}")
    # What was asked for is not told.
    if Rta.GATEWAY in tb and (wanted is None or wanted.via is None):
        text = ipv4_to_text(tb[Rta.GATEWAY].be32)
        out.any("gateway", f"via {text} ", text)
    if Rta.OIF in tb and (wanted is None or wanted.dev is None):
        name = ip.rtnl.name(tb[Rta.OIF].u32)
        out.any("dev", f"dev {name} ", name)
    table = _table(header, tb)
    if (wanted is None or not wanted.table) and (ip.details or table != RtTable.MAIN):
        out.any("table", f"table {table_name(table)} ", table_name(table))
    if not flags & RTM_F_CLONED:
        if (protocol != RtProtocol.BOOT or ip.details) and (wanted is None or wanted.protocol is None):
            out.any("protocol", f"proto {protocol_name(protocol)} ", protocol_name(protocol))
        if (scope != RtScope.UNIVERSE or ip.details) and (wanted is None or wanted.scope is None):
            out.any("scope", f"scope {scope_name(scope)} ", scope_name(scope))
    if Rta.PREFSRC in tb and (wanted is None or wanted.prefsrc is None):
        text = ipv4_to_text(tb[Rta.PREFSRC].be32)
        out.any("prefsrc", f"src {text} ", text)
    if Rta.PRIORITY in tb:
        out.any("metric", f"metric {tb[Rta.PRIORITY].u32} ", tb[Rta.PRIORITY].u32)
    _print_flags(ip, flags)
    if Rta.MARK in tb and tb[Rta.MARK].u32:
        mark = tb[Rta.MARK].u32
        out.any("mark", f"mark {mark:#x} " if mark >= 16 else f"mark {mark} ", mark)
    if Rta.UID in tb:
        out.any("uid", f"uid {tb[Rta.UID].u32} ", tb[Rta.UID].u32)
    if flags & RTM_F_CLONED:
        _print_cache(ip, flags, tb)
    if Rta.METRICS in tb:
        _print_metrics(ip, attributes(tb[Rta.METRICS].data))
    if Rta.IIF in tb:
        name = ip.rtnl.name(tb[Rta.IIF].u32)
        out.any("iif", f"iif {name} ", name)
    if Rta.MULTIPATH in tb:
        _print_hops(ip, tb[Rta.MULTIPATH].data)
    out.text("\n")
    out.close()


def _print_flags(ip: "Ip", flags: int) -> None:
    ip.out.open("flags", [])
    for flag, name in _NH_FLAGS.items():
        if flags & flag:
            ip.out.any(None, f"{name} ", name)
    ip.out.close()


def _print_cache(ip: "Ip", flags: int, tb: dict[int, Nlattr]) -> None:
    """Print what belongs to one packet's way."""
    out = ip.out
    names = [name for flag, name in _CACHE_FLAGS.items() if flags & flag]
    out.open("cache", [])
    out.text(f"{out.nl}    cache ")
    if names:
        out.text(f"<{','.join(names)}> ")
        for name in names:
            out.json(None, name)
    out.close()
    if Rta.CACHEINFO in tb:
        expires = RTA_CACHEINFO.unpack_from(tb[Rta.CACHEINFO].data)[2]
        if expires:
            out.any("expires", f"expires {expires // 100}sec ", expires // 100)


def _print_metrics(ip: "Ip", metrics: dict[int, Nlattr]) -> None:
    out = ip.out
    lock = metrics[Rtax.LOCK].u32 if Rtax.LOCK in metrics else 0
    names = {number: name for name, number in _METRICS.items()}
    out.open("metrics", [])
    out.open(None, {})
    for metric, attr in sorted(metrics.items()):
        if metric == Rtax.LOCK:
            continue
        name = names.get(Rtax(metric), f"metric {metric}") if metric <= max(Rtax) else f"metric {metric}"
        locked = "lock " if lock & 1 << metric else ""
        out.any(name, f"{name} {locked}{attr.u32} ", attr.u32)
    out.close()
    out.close()


def _print_hops(ip: "Ip", octets: bytes) -> None:
    out = ip.out
    out.open("nexthops", [])
    at = 0
    while at + RTNEXTHOP.size <= len(octets):
        length, flags, weight, index = RTNEXTHOP.unpack_from(octets, at)
        tb: dict[int, Any] = {attr.type: attr for attr in nla_iter(octets[at : at + length], RTNEXTHOP.size)}
        out.open(None, {})
        out.text(f"{out.nl}\tnexthop ")
        if Rta.GATEWAY in tb:
            text = ipv4_to_text(tb[Rta.GATEWAY].be32)
            out.any("gateway", f"via {text} ", text)
        name = ip.rtnl.name(index)
        out.any("dev", f"dev {name} ", name)
        out.any("weight", f"weight {weight + 1} ", weight + 1)
        _print_flags(ip, flags)
        out.close()
        at += length + 3 & ~3
    out.close()


_COMMANDS: dict[str, Any] = {
    "show": _show,
    "list": _show,
    "lst": _show,
    "get": _get,
    "add": partial(_modify, kind=Rtm.NEWROUTE, flags=NlmF.CREATE | NlmF.EXCL),
    "append": partial(_modify, kind=Rtm.NEWROUTE, flags=NlmF.CREATE | NlmF.APPEND),
    "change": partial(_modify, kind=Rtm.NEWROUTE, flags=NlmF.REPLACE),
    "chg": partial(_modify, kind=Rtm.NEWROUTE, flags=NlmF.REPLACE),
    "prepend": partial(_modify, kind=Rtm.NEWROUTE, flags=NlmF.CREATE),
    "replace": partial(_modify, kind=Rtm.NEWROUTE, flags=NlmF.CREATE | NlmF.REPLACE),
    "delete": partial(_modify, kind=Rtm.DELROUTE, flags=0),
    "flush": _flush,
}

"""``tc``: qdiscs, classes and filters (iproute2: tc/tc.c, tc_qdisc.c, tc_class.c; tc(8))."""

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..netlink.attr import Nlattr
from ..netlink.rtnetlink import TCMSG, Rtm, Tca
from ..netlink.uapi import NlmF
from ..sched.sch_api import QDISCS
from ..sched.tc_options import decode_options, encode_options
from ..uapi import AF_UNSPEC
from .args import Args, CommandError, dispatch, matches, split_options, take_object
from .json_print import Printer
from .libnetlink import Answer, Request, Rtnl, attributes
from .tc_filter import do_filter
from .tc_kinds import QDISC_KINDS
from .tc_units import get_handle, handle_text, size_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.net import Net

__all__ = ["Tc", "tc"]

_TC_H_ROOT = 0xFFFF_FFFF
_BASIC = Struct("=QI")  # struct gnet_stats_basic, before what aligns it.
_QUEUE = Struct("=IIIII")  # struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits.
_STATS_BASIC, _STATS_QUEUE = 1, 3  # TCA_STATS_*, inside TCA_STATS2.


class Tc:
    """One run of the command.

    Members
    -------
    rtnl : Rtnl
        Its connection to the kernel.
    out : Printer
        What it prints.
    statistics, details : bool
        ``-s``, ``-d``.
    kind : str
        Of the qdisc that is printed.
    """

    def __init__(self, rtnl: Rtnl, options: list[str]) -> None:
        self.rtnl = rtnl
        self.statistics = self.details = False
        self.kind = ""
        json = pretty = False
        for option in options:
            name = option.lstrip("-")
            if matches(name, "statistics") or name == "stats":
                self.statistics = True
            elif matches(name, "details"):
                self.details = True
            elif matches(name, "json"):
                json = True
            elif matches(name, "pretty"):
                pretty = True
            else:
                raise CommandError(f'Option "{option}" is unknown, try "tc -help".', status=255)
        self.out = Printer(json=json, pretty=pretty)


def tc(net: "Net", command: str) -> str:
    """Run ``tc`` in a namespace, and return what it prints.

    Parameters
    ----------
    net : Net
        The namespace.
    command : str
        The words behind ``tc``: ``"qdisc replace dev eth0 root netem delay 10ms"``.

    Raises
    ------
    CommandError
        An ``OSError`` with the kernel's errno (``EINVAL`` for words that make no sense), that says what ``tc`` says.
    """
    options, args = split_options(command)
    do = take_object("tc", args, _OBJECTS, status=255)
    with Rtnl(net) as rtnl:
        run = Tc(rtnl, options)
        do(run, args)
        return run.out.result()


def _do_qdisc(tc: Tc, args: Args) -> None:
    """Do ``tc qdisc ...``."""
    dispatch(tc, args, _QDISC_COMMANDS, "tc qdisc")


def _modify(tc: Tc, args: Args, kind: int, flags: int) -> None:
    """Make, change or delete a qdisc."""
    dev: str | None = None
    parent = handle = 0
    attrs: list[tuple[int, object, str]] = []
    while args:
        if args.taken("dev"):
            dev = args.next()
        elif args.taken("handle"):
            word = args.next()
            handle = get_handle(word if ":" in word else word + ":") & 0xFFFF_0000
        elif args.taken("root"):
            parent = _TC_H_ROOT
        elif args.taken("parent"):
            parent = get_handle(args.next())
        else:
            name = args.take()
            if name not in QDISC_KINDS:
                attrs.append((Tca.KIND, name, "string"))
                break
            attrs.append((Tca.KIND, name, "string"))
            # Also without words: a change to what is the default.
            options = QDISC_KINDS[name].parse(name, args)
            ops = QDISCS.get(name)
            assert ops is not None
            if options:
                attrs.append((Tca.OPTIONS, encode_options(ops.qopt, ops.policy, options), "binary"))
            break
    if dev is None:
        raise CommandError('Error: argument "dev" is required')
    request = Request(kind, TCMSG.pack(AF_UNSPEC, tc.rtnl.index(dev), handle, parent, 0), flags)
    for attr in attrs:
        request.put(*attr)
    tc.rtnl.talk(request)


class _Filter:
    """Which qdiscs or classes are asked for."""

    def __init__(self, tc: Tc, args: Args) -> None:
        self.dev: int | None = None
        self.parent: int | None = None
        self.handle: int | None = None
        self.invisible = False
        while args:
            if args.taken("dev"):
                self.dev = tc.rtnl.index(args.next())
            elif args.taken("root"):
                self.parent = _TC_H_ROOT
            elif args.taken("parent", "qdisc"):
                self.parent = get_handle(args.next())
            elif args.taken("handle", "classid"):
                self.handle = get_handle(args.next())
            elif args.taken("invisible"):
                self.invisible = True
            else:
                raise CommandError(f'What is "{args.word}"? Try "tc qdisc help".')

    def wants(self, header: tuple[int, ...]) -> bool:
        _, index, handle, parent, _ = header
        if self.dev is not None and index != self.dev:
            return False
        if self.handle is not None and handle != self.handle:
            return False
        return self.parent is None or parent == self.parent


def _show_qdiscs(tc: Tc, args: Args) -> None:
    wanted = _Filter(tc, args)
    request = Request(Rtm.GETQDISC, TCMSG.pack(AF_UNSPEC, wanted.dev or 0, 0, 0, 0))
    if wanted.invisible:
        request.put(Tca.DUMP_INVISIBLE, 0, "flag")
    for answer in tc.rtnl.dump(request):
        if wanted.wants(answer.header(TCMSG)):
            _print_qdisc(tc, answer, named=wanted.dev is None)


def _print_qdisc(tc: Tc, answer: Answer, *, named: bool) -> None:
    out = tc.out
    _, index, handle, parent, refcnt = answer.header(TCMSG)
    tb = answer.attrs(TCMSG)
    kind = tc.kind = tb[Tca.KIND].text
    out.open(None, {})
    out.any("kind", f"qdisc {kind} ", kind)
    out.any("handle", f"{handle >> 16:x}: ", f"{handle >> 16:x}:")
    if named:
        name = tc.rtnl.name(index)
        out.any("dev", f"dev {name} ", name)
    if parent == _TC_H_ROOT:
        out.any("root", "root ", True)
    elif parent:
        text = handle_text(parent)
        out.any("parent", f"parent {text} ", text)
    if refcnt != 1:
        out.any("refcnt", f"refcnt {refcnt} ", refcnt)
    out.open("options", {})
    ops = QDISCS.get(kind)
    if Tca.OPTIONS in tb and kind in QDISC_KINDS and ops is not None:
        QDISC_KINDS[kind].show(tc, out, decode_options(ops.qopt, ops.policy, tb[Tca.OPTIONS].data))
    out.close()
    out.text("\n")
    if tc.statistics:
        print_tcstats(tc, tb)
    out.close()


def print_tcstats(tc: Tc, tb: dict[int, Nlattr]) -> None:
    """Print the statistics of a qdisc or class: ``-s``."""
    if Tca.STATS2 not in tb:
        return
    out = tc.out
    stats = attributes(tb[Tca.STATS2].data)
    octets, packets = _BASIC.unpack_from(stats[_STATS_BASIC].data) if _STATS_BASIC in stats else (0, 0)
    values = _QUEUE.unpack_from(stats[_STATS_QUEUE].data) if _STATS_QUEUE in stats else (0,) * 5
    qlen, backlog, drops, requeues, overlimits = values
    for key, text, value in (
        ("bytes", f" Sent {octets} bytes", octets),
        ("packets", f" {packets} pkt", packets),
        ("drops", f" (dropped {drops}", drops),
        ("overlimits", f", overlimits {overlimits}", overlimits),
        ("requeues", f" requeues {requeues}) ", requeues),
        ("backlog", f"\n backlog {size_text(backlog)}", backlog),
        ("qlen", f" {qlen}p", qlen),
    ):
        out.any(key, text, value)
    out.text(f" requeues {requeues}\n")


def _do_class(tc: Tc, args: Args) -> None:
    """Do ``tc class ...``."""
    dispatch(tc, args, _CLASS_COMMANDS, "tc class")


def _show_classes(tc: Tc, args: Args) -> None:
    wanted = _Filter(tc, args)
    if wanted.dev is None:
        raise CommandError('Error: argument "dev" is required')
    out = tc.out
    for answer in tc.rtnl.dump(Request(Rtm.GETTCLASS, TCMSG.pack(AF_UNSPEC, wanted.dev, 0, 0, 0))):
        _, _, handle, parent, info = answer.header(TCMSG)
        tb = answer.attrs(TCMSG)
        if not wanted.wants(answer.header(TCMSG)):
            continue
        out.open(None, {})
        out.any("class", f"class {tb[Tca.KIND].text} ", tb[Tca.KIND].text)
        out.any("handle", f"{handle_text(handle)} ", handle_text(handle))
        if parent == _TC_H_ROOT:
            out.any("root", "root ", True)
        else:
            out.any("parent", f"parent {handle_text(parent)} ", handle_text(parent))
        if info:
            out.any("leaf", f"leaf {info >> 16:x}: ", f"{info >> 16:x}:")
        out.text("\n")
        if tc.statistics:
            print_tcstats(tc, tb)
        out.close()


_QDISC_COMMANDS: dict[str, Any] = {
    "show": _show_qdiscs,
    "add": partial(_modify, kind=Rtm.NEWQDISC, flags=NlmF.CREATE | NlmF.EXCL),
    "change": partial(_modify, kind=Rtm.NEWQDISC, flags=0),
    "replace": partial(_modify, kind=Rtm.NEWQDISC, flags=NlmF.CREATE | NlmF.REPLACE),
    "link": partial(_modify, kind=Rtm.NEWQDISC, flags=NlmF.REPLACE),
    "delete": partial(_modify, kind=Rtm.DELQDISC, flags=0),
    "list": _show_qdiscs,
    "lst": _show_qdiscs,
}
_CLASS_COMMANDS: dict[str, Any] = {"show": _show_classes, "list": _show_classes, "lst": _show_classes}
_OBJECTS: "dict[str, Callable[[Tc, Args], None]]" = {"qdisc": _do_qdisc, "class": _do_class, "filter": do_filter}

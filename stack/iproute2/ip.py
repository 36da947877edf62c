"""``ip``: devices, addresses, routes, rules, neighbours, tunnels, IPsec of a namespace (iproute2: ip/ip.c; ip(8))."""

from typing import TYPE_CHECKING

from .args import Args, CommandError, matches, split_options, take_object
from .ipaddress import do_ipaddr
from .iplink import do_iplink
from .ipneigh import do_ipneigh
from .iproute import do_iproute
from .iprule import do_iprule
from .iptunnel import do_iptunnel
from .ipxfrm import do_xfrm
from .json_print import Printer
from .libnetlink import Rtnl

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.net import Net

__all__ = ["Ip", "ip"]

_OBJECTS: "dict[str, Callable[[Ip, Args], None]]" = {
    "address": do_ipaddr,
    "link": do_iplink,
    "neighbor": do_ipneigh,
    "neighbour": do_ipneigh,
    "route": do_iproute,
    "rule": do_iprule,
    "tunnel": do_iptunnel,
    "xfrm": do_xfrm,
}


class Ip:
    """One run of the command.

    Members
    -------
    rtnl : Rtnl
        Its connection to the kernel.
    out : Printer
        What it prints.
    statistics : int
        How often ``-s`` was given.
    details, brief, oneline : bool
        ``-d``, ``-br``, ``-o``.
    """

    def __init__(self, rtnl: Rtnl, options: list[str]) -> None:
        self.rtnl = rtnl
        self.statistics = 0
        self.details = self.brief = self.oneline = False
        json = pretty = False
        for option in options:
            name = option.lstrip("-")
            if matches(name, "statistics") or name == "stats":
                self.statistics += 1
            elif matches(name, "details"):
                self.details = True
            elif matches(name, "oneline"):
                self.oneline = True
            elif matches(name, "brief") and len(name) > 1:
                self.brief = True
            elif matches(name, "json"):
                json = True
            elif matches(name, "pretty"):
                pretty = True
            elif name not in ("4", "N", "Numeric"):
                raise CommandError(f'Option "{option}" is unknown, try "ip -help".', status=255)
        self.out = Printer(json=json, pretty=pretty, oneline=self.oneline)


def ip(net: "Net", command: str) -> str:
    """Run ``ip`` in a namespace, and return what it prints.

    Parameters
    ----------
    net : Net
        The namespace.
    command : str
        The words behind ``ip``: ``"-s -j link show eth0"``.

    Raises
    ------
    CommandError
        An ``OSError`` with the kernel's errno (``EINVAL`` for words that make no sense), that says what ``ip`` says.

    Examples
    --------
    ``ip(net, "route add 192.0.2.0/24 via 10.0.0.254 dev eth0")``; ``json.loads(ip(net, "-j neigh show"))``.
    """
    options, args = split_options(command)
    do = take_object("ip", args, _OBJECTS, status=1)
    with Rtnl(net) as rtnl:
        run = Ip(rtnl, options)
        do(run, args)
        return run.out.result()

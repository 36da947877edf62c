"""Routing tables: longest-prefix match (Linux: net/ipv4/fib_trie.c).

The kernel keeps a compressed trie; here a table is one dictionary of prefixes for each prefix length in use, longest
first, which gives the same answers.
"""

from bisect import insort
from errno import EAGAIN, ENETUNREACH, ESRCH
from typing import TYPE_CHECKING

from .fib_semantics import FIB_ERRORS, FibInfo, FibNh
from .rtnetlink import RtTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core.net import Net
    from .flow import Flowi4

__all__ = [
    "MASKS",
    "FibAlias",
    "FibResult",
    "FibTable",
    "fib_find_alias",
    "fib_insert_alias",
    "fib_lookup",
    "fib_remove_alias",
    "fib_table_lookup",
]

MASKS = tuple(0xFFFFFFFF << 32 - length & 0xFFFFFFFF for length in range(33))


class FibAlias:
    """One route to a prefix: several differ by TOS, priority or table (Linux: ``struct fib_alias``)."""

    __slots__ = ("default", "error", "info", "prefix", "prefixlen", "table", "tos", "type")

    def __init__(self, prefix: int, prefixlen: int, info: FibInfo, tos: int = 0, table: int = RtTable.MAIN) -> None:
        self.prefix = prefix
        self.prefixlen = prefixlen
        self.info = info
        self.tos = tos
        self.table = table
        self.type = info.type
        self.error = FIB_ERRORS.get(info.type, 0)
        self.default = -1  # Of several default routes: which one is in use.

    @property
    def order(self) -> tuple[int, int, int]:
        """Key to sort by: local routes, then those for a TOS, then by priority."""
        return (-self.table, -self.tos, self.info.priority)


class FibResult:
    """What a lookup found, and in which table (Linux: ``struct fib_result``)."""

    __slots__ = ("alias", "fi", "nh", "table", "type")

    def __init__(self, table: "FibTable", alias: FibAlias, nh: FibNh) -> None:
        self.table = table
        self.alias = alias
        self.fi = alias.info
        self.nh = nh
        self.type = alias.type


class FibTable:
    """A routing table. The main one holds the routes of the local one, too, until there are policy rules.

    Members
    -------
    tb_id : int
        Its number.
    num_default : int
        How many default routes it has.
    levels : list[tuple[int, dict[int, list[FibAlias]]]]
        Mask and routes by prefix, for each prefix length in use, the longest first.
    """

    __slots__ = ("levels", "num_default", "tb_id")

    def __init__(self, tb_id: int = RtTable.MAIN) -> None:
        self.tb_id = tb_id
        self.num_default = 0
        self.levels: list[tuple[int, dict[int, list[FibAlias]]]] = []

    def __iter__(self) -> "Iterator[FibAlias]":
        """Yield each route, the longest prefixes first."""
        for _, prefixes in self.levels:
            for aliases in prefixes.values():
                yield from aliases

    def prefixes(self, prefixlen: int) -> dict[int, list[FibAlias]] | None:
        """Return the prefixes of one length, with their routes; None if there are none."""
        for mask, prefixes in self.levels:
            if mask == MASKS[prefixlen]:
                return prefixes
        return None


def fib_find_alias(table: FibTable, prefix: int, prefixlen: int) -> list[FibAlias]:
    """Return the routes to a prefix, in the order in which they are looked at."""
    prefixes = table.prefixes(prefixlen)
    return prefixes.get(prefix, []) if prefixes is not None else []


def fib_insert_alias(table: FibTable, alias: FibAlias, before: FibAlias | None = None) -> None:
    """Add a route: before another one of its TOS and priority, or else behind all of them."""
    prefixes = table.prefixes(alias.prefixlen)
    if prefixes is None:
        prefixes = dict[int, list[FibAlias]]()
        insort(table.levels, (MASKS[alias.prefixlen], prefixes), key=lambda level: -level[0])
    aliases = prefixes.setdefault(alias.prefix, [])
    if before is not None:
        aliases.insert(aliases.index(before), alias)
    else:
        insort(aliases, alias, key=lambda entry: entry.order)
    table.num_default += not alias.prefixlen


def fib_remove_alias(table: FibTable, alias: FibAlias) -> int:
    """Take a route out.

    Returns
    -------
    int
        0, or ``-ESRCH`` if it is not there.
    """
    prefixes = table.prefixes(alias.prefixlen) or {}
    aliases = prefixes.get(alias.prefix, [])
    if alias not in aliases:
        return -ESRCH
    aliases.remove(alias)
    table.num_default -= not alias.prefixlen
    if not aliases:
        del prefixes[alias.prefix]
        table.levels = [level for level in table.levels if level[1]]
    return 0


def fib_table_lookup(table: FibTable, flp: "Flowi4") -> FibResult | int:
    """Find the route for a flow: the longest prefix that has one of the flow's TOS and reach, with a living next hop.

    Returns
    -------
    FibResult or int
        What was found; a negative errno for routes that are errors; ``-EAGAIN`` if there is none.
    """
    daddr = flp.daddr
    scope = flp.scope
    oif = flp.oif
    for mask, prefixes in table.levels:
        aliases = prefixes.get(daddr & mask)
        if aliases is None:
            continue
        for alias in aliases:
            fi = alias.info
            if (alias.tos and alias.tos != flp.tos) or fi.dead or fi.scope < scope:
                continue
            if alias.error:
                return alias.error
            for nh in fi.nhs:
                if not nh.dead and (not oif or nh.dev.ifindex == oif):
                    return FibResult(table, alias, nh)
    return -EAGAIN


def fib_lookup(net: "Net", flp: "Flowi4") -> FibResult | int:
    """Find the route for a flow as the rules say; without rules in the main table, then in the default one.

    Returns
    -------
    FibResult or int
        What was found, or a negative errno: ``-ENETUNREACH`` if there is no route.
    """
    ipv4 = net.ipv4
    if ipv4.fib_has_custom_rules:
        from .fib_rules import __fib_lookup  # Rules lead to tables.

        return __fib_lookup(net, flp)
    found = fib_table_lookup(ipv4.fib_main, flp)
    if found == -EAGAIN and ipv4.fib_default.levels:
        found = fib_table_lookup(ipv4.fib_default, flp)
    return -ENETUNREACH if found == -EAGAIN else found

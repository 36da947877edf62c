"""Routes coming to tables and going from them (Linux: net/ipv4/fib_trie.c, net/ipv4/fib_frontend.c)."""

from errno import EEXIST, EINVAL, ENOENT, ESRCH
from typing import TYPE_CHECKING

from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import NlmF
from .fib_create import fib_create_info, fib_info_equal, fib_metrics_match, fib_nh_match
from .fib_rtmsg import rtmsg_fib
from .fib_trie import MASKS, FibAlias, FibTable, fib_find_alias, fib_insert_alias, fib_remove_alias
from .rtnetlink import RtScope

if TYPE_CHECKING:
    from ..core.net import Net
    from .fib_config import FibConfig

__all__ = ["fib_get_table", "fib_new_table", "fib_table_delete", "fib_table_insert", "rt_cache_flush"]


def rt_cache_flush(net: "Net") -> None:
    """Make every route in use stale."""
    net.ipv4.rt_genid += 1


def fib_get_table(net: "Net", number: int) -> FibTable | None:
    """Return a routing table by its number."""
    return net.ipv4.fib_tables.get(number)


def fib_new_table(net: "Net", number: int) -> FibTable:
    """Return a routing table by its number, made if needed."""
    table = net.ipv4.fib_tables.get(number)
    if table is None:
        table = net.ipv4.fib_tables[number] = FibTable(number)
    return table


def fib_valid_key_len(key: int, length: int) -> None:
    """Check a prefix.

    Raises
    ------
    OSError
        ``EINVAL``.
    """
    if not 0 <= length <= 32:
        raise OSError(EINVAL, "Invalid prefix length")
    if key & ~MASKS[length]:
        raise OSError(EINVAL, "Invalid prefix for given prefix length")


def fib_table_insert(net: "Net", table: FibTable, cfg: "FibConfig") -> FibAlias:
    """Add a route, or let it take the place of another one, as ``cfg.nlflags`` say; and notify of it.

    Raises
    ------
    OSError
        ``EEXIST``, ``ENOENT``; what ``fib_create_info`` raises.
    """
    fib_valid_key_len(cfg.dst, cfg.dst_len)
    fi = fib_create_info(net, cfg)
    new = FibAlias(cfg.dst, cfg.dst_len, fi, cfg.tos, cfg.table)
    same = [fa for fa in fib_find_alias(table, cfg.dst, cfg.dst_len) if fa.order == new.order]
    nlflags = NlmF.EXCL
    before = None
    if same:
        if cfg.nlflags & NlmF.EXCL:
            raise OSError(EEXIST, "the route exists")
        nlflags = NlmF(0)
        match = next((fa for fa in same if fib_info_equal(fa.info, fi)), None)
        if cfg.nlflags & NlmF.REPLACE:
            return _replace(net, table, cfg, same[0], match, new)
        if match is not None:
            raise OSError(EEXIST, "the route exists")
        if cfg.nlflags & NlmF.APPEND:
            nlflags |= NlmF.APPEND
        else:
            before = same[0]
    if not cfg.nlflags & NlmF.CREATE:
        raise OSError(ENOENT, "there is no such route")
    nlflags |= NlmF.CREATE
    fib_insert_alias(table, new, before)
    rt_cache_flush(net)
    rtmsg_fib(net, Rtm.NEWROUTE, new, cfg, nlflags)
    return new


def _replace(
    net: "Net", table: FibTable, cfg: "FibConfig", first: FibAlias, match: FibAlias | None, new: FibAlias
) -> FibAlias:
    """Let a route take the place of the first of its TOS and priority."""
    if match is not None:
        if match is first:
            return match
        raise OSError(EEXIST, "the route exists")
    fib_insert_alias(table, new, first)
    fib_remove_alias(table, first)
    rt_cache_flush(net)
    rtmsg_fib(net, Rtm.NEWROUTE, new, cfg, NlmF.REPLACE)
    return new


def fib_table_delete(net: "Net", table: FibTable, cfg: "FibConfig") -> None:
    """Delete the first route that is as asked for, and notify of it.

    Raises
    ------
    OSError
        ``ESRCH`` if there is none; ``EINVAL``.
    """
    fib_valid_key_len(cfg.dst, cfg.dst_len)
    for fa in fib_find_alias(table, cfg.dst, cfg.dst_len):
        fi = fa.info
        if (
            fa.table == cfg.table
            and fa.tos == cfg.tos
            and (not cfg.type or fa.type == cfg.type)
            and (cfg.scope == RtScope.NOWHERE or fi.scope == cfg.scope)
            and (not cfg.prefsrc or fi.prefsrc == cfg.prefsrc)
            and (not cfg.protocol or fi.protocol == cfg.protocol)
            and fib_nh_match(cfg, fi)
            and fib_metrics_match(cfg, fi)
        ):
            rtmsg_fib(net, Rtm.DELROUTE, fa, cfg, 0)
            fib_remove_alias(table, fa)
            rt_cache_flush(net)
            return
    raise OSError(ESRCH, "there is no such route")

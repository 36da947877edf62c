"""Numbers that a namespace has for others (Linux: net/core/net_namespace.c)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .net import Net

__all__ = ["peernet2id_alloc"]


def peernet2id_alloc(net: "Net", peer: "Net") -> int:
    """Return the number that a namespace has for another one, given at the first call."""
    return net.netns_ids.setdefault(peer, len(net.netns_ids))

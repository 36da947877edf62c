"""Notifications about neighbours and routes, for whoever keeps a copy of them (Linux: net/core/netevent.c)."""

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .net import Kernel

__all__ = ["NetEvent", "call_netevent_notifiers", "register_netevent_notifier", "unregister_netevent_notifier"]

Notifier = Callable[["NetEvent", Any], None]


class NetEvent(IntEnum):
    """What happened; the second argument of a notifier is what it happened to."""

    NEIGH_UPDATE = 1  # A Neighbour has another state or address.
    REDIRECT = 2
    DELAY_PROBE_TIME_UPDATE = 3


def register_netevent_notifier(kernel: "Kernel", notifier: Notifier) -> None:
    """Have ``notifier(event, subject)`` called at each event of a host."""
    kernel.netevent_chain.append(notifier)


def unregister_netevent_notifier(kernel: "Kernel", notifier: Notifier) -> None:
    """Stop calling it.

    Raises
    ------
    ValueError
        If it was not registered.
    """
    kernel.netevent_chain.remove(notifier)


def call_netevent_notifiers(kernel: "Kernel", event: NetEvent, subject: Any) -> None:
    """Tell everyone who registered, in the order of registration."""
    for notifier in tuple(kernel.netevent_chain):
        notifier(event, subject)

"""Neighbours and their states (Linux: net/core/neighbour.c; RFC 4861 §7.3.2 has the idea)."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from .drop_reasons import SkbDropReason
from .netdevice import HhCache
from .netevent import NetEvent, call_netevent_notifiers
from .skbuff import consume_skb, kfree_skb_reason
from .skbuff_data import skb_clone
from .softirq import local_bh_disable, local_bh_enable
from .timer import HZ, TimerList, del_timer, jiffies, mod_timer

if TYPE_CHECKING:
    from .neighbour_table import NeighParms, NeighTable
    from .netdevice import NetDevice
    from .skbuff import SkBuff

__all__ = [
    "NUD_CONNECTED",
    "NUD_DELAY",
    "NUD_FAILED",
    "NUD_INCOMPLETE",
    "NUD_IN_TIMER",
    "NUD_NAMES",
    "NUD_NOARP",
    "NUD_NONE",
    "NUD_PERMANENT",
    "NUD_PROBE",
    "NUD_REACHABLE",
    "NUD_STALE",
    "NUD_TRANSITIONS",
    "NUD_VALID",
    "NeighCause",
    "NeighOps",
    "Neighbour",
    "__neigh_event_send",
    "neigh_add_timer",
    "neigh_change_state",
    "neigh_confirm",
    "neigh_connect",
    "neigh_del_timer",
    "neigh_event_send",
    "neigh_invalidate",
    "neigh_probe",
    "neigh_suspect",
    "neigh_timer_handler",
    "neigh_update_notify",
]

# Plain numbers, not an enum: they are tested for every packet.
NUD_NONE = 0x00
NUD_INCOMPLETE = 0x01  # Asked for, no answer yet; packets wait.
NUD_REACHABLE = 0x02
NUD_STALE = 0x04  # Not confirmed for some time; used none the less.
NUD_DELAY = 0x08  # Used while stale: a confirmation may still come by itself.
NUD_PROBE = 0x10  # Being asked again.
NUD_FAILED = 0x20
NUD_NOARP = 0x40  # Needs no resolution.
NUD_PERMANENT = 0x80  # Set by hand.
NUD_IN_TIMER = NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE
NUD_VALID = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY
NUD_CONNECTED = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE
_USABLE = NUD_CONNECTED | NUD_DELAY | NUD_PROBE

NUD_NAMES = {
    NUD_NONE: "NONE",
    NUD_INCOMPLETE: "INCOMPLETE",
    NUD_REACHABLE: "REACHABLE",
    NUD_STALE: "STALE",
    NUD_DELAY: "DELAY",
    NUD_PROBE: "PROBE",
    NUD_FAILED: "FAILED",
    NUD_NOARP: "NOARP",
    NUD_PERMANENT: "PERMANENT",
}


class NeighCause(Enum):
    """What makes a neighbour change its state."""

    SEND = "a packet wants to go there"
    TIMER = "its timer ended"
    UPDATE = "neigh_update()"


_RTM_NEWNEIGH = 28
_ANY = frozenset(NUD_NAMES)
NUD_TRANSITIONS: dict[NeighCause, dict[int, frozenset[int]]] = {
    NeighCause.SEND: {
        NUD_NONE: frozenset({NUD_INCOMPLETE, NUD_FAILED}),
        NUD_FAILED: frozenset({NUD_INCOMPLETE, NUD_FAILED}),
        NUD_STALE: frozenset({NUD_DELAY}),
    },
    NeighCause.TIMER: {
        NUD_INCOMPLETE: frozenset({NUD_FAILED}),
        NUD_REACHABLE: frozenset({NUD_DELAY, NUD_STALE}),
        NUD_DELAY: frozenset({NUD_REACHABLE, NUD_PROBE}),
        NUD_PROBE: frozenset({NUD_FAILED}),
    },
    NeighCause.UPDATE: dict.fromkeys(NUD_NAMES, _ANY),
}


class NeighOps:
    """What a protocol does for its neighbours on one kind of device (Linux: ``struct neigh_ops``)."""

    __slots__ = ("connected_output", "error_report", "output", "solicit")

    def __init__(
        self,
        solicit: "Callable[[Neighbour, SkBuff | None], None] | None",
        error_report: "Callable[[Neighbour, SkBuff], None] | None",
        output: "Callable[[Neighbour, SkBuff], int]",
        connected_output: "Callable[[Neighbour, SkBuff], int]",
    ) -> None:
        self.solicit = solicit
        self.error_report = error_report
        self.output = output
        self.connected_output = connected_output


class Neighbour:
    """Somebody on the link (Linux: ``struct neighbour``). Times are in jiffies.

    Members
    -------
    primary_key : int
        Its IPv4 address.
    ha : bytes
        Its link address, while ``nud_state`` is one of ``NUD_VALID``.
    output : callable
        Sends an skb to it: resolves first, or not, as the state wants.
    arp_queue : deque[SkBuff]
        Packets that wait for the link address.
    flags, protocol : int
        ``NTF_*``; who made the entry.
    used, confirmed, updated : int
        When it was last sent to, known to be there, changed.
    """

    __slots__ = (
        "arp_queue",
        "arp_queue_len_bytes",
        "confirmed",
        "dead",
        "dev",
        "flags",
        "ha",
        "hh",
        "kernel",
        "nud_state",
        "ops",
        "output",
        "parms",
        "primary_key",
        "probes",
        "protocol",
        "tbl",
        "timer",
        "type",
        "updated",
        "used",
    )

    ops: NeighOps
    output: "Callable[[Neighbour, SkBuff], int]"

    def __init__(self, tbl: "NeighTable", primary_key: int, dev: "NetDevice", parms: "NeighParms") -> None:
        self.tbl = tbl
        self.kernel = dev.kernel
        self.primary_key = primary_key
        self.dev = dev
        self.parms = parms
        self.nud_state = NUD_NONE
        self.type = self.flags = self.protocol = 0
        self.dead = False
        self.ha = bytes(dev.addr_len)
        self.hh = HhCache()
        self.arp_queue: deque[SkBuff] = deque()
        self.arp_queue_len_bytes = 0
        self.probes = 0
        now = jiffies(dev.kernel)
        self.used = self.updated = now
        self.confirmed = now - (parms.base_reachable_time << 1)
        self.timer = TimerList(dev.kernel, lambda: neigh_timer_handler(self))

    def __repr__(self) -> str:
        return f"<Neighbour {self.primary_key:#x} {self.ha.hex(':')} {NUD_NAMES[self.nud_state]}>"


def neigh_change_state(neigh: Neighbour, cause: NeighCause, state: int) -> None:
    """Enter another state."""
    if state not in NUD_TRANSITIONS[cause][neigh.nud_state]:
        raise AssertionError(f"{neigh!r} cannot become {NUD_NAMES[state]} because {cause.value}")
    neigh.nud_state = state
    neigh.updated = jiffies(neigh.kernel)


def neigh_add_timer(neigh: Neighbour, when: int) -> None:
    """Start the neighbour's timer."""
    mod_timer(neigh.timer, when)


def neigh_del_timer(neigh: Neighbour) -> None:
    """Stop the neighbour's timer."""
    del_timer(neigh.timer)


def neigh_suspect(neigh: Neighbour) -> None:
    """Check before each packet from now on."""
    neigh.output = neigh.ops.output


def neigh_connect(neigh: Neighbour) -> None:
    """Send without a check from now on."""
    neigh.output = neigh.ops.connected_output


def neigh_confirm(neigh: Neighbour) -> None:
    """Note that the neighbour is there, as a protocol above has seen."""
    neigh.confirmed = jiffies(neigh.kernel)


def neigh_event_send(neigh: Neighbour, skb: "SkBuff | None") -> bool:
    """Note that a packet wants to go to the neighbour.

    Returns
    -------
    bool
        True if the skb waits in ``arp_queue`` or was dropped; False if it may go now.
    """
    neigh.used = jiffies(neigh.kernel)
    return not neigh.nud_state & _USABLE and __neigh_event_send(neigh, skb)


def __neigh_event_send(neigh: Neighbour, skb: "SkBuff | None", immediate_ok: bool = True) -> bool:
    """Start to resolve or to doubt a neighbour, and queue the packet if it must wait; as ``neigh_event_send``."""
    kernel = neigh.kernel
    if neigh.dead:
        if neigh.nud_state & NUD_STALE:
            return False
        if skb is not None:
            kfree_skb_reason(skb, SkbDropReason.NEIGH_DEAD)
        return True
    local_bh_disable(kernel)
    try:
        return _event_send(neigh, skb, immediate_ok)
    finally:
        local_bh_enable(kernel)


def _event_send(neigh: Neighbour, skb: "SkBuff | None", immediate_ok: bool) -> bool:
    parms = neigh.parms
    now = jiffies(neigh.kernel)
    state = neigh.nud_state
    probe_now = False
    if state & NUD_STALE:
        neigh_del_timer(neigh)
        neigh_change_state(neigh, NeighCause.SEND, NUD_DELAY)
        neigh_add_timer(neigh, now + parms.delay_probe_time)
        return False
    if not state & NUD_INCOMPLETE:
        if not parms.mcast_probes + parms.app_probes:
            neigh_change_state(neigh, NeighCause.SEND, NUD_FAILED)
            if skb is not None:
                kfree_skb_reason(skb, SkbDropReason.NEIGH_FAILED)
            return True
        neigh.probes = parms.ucast_probes
        neigh_del_timer(neigh)
        neigh_change_state(neigh, NeighCause.SEND, NUD_INCOMPLETE)
        probe_now = immediate_ok
        neigh_add_timer(neigh, now + max(parms.retrans_time, HZ // 100) if probe_now else now + 1)
    if skb is not None:
        _queue(neigh, skb)
    if probe_now:
        neigh_probe(neigh)
    return True


def _queue(neigh: Neighbour, skb: "SkBuff") -> None:
    """Let a packet wait for the link address; those that wait longest make room."""
    while neigh.arp_queue and neigh.arp_queue_len_bytes + skb.truesize > neigh.parms.queue_len_bytes:
        oldest = neigh.arp_queue.popleft()
        neigh.arp_queue_len_bytes -= oldest.truesize
        neigh.tbl.stats["unres_discards"] += 1
        kfree_skb_reason(oldest, SkbDropReason.NEIGH_QUEUEFULL)
    neigh.arp_queue.append(skb)
    neigh.arp_queue_len_bytes += skb.truesize


def neigh_probe(neigh: Neighbour) -> None:
    """Ask for the link address once, on behalf of the packet that came last."""
    # A clone, because the queue may be emptied while the question is on its way.
    skb = skb_clone(neigh.arp_queue[-1]) if neigh.arp_queue else None
    if neigh.ops.solicit is not None:
        neigh.ops.solicit(neigh, skb)
    neigh.probes += 1
    if skb is not None:
        consume_skb(skb)


def neigh_max_probes(neigh: Neighbour) -> int:
    """Return after how many questions without an answer the neighbour counts as gone."""
    parms = neigh.parms
    last = parms.mcast_reprobes if neigh.nud_state & NUD_PROBE else parms.mcast_probes
    return parms.ucast_probes + parms.app_probes + last


def neigh_invalidate(neigh: Neighbour) -> None:
    """Tell the senders of all waiting packets that the neighbour does not answer."""
    neigh.tbl.stats["res_failed"] += 1
    neigh.hh.hh_len = 0
    # Telling a sender may send something to this neighbour and so bring it back to INCOMPLETE.
    while neigh.nud_state == NUD_FAILED and neigh.arp_queue:
        skb = neigh.arp_queue.popleft()
        neigh.arp_queue_len_bytes -= skb.truesize
        if neigh.ops.error_report is not None:
            neigh.ops.error_report(neigh, skb)
        else:
            kfree_skb_reason(skb, SkbDropReason.NEIGH_FAILED)


def neigh_timer_handler(neigh: Neighbour) -> None:
    """Do what is due: doubt what was not confirmed, ask, ask again, give up."""
    state = neigh.nud_state
    if not state & NUD_IN_TIMER:
        return
    parms = neigh.parms
    kernel = neigh.kernel
    now = jiffies(kernel)
    ask_again = now + max(parms.retrans_time, HZ // 100)
    following = ask_again
    notify = False
    if state & NUD_REACHABLE:
        if now <= neigh.confirmed + parms.reachable_time(now):
            following = neigh.confirmed + parms.reachable_time(now)
        elif now <= neigh.used + parms.delay_probe_time:
            neigh_change_state(neigh, NeighCause.TIMER, NUD_DELAY)
            neigh_suspect(neigh)
            following = now + parms.delay_probe_time
        else:
            neigh_change_state(neigh, NeighCause.TIMER, NUD_STALE)
            neigh_suspect(neigh)
            notify = True
    elif state & NUD_DELAY:
        notify = True
        if now <= neigh.confirmed + parms.delay_probe_time:
            neigh_change_state(neigh, NeighCause.TIMER, NUD_REACHABLE)
            neigh_connect(neigh)
            following = neigh.confirmed + parms.reachable_time(now)
        else:
            neigh_change_state(neigh, NeighCause.TIMER, NUD_PROBE)
            neigh.probes = 0
    state = neigh.nud_state
    if state & (NUD_INCOMPLETE | NUD_PROBE) and neigh.probes >= neigh_max_probes(neigh):
        neigh_change_state(neigh, NeighCause.TIMER, NUD_FAILED)
        neigh_invalidate(neigh)
        notify = True
    else:
        if state & NUD_IN_TIMER:
            mod_timer(neigh.timer, max(following, now + HZ // 100))
        if state & (NUD_INCOMPLETE | NUD_PROBE):
            neigh_probe(neigh)
    if notify:
        neigh_update_notify(neigh)


def neigh_update_notify(neigh: Neighbour, portid: int = 0) -> None:
    """Tell everybody who keeps a copy of the neighbour, the driver of an ARP cache for one; and notify of it."""
    from .neighbour_netlink import __neigh_notify  # Built on this module.

    call_netevent_notifiers(neigh.kernel, NetEvent.NEIGH_UPDATE, neigh)
    __neigh_notify(neigh, _RTM_NEWNEIGH, portid)

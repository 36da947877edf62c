"""Follow packets through the stack: which call is about which packet, on which host, with which octets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import NamedTuple

from ...stack.abi import TX_DESC
from ...stack.core.drop_reasons import SkbDropReason
from ...stack.core.net import Kernel
from ...stack.core.skbuff import SkBuff
from ...stack.drivers.hardwire.queue import Queue
from ...stack.drivers.hardwire.ring import TxRing
from ...stack.drivers.hardwire.rx_ring import RxRing
from ..trace import Call, Tracer
from .packet_state import States

__all__ = ["About", "PacketTracer", "Polled", "Posted", "Rings"]

# What these return is the same packet once more.
_COPIES = {"skb_clone", "skb_copy", "pskb_copy", "skb_realloc_headroom", "skb_share_check", "skb_expand_head"}


@dataclass(slots=True)
class About:
    """What is known of a call.

    Members
    -------
    number : int
        How many calls began before it.
    host : str
        Name of the host that it runs on.
    outer : Call or None
        The call that it is inside of.
    packets : list[int]
        Those that it is about.
    skb : SkBuff or None
        What it was called with.
    before, after : int or None
        Numbers of that packet's states.
    dropped : str
        The reason, if it is the end of a packet.
    """

    number: int
    host: str
    outer: Call | None
    packets: list[int] = field(default_factory=list)
    skb: SkBuff | None = None
    before: int | None = None
    after: int | None = None
    dropped: str = ""


class Rings(NamedTuple):
    """Where the rings of a queue were at some time: descriptors and completions, of so many entries."""

    nic: object
    desc: int
    cpl: int
    entries: int


@dataclass(slots=True)
class Posted:
    """A packet in a TX ring, with its octets: its descriptors, each with its index, bus address, length and fields."""

    time_fs: int
    rings: Rings
    packet: int
    state: int
    parts: list[tuple[int, int, int, dict[str, int]]]


@dataclass(slots=True)
class Polled:
    """A packet out of an RX ring, with its octets: its descriptors, each with its index and its buffer's address."""

    time_fs: int
    rings: Rings
    packet: int
    state: int
    room_octets: int
    parts: list[tuple[int, int]]


class PacketTracer(Tracer):
    """A tracer that gives each packet an id.

    An skb is first seen where it is returned from, or handed to, a function of the stack. A copy is the same packet; an
    skb that is made in a call about another packet is a packet that comes of it; any other is one of its own, and those
    calls that it was made in are about it, too.

    Parameters
    ----------
    now_fs : Callable[[], int]
        The world's clock.
    states : States
        Where states are kept.

    Members
    -------
    about : dict[int, About]
        By ``id()`` of a call.
    parents : dict[int, int or None]
        By id of a packet: the one that it comes of.
    states : States
        As given.
    posted, polled : list
        What the driver put into rings, and took out, in order.
    """

    def __init__(self, now_fs: Callable[[], int], states: States) -> None:
        super().__init__(now_fs)
        self.states = states
        self.about: dict[int, About] = {}
        self.parents: dict[int, int | None] = {}
        self.posted: list[Posted] = []
        self.polled: list[Polled] = []
        self._ids: dict[int, int] = {}
        self._host = ""
        self._seen: list[SkBuff] = []  # Kept, so that none gets the address of one that is gone.

    def called(self, call: Call, outer: Call | None, frame: FrameType) -> None:
        """See which packet a call is about."""
        arguments = list(frame.f_locals.values())
        skb = next((value for value in arguments if type(value) is SkBuff), None)
        if skb is not None:
            host = _host_of(skb)
        elif outer is not None:
            host = self.about[id(outer)].host
        else:
            host = next((name for value in arguments if (name := _host_of(value))), self._host)
        self._host = host  # Of a call that has nothing of any host: that of the one before.
        about = About(len(self.about), host, outer)
        self.about[id(call)] = about
        if skb is None:
            return
        known = id(skb) in self._ids
        about.packets.append(self._id_of(skb, outer))
        if not known:
            self._tell_outer(call, about.packets[0])
        about.skb = skb
        if not self._is_copying(outer):
            about.before = self.states.of_skb(skb)
        if call.name == "kfree_skb_reason":
            reason = frame.f_locals["reason"]
            if skb.users == 1 and reason != SkbDropReason.CONSUMED:
                about.dropped = reason.name
        elif call.name == "napi_gro_receive" and frame.f_back is not None:
            self._polled(about, frame.f_back)

    def returned(self, call: Call, value: object) -> None:
        """See a packet that comes out of a call, and what the call has done to its own."""
        about = self.about[id(call)]
        if type(value) is tuple:
            value = next((one for one in value if type(one) is SkBuff), None)
        if type(value) is SkBuff:
            packet = self._id_of(value, call)
            if packet not in about.packets:
                about.packets.append(packet)
            if about.skb is None:
                about.after = self.states.of_skb(value)
                self._tell_outer(call, packet)
        if about.skb is not None:
            if not self._is_copying(about.outer):
                about.after = self.states.of_skb(about.skb)
            if call.name == "hardwire_start_xmit":
                self._posted(about.skb, about)

    def _is_copying(self, call: Call | None) -> bool:
        """Return whether what a call is inside of makes a copy, which is not whole yet."""
        while call is not None:
            if call.name in _COPIES:
                return True
            call = self.about[id(call)].outer
        return False

    def _id_of(self, skb: SkBuff, call: Call | None) -> int:
        """Return the id of an skb that is seen in ``call``."""
        number = self._ids.get(id(skb))
        if number is None:
            while call is not None and self.about[id(call)].skb is None:
                call = self.about[id(call)].outer
            parent = None if call is None else self.about[id(call)].packets[0]
            if call is not None and parent is not None and call.name in _COPIES:
                number = parent
            else:
                number = len(self.parents) + 1
                self.parents[number] = parent
            self._ids[id(skb)] = number
            self._seen.append(skb)
        return number

    def _tell_outer(self, call: Call, packet: int) -> None:
        """Let calls around this one be about a packet, too, up to one that is about its own."""
        outer = self.about[id(call)].outer
        while outer is not None:
            about = self.about[id(outer)]
            if about.skb is not None:
                break
            if packet not in about.packets:
                about.packets.append(packet)
            outer = about.outer

    def _posted(self, skb: SkBuff, about: About) -> None:
        """Note which descriptors an skb has got, if the driver has taken it."""
        assert skb.dev is not None
        ring: TxRing = skb.dev.priv.rings[skb.queue_mapping]
        last = (ring.next_to_use - 1) & ring.mask
        if ring.skbs[last] is not skb:
            return
        assert about.before is not None
        size = TX_DESC.size_octets
        parts = []
        for back in range(len(skb.frags), -1, -1):
            index = (last - back) & ring.mask
            fields = TX_DESC.unpack(ring.desc_view[index * size : (index + 1) * size])
            parts.append((index, ring.bus[index], ring.length[index], fields))
        self.posted.append(Posted(self._now_fs(), _rings(ring), about.packets[0], about.before, parts))

    def _polled(self, about: About, poll: FrameType) -> None:
        """Note which descriptors a received skb comes from: ``poll`` is the driver's loop."""
        places = poll.f_locals
        ring = places.get("ring")
        if isinstance(ring, RxRing) and about.before is not None:
            first, last = places["first"], places["index"]
            count = ((last - first) & ring.mask) + 1
            parts = [(index, ring.bus[index]) for index in ((first + n) & ring.mask for n in range(count))]
            self.polled.append(
                Polled(self._now_fs(), _rings(ring), about.packets[0], about.before, ring.room_octets, parts)
            )


def _rings(queue: Queue) -> Rings:
    assert queue.desc is not None
    assert queue.cpl is not None
    return Rings(queue.mmio, queue.desc.addr, queue.cpl.addr, queue.count)


def _host_of(value: object) -> str:
    """Return the name of the host that an object of the stack is part of; empty if it is of none."""
    for _ in range(3):
        if isinstance(value, Kernel):
            return str(getattr(value.platform, "name", ""))
        for name in ("kernel", "net", "dev"):
            inner = getattr(value, name, None)
            if inner is not None:
                value = inner
                break
        else:
            return ""
    return ""

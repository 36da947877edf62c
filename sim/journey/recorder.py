"""Record a journey: everything that happens in a world while the recorder is on."""

from collections import defaultdict
from operator import itemgetter
from typing import ClassVar, Self

from ..bridge.nic import BridgeNic
from ..frame import Frame
from ..nic import SimNic
from ..nic_event import Event
from ..trace import Call
from ..world import World
from .calls import PacketTracer
from .card import CardLog
from .dissect import label
from .frame_seen import FrameSeen
from .model import Clock, Journey, JourneyError, Packet, Step, Track
from .packet_state import States
from .waits import waits
from .wire import match

__all__ = ["Recorder"]

# Stages of a card, as a packet to send meets them, then as one that came in does.
_STAGES = (
    *("registers", "descriptors", "DMA read", "ARP cache", "checksum", "FIFO", "MAC TX"),
    *("MAC RX", "RX checks", "DMA write", "completions", "interrupt"),
)
_RECEIVED = {"skb_recv_datagram", "__skb_recv_udp"}
# At the same time, what comes first: the device interrupts, the stack runs, the device hears of what it did.
_CARD, _STACK, _WAIT, _ANSWER = range(4)


class _CardEar:
    """Keeps what a card logs, and its frames; several on one card all hear the same."""

    _on: ClassVar[list["_CardEar"]] = []

    def __init__(self, nic: SimNic, name: str) -> None:
        self.nic = nic
        self.name = name
        self.events: list[Event] = []
        self.sent: list[Frame] = []
        self.received: list[Frame] = []
        self._lost = nic.counters["events_lost"]
        self._begin_cycle = nic.cycle
        self._stop_watching = nic.watch(self._hear)
        self._share()
        self._on.append(self)
        nic.log_events()

    def _share(self) -> None:
        """Let all that listen to the card have what it has logged."""
        events = self.nic.take_events()
        for ear in self._on:
            if ear.nic is self.nic:
                ear.events += events

    def _hear(self, frames: list[Frame], sent: bool) -> None:
        kept = self.sent if sent else self.received
        # One that was under way when the recording began is not there as a whole.
        kept += [frame for frame in frames if frame.start_cycle > self._begin_cycle]

    def stop(self) -> None:
        self._stop_watching()
        self._share()
        self._on.remove(self)
        if not any(ear.nic is self.nic for ear in self._on):
            self.nic.log_events(0)
        self.lost = self.nic.counters["events_lost"] - self._lost


class Recorder:
    """Records what happens to packets, in a ``with`` statement; ``journey`` is what came of it.

    Of a card behind a bridge there is only what the driver does with it.

    What is inside the cards as it begins is nobody's there; it gets an id where the stack is given it. While none is
    on, recorders cost nothing.

    Parameters
    ----------
    world : World
        With its cards; those that are made later are recorded if :meth:`add` is told of them.
    title : str
        For people.
    """

    def __init__(self, world: World, title: str = "") -> None:
        self._world = world
        self._title = title
        self._states = States()
        self._tracer = PacketTracer(lambda: world.now_fs, self._states)
        self._ears: list[_CardEar] = []
        self._begin_fs = 0

    def __enter__(self) -> Self:
        """Start to record."""
        self._begin_fs = self._world.now_fs
        for nic in self._world.nics:
            if not isinstance(nic, BridgeNic):  # What happens in that, nobody tells.
                self.add(nic)
        self._tracer.__enter__()
        return self

    def add(self, nic: SimNic) -> None:
        """Record a card, too, that has been made since."""
        number = sum(ear.nic.host is nic.host for ear in self._ears)
        self._ears.append(_CardEar(nic, f"{nic.host.name} eth{number}"))

    def __exit__(self, *exception: object) -> None:
        """Stop to record."""
        self._tracer.__exit__()
        for ear in self._ears:
            ear.stop()
        self._end_fs = self._world.now_fs

    def journey(self) -> Journey:
        """Return what was recorded.

        Raises
        ------
        JourneyError
            If a card did more than its log can hold.
        """
        for ear in self._ears:
            if ear.lost:
                raise JourneyError(f"the log of {ear.name} was full, {ear.lost:,} events are missing: record less")
        return _Assembly(self._world, self._tracer, self._ears).journey(
            self._title, self._begin_fs, self._end_fs, self._states
        )


class _Assembly:
    """Puts together what tracer and cards have seen."""

    def __init__(self, world: World, tracer: PacketTracer, ears: list[_CardEar]) -> None:
        self._tracer = tracer
        self._ears = ears
        self._same: dict[int, int] = {}  # Ids of packets that came in: what they were when they were sent.
        self._steps: list[tuple[tuple[int, int, int], Track, Step, Step | None]] = []  # With the step around it.
        self._hosts = [host.name for host in world.hosts]
        # Of calls that came before any that has to do with a host.
        self._first_host = next((about.host for about in tracer.about.values() if about.host), "no host")
        for call in tracer.roots:
            self._add_call(call, None)
        logs = [(ear, self._log(ear)) for ear in ears]
        sent = [(ear, seen) for ear, log in logs for seen in log.sent]
        received = [(ear, seen) for ear, log in logs for seen in log.received]
        self._join(sent, match(sent, received))
        for ear, log in logs:
            self._add_card(ear, log)

    def _log(self, ear: _CardEar) -> CardLog:
        posted = [one for one in self._tracer.posted if one.rings.nic is ear.nic]
        polled = [one for one in self._tracer.polled if one.rings.nic is ear.nic]
        log = CardLog(ear.nic, self._tracer.states, posted, polled)
        log.read(ear.events, ear.sent, ear.received)
        return log

    def _add(self, rank: int, track: Track, step: Step, outer: Step | None = None, number: int = 0) -> None:
        """Add a step; at the same time ``rank`` counts, then ``number``, then who was added first."""
        self._steps.append(((step.begin_fs, rank, number), track, step, outer))

    def _add_call(self, call: Call, outer: Step | None) -> None:
        about = self._tracer.about[id(call)]
        driver = call.module.startswith("drivers.hardwire")
        kind = "driver" if driver else "stack"
        host = about.host or self._first_host
        track = Track(f"{host} {kind}", host, kind)
        what = f"{call.module.replace('.', '/')}.py"
        step = Step(-1, call.begin_fs, call.end_fs, "call", call.name, what, packets=tuple(about.packets))
        step.before, step.after = about.before, about.after
        self._add(_STACK, track, step, outer, about.number)
        if about.dropped:
            drop = Step(-1, call.begin_fs, call.begin_fs, "drop", about.dropped, f"dropped: {about.dropped}")
            drop.packets, drop.before = step.packets, step.before
            self._add(_STACK, track, drop, step, about.number)
        for inner in call.calls:
            self._add_call(inner, step)

    def _add_card(self, ear: _CardEar, log: CardLog) -> None:
        log.join_writes()
        clock = Clock(ear.nic.period_fs, ear.nic.phase_fs)
        for stage, step in log.steps:
            track = Track(f"{ear.name} {stage}", ear.nic.host.name, "card", stage, clock)
            self._add(_ANSWER if step.kind == "register" else _CARD, track, step)

    def _join(self, sent: list[tuple[_CardEar, FrameSeen]], pairs: list[tuple[FrameSeen, FrameSeen]]) -> None:
        """Let a packet keep its id across the wire, and add what is on the wire."""
        arrivals: dict[int, list[FrameSeen]] = {}
        for there, here in pairs:
            arrivals.setdefault(id(there), []).append(here)
            for ours, its in zip(here.step.packets, there.step.packets, strict=False):
                self._same[ours] = its
            here.step.packets = here.step.packets or there.step.packets
            there.step.packets = there.step.packets or here.step.packets  # Sent before the recording began.
            for step in here.found:
                step.packets = step.packets or here.step.packets
        for ear, seen in sent:
            heard = arrivals.get(id(seen), [])
            end_fs = max((one.step.end_fs for one in heard), default=seen.step.end_fs)
            step = Step(-1, seen.step.begin_fs, end_fs, "frame", seen.step.name, "on the wire")
            step.packets = seen.step.packets
            step.before = step.after = seen.step.after
            if len(self._ears) > 1:
                step.values["arrivals"] = len(heard)
            self._add(_CARD, Track(f"wire from {ear.name}", None, "wire"), step)

    def journey(self, title: str, begin_fs: int, end_fs: int, states: States) -> Journey:
        """Return it."""
        for _, _, step, _ in self._steps:
            step.packets = tuple(dict.fromkeys(self._id(packet) for packet in step.packets))
        for track, step in waits([(track, step, outer) for _, track, step, outer in self._steps]):
            self._add(_WAIT, track, step)
        self._steps.sort(key=itemgetter(0))
        tracks = self._in_order({track for _, track, _, _ in self._steps})
        numbers = {track: number for number, track in enumerate(tracks)}
        places = {id(step): place for place, (_, _, step, _) in enumerate(self._steps)}
        order: dict[int, int] = {}  # Packets get their numbers as they appear.
        for _, track, step, outer in self._steps:
            step.track = numbers[track]
            step.parent = None if outer is None else places[id(outer)]
            step.packets = tuple(order.setdefault(packet, len(order) + 1) for packet in step.packets)
        found = Journey(title, begin_fs, end_fs, tracks, [], [step for _, _, step, _ in self._steps], states.states())
        for packet, number in order.items():
            parent = self._tracer.parents[packet]
            found.packets.append(Packet(number, None if parent is None else order.get(self._id(parent))))
        about: dict[int, list[Step]] = defaultdict(list)
        for step in found.steps:
            for number in step.packets:
                about[number].append(step)
        for one in found.packets:
            one.label, one.fate = _label(found, one.id, about[one.id]), _fate(found, about[one.id])
        return found

    def _id(self, packet: int) -> int:
        while packet in self._same:
            packet = self._same[packet]
        return packet

    def _in_order(self, tracks: set[Track]) -> list[Track]:
        """Return tracks as they are shown: down one host, along the wire, up the other one, if there are two."""
        cards = {ear.name: number for number, ear in enumerate(self._ears)}

        def key(track: Track) -> tuple[int, ...]:
            if track.host is None:
                return (1, 0)
            host = self._hosts.index(track.host) if track.host in self._hosts else len(self._hosts)
            card = cards.get(track.name.removesuffix(f" {track.stage}"), 0)
            depth = {"stack": 0, "driver": 1}.get(track.kind, 2)
            place = (depth, card, _STAGES.index(track.stage) if track.stage else 0)
            if len(self._hosts) == 2 and host == 1:
                return (2, host, *(-part for part in place))
            return (0, host, *place)

        return sorted(tracks, key=lambda track: (key(track), track.name))


def _label(journey: Journey, packet: int, about: list[Step]) -> str:
    """Return what a packet is: what the richest of its states says."""
    seen = [
        state for step in about if step.packets[0] == packet for state in (step.before, step.after) if state is not None
    ]
    best = max(seen, key=lambda state: len(journey.states[state].layers), default=None)
    found = label(journey.states[best].layers) if best is not None else ""
    return found or f"skb of {about[0].name}"


def _fate(journey: Journey, about: list[Step]) -> str:
    """Return what became of a packet in the end: the last of its steps that says so."""
    fate, sender = "under way", None
    for step in about:
        track = journey.tracks[step.track]
        if step.kind == "drop":
            fate = f"dropped: {step.name}"
        elif step.kind == "frame":
            sender = track.host if track.stage == "MAC TX" else sender
            if track.kind == "wire":
                fate = "lost on the wire" if step.values.get("arrivals") == 0 else "sent"
        elif step.kind != "call":
            continue
        elif step.name in _RECEIVED or (step.name == "consume_skb" and sender not in (None, track.host)):
            fate = "received"
        elif fate == "sent" and sender != track.host:
            fate = "arrived"
        elif step.name == "consume_skb" and fate == "under way":
            fate = "consumed"
    return fate

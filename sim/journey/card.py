"""What a card did, as steps: each event of its log, and the packets that it is about.

The gateware carries no ids. Which packet an event is about follows from what the driver put where: an index is that of
a descriptor, an address lies in a ring or a buffer, and within a path frames keep their order.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...stack.abi import BLOCKS, RX_CPL, RX_DESC, TX_CPL, TX_DESC, RxStatus, TxFlags, TxStatus
from ...stack.drivers.hardwire.queue import Queue
from ..frame import FCS_OK, PREAMBLE_OK, TX_ER, Frame
from ..nic import SimNic
from ..nic_event import Event
from .calls import Polled, Posted
from .model import Step
from .packet_state import States

__all__ = ["CardLog", "FrameSeen"]

_TX_STATUS = {status.value: status.name for status in TxStatus}
_RX_STATUS = {status.value: status.name for status in RxStatus}


@dataclass(slots=True)
class FrameSeen:
    """A frame at a card's end of the cable: its step, and what the card has found about one that came in."""

    frame: Frame
    step: Step
    found: Step | None = None


@dataclass(slots=True)
class _Sent:
    """A posted packet, and how far it has come."""

    posted: Posted
    fifo: Step | None = None

    @property
    def packets(self) -> tuple[int, ...]:
        return (self.posted.packet,)

    @property
    def flags(self) -> int:
        return self.posted.parts[0][3]["flags"]


class CardLog:
    """Turns the log of one card into steps.

    Parameters
    ----------
    nic : SimNic
        The card.
    states : States
        Where the octets of frames are kept.
    posted, polled : sequence
        What the driver of this card put into its rings and took out.

    Members
    -------
    steps : list[tuple[str, Step]]
        In the order of the log, each with the stage that it belongs to. Packets may be none.
    sent, received : list[FrameSeen]
        Frames on the cable.
    """

    def __init__(self, nic: SimNic, states: States, posted: Sequence[Posted], polled: Sequence[Polled]) -> None:
        self.steps: list[tuple[str, Step]] = []
        self.sent: list[FrameSeen] = []
        self.received: list[FrameSeen] = []
        self._nic = nic
        self._states = states
        self._coming = deque(posted)
        self._unrung: deque[_Sent] = deque()
        self._at_index: dict[int, _Sent] = {}
        self._staging: deque[_Sent] = deque()  # Decoded, but their octets are not all there.
        self._resolving: deque[_Sent] = deque()
        self._good: list[_Sent] = []  # Completed as OK, in order; so they leave.
        self._sums: list[Step] = []
        self._bursts: dict[tuple[str, int], deque[Step]] = defaultdict(deque)
        self._tx_writes: list[Step] = []  # Of completions, one entry for each of them.
        self._rx_writes: list[Step] = []
        self._tx_completions: list[Step] = []
        self._rx_completions: list[Step] = []
        self._stored: list[Step] = []
        self._beat_octets = nic.config.axi_width_bits // 8
        self._registers = dict(_register_names())
        self._polled: dict[int, deque[Polled]] = defaultdict(deque)
        for one in polled:
            self._polled[one.parts[-1][0]].append(one)
        self._rx_buffers = [(bus, one) for one in polled for _, bus in one.parts]
        self._tx_queue: Queue | None = posted[0].ring if posted else None
        self._rx_queue: Queue | None = polled[0].ring if polled else None

    def read(self, events: Sequence[Event], sent: Sequence[Frame], received: Sequence[Frame]) -> None:
        """Take in the whole log, and all frames."""
        for event in events:
            self._now = self._nic.phase_fs + event.cycle * self._nic.period_fs
            while self._coming and self._coming[0].time_fs <= self._now:
                one = _Sent(self._coming.popleft())
                self._unrung.append(one)
                self._at_index |= {index: one for index, _, _, _ in one.posted.parts}
            handler = getattr(self, f"_{event.kind}", None)
            if handler is not None:
                handler(event.a, event.b)
        self.sent = [self._frame("MAC TX", frame) for frame in sent]
        self.received = [self._frame("MAC RX", frame) for frame in received]
        self._join_sent()
        self._join_received()

    def _add(
        self, stage: str, kind: str, name: str, what: str, packets: tuple[int, ...] = (), **values: int | str
    ) -> Step:
        step = Step(-1, self._now, self._now, kind, name, what, packets=packets, values=values)
        self.steps.append((stage, step))
        return step

    # Registers and the bus.

    def _mmio_write(self, offset: int, value: int) -> None:
        name = self._registers.get(offset, hex(offset))
        packets: tuple[int, ...] = ()
        doorbell = name.startswith("txq") and name.endswith(".TAIL")
        if doorbell:
            packets = tuple(self._rung(value))
        what = f"register write {name} = {value:#x}{' (doorbell)' if name.endswith('.TAIL') else ''}"
        self._add("registers", "register", name, what, packets, value=value)

    def _rung(self, tail: int) -> Iterator[int]:
        while self._unrung:
            one = self._unrung.popleft()
            yield one.posted.packet
            if (one.posted.parts[-1][0] + 1) & one.posted.ring.mask == tail:
                break

    def _mmio_read(self, offset: int, value: int) -> None:
        name = self._registers.get(offset, hex(offset))
        self._add("registers", "register", name, f"register read {name} = {value:#x}", value=value)

    def _read(self, beats: int, address: int) -> None:
        self._burst("read", beats, address)

    def _write(self, beats: int, address: int) -> None:
        self._burst("write", beats, address)

    def _burst(self, direction: str, beats: int, address: int) -> None:
        octets = beats * self._beat_octets
        name, packets = self._target(address, octets)
        plural = "s" if beats != 1 else ""
        what = f"DMA {direction} at {address:#x}, {beats} beat{plural}: {name}"
        step = self._add(f"DMA {direction}", "dma", name, what, packets, address=address, beats=beats)
        self._bursts[direction, address].append(step)
        if name in ("TX completion", "RX completion"):
            writes, record = (self._tx_writes, TX_CPL) if name == "TX completion" else (self._rx_writes, RX_CPL)
            writes += [step] * max(1, octets // record.size_octets)

    def _target(self, address: int, octets: int) -> tuple[str, tuple[int, ...]]:
        """Return what lies at a bus address, and whose it is."""
        tx, rx = self._tx_queue, self._rx_queue
        if (at := _inside(tx, "desc", TX_DESC.size_octets, address)) is not None:
            assert tx is not None
            indices = range(at, at + max(1, octets // TX_DESC.size_octets))
            found = [self._at_index[index] for index in indices if index in self._at_index]
            return "TX descriptor", tuple(dict.fromkeys(one.posted.packet for one in found))
        if _inside(tx, "cpl", TX_CPL.size_octets, address) is not None:
            return "TX completion", ()
        if _inside(rx, "desc", RX_DESC.size_octets, address) is not None:
            return "RX descriptor", ()
        if _inside(rx, "cpl", RX_CPL.size_octets, address) is not None:
            return "RX completion", ()
        for one in self._at_index.values():
            if any(bus // 8 * 8 <= address < bus + length for _, bus, length, _ in one.posted.parts):
                return "payload", one.packets
        for bus, polled in self._rx_buffers:
            if bus <= address < bus + polled.ring.room_octets and polled.time_fs >= self._now:
                return "received octets", (polled.packet,)
        return "memory", ()

    def _read_done(self, response: int, address: int) -> None:
        self._done("read", response, address)

    def _write_done(self, response: int, address: int) -> None:
        self._done("write", response, address)

    def _done(self, direction: str, response: int, address: int) -> None:
        waiting = self._bursts[direction, address]
        if waiting:
            step = waiting.popleft()
            step.end_fs = self._now
            if response:
                step.values["error"] = "bus error"

    def _irq(self, level: int, _: int) -> None:
        name = "interrupt raised" if level else "interrupt lowered"
        self._add("interrupt", "irq", name, name, level=level)

    # The transmit path.

    def _desc(self, index: int, _: int) -> None:
        one = self._at_index.get(index)
        values: dict[str, int | str] = {"index": index}
        if one is not None:
            fields = next(fields for at, _, _, fields in one.posted.parts if at == index)
            flags = TxFlags(fields["flags"])
            values["flags"] = " ".join(flag.name or "" for flag in TxFlags if flag in flags)
            values["length"] = fields["length"]
            if TxFlags.FIRST in flags and TxFlags.RESOLVE in flags:
                self._resolving.append(one)
            if TxFlags.LAST in flags:
                self._staging.append(one)
        packets = () if one is None else one.packets
        what = f"descriptor {index} fetched and decoded"
        self._add("descriptors", "desc", f"descriptor {index}", what, packets, **values)

    def _stage(self, *_: int) -> None:
        if self._staging:
            one = self._staging.popleft()
            one.fifo = self._add("FIFO", "fifo", "in the FIFO", "all octets are in the FIFO", one.packets)

    def _arp(self, hit: int, _: int) -> None:
        packets = self._resolving.popleft().packets if self._resolving else ()
        name = "hit" if hit else "miss"
        self._add("ARP cache", "arp", name, f"ARP cache lookup: {name}", packets, hit=hit)

    def _csum(self, *_: int) -> None:
        self._sums.append(self._add("checksum", "csum", "checksums", "checksums done"))

    def _cpl(self, index: int, status: int) -> None:
        one = self._at_index.get(index)
        name = _TX_STATUS.get(status, hex(status))
        what = f"completion for descriptor {index}: {name}"
        packets = () if one is None else one.packets
        step = self._add("completions", "completion", name, what, packets, index=index, status=status)
        self._tx_completions.append(step)
        if one is not None and one.posted.parts[-1][0] == index:
            for at, *_ in one.posted.parts:
                del self._at_index[at]
            if status == TxStatus.OK:
                self._good.append(one)
            elif one.fifo is not None:
                one.fifo.end_fs = self._now

    def _join_sent(self) -> None:
        """Let good frames, their checksums and what is on the wire find each other: all are in the same order."""
        for one, csum in zip(self._good, self._sums, strict=False):
            csum.packets = one.packets
            csum.before = one.posted.state
        for one, csum, seen in zip(self._good, self._sums, self.sent, strict=False):
            seen.step.packets = one.packets
            if (
                not one.flags & TxFlags.VLAN
            ):  # The MAC adds padding and FCS; a tag, too, and then nothing is in its place.
                octets = seen.frame.octets[: sum(length for _, _, length, _ in one.posted.parts)]
                csum.after = seen.step.before = self._states.of_frame(octets, fcs=False)
            if one.fifo is not None:
                one.fifo.end_fs = max(one.fifo.begin_fs, seen.step.begin_fs)
        for write, completion in zip(self._tx_writes, self._tx_completions, strict=False):
            write.packets = tuple(dict.fromkeys(write.packets + completion.packets))

    # The receive path.

    def _rx(self, *_: int) -> None:
        self._stored.append(self._add("RX checks", "rx", "accepted", "frame received: whole, good and for us"))

    def _rx_filtered(self, *_: int) -> None:
        self._add("RX checks", "drop", "HW_FILTERED", "frame for somebody else")

    def _rx_missed(self, *_: int) -> None:
        self._add("RX checks", "drop", "HW_MISSED", "no room for the frame")

    def _rx_cpl(self, index: int, status: int) -> None:
        name = _RX_STATUS.get(status, hex(status))
        what = f"completion for receive descriptor {index}: {name}"
        step = self._add("completions", "completion", name, what, index=index, status=status)
        self._rx_completions.append(step)
        if status == RxStatus.OK and self._polled[index]:
            step.packets = (self._polled[index].popleft().packet,)

    def _join_received(self) -> None:
        """Let frames, what the card found about them, and completions find each other."""
        ends = [seen.step.end_fs for seen in self.received]
        for _, step in self.steps:
            at = bisect_right(ends, step.begin_fs) - 1
            if step.kind in ("rx", "drop") and at >= 0:
                self.received[at].found = step
        for seen in self.received:
            if not seen.frame.ok:
                self._now = seen.step.end_fs
                name = _fault(seen.frame)
                seen.found = self._add("RX checks", "drop", name, f"frame dropped: {name}")
        for write, completion in zip(self._rx_writes, self._rx_completions, strict=False):
            write.packets = tuple(dict.fromkeys(write.packets + completion.packets))
        stored = (seen for seen in self.received if seen.found is not None and seen.found.kind == "rx")
        for seen, found, completion in zip(stored, self._stored, self._rx_completions, strict=False):
            seen.step.packets = found.packets = completion.packets
            found.before, found.after = seen.step.after, self._states.of_frame(seen.frame.octets, fcs=False)

    def _frame(self, stage: str, frame: Frame) -> FrameSeen:
        nic = self._nic
        begin, end = (nic.phase_fs + cycle * nic.period_fs for cycle in (frame.start_cycle, frame.end_cycle))
        octets = frame.octets + frame.fcs
        name = f"{len(octets)} octets"
        verb = "sends" if stage == "MAC TX" else "receives"
        step = Step(-1, begin, end, "frame", name, f"MAC {verb} a frame of {name} with FCS")
        step.before = step.after = self._states.of_frame(octets)
        step.values["flags"] = frame.flags
        self.steps.append((stage, step))
        return FrameSeen(frame, step)


def _fault(frame: Frame) -> str:
    if frame.flags & TX_ER:
        return "RX_ERROR"
    if not frame.flags & PREAMBLE_OK:
        return "PREAMBLE_ERROR"
    return "CRC_ERROR" if not frame.flags & FCS_OK else "RUNT"


def _inside(queue: Queue | None, ring: str, size_octets: int, address: int) -> int | None:
    """Return the index of what lies at an address, if that is in a queue's ring."""
    buffer = None if queue is None else getattr(queue, ring)
    if queue is None or buffer is None or not 0 <= address - buffer.addr < size_octets << queue.log2:
        return None
    return int(address - buffer.addr) // size_octets


def _register_names() -> Iterator[tuple[int, str]]:
    for block in BLOCKS:
        for index in range(block.count):
            scope = f"{block.name}[{index}]" if block.count > 1 else block.name
            for register in block.registers:
                yield block.address(register, index), f"{scope}.{register.name}"

"""What a card did, as steps: each event of its log, and the packets that it is about.

The gateware carries no ids. Which packet an event is about follows from what the driver put where: an index is that of
a descriptor, an address lies in a ring or a buffer, and within a path frames keep their order.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from ...stack.abi import BLOCKS, RX_CPL, RX_DESC, RXQ, TX_CPL, TX_DESC, RxStatus, TxStatus
from ..frame import Frame
from ..nic import SimNic
from ..nic_event import Event
from .calls import Polled, Posted
from .completions import CompletionWrites
from .frame_seen import FrameSeen
from .model import Step
from .packet_state import States
from .rx_path import RxPath
from .tx_path import TxPath

__all__ = ["CardLog"]

_TX_STATUS = {status.value: status.name for status in TxStatus}
_RX_STATUS = {status.value: status.name for status in RxStatus}


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
        self._tx = TxPath(posted, states)
        self._rx = RxPath(polled, states, self._drop)
        self._tx_writes = CompletionWrites(TX_CPL)
        self._rx_writes = CompletionWrites(RX_CPL)
        self._bursts: dict[tuple[str, int], deque[Step]] = defaultdict(deque)
        self._beat_octets = nic.config.axi_width_bits // 8
        self._registers = dict(_register_names())
        self._handlers = {
            "mmio_write": self._mmio_write,
            "mmio_read": self._mmio_read,
            "read": self._read,
            "write": self._write,
            "read_done": self._read_done,
            "write_done": self._write_done,
            "irq": self._irq,
            "desc": self._desc,
            "stage": self._stage,
            "arp": self._arp,
            "csum": self._csum,
            "cpl": self._cpl,
            "rx": self._rx_good,
            "rx_filtered": self._rx_filtered,
            "rx_missed": self._rx_missed,
            "rx_cpl": self._rx_cpl,
        }

    def read(self, events: Sequence[Event], sent: Sequence[Frame], received: Sequence[Frame]) -> None:
        """Take in the whole log, and all frames."""
        for event in events:
            self._now = self._nic.phase_fs + event.cycle * self._nic.period_fs
            self._tx.until(self._now)
            handler = self._handlers.get(event.kind)
            if handler is not None:
                handler(event.a, event.b)
        self.sent = [self._frame("MAC TX", frame) for frame in sent]
        self.received = [self._frame("MAC RX", frame) for frame in received]
        self._tx.join(self.sent)
        self._rx.join(self.received)

    def join_writes(self) -> None:
        """Let writes of completions be about the packets of these, once those are known."""
        self._tx_writes.join()
        self._rx_writes.join()

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
        doorbell = name.endswith(".TAIL")
        if name == "txq[0].TAIL":
            packets = self._tx.rung(value)
        elif name == "rxq[0].CTRL" and value & RXQ["CTRL"]["enable"].mask:
            self._rx.restarted(self._now)
        what = f"register write {name} = {value:#x}{' (doorbell)' if doorbell else ''}"
        self._add("registers", "register", name, what, packets, value=value)

    def _mmio_read(self, offset: int, value: int) -> None:
        name = self._registers.get(offset, hex(offset))
        self._add("registers", "register", name, f"register read {name} = {value:#x}", value=value)

    def _read(self, beats: int, address: int) -> None:
        self._burst("read", beats, address)

    def _write(self, beats: int, address: int) -> None:
        self._burst("write", beats, address)

    def _burst(self, direction: str, beats: int, address: int) -> None:
        name, packets = self._target(direction, address, beats * self._beat_octets)
        plural = "s" if beats != 1 else ""
        what = f"DMA {direction} at {address:#x}, {beats} beat{plural}: {name}"
        step = self._add(f"DMA {direction}", "dma", name, what, packets, address=address, beats=beats)
        self._bursts[direction, address].append(step)

    def _target(self, direction: str, address: int, octets: int) -> tuple[str, tuple[int, ...]]:
        """Return what lies at a bus address, and whose it is."""
        tx, rx = self._tx.rings, self._rx.rings(self._now)
        if direction == "write":
            if self._tx_writes.holds(tx, address):
                return "TX completion", ()
            if self._rx_writes.holds(rx, address):
                return "RX completion", ()
            return "received octets" if rx else "memory", self._rx.writing(address, self._now)
        size = TX_DESC.size_octets
        if tx and 0 <= (at := address - tx.desc) < tx.entries * size:
            return "TX descriptor", self._tx.at(range(at // size, (at + octets) // size))
        if rx and 0 <= address - rx.desc < rx.entries * RX_DESC.size_octets:
            return "RX descriptor", ()
        packets = self._tx.reading(address, octets)
        return "payload" if packets else "memory", packets

    def _read_done(self, response: int, address: int) -> None:
        self._done("read", response, address)

    def _write_done(self, response: int, address: int) -> None:
        self._done("write", response, address)

    def _done(self, direction: str, response: int, address: int) -> None:
        waiting = self._bursts[direction, address]
        if not waiting:
            return
        step = waiting.popleft()
        step.end_fs = self._now
        if response:
            step.values["error"] = "bus error"
        for name, writes in (("TX completion", self._tx_writes), ("RX completion", self._rx_writes)):
            if step.name == name:
                octets = int(step.values["beats"]) * self._beat_octets
                writes.done(step, address, octets, refused=response != 0)

    def _irq(self, level: int, _: int) -> None:
        name = "interrupt raised" if level else "interrupt lowered"
        self._add("interrupt", "irq", name, name, level=level)

    # The transmit path.

    def _desc(self, index: int, _: int) -> None:
        values = self._tx.decoded(index)
        what = f"descriptor {index} fetched and decoded"
        self._add("descriptors", "desc", f"descriptor {index}", what, self._tx.at([index]), index=index, **values)

    def _stage(self, *_: int) -> None:
        self._tx.staged(self._add("FIFO", "fifo", "in the FIFO", "all octets are in the FIFO"))

    def _arp(self, hit: int, _: int) -> None:
        name = "hit" if hit else "miss"
        self._tx.looked_up(self._add("ARP cache", "arp", name, f"ARP cache lookup: {name}", hit=hit))

    def _csum(self, *_: int) -> None:
        self._tx.summed(self._add("checksum", "csum", "checksums", "checksums done"))

    def _cpl(self, index: int, status: int) -> None:
        name = _TX_STATUS.get(status, hex(status))
        what = f"completion for descriptor {index}: {name}"
        packets = self._tx.at([index])
        step = self._add("completions", "completion", name, what, packets, index=index, status=status)
        self._tx.completed(index, status, self._now)
        self._tx_writes.completed(step)

    # The receive path.

    def _rx_good(self, *_: int) -> None:
        self._rx.judged(self._add("RX checks", "rx", "accepted", "frame received: whole, good and for us"))

    def _rx_filtered(self, *_: int) -> None:
        self._rx.judged(self._add("RX checks", "drop", "HW_FILTERED", "frame for somebody else"))

    def _rx_missed(self, *_: int) -> None:
        self._rx.judged(self._add("RX checks", "drop", "HW_MISSED", "no room for the frame"))

    def _rx_cpl(self, index: int, status: int) -> None:
        name = _RX_STATUS.get(status, hex(status))
        what = f"completion for receive descriptor {index}: {name}"
        step = self._add("completions", "completion", name, what, index=index, status=status)
        self._rx.completed(step, index)
        self._rx_writes.completed(step)

    def _drop(self, time_fs: int, name: str) -> Step:
        self._now = time_fs
        return self._add("RX checks", "drop", name, f"frame dropped: {name}")

    # The cable.

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


def _register_names() -> Iterator[tuple[int, str]]:
    for block in BLOCKS:
        for index in range(block.count):
            scope = f"{block.name}[{index}]" if block.count > 1 else block.name
            for register in block.registers:
                yield block.address(register, index), f"{scope}.{register.name}"

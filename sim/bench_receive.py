"""Figures of two cards on a cable: both directions at once, from the wire to the interrupt, and there and back."""

import time
from typing import Any

from ..stack.abi import RX_ALIGN_OCTETS, RX_CPL, RX_DESC, RX_PAD_OCTETS, RXQ, RxStatus, TxStatus
from ..stack.drivers.bus import Direction
from .bench_stack import bare_speed
from .bus_model import BusModel
from .frame import Frame, on_wire
from .lan import Lan
from .link import Link
from .nic import SimNic
from .raw_queue import RawQueue, RawRings
from .world import World

__all__ = ["Receiver", "echo", "line_rate", "wire_to_interrupt"]

_FCS, _PREAMBLE, _GAP = 4, 8, 12
_BROADCAST = b"\xff" * 6
_ECHO_OCTETS = 64
_ECHOES = 2000


class Receiver(RawRings):
    """The receive queue of a card, with a buffer for each of so many frames of one size, and no driver."""

    def __init__(self, nic: SimNic, frames: int, frame_octets: int) -> None:
        super().__init__(nic, RXQ, RX_DESC, RX_CPL, ring_log2=(frames + 1).bit_length())
        self._frames = frames
        self._length = frame_octets - _FCS
        octets = -(-(frame_octets + RX_PAD_OCTETS) // RX_ALIGN_OCTETS) * RX_ALIGN_OCTETS
        buffers = nic.dma.kmalloc(octets * frames)
        bus = nic.dma.map(buffers.addr, octets * frames, Direction.FROM_DEVICE)
        self._ring.view[: frames * RX_DESC.size_octets] = b"".join(
            RX_DESC.pack(addr=bus + number * octets, length=octets) for number in range(frames)
        )
        self.set("IRQ", RXQ["IRQ"].pack(enable=1))
        self.set("TAIL", frames)

    def received(self) -> int:
        """Return how many frames have arrived whole."""
        entries = map(self.completion, range(self._frames))
        return sum((e["status"], e["phase"], e["length"]) == (RxStatus.OK, 1, self._length) for e in entries)


def line_rate(frame_octets: int, *, frames: int = 1000) -> tuple[float, float]:
    """Send and receive frames back to back, both ways at once, between two cards with a memory of 1 µs.

    Returns
    -------
    tuple of float
        Cycles a frame: achieved by the slower direction, and what the wire allows.

    Raises
    ------
    RuntimeError
        If a frame is missing or damaged.
    """
    world = World()
    bus = BusModel(read_latency_ns=1000, write_latency_ns=1000)
    cards = [SimNic(world.host(), bus=bus) for _ in range(2)]
    Link(*cards)
    world.advance(100_000)  # After reset the table of VLANs is emptied.
    receivers = [Receiver(card, frames, frame_octets) for card in cards]
    senders = [RawQueue(card, ring_log2=(frames + 1).bit_length()) for card in cards]
    sent: list[list[Frame]] = [[], []]
    for card, sender, frames_sent in zip(cards, senders, sent, strict=True):
        sender.fill(_BROADCAST + bytes(octet & 0xFF for octet in range(frame_octets - _FCS - len(_BROADCAST))))
        card.on_frames = frames_sent.extend
        sender.ring_doorbell(frames)
    world.drain()
    for receiver, sender, frames_sent in zip(receivers, senders, sent, strict=True):
        whole, arrived = sum(frame.ok for frame in frames_sent), receiver.received()
        if not len(frames_sent) == whole == arrived == frames:
            raise RuntimeError(f"{whole} of {frames} frames of {frame_octets} octets were sent, {arrived} arrived")
        if any(status != TxStatus.OK for status in sender.statuses(frames)):
            raise RuntimeError("not every frame was completed as OK")
    achieved = max((gone[-1].start_cycle - gone[0].start_cycle) / (frames - 1) for gone in sent)
    return achieved, float(_PREAMBLE + frame_octets + _GAP)


def wire_to_interrupt(frame_octets: int, memory_ns: float) -> int:
    """Return the cycles from a frame's last octet on the wire to the interrupt."""
    nic = SimNic(World().host(), bus=BusModel(read_latency_ns=memory_ns, write_latency_ns=memory_ns))
    nic.world.advance(100_000)
    Receiver(nic, 1, frame_octets)
    nic.world.advance(20_000)
    last: list[int] = []
    nic.on_received = lambda frames: last.extend(frame.end_cycle for frame in frames)
    nic.log_events()
    frame = _BROADCAST + bytes(frame_octets - _FCS - len(_BROADCAST))
    nic.inject(on_wire(frame))
    nic.world.advance(1_000_000)
    return next(event.cycle for event in nic.take_events() if event.kind == "irq" and event.a) - last[0]


def echo(round_trips: int = _ECHOES) -> dict[str, Any]:
    """Return round trips a second of wall time of 64-octet datagrams between two hosts, one in flight, and their cost.

    Memory answers at once, and a frame interrupts at once.
    """
    world = World()
    near, far = Lan(world).machines
    for machine in (near, far):
        machine.nic.set_bus(BusModel(read_latency_ns=0, write_latency_ns=0))
        machine.dev.ethtool_ops.set_coalesce(rx_coalesce_usecs=0, rx_max_coalesced_frames=1)

    def server() -> None:
        sock = far.net.socket()
        sock.bind(("0.0.0.0", 7))
        while True:
            payload, source = sock.recvfrom(_ECHO_OCTETS)
            assert source is not None  # Every datagram has one.
            sock.sendto(payload, source)

    def client(count: int) -> None:
        sock = near.net.socket()
        for number in range(count):
            payload = number.to_bytes(_ECHO_OCTETS, "big")
            sock.sendto(payload, ("10.0.0.2", 7))
            if sock.recvfrom(_ECHO_OCTETS)[0] != payload:
                raise RuntimeError(f"datagram {number} came back changed")

    world.spawn(server)
    world.run(client, 50)  # Warm up; ARP.
    speed = bare_speed()
    cycles, started = near.nic.cycles_evaluated + far.nic.cycles_evaluated, time.perf_counter()
    world.run(client, round_trips)
    wall_s = time.perf_counter() - started
    cycles = near.nic.cycles_evaluated + far.nic.cycles_evaluated - cycles
    # What the gateware took: its cycles at the speed that it has without Python.
    rtl_us = cycles / speed / round_trips * 1e6
    return {
        "round_trips_per_s": round_trips / wall_s,
        "nic_cycles": cycles / round_trips,
        "python_us": wall_s / round_trips * 1e6 - rtl_us,
        "rtl_us": rtl_us,
    }

"""Figures of two cards on a cable: both directions at once, from the wire to the interrupt, and there and back."""

import time
from typing import Any

from ..hdl.mac.fcs import fcs_octets
from ..stack.abi import RX_ALIGN_OCTETS, RX_CPL, RX_DESC, RX_PAD_OCTETS, RXQ, RxStatus, TxStatus
from ..stack.drivers.bus import Direction
from .bench_stack import bare_speed
from .bus_model import BusModel
from .lan import Lan
from .link import Link
from .machine import Setup
from .nic import SimNic
from .raw_queue import RawQueue
from .world import World

__all__ = ["duplex_line_rate", "echo", "wire_to_interrupt"]

_FCS, _PREAMBLE, _GAP = 4, 8, 12
_BROADCAST = b"\xff" * 6
_ECHO_OCTETS = 64
_ECHOES = 2000


class _RawReceive:
    """The receive queue of a card, with a buffer for each of so many frames, and no driver."""

    def __init__(self, nic: SimNic, frames: int, frame_octets: int) -> None:
        self._log2 = (frames + 1).bit_length()
        octets = -(-(frame_octets + RX_PAD_OCTETS) // RX_ALIGN_OCTETS) * RX_ALIGN_OCTETS
        dma = nic.dma
        ring = dma.alloc_coherent(RX_DESC.size_octets << self._log2)
        self._completions = dma.alloc_coherent(RX_CPL.size_octets << self._log2)
        buffers = dma.kmalloc(octets * frames)
        bus = dma.map(buffers.addr, octets * frames, Direction.FROM_DEVICE)
        ring.view[: frames * RX_DESC.size_octets] = b"".join(
            RX_DESC.pack(addr=bus + number * octets, length=octets) for number in range(frames)
        )
        for name, value in (
            ("BASE_LO", ring.addr & 0xFFFF_FFFF),
            ("BASE_HI", ring.addr >> 32),
            ("CPL_BASE_LO", self._completions.addr & 0xFFFF_FFFF),
            ("CPL_BASE_HI", self._completions.addr >> 32),
            ("SIZE", self._log2),
            ("IRQ", RXQ["IRQ"].pack(enable=1)),
            ("CTRL", RXQ["CTRL"].pack(enable=1)),
            ("TAIL", frames),
        ):
            nic.write32(RXQ.address(RXQ[name]), value)

    def received(self, frames: int) -> int:
        """Return how many of the first completions are of good frames."""
        size = RX_CPL.size_octets
        entries = (RX_CPL.unpack(self._completions.view[at * size : (at + 1) * size]) for at in range(frames))
        return sum(entry["status"] == RxStatus.OK and entry["phase"] == 1 and entry["length"] > 0 for entry in entries)


def duplex_line_rate(frame_octets: int, *, frames: int = 1000) -> tuple[float, float]:
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
    receivers = [_RawReceive(card, frames, frame_octets) for card in cards]
    senders = [RawQueue(card, ring_log2=(frames + 1).bit_length()) for card in cards]
    sent: list[list[int]] = [[], []]
    for card, sender, starts in zip(cards, senders, sent, strict=True):
        sender.fill(_BROADCAST + bytes(octet & 0xFF for octet in range(frame_octets - _FCS - len(_BROADCAST))))
        card.on_sent = lambda gone, starts=starts: starts.extend(frame.start_cycle for frame in gone)
        sender.ring_doorbell(frames)
    world.drain()
    for receiver, sender, starts in zip(receivers, senders, sent, strict=True):
        arrived = receiver.received(frames)
        if len(starts) != frames or arrived != frames or any(s != TxStatus.OK for s in sender.statuses(frames)):
            raise RuntimeError(
                f"{len(starts)} of {frames} frames of {frame_octets} octets were sent, {arrived} arrived"
            )
    achieved = max((starts[-1] - starts[0]) / (frames - 1) for starts in sent)
    return achieved, float(_PREAMBLE + frame_octets + _GAP)


def wire_to_interrupt(frame_octets: int, memory_ns: float) -> int:
    """Return the cycles from a frame's last octet on the wire to the interrupt."""
    nic = SimNic(World().host(), bus=BusModel(read_latency_ns=memory_ns, write_latency_ns=memory_ns))
    nic.world.advance(100_000)
    _RawReceive(nic, 1, frame_octets)
    nic.world.advance(20_000)
    last: list[int] = []
    nic.on_received = lambda frames: last.extend(frame.end_cycle for frame in frames)
    nic.log_events()
    frame = _BROADCAST + bytes(frame_octets - _FCS - len(_BROADCAST))
    nic.receive(frame, fcs_octets(frame))
    nic.world.advance(1_000_000)
    return next(event.cycle for event in nic.take_events() if event.kind == "irq" and event.a) - last[0]


def echo(round_trips: int = _ECHOES) -> dict[str, Any]:
    """Return round trips a second of wall time of 64-octet datagrams between two hosts, one in flight, and their cost.

    Memory answers at once, and a frame interrupts at once.
    """
    world = World()
    setups = [
        Setup(
            address=f"10.0.0.{number}/24",
            mac=bytes((2, 0, 0, 0, 0, number)),
            bus=BusModel(read_latency_ns=0, write_latency_ns=0),
        )
        for number in (1, 2)
    ]
    near, far = Lan(world, setups).machines
    for machine in (near, far):
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

"""Figures of simulation with Python in it: the driver alone, and the whole stack."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from ..stack.core.netdevice import NETDEV_TX_OK
from ..stack.core.skbuff import SkBuff, alloc_skb, skb_put_data, skb_reset_mac_header
from ..stack.drivers.hardwire.tx import hardwire_start_xmit
from ..stack.uapi import AF_INET, SOCK_DGRAM
from .bus_model import BusModel
from .machine import Machine, Setup
from .nic import SimNic
from .raw_queue import RawQueue
from .world import World

__all__ = ["bare_speed", "driver_speed", "send_prebuilt", "send_rate", "sim_speed"]

_REPEATS = 5
_FRAME_OCTETS = 64
_FCS = 4
_DOORBELL = 64
_RING_LOG2 = 9
_BATCHES = 64
_FRAME_NS = 672  # On the wire, preamble and gap in.
_DATAGRAMS = 5000
_DESTINATION = "10.0.0.2"
_BUS = BusModel(read_latency_ns=1000, write_latency_ns=1000)


def sim_speed() -> dict[str, Any]:
    """Return cycles a second with the driver in Python, without any Python, and their ratio; medians."""
    # In turns, so that a change of the computer's speed meets both.
    pairs = [(driver_speed(), bare_speed()) for _ in range(_REPEATS)]
    driver, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"cycles_per_s": driver, "bare_loop_cycles_per_s": bare, "ratio": driver / bare}


def bare_speed() -> float:
    """Return cycles evaluated a second while the device sends 64-octet frames with no Python in the loop."""
    nic = SimNic(World().host(), bus=_BUS)
    queue = RawQueue(nic, ring_log2=_RING_LOG2)
    queue.fill(bytes(_FRAME_OCTETS - _FCS))
    frames = _DOORBELL * _BATCHES
    cycles, started = nic.cycles_evaluated, time.perf_counter()
    sent = nic.bench_prefilled(
        tail_offset=queue.offset("TAIL"),
        cpl_tail_offset=queue.offset("CPL_TAIL"),
        tail=0,
        ring_size=queue.size,
        frames=frames,
        batch=_DOORBELL,
        in_flight=queue.size // 2,
    )
    if sent != frames:
        raise RuntimeError(f"only {sent} of {frames} frames were sent")
    return (nic.cycles_evaluated - cycles) / (time.perf_counter() - started)


def driver_speed() -> float:
    """Return cycles evaluated a second while the driver sends prebuilt 64-octet frames, 64 a doorbell."""
    machine = Machine(World(), Setup(bus=_BUS, ring_log2=_RING_LOG2))
    nic = machine.nic
    return send_prebuilt(machine, _BATCHES, lambda: nic.cycles_evaluated)


def send_prebuilt(machine: Machine, count: int, cycles: Callable[[], int]) -> float:
    """Send batches of prebuilt frames by the driver; return by how much ``cycles()`` grows in a second of real time.

    Raises
    ------
    RuntimeError
        If a frame is missing, or a batch was not posted at once.
    """
    machine.dev.ethtool_ops.set_coalesce(1000, _DOORBELL)
    ring = machine.dev.priv.rings[0]
    dql = ring.txq.dql
    dql.limit = dql.min_limit = 1 << 20  # A queue that is stopped gets a doorbell for each frame.
    # Each holds a reference of ours, so that it can be sent again once it was sent.
    prebuilt = [_prebuilt(machine) for _ in range(1 << _RING_LOG2)]
    batches = [prebuilt[at : at + _DOORBELL] for at in range(0, len(prebuilt), _DOORBELL)]
    nic, world = machine.nic, machine.world
    world.drain()
    nic.take_frames()
    before, started = cycles(), time.perf_counter()
    world.run(_send_batches, machine, batches, count)
    world.drain()
    per_s = (cycles() - before) / (time.perf_counter() - started)
    sent = len(nic.take_frames())
    if sent != _DOORBELL * count or ring.stat["doorbells"] != count:
        raise RuntimeError(f"{sent} of {_DOORBELL * count} frames were sent, with {ring.stat['doorbells']} doorbells")
    return per_s


def _prebuilt(machine: Machine) -> SkBuff:
    skb = alloc_skb(machine.kernel, _FRAME_OCTETS)
    skb_put_data(skb, bytes(_FRAME_OCTETS - _FCS))
    skb_reset_mac_header(skb)
    skb.dev = machine.dev
    skb.users = 1 + _BATCHES
    return skb


def _send_batches(machine: Machine, batches: list[list[SkBuff]], count: int) -> None:
    dev, softnet = machine.dev, machine.kernel.softnet
    ring = dev.priv.rings[0]
    room = ring.max_parts + _DOORBELL
    for number in range(count):
        while (ring.next_to_clean - ring.next_to_use - 1) & ring.mask < room:
            machine.world.sleep(_DOORBELL * _FRAME_NS)
        softnet.xmit_more = True
        *others, last = batches[number % len(batches)]
        for skb in others:
            if hardwire_start_xmit(skb, dev) != NETDEV_TX_OK:
                raise RuntimeError("the ring is full")
        softnet.xmit_more = False
        hardwire_start_xmit(last, dev)


def send_rate(datagrams: int = _DATAGRAMS) -> dict[str, Any]:
    """Return datagrams a second from ``sendto()`` to the wire, the whole stack for each, and where the time goes."""
    machine = Machine(World(), Setup(bus=_BUS, neighbours={_DESTINATION: "02:00:00:00:00:02"}))
    payload = bytes(_FRAME_OCTETS - _FCS - 14 - 20 - 8)

    def program(count: int) -> None:
        sendto = machine.net.socket(AF_INET, SOCK_DGRAM).sendto
        address = (_DESTINATION, 9000)
        for _ in range(count):
            sendto(payload, address)

    nic, world = machine.nic, machine.world
    world.run(program, _DOORBELL)  # Warm up.
    world.drain()
    nic.take_frames()
    speed = bare_speed()
    cycles, started = nic.cycles_evaluated, time.perf_counter()
    world.run(program, datagrams)
    world.drain()
    wall_s = time.perf_counter() - started
    frames = nic.take_frames()
    if len(frames) != datagrams or any(len(frame.octets) + _FCS != _FRAME_OCTETS for frame in frames):
        raise RuntimeError(f"{len(frames)} frames for {datagrams} datagrams")
    # What the gateware took: its cycles at the speed that it has without Python.
    rtl_us = (nic.cycles_evaluated - cycles) / speed / datagrams * 1e6
    total_us = wall_s / datagrams * 1e6
    return {
        "datagrams_per_s": datagrams / wall_s,
        "frame_octets": _FRAME_OCTETS,
        "python_us": total_us - rtl_us,
        "rtl_us": rtl_us,
    }

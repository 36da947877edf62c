"""The same driver, and the stack above it, that run in the simulator: here against cocotb's models of bus and PHY."""

import itertools
import logging
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from hardwire.sim.frame import Frame
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.stack.uapi import AF_INET, MSG_MORE, SOCK_DGRAM
from hardwire.tb.bench import seed
from hardwire.tb.cocotb_device import offer_device, run_world
from hardwire.tb.cocotb_test import bench_test

NEIGHBOUR, NEIGHBOUR_MAC = "10.0.0.2", "02:00:00:00:00:02"


async def start(dut) -> None:
    """Start the clock and reset the NIC."""
    for name in ("s_axil", "m_axi", "gmii_txd"):
        logging.getLogger(f"cocotb.hardwire_nic.{name}").setLevel(logging.WARNING)
    cocotb.start_soon(Clock(dut.clk, 8, "ns").start())
    dut.advance_stb.value = 0
    dut.advance_cycles.value = 0
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 4)


def taken(machine: Machine) -> list[Frame]:
    """Take the frames that have come over the wire whole."""
    frames = machine.nic.take_frames()
    assert all(frame.ok for frame in frames), "a frame has a wrong FCS"
    return frames


def check(frame: bytes, payload: bytes, mac: str = NEIGHBOUR_MAC) -> None:
    """Compare a frame with what scapy makes of its fields, checksums worked out anew."""
    parsed = Ether(frame)
    assert parsed.dst == mac
    again = parsed.copy()
    del again[IP].chksum, again[UDP].chksum
    assert bytes(again)[: len(frame)] == frame
    assert bytes(parsed[UDP].payload)[: len(payload)] == payload


@bench_test
async def driver_sends_datagrams_through_the_rtl(dut):
    await start(dut)
    offer_device("cocotb", dut)
    await run_world(send_datagrams, "cocotb", random.Random(seed()))


def send_datagrams(device: str, rng: random.Random) -> None:
    setup = Setup(device=device, ring_log2=3, neighbours={NEIGHBOUR: NEIGHBOUR_MAC})
    machine = Machine(World(seed=seed()), setup)
    machine.world.advance(1000)  # The neighbour is in the ARP cache: nothing is sent twice, so the order is kept.
    payloads = [rng.randbytes(length) for length in (0, 1, 17, 18, 19, 600, 1471, 1472)]

    def program() -> None:
        with machine.net.socket(AF_INET, SOCK_DGRAM) as sender:
            for payload in payloads:
                sender.sendto(payload, (NEIGHBOUR, 9000))
            # In pieces, so that the frame has several parts.
            for start, end in itertools.pairwise((0, 100, 101, 700)):
                sender.sendto(payloads[-1][start:end], MSG_MORE if end < 700 else 0, (NEIGHBOUR, 9000))

    machine.world.run(program)
    machine.world.drain()
    frames = taken(machine)
    assert len(frames) == len(payloads) + 1
    for frame, payload in zip(frames, [*payloads, payloads[-1][:700]], strict=True):
        check(frame.octets, payload)
    assert machine.dev.stats.tx_packets == len(frames)
    assert machine.dev.priv.rings[0].stat["resolve_misses"] == 0
    assert not any(machine.dev.priv.rings[0].skbs)


@bench_test
async def unknown_neighbour_is_asked_for_by_arp(dut):
    await start(dut)
    offer_device("cocotb-2", dut)
    await run_world(ask_for_neighbour, "cocotb-2")


def ask_for_neighbour(device: str) -> None:
    machine = Machine(World(seed=seed()), Setup(device=device))
    sender = machine.net.socket(AF_INET, SOCK_DGRAM)
    machine.world.run(sender.sendto, Raw(b"anybody?").load, ("10.0.0.9", 9000))
    machine.world.drain()
    (frame,) = (Ether(frame.octets) for frame in taken(machine))
    assert (frame.dst, frame.src, frame.type) == ("ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01", 0x0806)
    assert (frame.op, frame.psrc, frame.pdst) == (1, "10.0.0.1", "10.0.0.9")

"""The traffic of ``hardwire bench`` under cocotb, timed: prebuilt frames, 64 a doorbell, 1 µs memory, same driver."""

import json
import logging
import os
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from hardwire.sim.bench_stack import send_prebuilt
from hardwire.sim.bus_model import BusModel
from hardwire.sim.machine import Machine, Setup
from hardwire.sim.world import World
from hardwire.tb.cocotb_device import offer_device, run_world
from hardwire.tb.cocotb_test import bench_test

PERIOD_NS = 8
BATCHES = 4


@bench_test
async def send_prebuilt_frames(dut):
    # The models' log costs more than the models.
    for name in ("cocotb.hardwire_nic", *(f"cocotb.hardwire_nic.{port}" for port in ("s_axil", "m_axi", "gmii_txd"))):
        logging.getLogger(name).setLevel(logging.WARNING)
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start())
    dut.rst.value = 1
    await ClockCycles(dut.clk, 5)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 5)
    offer_device("cocotb", dut, skipping=False)
    cycles_per_s = await run_world(send)
    Path(os.environ["HARDWIRE_SPEED_FILE"]).write_text(json.dumps({"cycles_per_s": cycles_per_s}))


def send() -> float:
    machine = Machine(World(), Setup(device="cocotb", bus=BusModel(read_latency_ns=1000), ring_log2=9))
    return send_prebuilt(machine, BATCHES, lambda: machine.nic.time_fs // (PERIOD_NS * 1_000_000))

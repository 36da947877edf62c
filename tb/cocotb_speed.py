"""Prebuilt 64-octet frames through the whole NIC under cocotb, timed."""

import json
import logging
import os
import time
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam
from cocotbext.eth import GmiiSink

from hardwire.stack.abi import TX_DESC, TXQ, TxFlags
from hardwire.tb.cocotb_test import bench_test

FRAMES = 192
RING_LOG2 = 8
RING, COMPLETIONS, FRAME = 0x0000, 0x4000, 0x8000
PERIOD_NS = 8


@bench_test
async def send_prebuilt_frames(dut):
    for name in ("cocotb.hardwire_nic", "cocotb.hardwire_nic.s_axil", "cocotb.hardwire_nic.m_axi"):
        logging.getLogger(name).setLevel(logging.WARNING)
    cocotb.start_soon(Clock(dut.clk, PERIOD_NS, "ns").start())
    csr = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=1 << 16)
    sink = GmiiSink(dut.gmii_txd, dut.gmii_tx_er, dut.gmii_tx_en, dut.clk, dut.rst)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 5)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 5)

    descriptor = TX_DESC.pack(addr=FRAME, length=60, flags=TxFlags.FIRST | TxFlags.LAST)
    ram.write(RING, descriptor * (1 << RING_LOG2))
    ram.write(FRAME, bytes(range(60)))
    for name, value in (
        ("BASE_LO", RING),
        ("CPL_BASE_LO", COMPLETIONS),
        ("SIZE", RING_LOG2),
        ("CTRL", TXQ["CTRL"].pack(enable=1)),
    ):
        await csr.write_dword(TXQ.address(TXQ[name]), value)

    started, cycle = time.perf_counter(), cocotb.utils.get_sim_time("ns")
    for posted in range(64, FRAMES + 1, 64):
        await csr.write_dword(TXQ.address(TXQ["TAIL"]), posted)
    for _ in range(FRAMES):
        frame = await sink.recv()
        assert frame.get_payload() == bytes(range(60))
        assert frame.check_fcs()
    cycles = (cocotb.utils.get_sim_time("ns") - cycle) / PERIOD_NS
    wall_s = time.perf_counter() - started
    answer = {"cycles": cycles, "wall_s": wall_s, "cycles_per_s": cycles / wall_s, "frames": FRAMES}
    Path(os.environ["HARDWIRE_SPEED_FILE"]).write_text(json.dumps(answer))

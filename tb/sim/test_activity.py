"""Parts of the gateware at rest: nothing but time is saved. The reference is the variant that evaluates everything."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hardwire.hdl.config import NicConfig
from hardwire.hdl.verilog import nic_verilog_in_one_module
from hardwire.sim import build
from hardwire.sim.activity import split
from hardwire.sim.bus_model import BusModel
from hardwire.sim.nic import SimNic
from hardwire.sim.nic_event import HardwareHang
from hardwire.sim.world import World
from hardwire.stack.abi import (
    ARP,
    BLOCKS,
    GLOBAL,
    MAC,
    RX_CPL,
    RX_DESC,
    RXQ,
    STATS,
    TX_CPL,
    TX_DESC,
    TXQ,
    ArpOp,
    TxFlags,
)
from hardwire.stack.drivers.bus import Direction
from hardwire.tb.hdl.gmii_carrier import random_carrier

SEED = int(os.environ.get("HARDWIRE_SEED") or random.SystemRandom().getrandbits(32))
OFFLOADS = (TxFlags(0), TxFlags.VLAN, TxFlags.RESOLVE, TxFlags.CSUM_IPV4 | TxFlags.CSUM_L4, TxFlags.CSUM_PARTIAL)
BUFFER_OCTETS = 16384


def random_bus(rng: random.Random) -> BusModel:
    return BusModel(
        read_latency_ns=rng.choice((0, 100, 1000)),
        write_latency_ns=rng.choice((0, 100, 1000)),
        read_jitter_ns=rng.choice((0, 700)),
        read_gap_cycles=rng.choice((0, 0, 1)),
        stall_probability=rng.choice((0, 0.1, 0.5)),
        reads_outstanding=rng.choice((1, 4, 64)),
        reorder=rng.random() < 0.5,
        interleave=rng.random() < 0.5,
        read_error_probability=rng.choice((0, 0, 0.05)),
        write_error_probability=rng.choice((0, 0, 0.1)),
    )


class Scenario:
    """A device whose queues, registers and ARP cache are used, and misused, at random, while frames come."""

    def __init__(self, seed: int, *, waves: bool) -> None:
        self.rng = rng = random.Random(seed)
        self.world = World(seed=seed)
        self.nic = SimNic(self.world.host(), bus=random_bus(rng), strict=False, waves=waves)
        self.nic.log_events()
        self.nic.set_hang_cycles(20_000)
        dma = self.nic.dma
        buffer = dma.kmalloc(BUFFER_OCTETS)
        buffer.view[:] = rng.randbytes(BUFFER_OCTETS)
        self.buffer = dma.map(buffer.addr, BUFFER_OCTETS, Direction.TO_DEVICE)
        self.log2 = rng.randint(2, 8)
        self.ring = dma.alloc_coherent(TX_DESC.size_octets << self.log2)
        self.completions = dma.alloc_coherent(TX_CPL.size_octets << self.log2)
        self.received = dma.kmalloc(BUFFER_OCTETS)
        self.rx_buffer = dma.map(self.received.addr, BUFFER_OCTETS, Direction.FROM_DEVICE)
        self.rx_ring = dma.alloc_coherent(RX_DESC.size_octets << self.log2)
        self.rx_completions = dma.alloc_coherent(RX_CPL.size_octets << self.log2)
        self.tail = self.rx_tail = 0
        self.seen: list[object] = []

    def write(self, block, name: str, **fields: int) -> None:
        self.nic.write32(block.address(block[name]), block[name].pack(**fields))

    def start(self) -> None:
        rng = self.rng
        self.tail = self.rx_tail = 0
        for block, ring, completions in (
            (TXQ, self.ring, self.completions),
            (RXQ, self.rx_ring, self.rx_completions),
        ):
            for name, at in (("BASE", ring.addr), ("CPL_BASE", completions.addr)):
                self.write(block, f"{name}_LO", value=at & 0xFFFF_FFFF)
                self.write(block, f"{name}_HI", value=at >> 32)
            self.write(block, "SIZE", log2=self.log2)
            self.write(block, "IRQ_COUNT", completions=rng.choice((0, 1, 5)))
            self.write(block, "IRQ_TIME", cycles=rng.choice((0, 500, 5000)))
            self.write(block, "CTRL", enable=1)
        self.write(MAC, "RX_CTRL", promiscuous=rng.getrandbits(1), vlan_strip=rng.getrandbits(1))

    def post(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 20)):
            length = rng.choice((0, 1, 60, rng.randint(1, 300), rng.randint(1, 1500), rng.randint(1, 9500)))
            fields = {
                "addr": self.buffer + rng.randrange(BUFFER_OCTETS - length),
                "length": length,
                "flags": TxFlags.FIRST | TxFlags.LAST | rng.choice(OFFLOADS),
                "csum_start": rng.choice((14, 34)),
                "csum_offset": 6,
                "l3_start": 14,
                "next_hop": rng.randint(1, 8),
                "cookie": rng.getrandbits(32),
            }
            if rng.random() < 0.1:
                name = rng.choice(("flags", "flags", "csum_start", "l3_start", "addr"))
                fields[name] = rng.getrandbits(2 if name == "flags" else TX_DESC[name].width)
            at = self.tail * TX_DESC.size_octets
            self.ring.view[at : at + TX_DESC.size_octets] = TX_DESC.pack(**fields)
            self.tail = (self.tail + 1) % (1 << self.log2)
        self.write(TXQ, "TAIL", index=self.tail)
        self.write(TXQ, "CPL_TAIL", index=rng.randrange(1 << self.log2), arm=rng.getrandbits(1))

    def post_buffers(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 20)):
            length = 64 * rng.choice((1, 2, 24))
            fields = {"addr": self.rx_buffer + 64 * rng.randrange((BUFFER_OCTETS - length) // 64), "length": length}
            if rng.random() < 0.1:
                name = rng.choice(("addr", "length"))
                fields[name] = rng.choice((0, rng.getrandbits(RX_DESC[name].width)))
            at = self.rx_tail * RX_DESC.size_octets
            self.rx_ring.view[at : at + RX_DESC.size_octets] = RX_DESC.pack(**fields, cookie=rng.getrandbits(32))
            self.rx_tail = (self.rx_tail + 1) % (1 << self.log2)
        self.write(RXQ, "TAIL", index=self.rx_tail)
        self.write(RXQ, "CPL_TAIL", index=rng.randrange(1 << self.log2), arm=rng.getrandbits(1))

    def receive(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(1, 8)):
            carrier = random_carrier(rng, max_octets=1518)
            errors = bytes(number in carrier.errors for number in range(len(carrier.octets)))
            self.nic.inject(carrier.octets, errors=errors, gap_octets=rng.choice((1, 12, 40)))

    def resolve(self) -> None:
        rng = self.rng
        self.write(ARP, "KEY", value=rng.randint(1, 8))
        self.write(ARP, "MAC_LO", value=rng.getrandbits(32))
        self.write(ARP, "MAC_HI", value=rng.getrandbits(16))
        self.write(ARP, "INDEX", value=rng.getrandbits(8))
        self.write(ARP, "OP", op=rng.choice((ArpOp.INSERT, ArpOp.INSERT, *ArpOp, 7)))

    def disturb(self) -> None:
        rng = self.rng
        name, fields = rng.choice(
            (
                ("CTRL", {"enable": 0}),
                ("CTRL", {"enable": 1}),
                ("CTRL", {"reset": 1}),
                ("IRQ", {"enable": 1, "pending": 1}),
            )
        )
        self.write(rng.choice((TXQ, RXQ)), name, **fields)
        if rng.random() < 0.2:
            self.write(GLOBAL, "CTRL", soft_reset=1)
        if rng.random() < 0.7:
            self.world.advance(50_000)
            self.start()

    def look(self) -> None:
        block = self.rng.choice(BLOCKS)
        self.seen.append(self.nic.read32(block.address(self.rng.choice(block.registers))))

    def run(self) -> list[object]:
        """Return all that shows outside."""
        rng = self.rng
        self.start()
        for _ in range(60):
            often = (self.post, self.post, self.post, self.post_buffers, self.receive)
            rng.choice((*often, self.resolve, self.look, self.disturb))()
            self.world.advance(rng.choice((0, 100, 1000, 20_000, rng.randrange(100_000))))
        try:
            self.world.drain()
        except HardwareHang as hang:
            self.seen.append(str(hang))
        nic = self.nic
        values = [
            nic.read32(block.address(register)) for block in (GLOBAL, STATS, TXQ, RXQ) for register in block.registers
        ]
        memory = [bytes(held.view) for held in (self.completions, self.rx_completions, self.received)]
        return [*nic.take_events(), self.seen, nic.take_frames(), nic.take_violations(), memory, values, nic.counters]


def compare(seed: int) -> list[object]:
    everything, by_parts = (Scenario(seed, waves=waves).run() for waves in (True, False))
    for number, (want, got) in enumerate(zip(everything, by_parts, strict=False)):
        assert got == want, f"seed {seed}: number {number} differs"
    assert len(everything) == len(by_parts), f"seed {seed}"
    return by_parts


@pytest.mark.parametrize("number", range(12))
def test_parts_at_rest_change_nothing(number: int) -> None:
    compare(SEED + number)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_parts_at_rest_change_nothing_for_long() -> None:
    print(f"seed {SEED}")
    for number in range(300):
        compare(SEED + number)


def test_scenarios_end_in_many_ways() -> None:
    kinds = set()
    for seed in range(6):
        outcome = compare(seed)
        kinds |= {(event.kind, event.b) for event in outcome[:-6] if event.kind in ("cpl", "rx_cpl")}
    assert len({status for kind, status in kinds if kind == "cpl"}) >= 6
    assert len({status for kind, status in kinds if kind == "rx_cpl"}) >= 3


def test_every_part_wakes_by_what_it_reads_only() -> None:
    parts = split(nic_verilog_in_one_module(NicConfig()))
    assert parts.count == 25
    for number in range(1, parts.count + 1):
        assert f"always @(posedge clk_{number} )" in parts.verilog
        assert f"output awake_{number};" in parts.verilog
    # All that wakes a part each cycle would keep it from resting: the counter and the timer are in none of them.
    ticking = ("cycles.", "moderation.left")
    wakes = [line for line in parts.verilog.splitlines() if " wake_0_" in line and "<=" in line]
    assert wakes
    assert not any(name in line for line in wakes for name in ticking)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no registers in arp_port, bank, cache"),
        ("  always @(posedge \\core.mac.clk )\n    ;\n", "nothing is written in"),
        ("  always @(posedge other)\n    a <= b;\n", "no registers in"),
    ],
)
def test_verilog_that_is_not_the_nic_is_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=f"^{error}"):
        split(f"module hardwire_nic(clk);\n{text}endmodule\n")


_WITHOUT_PARTS = """
import sys
from hardwire.sim import verilate
from hardwire.tb.sim.test_activity import Scenario

def fail(*_):
    raise ValueError("the Verilog is not as expected")

setattr(verilate, sys.argv[1], fail)
print(Scenario(7, waves=False).run())
"""


@pytest.mark.parametrize("step", ["split", "_parts_header"])
def test_gateware_that_has_no_parts_is_evaluated_as_a_whole(tmp_path: Path, step: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_PARTS, step],
        env={**os.environ, "HARDWIRE_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hardwire: Evaluating all in each cycle (the Verilog is not as expected) (1/4)" in result.stderr
    assert result.stdout == f"{Scenario(7, waves=False).run()}\n"


def test_every_register_wakes_who_reads_it() -> None:
    """A process may write two registers, as yosys has it for two read ports of a memory."""
    verilog = nic_verilog_in_one_module(NicConfig())
    parts = split(verilog).verilog
    wakes = "".join(line for line in parts.splitlines() if re.match(r"  always .* wake_\d+_\d+ <= ", line))
    for body in re.findall(
        r"^  always @\(posedge \\core\.ring\.write\.clk \) begin\n(.*?)^  end$", verilog, re.M | re.S
    ):
        for name, value in re.findall(r"^\s+(\w+) <= (.*?);$", body, re.M):
            assert f"(({value}) != {name} )" in wakes


def test_wire_that_nothing_known_drives_is_refused() -> None:
    verilog = nic_verilog_in_one_module(NicConfig())
    broken = re.sub(r"^  assign \\core\.bank\.bus__awvalid  = .*\n", "", verilog, flags=re.M)
    assert broken != verilog
    with pytest.raises(ValueError, match="^nothing known drives "):
        split(broken)


def test_build_is_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWIRE_CACHE", str(tmp_path))
    steps: list[str] = []
    build.library_dir(NicConfig(), progress=lambda step, done, total: steps.append(step))
    assert steps == ["Writing Verilog", "Verilating", "Compiling", "Linking", "Done"]

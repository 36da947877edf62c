"""The ARP cache under Verilator, against a dictionary."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hardwire.stack.abi import ArpOp
from hardwire.tb.bench import seed

LATENCY_CYCLES = 8


class Cache:
    """The cache with its clock: operations, lookups and a check of every result.

    ``history`` holds, for each key, what lookups may find: the MAC address before the operation that is under way
    and the one after it, ``None`` where there is none.
    """

    def __init__(self, dut, rng: random.Random, *, stall: float) -> None:
        self.dut, self.rng, self.stall = dut, rng, stall
        self.held: dict[int, int] = {}
        self.history: dict[int, set[int | None]] = {}
        self.looked_up: list[tuple[int, int]] = []  # Key and cycle of lookups that have no result yet.
        self.accepted: list[int] = []  # Cycles in which lookups were accepted.
        self.hits = self.misses = self.cycle = 0

    async def start(self) -> None:
        """Reset the cache and start the clock, the check and the stalls."""
        dut = self.dut
        for signal in (dut.lookup_valid, dut.result_ready, dut.op_valid, dut.op_result_ready):
            signal.value = 0
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())
        cocotb.start_soon(self._stall())

    async def _stall(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.dut.result_ready.value = int(self.rng.random() >= self.stall)

    async def _watch(self) -> None:
        dut = self.dut
        shown = False
        while True:
            await ReadOnly()
            if int(dut.lookup_valid.value) and int(dut.lookup_ready.value):
                key = int(dut.lookup.value)
                self.looked_up.append((key, self.cycle))
                self.accepted.append(self.cycle)
                self.history.setdefault(key, {self.held.get(key)})
            if int(dut.result_valid.value):
                key, cycle = self.looked_up[0]
                if not shown and self.stall == 0:
                    assert self.cycle - cycle <= LATENCY_CYCLES
                shown = True
                if int(dut.result_ready.value):
                    found = int(dut.result_mac.value) if int(dut.result_hit.value) else None
                    assert found in self.history[key], f"{key:#x}: {found} is none of {self.history[key]}"
                    self.looked_up.pop(0)
                    if all(other != key for other, _ in self.looked_up):
                        del self.history[key]
                    self.hits += found is not None
                    self.misses += found is None
                    shown = False
            await RisingEdge(dut.clk)
            self.cycle += 1

    def _becomes(self, key: int, mac: int | None) -> None:
        """Note that lookups under way may find this."""
        if mac is None:
            self.held.pop(key, None)
        else:
            self.held[key] = mac
        if key in self.history:
            self.history[key].add(mac)

    async def operate(self, op: ArpOp, *, key: int = 0, mac: int = 0, index: int = 0) -> dict[str, int]:
        """Do an operation, check its result and return it."""
        dut = self.dut
        # The cache may change at any time until the answer: both states are right for a lookup meanwhile.
        pending = {ArpOp.INSERT: {key}, ArpOp.DELETE: {key}, ArpOp.FLUSH: set(self.held)}.get(op, set())
        before = dict(self.held)
        for k, v in ((dut.op_op, op), (dut.op_key, key), (dut.op_mac, mac), (dut.op_index, index)):
            k.value = int(v)
        dut.op_valid.value = 1
        watched = set(before) | {key} if op is ArpOp.INSERT else pending  # Any key of the set may be evicted.
        new = {k: (mac if op is ArpOp.INSERT and k == key else None) for k in watched}
        answering = cocotb.start_soon(self._answer())
        while not answering.done():
            await ReadOnly()
            for k in self.history.keys() & watched:
                self.history[k] |= {before.get(k), new[k]}
            if int(dut.op_ready.value):
                await RisingEdge(dut.clk)
                dut.op_valid.value = 0
            else:
                await RisingEdge(dut.clk)
        result = answering.result()
        for k in self.history.keys() & watched:
            self.history[k] |= {before.get(k), new[k]}
        if op is ArpOp.INSERT:
            assert result["found"] == (key in before)
            if result["evicted"]:
                assert before[result["key"]] == result["mac"]
                self._becomes(result["key"], None)
            self._becomes(key, mac)
        elif op is ArpOp.DELETE:
            assert result["found"] == (key in before)
            self._becomes(key, None)
        elif op is ArpOp.FLUSH:
            self.held.clear()
        return result

    async def _answer(self) -> dict[str, int]:
        dut = self.dut
        dut.op_result_ready.value = 0
        while self.rng.random() < self.stall:
            await RisingEdge(dut.clk)
        dut.op_result_ready.value = 1
        while True:
            await ReadOnly()
            if int(dut.op_result_valid.value):
                names = ("found", "evicted", "active", "key", "mac")
                result = {name: int(getattr(dut, f"op_result_{name}").value) for name in names}
                await RisingEdge(dut.clk)
                dut.op_result_ready.value = 0
                return result
            await RisingEdge(dut.clk)

    async def look_up(self, key: int) -> None:
        """Start a lookup; its result is checked when it comes."""
        dut = self.dut
        dut.lookup.value = key
        dut.lookup_valid.value = 1
        while True:
            await ReadOnly()
            ready = int(dut.lookup_ready.value)
            await RisingEdge(dut.clk)
            if ready:
                break
        dut.lookup_valid.value = 0

    async def drain(self) -> None:
        """Wait for the results of all lookups."""
        while self.looked_up:
            await RisingEdge(self.dut.clk)

    async def entries(self, count: int) -> dict[int, int]:
        """Read the whole cache back."""
        read = [await self.operate(ArpOp.READ, index=index) for index in range(count)]
        return {entry["key"]: entry["mac"] for entry in read if entry["found"]}


def _entries(dut) -> int:
    """Return how many entries this variant has."""
    return 1 << len(dut.core.entries.write_addr)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.6])
async def a_hit_returns_what_was_written_last(dut, stall):
    rng = random.Random(seed())
    cache = Cache(dut, rng, stall=stall)
    await cache.start()
    # Of each three, two differ from the first in one half only, and all are in one set.
    bases = [rng.getrandbits(32) for _ in range(14)]
    keys = [base ^ flip for base in bases for flip in (0, 1 << 18 | 1 << 24, 1 | 1 << 6)]
    busy = True

    async def look_up() -> None:
        while busy:
            await cache.look_up(rng.choice(keys))
            for _ in range(rng.choice((0, 0, 1, 7, 30))):
                await RisingEdge(dut.clk)

    lookups = cocotb.start_soon(look_up())
    for _ in range(300):
        op = rng.choices((ArpOp.INSERT, ArpOp.DELETE, ArpOp.FLUSH, ArpOp.READ), (60, 30, 1, 9))[0]
        await cache.operate(op, key=rng.choice(keys), mac=rng.getrandbits(48), index=rng.randrange(8))
    busy = False
    await lookups
    await cache.drain()
    assert cache.hits
    assert cache.misses
    assert await cache.entries(_entries(dut)) == cache.held


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def a_lookup_is_accepted_every_4_cycles_and_misses_block_nobody(dut):
    rng = random.Random(seed())
    cache = Cache(dut, rng, stall=0.0)
    await cache.start()
    keys = [rng.getrandbits(32) for _ in range(4)]
    for key in keys:
        await cache.operate(ArpOp.INSERT, key=key, mac=rng.getrandbits(48))
    for number in range(200):  # Every second one misses.
        await cache.look_up(keys[number % 4] if number % 2 else rng.getrandbits(32))
    await cache.drain()
    assert cache.accepted[-1] - cache.accepted[0] <= 4 * 199
    assert cache.misses >= 100


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def scattered_hosts_are_never_evicted_silently(dut):
    """256 hosts of one /8, scattered: what is not found is what was reported as evicted, and that is few."""
    rng = random.Random(seed())
    cache = Cache(dut, rng, stall=0.0)
    await cache.start()
    entries = _entries(dut)
    hosts = {0x0A000000 | rng.getrandbits(24): rng.getrandbits(48) for _ in range(entries)}
    for key, mac in hosts.items():
        await cache.operate(ArpOp.INSERT, key=key, mac=mac)
    for key in hosts:
        await cache.look_up(key)
    await cache.drain()
    assert cache.hits == len(cache.held)
    if entries == 256:
        assert len(cache.held) >= 256 - 80


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def activity_is_set_by_hits_and_cleared_by_reading(dut):
    rng = random.Random(seed())
    cache = Cache(dut, rng, stall=0.0)
    await cache.start()
    key = rng.getrandbits(32)
    await cache.operate(ArpOp.INSERT, key=key, mac=1)
    read = [await cache.operate(ArpOp.READ, index=index) for index in range(_entries(dut))]
    (index,) = [index for index, entry in enumerate(read) if entry["found"]]
    assert not read[index]["active"]
    await cache.look_up(key ^ 0x80000000)
    await cache.drain()
    assert not (await cache.operate(ArpOp.READ, index=index))["active"]
    await cache.look_up(key)
    await cache.drain()
    assert (await cache.operate(ArpOp.READ_CLEAR, index=index))["active"]
    assert not (await cache.operate(ArpOp.READ, index=index))["active"]

"""What the ARP cache's bench drives it with, and what each lookup may answer."""

import logging
import random
from collections import defaultdict, deque
from dataclasses import dataclass

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.stack.abi import ArpOp
from hardwire.tb.bench import parameters, seed

__all__ = ["Answer", "ArpCacheHarness", "Lookup"]


@dataclass
class Lookup:
    """A lookup, the cycles in which it was accepted and answered, and the MAC address, or None."""

    key: int
    accepted: int
    answered: int = 0
    mac: int | None = None


@dataclass(frozen=True)
class Answer:
    """Result of an operation."""

    found: int
    evicted: int
    active: int
    key: int
    mac: int


class History:
    """What may be found under each key and when.

    An operation takes effect at some time between its start and its end: meanwhile both old and new are right.
    """

    def __init__(self) -> None:
        self._spans: dict[int, list[tuple[int, int, int | None]]] = defaultdict(lambda: [(0, 0, None)])
        self._since: dict[int, int] = defaultdict(int)
        self.held: dict[int, int] = {}

    def change(self, key: int, mac: int | None, start: int, end: int) -> None:
        """Note that the entry of a key became ``mac`` or went, between two cycles."""
        self._spans[key].append((self._since[key], end, self.held.pop(key, None)))
        self._since[key] = start
        if mac is not None:
            self.held[key] = mac

    def allows(self, lookup: Lookup) -> bool:
        """Tell whether a lookup was answered rightly."""
        if lookup.answered >= self._since[lookup.key] and lookup.mac == self.held.get(lookup.key):
            return True
        return any(
            mac == lookup.mac and start <= lookup.answered and end >= lookup.accepted
            for start, end, mac in self._spans[lookup.key]
        )


class ArpCacheHarness:
    """Clock, lookups from a queue, operations, and a history that all answers are held against."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
        self.dut = dut
        self.rng = random.Random(seed())
        self.sets, self.ways = parameters()["sets"], parameters()["ways"]
        self.cycle = 0
        self.history = History()
        self.lookups: list[Lookup] = []  # Answered.
        self.lookup_stalls = self.result_stalls = 0.0
        self._keys: deque[int] = deque()
        self._in_flight: deque[Lookup] = deque()
        for name in ("lookup_valid", "result_ready", "op_valid", "op_result_ready"):
            getattr(dut, name).value = 0
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())

    async def start(self, *, cleared: bool = True) -> None:
        """Reset the cache, and by default wait until it has removed all entries."""
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        cocotb.start_soon(self._watch())
        cocotb.start_soon(self._feed())
        cocotb.start_soon(self._take())
        if cleared:
            await ClockCycles(self.dut.clk, self.sets * self.ways + 10)

    def look_up(self, *keys: int) -> None:
        """Queue lookups."""
        self._keys.extend(keys)

    async def finish(self) -> list[Lookup]:
        """Wait until all lookups are answered, check them and return them."""
        while self._keys or self._in_flight:
            await RisingEdge(self.dut.clk)
        wrong = [lookup for lookup in self.lookups if not self.history.allows(lookup)]
        assert not wrong, wrong[0]
        done, self.lookups = self.lookups, []
        return done

    async def operate(self, op: ArpOp, *, key: int = 0, mac: int = 0, index: int = 0) -> Answer:
        """Carry out one operation and check its answer against the history."""
        dut = self.dut
        for name, value in (("op", op), ("key", key), ("mac", mac), ("index", index)):
            getattr(dut, f"op_{name}").value = int(value)
        dut.op_valid.value = 1
        start = self.cycle
        await self._until("op_ready")
        dut.op_valid.value = 0
        await ClockCycles(dut.clk, self.rng.randrange(1, 6))
        dut.op_result_ready.value = 1
        await self._until("op_result_valid")
        dut.op_result_ready.value = 0
        answer = Answer(*(int(getattr(dut, f"op_result_{name}").value) for name in Answer.__dataclass_fields__))
        self._check(op, key, mac, answer, start)
        return answer

    def _check(self, op: ArpOp, key: int, mac: int, answer: Answer, start: int) -> None:
        held, end = self.history.held, self.cycle
        if op is ArpOp.INSERT:
            assert answer.found == (key in held)
            if answer.evicted:
                assert held[answer.key] == answer.mac, "reported another entry than it evicted"
                self.history.change(answer.key, None, start, end)
            self.history.change(key, mac, start, end)
        elif op is ArpOp.DELETE:
            assert answer.found == (key in held)
            self.history.change(key, None, start, end)
        elif op is ArpOp.FLUSH:
            for gone in list(held):
                self.history.change(gone, None, start, end)
        elif answer.found:
            assert held[answer.key] == answer.mac

    async def _until(self, name: str) -> None:
        await RisingEdge(self.dut.clk)
        while not int(getattr(self.dut, name).value):
            await RisingEdge(self.dut.clk)

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            self.cycle += 1
            if int(dut.lookup_valid.value) and int(dut.lookup_ready.value):
                self._in_flight.append(Lookup(int(dut.lookup.value), self.cycle))
            if int(dut.result_valid.value) and int(dut.result_ready.value):
                lookup = self._in_flight.popleft()
                lookup.answered = self.cycle
                lookup.mac = int(dut.result_mac.value) if int(dut.result_hit.value) else None
                self.lookups.append(lookup)

    async def _feed(self) -> None:
        dut = self.dut
        while True:
            while not self._keys or self.rng.random() < self.lookup_stalls:
                await RisingEdge(dut.clk)
            dut.lookup.value = self._keys[0]
            dut.lookup_valid.value = 1
            await self._until("lookup_ready")
            dut.lookup_valid.value = 0
            self._keys.popleft()

    async def _take(self) -> None:
        while True:
            self.dut.result_ready.value = self.rng.random() >= self.result_stalls
            await RisingEdge(self.dut.clk)

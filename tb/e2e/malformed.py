"""Queues of a card that are given descriptors of every kind, and the books of what became of each.

What is right is worked out anew here, from what ``stack.abi.desc`` says of descriptors; completions are judged by it.
"""

from collections import Counter, deque
from dataclasses import dataclass
from random import Random

from hardwire.sim.nic import SimNic
from hardwire.sim.raw_queue import RawRings
from hardwire.stack.abi import (
    RX_ALIGN_OCTETS,
    RX_CPL,
    RX_DESC,
    RX_PAD_OCTETS,
    RXQ,
    TX_CPL,
    TX_DESC,
    TXQ,
    RxStatus,
    TxFlags,
    TxStatus,
)
from hardwire.stack.drivers.bus import Direction
from hardwire.tb.hdl.checksum_model import L4, NONE, PARTIAL, Command, filled

__all__ = ["MAX_FRAME_OCTETS", "RxSide", "Side", "TxSide", "Wild"]

MAX_FRAME_OCTETS = 9018
_SUPPORTED = 0b1111111
_CHECKSUMS = TxFlags.CSUM_PARTIAL | TxFlags.CSUM_L4 | TxFlags.CSUM_IPV4
_HEADER_OCTETS = range(20, 61)  # Of IPv4.
_POOL_OCTETS = 1 << 17
_ASIDE_OCTETS = 1 << 12
_SLOT_OCTETS = 1 << 14  # More than a frame, most of it not mapped.
_GIVE_UP_NS = 5_000_000


class Wild:
    """Ranges of bus addresses that were named without being mapped."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, addr: int, length: int) -> None:
        """Note that something names a range; the bus has words of 8 octets."""
        self._ranges.append((addr & ~7, length + 8))

    def covers(self, addr: int) -> bool:
        """Return if a device may have been told to go there."""
        return any((addr - start) % (1 << 64) < length for start, length in self._ranges)


@dataclass
class Entry:
    """A descriptor; ``usable``: how many octets of its memory can be used from its address on."""

    fields: dict[str, int]
    usable: int
    mapping: tuple[int, int] | None = None


class Side(RawRings):
    """A queue. While it is ``weak``, it was told such things that nothing can be said of its completions."""

    statuses: type[TxStatus] | type[RxStatus]

    def __init__(self, nic: SimNic, rng: Random, wild: Wild, block, desc, completion, *, ring_log2: int) -> None:
        super().__init__(nic, block, desc, completion, ring_log2=ring_log2)
        self.rng, self.wild = rng, wild
        self._desc = desc
        self._log2 = ring_log2
        self._aside = nic.dma.alloc_coherent(1 << 16)
        self.found: Counter[str] = Counter()
        self.posted = 0  # Descriptors, ever.
        self.moved = False  # Ever.
        self._start()

    def _start(self) -> None:
        self.entries = [Entry(dict.fromkeys((m.name for m in self._desc.members), 0), 0) for _ in range(self.size)]
        self._ring.view[:] = bytes(len(self._ring.view))
        self._completions.view[:] = bytes(len(self._completions.view))
        self.tail = self._next = self._uncovered = self.under_way = 0
        self._phase = 1
        self.weak = self._resetting = False

    @property
    def room(self) -> int:
        """Descriptors that may still be posted."""
        return self.size - 1 - self.under_way

    def put(self, entry: Entry) -> None:
        """Write a descriptor to the ring."""
        size = self._desc.size_octets
        self._ring.view[self.tail * size : (self.tail + 1) * size] = self._desc.pack(**entry.fields)
        self.entries[self.tail] = entry
        self._post(1)

    def doorbell(self) -> None:
        """Post what was put, or with ``put`` before, nothing new."""
        self.set("TAIL", self.tail)

    def overshoot(self) -> None:
        """Give a tail beyond the ring, whose lower bits count: what is left of earlier laps is posted again."""
        index = self.rng.randrange(self.size)
        count = (index - self.tail) % self.size
        for number in range(count):
            self._again(self.entries[(self.tail + number) % self.size])
        self._post(count)
        self.set("TAIL", index + self.size * self.rng.randrange(1, (1 << 16) // self.size))

    def _again(self, entry: Entry) -> None:
        """Post what was posted before."""
        self.wild.add(entry.fields["addr"], entry.fields["length"])

    def _post(self, count: int) -> None:
        self.tail = (self.tail + count) % self.size
        self.under_way += count
        self.posted += count

    def poll(self) -> None:
        """Look at each new completion."""
        while True:
            told = self.completion(self._next)
            if told["phase"] != self._phase:
                return
            if self.weak:
                return
            self._next = (self._next + 1) % self.size
            self._phase ^= not self._next
            run = [self.entries[self._uncovered]]
            while self._uncovered != told["index"]:
                assert len(run) < self.under_way, f"a completion up to {told['index']}, which was not posted"
                self._uncovered = (self._uncovered + 1) % self.size
                run.append(self.entries[self._uncovered])
            self._uncovered = (self._uncovered + 1) % self.size
            self.under_way -= len(run)
            status = self.statuses(told["status"])
            self.found[status.name] += 1
            self._judge(told, status, run)

    def _judge(self, told: dict[str, int], status, run: list[Entry]) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Take ``CTRL.enable`` away."""
        self.set("CTRL", 0)

    def start(self) -> None:
        """Enable the queue."""
        self.set("CTRL", self._block["CTRL"].pack(enable=1))

    def move(self) -> None:
        """Put the rings elsewhere while they are used: to other memory, or to where there is none."""
        self.weak = self.moved = True
        for entry in self.entries:  # Those of earlier laps, too.
            self.wild.add(entry.fields["addr"], entry.fields["length"])
        for name, ring, octets in (
            ("BASE", self._ring, self._desc.size_octets),
            ("CPL_BASE", self._completions, self._completion.size_octets),
        ):
            addr = self.rng.choice((self._aside.addr, self.rng.getrandbits(52) << 12, 0))
            # The card may see one half of an address changed, and not the other one.
            for seen in (addr, (addr & 0xFFFF_FFFF) | (ring.addr >> 32 << 32)):
                if seen != self._aside.addr:
                    self.wild.add(seen, octets * self.size)
            if self.rng.random() < 0.7:
                self.set(f"{name}_LO", addr & 0xFFFF_FFFF)
                self.set(f"{name}_HI", addr >> 32)
        if self.rng.random() < 0.5:
            self.set("SIZE", self.rng.randint(1, self._log2))

    def reset(self) -> None:
        """Reset the queue, whatever it is doing, and begin anew."""
        self.expect_reset()
        self.set("CTRL", self._block["CTRL"].pack(enable=1, reset=1))
        deadline_fs = self.nic.world.now_fs + _GIVE_UP_NS * 1_000_000
        while self.nic.read32(self.offset("STATUS")) & self._block["STATUS"]["resetting"].mask:
            assert self.nic.world.now_fs < deadline_fs, "the reset does not end"
            self.nic.world.advance(1000)
        self.restart()

    def expect_reset(self) -> None:
        """From now on frames may be aborted."""
        self.poll()
        self._resetting = True

    def restart(self) -> None:
        """Set the queue up after a reset."""
        self.poll()
        for entry in self.entries:
            self._release(entry)
        self._start()
        for name, ring in (("BASE", self._ring), ("CPL_BASE", self._completions)):
            self.set(f"{name}_LO", ring.addr & 0xFFFF_FFFF)
            self.set(f"{name}_HI", ring.addr >> 32)
        self.set("SIZE", self._log2)
        self.start()

    def _release(self, entry: Entry) -> None:
        """Take the memory of a descriptor back, which the card may not use any longer."""
        raise NotImplementedError

    def wild_address(self) -> int:
        """Return an address where there is nothing."""
        return self.rng.choice((0, 64, (1 << 64) - 64, self.rng.getrandbits(64), self._aside.addr - (1 << 32) & ~63))


class TxSide(Side):
    """The TX queue: ``sent`` are the frames that completions say were sent, ``known`` all that could be."""

    statuses = TxStatus

    def __init__(self, nic: SimNic, rng: Random, wild: Wild, *, ring_log2: int) -> None:
        super().__init__(nic, rng, wild, TXQ, TX_DESC, TX_CPL, ring_log2=ring_log2)
        pool = nic.dma.kmalloc(2 * _POOL_OCTETS)  # Nothing is mapped behind the first half.
        self._pool = rng.randbytes(_POOL_OCTETS)
        pool.view[:_POOL_OCTETS] = self._pool
        # Each descriptor gets a mapping of its own, but those that are not posted.
        self._bus = nic.dma.map(pool.addr, _ASIDE_OCTETS, Direction.TO_DEVICE)
        self.sent: list[bytes] = []
        self.known: set[bytes] = set()
        # Where the ring may be moved to there are frames of one part.
        descs = []
        for _ in range((1 << 16) // TX_DESC.size_octets):
            length = rng.randrange(14, 100)
            addr = self._bus + rng.randrange(_ASIDE_OCTETS - length)
            entry = self._entry(length=length, flags=TxFlags.FIRST | TxFlags.LAST, addr=addr)
            self.known.add(self.octets([entry]))
            descs.append(TX_DESC.pack(**entry.fields))
        self._aside.view[: 1 << 16] = b"".join(descs)

    def _entry(self, *, length: int, flags: int, addr: int | None = None, **more: int) -> Entry:
        if addr is None:
            addr = self._bus + self.rng.randrange(_ASIDE_OCTETS, _POOL_OCTETS - length)
        usable = max(0, self._bus + _POOL_OCTETS - addr) if addr >= self._bus else 0
        if length > usable:
            self.wild.add(addr, length)
        fields = dict.fromkeys(("csum_start", "csum_offset", "l3_start", "vlan_tci"), 0)
        fields |= {"addr": addr, "length": length, "flags": flags, "cookie": self.rng.getrandbits(32)}
        return Entry({**fields, **more}, usable)

    def _map(self, entry: Entry) -> None:
        """Let the card read the octets of a descriptor, as far as there are some."""
        length = min(entry.fields["length"], entry.usable)
        if length:
            addr = self.nic.dma.phys(entry.fields["addr"])
            entry.mapping = self.nic.dma.map(addr, length, Direction.TO_DEVICE), length

    def _release(self, entry: Entry) -> None:
        if entry.mapping is not None:
            self.nic.dma.unmap(*entry.mapping, Direction.TO_DEVICE)
            entry.mapping = None

    def put(self, entry: Entry) -> None:
        """Write a descriptor to the ring, and let the card read its octets."""
        self._map(entry)
        super().put(entry)

    def _again(self, entry: Entry) -> None:
        if entry.mapping is None:
            self._map(entry)

    def post_group(self) -> None:
        """Put the descriptors of one frame, or of what may look like one."""
        rng = self.rng
        parts = min(rng.choice((1, 1, 1, 2, 3, 5)), self.room)
        if not parts:
            return
        longest = rng.choice((90, 90, 90, 400, 1500, 4500, 9100)) // parts + 1
        lengths = [rng.randrange(1, longest + 1) for _ in range(parts)]
        if parts == 1 and rng.random() < 0.8:
            lengths = [max(14, lengths[0])]
        addrs: list[int | None] = [None] * parts
        flags = [0] * parts
        flags[0] |= TxFlags.FIRST
        flags[-1] |= TxFlags.LAST
        more = {"csum_start": 0, "csum_offset": 0, "l3_start": 0, "vlan_tci": rng.getrandbits(16)}
        if rng.random() < 0.2:
            flags[0] |= TxFlags.CSUM_PARTIAL
            more["csum_start"], more["csum_offset"] = rng.randrange(0, 70), rng.choice((0, 6, 16, rng.randrange(70)))
        if rng.random() < 0.2:
            flags[0] |= rng.choice((TxFlags.CSUM_L4, TxFlags.CSUM_IPV4, TxFlags.CSUM_L4 | TxFlags.CSUM_IPV4))
            more["l3_start"] = 2 * rng.randrange(10)
            more["csum_start"] = more["l3_start"] + 4 * rng.randrange(5, 16)
        if rng.random() < 0.1:
            flags[0] |= TxFlags.VLAN
        if rng.random() < 0.4:
            self._spoil(lengths, addrs, flags, more)
        for number in range(parts):
            only_first = more if number == 0 else {}
            self.put(self._entry(length=lengths[number], flags=int(flags[number]), addr=addrs[number], **only_first))

    def move(self) -> None:
        """Put the rings elsewhere; note what may still be sent of what was posted."""
        for start in range(self.size):
            run: list[Entry] = []
            while len(run) < self.size and not (run and run[-1].fields["flags"] & TxFlags.LAST):
                run.append(self.entries[(start + len(run)) % self.size])
            if not self.causes(run):
                self.known.add(self.octets(run))
        super().move()

    def close(self) -> None:
        """End a frame that was begun: the card waits for the rest of it."""
        if not self.room:
            self.reset()
        self.put(self._entry(length=60, flags=TxFlags.FIRST | TxFlags.LAST))
        self.doorbell()

    def _spoil(self, lengths: list[int], addrs: list[int | None], flags: list[int], more: dict[str, int]) -> None:
        """Make something wrong, or everything."""
        rng, at = self.rng, self.rng.randrange(len(lengths))
        kind = rng.randrange(10)
        if kind == 0:
            lengths[at] = 0
        elif kind == 1:
            lengths[at] = rng.choice((0xFFFF, MAX_FRAME_OCTETS, MAX_FRAME_OCTETS + 1))
        elif kind in (2, 3):
            addrs[at] = self.wild_address()
        elif kind == 4:
            addrs[at] = self._bus + _POOL_OCTETS - 8 * rng.randrange(4)
        elif kind == 5:
            flags[at] ^= rng.choice((TxFlags.FIRST, TxFlags.LAST))
        elif kind == 6:
            flags[at] |= 1 << rng.randrange(7, 16)
        elif kind == 7:
            flags[0] |= TxFlags.RESOLVE
            more["next_hop"] = rng.getrandbits(32)
        elif kind == 8:
            flags[0] |= rng.choice((TxFlags.CSUM_PARTIAL, TxFlags.CSUM_L4, TxFlags.CSUM_IPV4))
            more["l3_start"] = rng.choice((more["l3_start"], rng.getrandbits(8)))
            near = more["l3_start"] + rng.randrange(15, 65)
            more["csum_start"], more["csum_offset"] = rng.choice((near, rng.getrandbits(16))), rng.getrandbits(16)
        else:
            for member in ("csum_start", "csum_offset", "mss", "hdr_len", "l3_start", "reserved", "next_hop"):
                more[member] = rng.getrandbits(8)
            addrs[at], lengths[at], flags[at] = rng.getrandbits(64), rng.getrandbits(16), rng.getrandbits(16)

    @staticmethod
    def causes(run: list[Entry]) -> set[TxStatus]:
        """Return why these descriptors cannot be a frame."""
        first, found = run[0].fields, set()
        flags = [entry.fields["flags"] for entry in run]
        if not flags[0] & TxFlags.FIRST or not flags[-1] & TxFlags.LAST or any(f & TxFlags.FIRST for f in flags[1:]):
            found.add(TxStatus.BAD_SEQUENCE)
        if flags[0] & ~_SUPPORTED:
            found.add(TxStatus.UNSUPPORTED)
        total = sum(entry.fields["length"] for entry in run)
        tag = 4 if flags[0] & TxFlags.VLAN else 0
        if total < 14 or total + tag > MAX_FRAME_OCTETS or not run[-1].fields["length"]:
            found.add(TxStatus.BAD_LENGTH)
        if any(entry.fields["length"] > entry.usable for entry in run):
            found.add(TxStatus.PAYLOAD_ERROR)
        start = end = first["csum_start"]
        if flags[0] & (TxFlags.CSUM_PARTIAL | TxFlags.CSUM_L4):
            end += first["csum_offset"] + 2
        header = flags[0] & (TxFlags.CSUM_L4 | TxFlags.CSUM_IPV4)
        fits = start % 2 == first["l3_start"] % 2 == 0 and start - first["l3_start"] in _HEADER_OCTETS
        if (header and not fits) or (flags[0] & _CHECKSUMS and end > total):
            found.add(TxStatus.BAD_CHECKSUM_FIELD)
        if flags[0] & TxFlags.RESOLVE:
            found.add(TxStatus.RESOLVE_MISS)
        return found

    def octets(self, run: list[Entry]) -> bytes:
        """Return what a frame of these descriptors is on the wire, without FCS."""
        first = run[0].fields
        frame = bytearray()
        for entry in run:
            start = entry.fields["addr"] - self._bus
            frame += self._pool[start : start + entry.fields["length"]]
        flags = first["flags"]
        mode = L4 if flags & TxFlags.CSUM_L4 else PARTIAL if flags & TxFlags.CSUM_PARTIAL else NONE
        places = {name: first[name] for name in ("l3_start", "csum_start", "csum_offset")}
        frame = bytearray(filled(bytes(frame), Command(bool(flags & TxFlags.CSUM_IPV4), mode, **places)))
        if flags & TxFlags.VLAN:
            frame[12:12] = b"\x81\0" + first["vlan_tci"].to_bytes(2, "big")
        return bytes(frame.ljust(60, b"\0"))

    def _judge(self, told: dict[str, int], status: TxStatus, run: list[Entry]) -> None:
        causes = self.causes(run)
        said = f"{status.name} for {[entry.fields for entry in run]}"
        if status == TxStatus.OK:
            assert not causes, f"{said}: {causes}"
            self.sent.append(self.octets(run))
        else:
            assert status in causes or (status == TxStatus.ABORTED and self._resetting), f"{said}: {causes}"
        for entry in run:
            self._release(entry)
        if status != TxStatus.ABORTED:  # Which may be of the rest of a frame whose start was completed before.
            assert told["cookie"] == run[0].fields["cookie"], said


class RxSide(Side):
    """The RX queue: ``coming`` are the frames that came and are not accounted for."""

    statuses = RxStatus

    def __init__(self, nic: SimNic, rng: Random, wild: Wild, *, ring_log2: int) -> None:
        super().__init__(nic, rng, wild, RXQ, RX_DESC, RX_CPL, ring_log2=ring_log2)
        slots = 2 * self.size
        self._pool = nic.dma.kmalloc(slots * _SLOT_OCTETS)
        self._slots = deque(range(slots))
        self._slot_of: dict[int, int] = {}  # By cookie.
        self.coming: deque[bytes] = deque()

    def post_group(self) -> None:
        """Put one descriptor, good or not."""
        rng = self.rng
        if not self.room:
            return
        slot, cookie = self._slots.popleft(), rng.getrandbits(32)
        usable = RX_ALIGN_OCTETS * rng.choice((1, 2, 4, 24, 32))
        addr = self.nic.dma.map(self._pool.addr + slot * _SLOT_OCTETS, usable, Direction.FROM_DEVICE)
        self._slot_of[cookie] = slot
        fields = {"addr": addr, "length": usable, "reserved": 0, "cookie": cookie}
        entry = Entry(fields, usable, (addr, usable))
        kind = rng.randrange(25)
        if kind == 0:
            entry.fields["length"] = 0
        elif kind == 1:
            entry.fields["length"] += rng.randrange(1, 64)
        elif kind == 2:
            entry.fields["addr"] += rng.randrange(1, 64)
        elif kind == 3:
            entry.fields["length"] = 0x10000 - RX_ALIGN_OCTETS
        elif kind in (4, 5):
            entry.fields["addr"] = self.wild_address() & ~(RX_ALIGN_OCTETS - 1)
        elif kind == 6:
            entry.fields["reserved"] = rng.getrandbits(16)
        if entry.fields["addr"] != addr:
            entry.usable = 0
        if entry.fields["length"] > entry.usable:
            self.wild.add(entry.fields["addr"], entry.fields["length"])
        self.put(entry)

    def _release(self, entry: Entry) -> None:
        if entry.mapping is None:
            return  # It was posted again by a tail beyond the ring.
        self.nic.dma.unmap(*entry.mapping, Direction.FROM_DEVICE)
        self._slots.append(self._slot_of.pop(entry.fields["cookie"]))
        entry.mapping, entry.usable = None, 0

    @staticmethod
    def _malformed(entry: Entry) -> bool:
        length = entry.fields["length"]
        return bool(not length or length % RX_ALIGN_OCTETS or entry.fields["addr"] % RX_ALIGN_OCTETS)

    def _judge(self, told: dict[str, int], status: RxStatus, run: list[Entry]) -> None:
        said = f"{status.name} for {[(entry.fields, entry.usable) for entry in run]}"
        assert not any(map(self._malformed, run[:-1])), said  # Such a one ends what it is in.
        if status == RxStatus.OK:
            assert not any(map(self._malformed, run)), said
            octets, wanted = bytearray(), RX_PAD_OCTETS + told["length"]
            for entry in run:
                taken = min(entry.fields["length"], wanted - len(octets))
                assert 0 < taken <= entry.usable, said
                slot = self._slot_of[entry.fields["cookie"]] * _SLOT_OCTETS
                octets += self._pool.view[slot : slot + taken]
            frame = bytes(octets[RX_PAD_OCTETS:])
            while self.coming and self.coming[0] != frame:
                self.coming.popleft()
            assert self.coming, f"{said}: no such frame came"
            self.coming.popleft()
        elif status == RxStatus.BAD_DESCRIPTOR:
            assert self._malformed(run[-1]), said
        elif status == RxStatus.PAYLOAD_ERROR:
            assert any(entry.fields["length"] > entry.usable for entry in run), said
        elif status == RxStatus.NO_BUFFER:
            room = sum(entry.fields["length"] for entry in run)
            assert any(RX_PAD_OCTETS + len(frame) > room for frame in self.coming), said
        else:
            assert (status, self._resetting) == (RxStatus.ABORTED, True), said
        assert told["cookie"] == run[-1].fields["cookie"], said
        for entry in run:
            self._release(entry)

"""A stand-in for the NIC's receive side, for unit tests of the driver: a reading of the contract of its own."""

from typing import TYPE_CHECKING
from zlib import crc32

from hardwire.stack.abi import MAC, RX_CPL, RX_DESC, RXQ, RxFlags, RxStatus

if TYPE_CHECKING:
    from hardwire.tb.stack.nic_double import NicDouble

__all__ = ["RxDouble", "words_sum"]

NS_PER_CYCLE = 8


def words_sum(octets: bytes) -> int:
    """Return the ones' complement sum of 16-bit words, first octet high."""
    total = 0
    for at in range(0, len(octets), 2):
        total += int.from_bytes(octets[at : at + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum_flags(frame: bytes) -> RxFlags:
    """Return what the device says of a frame without a tag."""
    flags = RxFlags(0)
    if frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return flags
    ihl = 4 * (frame[14] & 15)
    header = frame[14 : 14 + ihl]
    flags |= RxFlags.CSUM_IPV4_GOOD if words_sum(header) == 0xFFFF else RxFlags.CSUM_IPV4_BAD
    total = int.from_bytes(frame[16:18], "big")
    l4 = frame[14 + ihl : 14 + total]
    protocol = frame[23]
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    if protocol not in (6, 17) or fragment or (protocol == 17 and l4[6:8] == b"\0\0"):
        return flags
    pseudo = frame[26:34] + bytes([0, protocol]) + len(l4).to_bytes(2, "big")
    good = words_sum(pseudo + l4) == 0xFFFF
    return flags | (RxFlags.CSUM_L4_GOOD if good else RxFlags.CSUM_L4_BAD)


class RxDouble:
    """One RX queue, the filters before it, and its interrupt moderation.

    ``statuses`` are the status of the next frames; after them comes what the frame and the ring call for. ``vlans`` is
    the table. ``dead``: a reset has no end.
    """

    def __init__(self, nic: "NicDouble") -> None:
        self.nic = nic
        self.statuses: list[RxStatus] = []
        self.vlans: set[int] = set()
        self.head = self.cpl = self.told = 0
        self.pending = self.enabled = False
        self.dead = False
        self.first_ns: int | None = None
        self.used = 0  # Descriptors that completions covered, ever.

    def _get(self, name: str) -> int:
        return self.nic.regs.get(RXQ.address(RXQ[name]), RXQ[name].reset)

    # Registers.

    def read32(self, name: str) -> int:
        """Read a register of the queue."""
        if name == "STATUS":
            return RXQ["STATUS"].pack(resetting=1) if self.dead else 0
        return self._get(name)

    def write32(self, name: str, value: int) -> None:
        """Write one; it is in ``nic.regs`` already."""
        if name == "CTRL" and value & RXQ["CTRL"]["reset"].mask and not self.dead:
            self.head = self.cpl = self.told = 0
            self.first_ns = None
            self.pending = False
            self.nic.regs[RXQ.address(RXQ["CTRL"])] = 0
        elif name == "TAIL":
            assert value < 1 << self._get("SIZE")
        elif name == "IRQ":
            self.enabled = bool(value & RXQ["IRQ"]["enable"].mask)
            self.pending &= not value & RXQ["IRQ"]["pending"].mask
        elif name == "CPL_TAIL":
            fields = RXQ["CPL_TAIL"].unpack(value)
            self.told += (fields["index"] - self.told) % (1 << self._get("SIZE"))
            assert self.told <= self.cpl
            if fields["arm"]:
                self.enabled = True
                self.pending = False
                self.first_ns = None
                self._moderate()

    @property
    def line(self) -> bool:
        """What it adds to the interrupt line."""
        return self.pending and self.enabled

    def _moderate(self) -> None:
        """Look whether the unseen completions call for an interrupt, now or later."""
        platform = self.nic.platform
        unseen = self.cpl - self.told
        if not unseen or self.pending:
            return
        if self.first_ns is None:
            self.first_ns = platform.now_ns()
            after_ns = self._get("IRQ_TIME") * NS_PER_CYCLE
            platform.timer(self.first_ns + after_ns, lambda: self._on_time())
        if unseen >= max(self._get("IRQ_COUNT"), 1):
            self.pending = True
            platform.timer(platform.now_ns(), self.nic.interrupt)

    def _on_time(self) -> None:
        after_ns = self._get("IRQ_TIME") * NS_PER_CYCLE
        if self.first_ns is not None and self.nic.platform.now_ns() >= self.first_ns + after_ns:
            self.pending = self.cpl != self.told
            self.nic.interrupt()

    # Frames.

    def accepts(self, frame: bytes) -> bool:
        """Return whether a frame passes the filters."""
        regs = self.nic.regs
        ctrl = MAC["RX_CTRL"].unpack(regs.get(MAC.address(MAC["RX_CTRL"]), MAC["RX_CTRL"].reset))
        if ctrl["promiscuous"]:
            return True
        if ctrl["vlan_filter"] and frame[12:14] == b"\x81\x00":
            vid = int.from_bytes(frame[14:16], "big") & 0xFFF
            if vid not in self.vlans:
                return False
        to = frame[:6]
        if to == b"\xff" * 6:
            return bool(ctrl["broadcast"])
        if to[0] & 1:
            # The CRC, not complemented; bit 0 of zlib's is the first on the wire.
            reflected = ~crc32(to) & 0xFFFFFFFF
            bit = sum((reflected >> n & 1) << (5 - n) for n in range(6))
            half = regs.get(MAC.address(MAC["HASH_HI" if bit >> 5 else "HASH_LO"]), 0)
            return bool(ctrl["all_multicast"] or half >> (bit & 31) & 1)
        own = regs.get(MAC.address(MAC["ADDR_HI"]), 0) << 32 | regs.get(MAC.address(MAC["ADDR_LO"]), 0)
        return int.from_bytes(to, "big") == own

    def receive(self, frame: bytes) -> RxStatus | None:
        """Receive a frame without FCS; return its status, None if there is no completion."""
        count = self.nic.count
        count("RX_FRAMES")
        if not self._get("CTRL") & 1:
            count("RX_DISABLED")
            return None
        if not self.accepts(frame):
            count("RX_FILTERED")
            return None
        fields: dict[str, int] = {}
        ctrl = self.nic.regs.get(MAC.address(MAC["RX_CTRL"]), 0)
        flags = RxFlags(0)
        if ctrl & MAC["RX_CTRL"]["vlan_strip"].mask and frame[12:14] == b"\x81\x00":
            fields["vlan_tci"] = int.from_bytes(frame[14:16], "big")
            frame = frame[:12] + frame[16:]
            flags |= RxFlags.VLAN
        flags |= checksum_flags(frame)
        status, last, cookie = self._store(frame)
        if last is None:
            count("RX_NO_BUFFER")
            return None
        fields |= {"status": status, "index": last, "cookie": cookie}
        if status == RxStatus.OK:
            count("RX_DELIVERED")
            fields |= {"length": len(frame), "flags": flags, "csum": words_sum(frame[14:])}
        elif status == RxStatus.NO_BUFFER:
            count("RX_NO_BUFFER")
        self._complete(fields)
        return status

    def _store(self, frame: bytes) -> tuple[RxStatus, int | None, int]:
        """Put a frame into buffers; return status, the last descriptor used and its cookie."""
        status = self.statuses.pop(0) if self.statuses else RxStatus.OK
        size = 1 << self._get("SIZE")
        ring = self.nic.memory(RXQ, "BASE_LO", "BASE_HI")
        left = b"\0\0" + frame
        last: int | None = None
        cookie = 0
        skip = 2
        while left:
            if self.head == self._get("TAIL"):
                return RxStatus.NO_BUFFER, last, cookie
            desc = RX_DESC.unpack(ring.view[16 * self.head : 16 * self.head + 16])
            assert desc["addr"] % 64 == desc["length"] % 64 == 0
            assert desc["length"]
            last, cookie = self.head, desc["cookie"]
            self.head = (self.head + 1) % size
            self.used += 1
            if status in (RxStatus.DESC_ERROR, RxStatus.BAD_DESCRIPTOR, RxStatus.ABORTED):
                return status, last, cookie if status != RxStatus.DESC_ERROR else 0
            part, left = left[: desc["length"]], left[desc["length"] :]
            self.nic.dma.write(desc["addr"] + skip, part[skip:])
            skip = 0
        return status, last, cookie

    def _complete(self, fields: dict[str, int]) -> None:
        lap, at = divmod(self.cpl, 1 << self._get("SIZE"))
        entry = RX_CPL.pack(**fields, phase=1 - lap % 2)
        self.nic.memory(RXQ, "CPL_BASE_LO", "CPL_BASE_HI").view[32 * at : 32 * at + 32] = entry
        self.cpl += 1
        self._moderate()

"""A stand-in for a PHY and the management interface that leads to it, for unit tests of the driver."""

from hardwire.stack.abi import MAC, MdioOp
from hardwire.tb.stack.fake import FakePlatform

__all__ = ["MdioDouble", "PhyDouble"]

TRANSACTION_NS = 25_600  # 64 bits at 2.5 MHz.
ANEG_NS = 1_500_000_000


class PhyDouble:
    """The registers of a 1000BASE-T PHY (IEEE Std 802.3-2022 22.2.4, 40.5.1), and a partner behind a cable.

    ``partner`` are the partner's ANLPAR and 1000BASE-T status. Negotiation takes ``ANEG_NS`` from ``plug`` or a
    restart.
    """

    def __init__(self, platform: FakePlatform) -> None:
        self.platform = platform
        self.regs = {0: 0x1140, 1: 0x7949, 2: 0x0141, 3: 0x0CC2, 4: 0x01E1, 9: 0x0300}
        self.partner = (0xC1E1, 0x3C00)
        self.plugged = False
        self.lost = True  # Latched low.
        self.done_ns = 0
        self.restarts = 0
        self.master_slave_fault = False
        self.forced = False  # It says that there is a link, whatever the ends can do (parallel detection).

    def plug(self) -> None:
        """Put the cable in."""
        self.plugged = True
        self.done_ns = self.platform.now_ns() + ANEG_NS

    def unplug(self) -> None:
        """Pull it."""
        self.plugged = False
        self.lost = True

    @property
    def complete(self) -> bool:
        """Whether negotiation is over."""
        return self.plugged and self.platform.now_ns() >= self.done_ns

    @property
    def link(self) -> bool:
        """Whether there is a link, for anything that both ends can do."""
        common = self.regs[4] & self.partner[0] & 0x1E0 or (self.regs[9] << 2) & self.partner[1] & 0xC00
        return self.complete and bool(common or self.forced)

    def read(self, reg: int) -> int:
        """Read a register."""
        if reg == 1:
            link = self.link and not self.lost
            self.lost = not self.link
            return self.regs[1] | link << 2 | self.complete << 5
        if reg == 5:
            return self.partner[0] if self.complete else 0
        if reg == 10:
            return self.partner[1] | self.master_slave_fault << 15 if self.complete else 0
        return self.regs.get(reg, 0)

    def write(self, reg: int, value: int) -> None:
        """Write a register."""
        assert reg in (0, 4, 9), f"register {reg} is not written"
        if reg == 0 and value & 1 << 9:
            assert value & 1 << 12, "restart without autonegotiation enabled"
            self.restarts += 1
            self.lost = True
            self.done_ns = self.platform.now_ns() + ANEG_NS
        self.regs[reg] = value & ~(1 << 9) if reg == 0 else value


class MdioDouble:
    """MAC.MDIO and MDIO_STATUS; ``phys`` by address. While ``hung`` a transaction has no end."""

    def __init__(self, platform: FakePlatform) -> None:
        self.platform = platform
        self.phys: dict[int, PhyDouble] = {}
        self.hung = False
        self.ready_ns = 0
        self.result = 0
        self.transactions = 0
        self.status_reads = 0

    def start(self, value: int) -> None:
        """Take a write of MAC.MDIO."""
        if self.busy:
            return
        fields = MAC["MDIO"].unpack(value)
        phy = self.phys.get(fields["phy"])
        self.transactions += 1
        self.ready_ns = self.platform.now_ns() + TRANSACTION_NS
        self.result = 0
        if fields["op"] == MdioOp.WRITE:
            if phy is not None:
                phy.write(fields["reg"], fields["data"])
        elif phy is not None:
            self.result = MAC["MDIO_STATUS"].pack(data=phy.read(fields["reg"]))
        else:
            self.result = MAC["MDIO_STATUS"].pack(data=0xFFFF, no_answer=1)

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way."""
        return self.hung or self.platform.now_ns() < self.ready_ns

    def status(self) -> int:
        """Return MAC.MDIO_STATUS."""
        self.status_reads += 1
        return MAC["MDIO_STATUS"].pack(busy=1) if self.busy else self.result

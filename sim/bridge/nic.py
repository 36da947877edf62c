"""A card behind a bridge as a device of a world: registers, memory, interrupt, and time."""

from collections.abc import Callable
from errno import EPROTO, ETIMEDOUT

from ...hdl.config import NicConfig
from ...stack.abi.bridge import (
    BRIDGE_ADDR_OCTETS,
    BRIDGE_HELLO,
    BRIDGE_REG_READ,
    BRIDGE_REG_VALUE,
    BRIDGE_REG_WRITE,
    BRIDGE_RETRY_MS,
    BRIDGE_RETRY_WINDOWS,
    BRIDGE_VERSION,
    BridgeKind,
)
from ..nic_event import DmaViolation, Violation
from ..world import Host
from .carrier import Carrier
from .dma import BridgeMemory
from .link import MS_FS, BridgeError, Link

__all__ = ["BridgeNic"]

_LONGEST_WAIT_FS = 100 * MS_FS  # Without a timer, look again after that.
_ANSWER_FS = 1000 * MS_FS  # From when the card has taken a question.
_STILL_FS = 2 * MS_FS  # Longer than what a card does by itself takes: moderation of interrupts, negotiation.
_HELLO_TRIES = 10
_HELLO_OCTETS = 2000  # Time for RESET and HELLO: what may be on the line before them, and after.
_CHANGE_OCTETS = 64  # Time from the acknowledgement of a register write until the interrupt that it changes is heard.
_pack_reg_write = BRIDGE_REG_WRITE.struct.pack
_pack_reg_read = BRIDGE_REG_READ.struct.pack
_unpack_reg_value = BRIDGE_REG_VALUE.struct.unpack_from
_ONES = 0xFFFF_FFFF


class BridgeNic:
    """A network card behind a bridge. Implements ``Mmio`` and ``Irq``, and what a world asks of a device.

    What a handler or a task does between two waits goes out in one piece when time passes: the octets to send, their
    descriptors, the doorbell. Nothing on the way of a packet waits for an answer of the card.

    It is quiet once all was acknowledged, no interrupt waits, and the carrier says that the card is idle, too; with a
    carrier that cannot, once nothing has come for ``settle_fs``: what the card does by itself without a word for so
    long, nobody knows.

    Parameters
    ----------
    host : Host
        Whose card it is.
    carrier : Carrier
        The line to it; the world's time is the carrier's.
    config : NicConfig or None
        What is known of its gateware; the driver asks the card itself.
    strict : bool
        Raise ``DmaViolation`` as soon as the card writes where it must not; else only record it.
    latency_fs : int
        How late the card's answers may come, beside the time that their octets take.
    settle_fs : int
        See above.
    phy_address : int or None
        Where the card's PHY is; None: where whoever sets the host up says.
    speed_mbps : int
        Speed of its MAC.

    Members
    -------
    dma : BridgeMemory
        The memory that host and card share.
    link : Link
        The way to the card.
    hello : dict[str, int]
        What the card said of itself when it was reset.

    Raises
    ------
    BridgeError
        If no card answers, or one that speaks another version of the protocol.
    """

    def __init__(
        self,
        host: Host,
        carrier: Carrier,
        *,
        config: NicConfig | None = None,
        strict: bool = True,
        latency_fs: int = MS_FS,
        settle_fs: int = MS_FS,
        phy_address: int | None = None,
        speed_mbps: int = 1000,
    ) -> None:
        self.host = host
        self.world = host.world
        self.config = config or NicConfig()
        self.strict = strict
        self.phy_address = phy_address
        self.speed_mbps = speed_mbps
        self.carrier = carrier
        self.link = Link(carrier, self._receive, latency_fs=latency_fs)
        self._latency_fs = latency_fs
        self._settle_fs = settle_fs
        self._phase_fs = self.world.now_fs - carrier.time_fs
        self._jump: Callable[[int], None] | None = getattr(carrier, "jump", None)
        self._handler: Callable[[], None] | None = None
        self._irq = False
        self._irq_order = 0  # The line counts once so many orders are done,
        self._irq_from_fs: int | None = 0  # and from this time on; None: they are not yet.
        self._active_fs = 0
        self._value: tuple[int, int] | None = None
        self._violations: list[Violation] = []
        self.hello: dict[str, int] = {}
        self._greet()
        self.dma = BridgeMemory(host.memory, self.link, self.hello["memory_octets"])
        self.world.add_nic(self)  # type: ignore[arg-type]  # It has what a world uses of a SimNic.

    # Mmio and Irq.

    def write32(self, offset: int, value: int) -> None:
        """Write a register: posted; it goes out when time passes, after what the driver has put into memory."""
        self.dma.sync()
        self.link.send(BridgeKind.REG_WRITE, _pack_reg_write(offset, value))

    def read32(self, offset: int) -> int:
        """Read a register; time passes until the card has answered. An error answer reads as all ones.

        Raises
        ------
        BridgeError
            If the card has taken the question, and says nothing for a second: it was reset.
        """
        self.dma.sync()
        self._value = None
        self.link.send(BridgeKind.REG_READ, _pack_reg_read(offset))
        self._pump()
        while self._value is None:
            if self.link.idle and self.carrier.time_fs >= self._active_fs + _ANSWER_FS:
                raise BridgeError(ETIMEDOUT, f"the card does not say what is in register {offset:#x}: was it reset?")
            self._wait(self.carrier.time_fs + _LONGEST_WAIT_FS)
            self._pump()
        self.world.now_fs = max(self.world.now_fs, self.time_fs)
        self._complain()
        value, resp = self._value
        return _ONES if resp else value

    def request(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` while the interrupt line is high, between the steps of tasks.

        After a call the line counts again once the card has done what the handler wrote to registers and had time to
        tell what that changed, so that a handler that has cleared the interrupt is not called before that is heard.
        """
        self._handler = handler

    def free(self) -> None:
        """Stop calling the handler."""
        self._handler = None

    # What a world asks of a device.

    @property
    def time_fs(self) -> int:
        """The world's time now."""
        return self._phase_fs + self.carrier.time_fs

    @property
    def quiet(self) -> bool:
        """Nothing is under way or due by itself, as far as one can tell, and no interrupt waits for its handler."""
        if not self.link.idle or (self._irq and self._handler is not None):
            return False
        quiet: bool | None = getattr(self.carrier, "quiet", None)
        return self.carrier.time_fs >= self._quiet_from_fs if quiet is None else quiet

    def step(self, until_fs: int | None) -> int | None:
        """Run to a time, or to the first event before; return the time reached, None if nothing will ever happen."""
        carrier, world = self.carrier, self.world
        limit_fs = carrier.time_fs + _LONGEST_WAIT_FS
        if until_fs is not None:
            limit_fs = min(limit_fs, until_fs - self._phase_fs)
        self.dma.sync()
        self._pump()
        while not self._interrupts and not self._violations and carrier.time_fs < limit_fs and not world.signals:
            if until_fs is None and (self._still or (getattr(carrier, "quiet", False) and self.quiet)):
                return None
            if world.draining and self.quiet:
                break
            self._wait(limit_fs)
            self._pump()
        reached_fs = self.time_fs if until_fs is None else min(self.time_fs, until_fs)
        world.now_fs = max(world.now_fs, reached_fs)
        self.deliver()
        return reached_fs

    def deliver(self) -> None:
        """Tell of what has happened: violations, then the interrupt; a card with a wire adds its frames."""
        self._complain()
        if self._interrupts and self._handler is not None:
            self.world.interrupt(self._handler)
            self._irq_order = self.link.orders_queued
            self._irq_from_fs = None

    def take_violations(self) -> list[Violation]:
        """Return what was recorded since the last call."""
        found, self._violations = self._violations, []
        return found

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the link to the card."""
        return self.link.report()

    def close(self) -> None:
        """Give the carrier up; the card stays as it is."""
        self.carrier.close()

    # Inside.

    @property
    def _interrupts(self) -> bool:
        from_fs = self._irq_from_fs
        return self._irq and self._handler is not None and from_fs is not None and self.carrier.time_fs >= from_fs

    @property
    def _still(self) -> bool:
        """Nothing will happen by itself, and the carrier can let that time pass at once."""
        from_fs = self._active_fs + _STILL_FS + self._repeats_after_fs
        return self._jump is not None and self.quiet and self.carrier.time_fs >= from_fs

    @property
    def _busy(self) -> bool:
        """Something is seen to be under way besides frames of the link."""
        return False

    @property
    def _quiet_from_fs(self) -> int:
        return self._active_fs + self._settle_fs + self._repeats_after_fs

    @property
    def _repeats_after_fs(self) -> int:
        """How long the card may wait before it sends again what was lost; 0 while nothing was."""
        if self._line_is_clean or not self.hello:
            return 0
        windows_fs = BRIDGE_RETRY_WINDOWS * self.hello["window_octets"] * self.carrier.octet_fs
        return windows_fs + (BRIDGE_RETRY_MS + 1) * MS_FS  # And a little for what is sent then.

    @property
    def _line_is_clean(self) -> bool:
        """Nothing that the card has sent was damaged or lost so far, as far as one can tell."""
        return not self.link.damaged

    def _pump(self) -> None:
        link = self.link
        before = link.octets_received
        busy = not link.idle or self._busy
        link.pump()
        if busy or link.octets_received != before:
            self._active_fs = self.carrier.time_fs
        if self._irq_from_fs is None and link.orders_done >= self._irq_order:
            self._irq_from_fs = self.carrier.time_fs + _CHANGE_OCTETS * self.carrier.octet_fs

    def _wait(self, until_fs: int) -> None:
        """Wait for octets, to a time of the carrier or to the next one at which there is something to do."""
        now_fs = self.carrier.time_fs
        deadline_fs = self.link.deadline_fs
        if deadline_fs is not None:
            until_fs = min(until_fs, deadline_fs)
        if self.link.idle and self.world.draining:
            until_fs = min(until_fs, now_fs + self._settle_fs)
        elif self.link.idle and self._jump is not None and not self._still:
            until_fs = min(until_fs, now_fs + _STILL_FS)
        if self._irq and self._irq_from_fs is not None and now_fs < self._irq_from_fs:
            until_fs = min(until_fs, self._irq_from_fs)
        if self._jump is not None and self._still:
            self._jump(until_fs)
        else:
            self.carrier.wait(until_fs)

    def _greet(self) -> None:
        """Reset the card, and hear what it is.

        Each time another nonce is sent, and only the answer to the last one counts: what comes after that has numbers
        from 0.
        """
        carrier, link = self.carrier, self.link
        random = self.world.random(f"{self.host.name} bridge {len(self.world.nics)}")
        patience_fs = 4 * self._latency_fs + _HELLO_OCTETS * carrier.octet_fs
        for _ in range(_HELLO_TRIES):
            self._nonce = random.getrandbits(32)
            link.send_unnumbered(BridgeKind.RESET, self._nonce.to_bytes(4, "little"))
            until_fs = carrier.time_fs + patience_fs
            while not self.hello and carrier.time_fs < until_fs:
                carrier.wait(until_fs)
                link.pump()
            if self.hello:
                break
        self.world.now_fs = max(self.world.now_fs, self.time_fs)
        if not self.hello:
            raise BridgeError(ETIMEDOUT, self._unanswered())
        if self.hello["version"] != BRIDGE_VERSION:
            raise BridgeError(
                EPROTO,
                f"the card speaks version {self.hello['version']} of the bridge's protocol, and we version "
                f"{BRIDGE_VERSION}: build its bitstream anew from this version of hardwire",
            )

    def _unanswered(self) -> str:
        octets = self.link.octets_received
        if not octets:
            return "the card does not answer: has it power and a bitstream of hardwire, and is this its port?"
        return f"no card of ours answers, or one with another baud rate: {octets:,} octets came, and no frame of ours"

    def _receive(self, kind: BridgeKind, octets: bytes) -> None:
        """Take a frame from the card."""
        if kind == BridgeKind.WRITE:
            address = int.from_bytes(octets[:BRIDGE_ADDR_OCTETS], "little")
            if not self.dma.store(address, octets[BRIDGE_ADDR_OCTETS:]):
                self._violations.append(Violation(self._cycle, address, "write outside all mappings", None))
        elif kind == BridgeKind.IRQ:
            self._irq = octets != b"\0"
        elif kind == BridgeKind.REG_VALUE and len(octets) == BRIDGE_REG_VALUE.size_octets:
            value, resp, *_ = _unpack_reg_value(octets)
            self._value = value, resp
        elif kind == BridgeKind.HELLO and len(octets) == BRIDGE_HELLO.size_octets:
            hello = BRIDGE_HELLO.unpack(octets)
            if hello["nonce"] == self._nonce and not self.hello:
                self.hello = hello
                self.link.restart()

    @property
    def _cycle(self) -> int:
        """Cycles of the core clock since the card was taken into use, by the carrier's time."""
        return self.carrier.time_fs * self.config.clock_khz // 10**12

    def _complain(self) -> None:
        if self._violations and self.strict:
            raise DmaViolation(self.take_violations())

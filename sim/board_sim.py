"""A whole simulated board: the ECP5's gateware behind its pins, a serial line to the host, RGMII to the cable."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from ..hdl.config import NicConfig
from ..stack.abi.bridge import FLAG
from .board_design import BoardDesign
from .bridge import BridgeNic
from .build import Progress
from .native import load
from .wire_end import WireEnd
from .world import FS_PER_NS, Host

__all__ = ["BoardSimNic", "LineNoise", "SimLine"]

_COUNTERS = (
    *("to_card_flipped", "to_card_lost", "from_card_flipped", "from_card_lost", "uart_misframed"),
    *("frames_total", "rx_frames_total"),
)
_OCTETS = 256  # native/wire_abi.h: hw_reason.
_UART_BITS = 10
_FS_PER_S = 10**15
_LATENCY_FS = 2 * 10**10  # Of the card itself.
_SETTLE_FS = 10**11  # Longer than a frame takes from the cable to the line.


@dataclass(frozen=True, kw_only=True)
class LineNoise:
    """What a bad serial line does to octets.

    Parameters
    ----------
    to_card_flip, from_card_flip : float
        Chance that one bit of an octet is inverted.
    to_card_loss, from_card_loss : float
        Chance that an octet is lost.

    Raises
    ------
    ValueError
        If a chance is not from 0 to 1.
    """

    to_card_flip: float = 0
    to_card_loss: float = 0
    from_card_flip: float = 0
    from_card_loss: float = 0

    def __post_init__(self) -> None:
        for name, chance in vars(self).items():
            if not 0 <= chance <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {chance!r}")

    def native(self) -> dict[str, int]:
        """Return the members of ``hw_uart_config`` that are meant."""
        return {f"{name}_chance": min(round(chance * 2**32), 2**32 - 1) for name, chance in vars(self).items()}


class SimLine:
    """The serial line of a simulated board: a `Carrier`. While it waits, the board runs.

    Parameters
    ----------
    card : BoardSimNic
        The board.
    baud : int
        Bits per second of this end of the line.
    """

    def __init__(self, card: "BoardSimNic", *, baud: int) -> None:
        self.octet_fs = _UART_BITS * _FS_PER_S // baud
        self._card = card
        self._baud = baud
        ffi = card.native.ffi
        self._lib: Any = card.native.lib
        self._nic: Any = ffi.cast("hw_nic *", card.address)
        self._state: Any = self._lib.hw_get_state(self._nic)
        self._buffer = ffi.buffer

    @property
    def time_fs(self) -> int:
        """The world's time."""
        return self._card.phase_fs + self._card.cycle * self._card.period_fs

    @property
    def busy(self) -> bool:
        """Whether an octet is on the line or waits for it, or a frame is on the cable or waits for it."""
        state = self._lib.hw_get_state(self._nic)
        return bool(state.uart_busy or state.uart_count or state.in_frame)

    def write(self, octets: bytes) -> None:
        """Queue octets for the card."""
        self._lib.hw_uart_write(self._nic, octets, len(octets))

    def read(self) -> bytes:
        """Return the octets that have come since the last call."""
        state = self._state
        if not state.uart_count:
            return b""
        octets = bytes(self._buffer(state.uart_octets, state.uart_count))
        self._lib.hw_uart_clear(self._nic)
        return octets

    def wait(self, until_fs: int) -> None:
        """Let the board run until a frame has come over the line, or the line is silent again, or to that time.

        An event on the cable that somebody waits for ends it, too.
        """
        card = self._card
        reasons = self._lib.hw_run(self._nic, card.cycle_after(until_fs), _OCTETS | card.stops_for_frames)
        card.deliver_soon(reasons)

    def jump(self, until_fs: int) -> None:
        """Let time pass in which nothing happens; the board does not notice it."""
        self._card.skip(until_fs - self.time_fs)

    def close(self) -> None:
        """Do nothing: the board goes with the last who knows of it."""

    def set_noise(self, noise: LineNoise, *, seed: int) -> None:
        """Change what the line does to octets, from now on."""
        config = {
            "seed": seed,
            "clock_hz": self._card.config.clock_khz * 1000,
            "baud": self._baud,
            "wake_octet": FLAG,
            **noise.native(),
        }
        self._lib.hw_uart_configure(self._nic, self._card.native.ffi.new("hw_uart_config *", config))

    @property
    def counters(self) -> dict[str, int]:
        """Octets that were damaged or lost on the line, and those from the card that had no stop bit; frames."""
        state = self._lib.hw_get_state(self._nic)
        return {name: int(getattr(state, name)) for name in _COUNTERS}


class BoardSimNic(BridgeNic, WireEnd):
    """A simulated board as a device of a world: a card behind a bridge, with the far end of its cable.

    Parameters
    ----------
    host : Host
        Whose card it is.
    config : NicConfig or None
        Parameters of the NIC in it.
    bus : object
        Not looked at: the card's own memory takes the place of the host's bus.
    board : str
        Which board; see ``boards``.
    baud : int
        Bits per second on the serial line.
    noise : LineNoise
        What the line does to octets; see :meth:`set_noise`.
    strict : bool
        Raise ``DmaViolation`` as soon as the card writes where it must not; else only record it.
    waves : bool
        Use the library that can write waves; see :meth:`waves`.
    rx_ppm : float
        How much faster the PHY's clock is than the board's, in parts per million.
    progress : callable or None
        Told how a build goes on; see :func:`.build.library_dir`.
    """

    def __init__(
        self,
        host: Host,
        config: NicConfig | None = None,
        *,
        bus: object = None,
        board: str = "ecpix5_85",
        baud: int = 12_500_000,
        noise: LineNoise | None = None,
        strict: bool = True,
        waves: bool = False,
        rx_ppm: float = 0,
        progress: Progress | None = None,
    ) -> None:
        config = config or NicConfig()
        world = host.world
        design = BoardDesign(board=board, config=config, baud=baud)
        WireEnd.__init__(
            self,
            load(design, waves=waves or world.waves, progress=progress),
            period_fs=1_000_000_000_000 // config.clock_khz,
            phase_fs=world.now_fs,
        )
        self.config = config
        self.rx_period_fs = 2 * round(self.period_fs / 2 / (1 + rx_ppm / 1_000_000))
        self._lib.hw_set_clocks(self._nic, self.period_fs, self.rx_period_fs)
        self.line = SimLine(self, baud=baud)
        self.host, self.world = host, world
        self._number = len(world.nics)
        self.set_noise(noise or LineNoise())
        BridgeNic.__init__(
            self, host, self.line, config=config, strict=strict, latency_fs=_LATENCY_FS, settle_fs=_SETTLE_FS
        )

    @property
    def quiet(self) -> bool:
        """Nothing is under way or due by itself, as far as one can tell from outside."""
        return not self.world.signals and not self.line.busy and super().quiet

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the link to the card, and of the line that it has."""
        return super().counters | self.line.counters

    @property
    def leds(self) -> int:
        """Which of the board's lamps are lit, the first one in bit 0."""
        return int(self._lib.hw_get_state(self._nic).leds)

    def set_noise(self, noise: LineNoise) -> None:
        """Change what the serial line does to octets, from now on."""
        self.line.set_noise(noise, seed=self.world.random(f"line{self._number}").getrandbits(64))

    @property
    def _busy(self) -> bool:
        return self.line.busy

    @property
    def _line_is_clean(self) -> bool:
        state = self._state
        return not (state.from_card_flipped or state.from_card_lost)

    def set_link(self, up: bool, *, autoneg_ns: int = 20_000) -> None:
        """Tell the PHY whether there is a partner; autonegotiation takes a while after one has come."""
        super().set_link(up, autoneg_ns=autoneg_ns)
        self._active_fs = self.line.time_fs + autoneg_ns * FS_PER_NS

    def skip(self, time_fs: int) -> None:
        """Let time pass that the board is not evaluated for; its frames keep their times."""
        if time_fs > 0:
            self._left = self.take_frames()
            self.phase_fs += time_fs

    def cycle_at(self, time_fs: int) -> int:
        """Return the first cycle of the PHY's clock that is not before a time."""
        return max(0, -((self.phase_fs - time_fs) // self.rx_period_fs))

    def cycle_after(self, time_fs: int) -> int:
        """Return the first cycle of the board's clock that is not before a time."""
        return super().cycle_at(time_fs)

    def deliver_soon(self, reasons: int) -> None:
        """Tell those who wait of frames before the world's next step: what they do then may add to the world."""
        if reasons & self.stops_for_frames:
            self.world.signals.append(partial(self.deliver_frames, reasons))

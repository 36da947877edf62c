"""How the host's memory behaves on the bus: latency, bandwidth, order and injected errors."""

from dataclasses import dataclass

__all__ = ["BusModel"]


@dataclass(frozen=True, slots=True)
class BusModel:
    """Behaviour of the host's memory, as the device sees it.

    Parameters
    ----------
    read_latency_ns, write_latency_ns : float
        From a read's address to its first beat; from a write's last beat to its response.
    read_jitter_ns, write_jitter_ns : float
        Up to so much more, at random for each access.
    read_gap_cycles, write_gap_cycles : int
        Pause after each beat: the bandwidth is one beat every ``1 + gap`` cycles.
    stall_probability : float
        Chance of a pause after any handshake.
    stall_max_cycles : int
        Longest such pause.
    reads_outstanding, writes_outstanding : int
        Accesses that the memory takes before it makes the device wait, 1 to 64.
    reorder : bool
        Accesses with different IDs may overtake each other.
    interleave : bool
        Beats of reads with different IDs may alternate.
    read_error_probability, write_error_probability : float
        Chance that an access is answered with SLVERR; a read fails from a random beat on.
    read_error_nth, write_error_nth : int
        This access, counted from 1 since the model was set, fails; 0: none.
    error_range : tuple of int or None
        Accesses from this bus address up to that one, exclusive, fail.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    read_latency_ns: float = 1000
    write_latency_ns: float = 1000
    read_jitter_ns: float = 0
    write_jitter_ns: float = 0
    read_gap_cycles: int = 0
    write_gap_cycles: int = 0
    stall_probability: float = 0
    stall_max_cycles: int = 8
    reads_outstanding: int = 64
    writes_outstanding: int = 64
    reorder: bool = False
    interleave: bool = False
    read_error_probability: float = 0
    write_error_probability: float = 0
    read_error_nth: int = 0
    write_error_nth: int = 0
    error_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if name == "error_range":
                continue
            if value < 0:
                raise ValueError(f"{name} must not be negative, not {value!r}")
            if name.endswith("probability") and value > 1:
                raise ValueError(f"{name} must be at most 1, not {value!r}")
            if name.endswith("outstanding") and not 1 <= value <= 64:
                raise ValueError(f"{name} must be in 1..64, not {value!r}")

    def native(self, *, clock_khz: int, seed: int) -> dict[str, int]:
        """Return the members of ``hw_memory_config``, native/abi.h."""

        def cycles(time_ns: float) -> int:
            return round(time_ns * clock_khz / 1_000_000)

        def chance(probability: float) -> int:
            return min(round(probability * (1 << 32)), (1 << 32) - 1)

        start, end = self.error_range or (0, 0)
        return {
            "seed": seed,
            "read_latency": cycles(self.read_latency_ns),
            "write_latency": cycles(self.write_latency_ns),
            "read_jitter": cycles(self.read_jitter_ns),
            "write_jitter": cycles(self.write_jitter_ns),
            "read_gap": self.read_gap_cycles,
            "write_gap": self.write_gap_cycles,
            "stall_chance": chance(self.stall_probability),
            "stall_max": self.stall_max_cycles,
            "read_outstanding": self.reads_outstanding,
            "write_outstanding": self.writes_outstanding,
            "reorder": int(self.reorder),
            "interleave": int(self.interleave),
            "read_error_chance": chance(self.read_error_probability),
            "write_error_chance": chance(self.write_error_probability),
            "read_error_nth": self.read_error_nth,
            "write_error_nth": self.write_error_nth,
            "error_start": start,
            "error_end": end,
        }

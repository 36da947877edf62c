"""What a TX ring has to do with each descriptor, in Python: the reference of its bench."""

from dataclasses import dataclass, field

from hardwire.stack.abi import TxFlags, TxStatus

__all__ = ["Expected", "RingModel"]

_RESERVED = 0xFFFF & ~0b1111111
_COMMAND = ("flags", "csum_start", "csum_offset", "l3_start", "next_hop", "vlan_tci")


@dataclass(frozen=True)
class Expected:
    """A completion. ``result`` is the number of the datapath's result that it waits for, if any.

    Its status may be any of ``statuses``: from outside it cannot be told what came first.
    """

    cookie: int
    index: int
    statuses: tuple[TxStatus, ...]
    result: int | None

    def values(self, results: list[int]) -> list[tuple[int, int, int]]:
        """Return cookie, index and status, as they may be, once the datapath has given its results."""
        statuses = self.statuses
        if self.result is not None and statuses == (TxStatus.OK,):
            statuses = (TxStatus(results[self.result]),)
        return [(self.cookie, self.index, status) for status in statuses]


@dataclass
class RingModel:
    """The rules of ``stack.abi.desc`` for one descriptor after another.

    Members
    -------
    completions : list[Expected]
        What is to be in the completion ring.
    frames : list[dict]
        Commands for the datapath.
    parts : list[tuple]
        Address, length, last, drop; the address of a dropping part is None.
    """

    completions: list[Expected] = field(default_factory=list)
    frames: list[dict[str, int]] = field(default_factory=list)
    parts: list[tuple[int | None, int, bool, bool]] = field(default_factory=list)
    _state: str = "between"  # Or "sending", "refusing".
    _cookie: int = 0
    _refusal: TxStatus = TxStatus.OK
    _uncovered: bool = False
    _last_index: int = 0

    def _complete(self, index: int, *statuses: TxStatus, sent: bool) -> None:
        self.completions.append(Expected(self._cookie, index, statuses, len(self.frames) - 1 if sent else None))
        self._uncovered = False

    def _give_up(self, index: int, *statuses: TxStatus) -> None:
        """Complete what is under way, early."""
        sending = self._state == "sending"
        if sending:
            self.parts.append((None, 0, True, True))
        self._complete(index, *statuses, sent=sending)

    def close(self, because: TxStatus, *or_because: TxStatus) -> None:
        """End what is under way: no descriptor follows, or none will be sent."""
        if self._uncovered:
            statuses = (because, *or_because) if self._state == "sending" else (self._refusal,)
            self._give_up(self._last_index, *statuses)
        self._state = "between"

    def _abort(self, *, restarts: bool) -> None:
        """A reset was seen ahead of a descriptor, which ``restarts`` if it would have ended what is under way, too."""
        if self._state == "sending":
            # It waited until that was done: the reset came before that or after.
            self.close(TxStatus.ABORTED, *([TxStatus.BAD_SEQUENCE] if restarts else []))
            self._state, self._refusal = "refusing", TxStatus.ABORTED

    def feed(self, index: int, desc: dict[str, int], *, error: bool, aborted: bool) -> None:
        """Take the next descriptor."""
        flags = TxFlags(desc["flags"])
        if aborted:
            self._abort(restarts=bool(flags & TxFlags.FIRST) and not error)
        if error:
            if self._state == "between":
                self._cookie = 0
            self._give_up(index, TxStatus.DESC_ERROR)
            self._state, self._refusal = "refusing", TxStatus.DESC_ERROR
        else:
            if flags & TxFlags.FIRST:
                self.close(TxStatus.BAD_SEQUENCE)
            self._good(index, desc, flags, aborted)
        self._last_index = index

    def _good(self, index: int, desc: dict[str, int], flags: TxFlags, aborted: bool) -> None:
        last = bool(flags & TxFlags.LAST)
        if self._state == "between":
            self._cookie = desc["cookie"]
            if aborted:
                self._state, self._refusal = "refusing", TxStatus.ABORTED
            elif not flags & TxFlags.FIRST:
                self._state, self._refusal = "refusing", TxStatus.BAD_SEQUENCE
            elif desc["flags"] & _RESERVED:
                self._state, self._refusal = "refusing", TxStatus.UNSUPPORTED
            else:
                self._state = "sending"
                self.frames.append({name: desc[name] for name in _COMMAND})
        sending = self._state == "sending"
        if sending:
            self.parts.append((desc["addr"], desc["length"], last, False))
        self._uncovered = True
        if last:
            self._complete(index, TxStatus.OK if sending else self._refusal, sent=sending)
            self._state = "between"

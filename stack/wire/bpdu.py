"""Messages of the spanning tree protocol between bridges (IEEE Std 802.1D-1998 §9)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from .error import WireError

__all__ = ["BPDU_TYPE_CONFIG", "BPDU_TYPE_TCN", "CONFIG_OCTETS", "TCN_OCTETS", "ConfigBpdu", "bpdu_type", "emit_tcn"]

BPDU_TYPE_CONFIG = 0x00
BPDU_TYPE_TCN = 0x80
CONFIG_OCTETS = 35
TCN_OCTETS = 4

_TOPOLOGY_CHANGE = 1 << 0
_TOPOLOGY_CHANGE_ACK = 1 << 7
_CONFIG = Struct("!HBBB8sI8sHHHHH")


def bpdu_type(octets: bytes) -> int:
    """Return the type of the message that the octets start with.

    Raises
    ------
    WireError
        If it is cut short, or of another protocol or version than the spanning tree's.
    """
    if len(octets) < TCN_OCTETS:
        raise WireError(f"bpdu: needs {TCN_OCTETS} octets, not {len(octets)}")
    if octets[:3] != bytes(3):
        raise WireError(f"protocol_id, version: {octets[:3].hex()} is not 0")
    return octets[3]


def emit_tcn() -> bytes:
    """Return a topology change notification."""
    return bytes((0, 0, 0, BPDU_TYPE_TCN))


@dataclass(frozen=True, slots=True)
class ConfigBpdu:
    """A configuration message; identifiers are octets in their order on the wire, times in 1/256 s.

    Raises
    ------
    WireError
        If a value does not fit its field.
    """

    topology_change: bool
    topology_change_ack: bool
    root: bytes
    root_path_cost: int
    bridge_id: bytes
    port_id: int
    message_age: int
    max_age: int
    hello_time: int
    forward_delay: int

    def __post_init__(self) -> None:
        for name, octets in (("root", self.root), ("bridge_id", self.bridge_id)):
            if len(octets) != 8:
                raise WireError(f"{name}: needs 8 octets, not {len(octets)}")
        if not 0 <= self.root_path_cost < 1 << 32:
            raise WireError(f"root_path_cost: {self.root_path_cost} does not fit 32 bits")
        for name in ("port_id", "message_age", "max_age", "hello_time", "forward_delay"):
            if not 0 <= getattr(self, name) < 1 << 16:
                raise WireError(f"{name}: {getattr(self, name)} does not fit 16 bits")

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """Return the message that the octets start with; what follows is padding.

        Raises
        ------
        WireError
            If it is cut short or another kind of message.
        """
        if bpdu_type(octets) != BPDU_TYPE_CONFIG:
            raise WireError(f"bpdu_type: {octets[3]:#x} is no configuration message")
        if len(octets) < CONFIG_OCTETS:
            raise WireError(f"bpdu: needs {CONFIG_OCTETS} octets, not {len(octets)}")
        _, _, _, flags, *rest = _CONFIG.unpack_from(octets)
        return cls(flags & _TOPOLOGY_CHANGE != 0, flags & _TOPOLOGY_CHANGE_ACK != 0, *rest)

    def emit(self) -> bytes:
        """Return the 35 octets."""
        flags = _TOPOLOGY_CHANGE * self.topology_change | _TOPOLOGY_CHANGE_ACK * self.topology_change_ack
        return _CONFIG.pack(
            0,
            0,
            BPDU_TYPE_CONFIG,
            flags,
            self.root,
            self.root_path_cost,
            self.bridge_id,
            self.port_id,
            self.message_age,
            self.max_age,
            self.hello_time,
            self.forward_delay,
        )

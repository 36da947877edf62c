"""The bridge between a card on a desk and its driver: what goes over the serial line, either way.

Frames are those of PPP in HDLC-like framing (RFC 1662 §3.1, §4): a flag octet before and after, flag and escape octets
inside escaped, the 32-bit FCS at the end, its least significant octet first. Numbers are little-endian. Between the
flags are the kind of the frame, its number, the number of the next frame that is expected from the other side, and what
the kind says.

What the device reads of host memory lies in the card's own memory: bus addresses from 0 up, which the host writes ahead
(WRITE). What the device writes comes to the host as WRITE frames, in order, before the interrupt that tells of it, as
on PCI Express. Frames with a number arrive whole, in order and once: a frame that is not the next one is ignored, and
answered with REJECT if one before it is missing; the other side then sends again from there. So does a side that has
heard no acknowledgement for a while.
"""

from enum import IntEnum
from typing import Final

from .model import Member, Record

__all__ = [
    "BRIDGE_ADDR_OCTETS",
    "BRIDGE_HEADER",
    "BRIDGE_HELLO",
    "BRIDGE_REG_READ",
    "BRIDGE_REG_VALUE",
    "BRIDGE_REG_WRITE",
    "BRIDGE_RETRY_MS",
    "BRIDGE_RETRY_WINDOWS",
    "BRIDGE_VERSION",
    "BRIDGE_WINDOW_FRAMES",
    "BRIDGE_WORD_OCTETS",
    "BRIDGE_WRITE_OCTETS_MAX",
    "ESCAPE",
    "ESCAPE_XOR",
    "FCS_OCTETS",
    "FLAG",
    "BridgeKind",
]

BRIDGE_VERSION: Final = 1

FLAG: Final = 0x7E
ESCAPE: Final = 0x7D
ESCAPE_XOR: Final = 0x20
FCS_OCTETS: Final = 4

BRIDGE_WINDOW_FRAMES: Final = 127  # Frames under way without acknowledgement, at most: half of the numbers.
# The card sends again what was not acknowledged for as long as so many of its windows take on the line, and this more.
BRIDGE_RETRY_WINDOWS: Final = 2
BRIDGE_RETRY_MS: Final = 1  # What the host may take to answer.
BRIDGE_ADDR_OCTETS: Final = 4
BRIDGE_WORD_OCTETS: Final = 8  # The host's WRITE frames start at a multiple of that and hold whole words.
BRIDGE_WRITE_OCTETS_MAX: Final = 256  # Octets of memory in one WRITE frame, either way.


class BridgeKind(IntEnum):
    """Kinds of frame. Those from WRITE on take a number; the others show the number of the next one that will."""

    ACK = 0  # Either way: nothing but the acknowledgement.
    REJECT = 1  # Either way: an acknowledgement; send again from there.
    RESET = 2  # From the host: 4 octets of its choice. Numbers start anew at 0, the card is reset, its answer is HELLO.
    HELLO = 3  # From the card: BRIDGE_HELLO.
    WRITE = 4  # Either way: an address of 4 octets, then what to write there.
    REG_WRITE = 5  # From the host: BRIDGE_REG_WRITE.
    REG_READ = 6  # From the host: BRIDGE_REG_READ. One at a time: the next waits for the answer.
    REG_VALUE = 7  # From the card: BRIDGE_REG_VALUE.
    IRQ = 8  # From the card: the new level of the interrupt line, one octet.
    LIMIT = 9  # From the host: most octets of memory in each WRITE frame from the card, 2 octets, 8..256; 256 at first.


BRIDGE_HEADER: Final = Record(
    "bridge_header",
    3,
    "Start of every frame.",
    (
        Member("kind", 0, 8, "What the frame is.", BridgeKind),
        Member("seq", 8, 8, "Number of the frame, or of the next one that has a number."),
        Member("ack", 16, 8, "Number of the next frame expected from the other side."),
    ),
)

BRIDGE_HELLO: Final = Record(
    "bridge_hello",
    16,
    "The card was reset.",
    (
        Member("nonce", 0, 32, "What the host has sent with RESET."),
        Member("version", 32, 16, "BRIDGE_VERSION."),
        Member("rejected", 48, 16, "Frames that the card could not use since power-up: damaged or too long."),
        Member("memory_octets", 64, 32, "Size of the card's memory."),
        Member("window_octets", 96, 32, "Octets that the card keeps to send again: what may be under way to the host."),
    ),
)

BRIDGE_REG_WRITE: Final = Record(
    "bridge_reg_write",
    8,
    "Write a register.",
    (
        Member("offset", 0, 32, "Offset of the register, in octets."),
        Member("value", 32, 32, "Its new value."),
    ),
)

BRIDGE_REG_READ: Final = Record(
    "bridge_reg_read",
    4,
    "Read a register.",
    (Member("offset", 0, 32, "Offset of the register, in octets."),),
)

BRIDGE_REG_VALUE: Final = Record(
    "bridge_reg_value",
    8,
    "What a register holds.",
    (
        Member("value", 0, 32, "Its value."),
        Member("resp", 32, 8, "The response on AXI4-Lite: not 0 if there is no such register."),
        Member("reserved_0", 40, 8, "0."),
        Member("reserved_1", 48, 16, "0."),
    ),
)

"""Every register of the device, once."""

from enum import IntEnum

from .model import Access, Block, Field, Register

__all__ = ["ARP", "BLOCKS", "DEVICE_ID", "GLOBAL", "STATS", "TXQ", "VERSION", "ArpOp"]

RO, RW, W1C, PULSE = Access.RO, Access.RW, Access.W1C, Access.PULSE

DEVICE_ID = 0x48574E43  # "HWNC"
VERSION = (1, 0, 0)  # The driver refuses another major version.


class ArpOp(IntEnum):
    """Operations on the ARP cache."""

    INSERT = 1  # Add key → mac, or change the mac of a key that is there.
    DELETE = 2  # Remove key.
    FLUSH = 3  # Remove all entries.
    READ = 4  # Read entry number index (set * ways + way) back.
    READ_CLEAR = 5  # The same, and clear its activity bit.


def _word(name: str, offset: int, access: Access, doc: str, reset: int = 0) -> Register:
    return Register(name, offset, doc, (Field("value", 0, 32, access, doc, reset),))


GLOBAL = Block(
    "global",
    0x0000,
    "Identity, parameters, interrupt summary and reset.",
    (
        _word("ID", 0x00, RO, "Identity of the device: always 0x48574E43.", DEVICE_ID),
        Register(
            "VERSION",
            0x04,
            "Version of the contract.",
            (
                Field("patch", 0, 8, RO, "Corrections.", VERSION[2]),
                Field("minor", 8, 8, RO, "Additions that older drivers can ignore.", VERSION[1]),
                Field("major", 16, 8, RO, "Changes that older drivers cannot work with.", VERSION[0]),
            ),
        ),
        Register(
            "QUEUES",
            0x08,
            "Number and size of the queues.",
            (
                Field("tx_queues", 0, 8, RO, "TX queues."),
                Field("rx_queues", 8, 8, RO, "RX queues."),
                Field("tx_ring_log2_max", 16, 8, RO, "Largest TX ring, as log2 of its descriptors."),
                Field("rx_ring_log2_max", 24, 8, RO, "Largest RX ring, as log2 of its descriptors."),
            ),
        ),
        Register(
            "WIDTHS",
            0x0C,
            "Widths of the data paths and shape of the ARP cache.",
            (
                Field("stream_octets", 0, 8, RO, "Octets of one beat inside the device."),
                Field("axi_octets", 8, 8, RO, "Octets of one beat on the host bus."),
                Field("arp_sets_log2", 16, 8, RO, "log2 of the ARP cache's sets."),
                Field("arp_ways", 24, 8, RO, "Ways of the ARP cache."),
            ),
        ),
        Register(
            "LIMITS",
            0x10,
            "Limits of a frame.",
            (Field("max_frame_octets", 0, 16, RO, "Longest frame, without FCS."),),
        ),
        Register(
            "FEATURES",
            0x14,
            "What the device can do: a bit is set where the TX flag of that number works.",
            (Field("tx_flags", 0, 16, RO, "Mask of the TxFlags that are implemented."),),
        ),
        Register(
            "CLOCK",
            0x18,
            "Core clock.",
            (Field("khz", 0, 32, RO, "Frequency of the core clock in kHz."),),
        ),
        Register(
            "CTRL",
            0x20,
            "Control of the whole device.",
            (Field("soft_reset", 0, 1, PULSE, "Reset all queues, drain the bus, flush the ARP cache."),),
        ),
        Register(
            "STATUS",
            0x24,
            "State of the whole device.",
            (
                Field("resetting", 0, 1, RO, "A soft reset is under way."),
                Field("idle", 1, 1, RO, "No queue has work and no frame is inside."),
            ),
        ),
        Register(
            "IRQ",
            0x28,
            "Interrupt summary.",
            (Field("tx", 0, 16, RO, "One bit a TX queue: its interrupt line."),),
        ),
        _word("CYCLES_LO", 0x30, RO, "Core clock cycles since power-up, low half; reading it latches the high half."),
        _word("CYCLES_HI", 0x34, RO, "High half, as latched."),
    ),
)

ARP = Block(
    "arp",
    0x0100,
    "ARP cache: write KEY, MAC_LO, MAC_HI, INDEX as the operation needs them, then OP; then poll STATUS.busy.",
    (
        _word("KEY", 0x00, RW, "IPv4 address, as a number."),
        _word("MAC_LO", 0x04, RW, "MAC address, the last four octets as a number."),
        Register("MAC_HI", 0x08, "MAC address.", (Field("value", 0, 16, RW, "The first two octets as a number."),)),
        Register("INDEX", 0x0C, "Entry to read.", (Field("value", 0, 16, RW, "Set * ways + way."),)),
        Register(
            "OP",
            0x10,
            "Operation; a write starts it. Ignored while STATUS.busy.",
            (Field("op", 0, 3, RW, "What to do.", 0, ArpOp),),
        ),
        Register(
            "STATUS",
            0x14,
            "Result of the last operation.",
            (
                Field("busy", 0, 1, RO, "The operation is under way."),
                Field("found", 1, 1, RO, "INSERT, DELETE: the key was there. READ: the entry is valid."),
                Field("evicted", 2, 1, RO, "INSERT took the place of another valid entry: see RESULT_*."),
                Field("active", 3, 1, RO, "READ: the entry was looked up since its activity bit was cleared."),
            ),
        ),
        _word("RESULT_KEY", 0x18, RO, "Key of the entry that was read or evicted."),
        _word("RESULT_MAC_LO", 0x1C, RO, "Its MAC address, last four octets."),
        Register("RESULT_MAC_HI", 0x20, "Its MAC address.", (Field("value", 0, 16, RO, "First two octets."),)),
    ),
)

STATS = Block(
    "stats",
    0x0200,
    "64-bit counters; reading a low half latches its high half. Cleared by hardware reset only.",
    tuple(
        _word(f"{name}_{half}", 8 * number + 4 * high, RO, f"{doc}, {'high' if high else 'low'} half.")
        for number, (name, doc) in enumerate(
            (
                ("TX_FRAMES", "Frames sent whole"),
                ("TX_OCTETS", "Octets of those frames, padding and FCS in"),
                ("TX_UNDERRUNS", "Frames cut short on the wire"),
                ("TX_RESOLVE_MISSES", "Frames completed as RESOLVE_MISS"),
                ("TX_BUS_ERRORS", "Frames completed as PAYLOAD_ERROR or DESC_ERROR"),
                ("TX_ABORTED", "Frames completed as ABORTED"),
                ("TX_REFUSED", "Frames completed with any other status"),
                ("TX_CPL_RETRIES", "Completion writes repeated after a bus error"),
            )
        )
        for high, half in enumerate(("LO", "HI"))
    ),
)

TXQ = Block(
    "txq",
    0x1000,
    "One TX queue.",
    (
        Register(
            "CTRL",
            0x00,
            "Control.",
            (
                Field("enable", 0, 1, RW, "Cleared: stop in order, after all that was posted by then is sent."),
                Field(
                    "reset",
                    1,
                    1,
                    PULSE,
                    "Complete what was fetched and not sent as ABORTED, then clear all indices and enable.",
                ),
            ),
        ),
        Register(
            "STATUS",
            0x04,
            "State.",
            (
                Field("running", 0, 1, RO, "Enabled, or still draining."),
                Field("idle", 1, 1, RO, "Nothing fetched that is not completed, and no completion write under way."),
                Field("resetting", 2, 1, RO, "A reset is under way."),
            ),
        ),
        _word("BASE_LO", 0x08, RW, "Bus address of the descriptor ring; aligned to the ring's size, at least 4 KiB."),
        _word("BASE_HI", 0x0C, RW, "High half of the same."),
        _word(
            "CPL_BASE_LO",
            0x10,
            RW,
            "Bus address of the completion ring; aligned likewise. As many entries as descriptors.",
        ),
        _word("CPL_BASE_HI", 0x14, RW, "High half of the same."),
        Register(
            "SIZE",
            0x18,
            "Size of both rings.",
            (Field("log2", 0, 4, RW, "log2 of the number of descriptors, 1 to QUEUES.tx_ring_log2_max.", 1),),
        ),
        Register(
            "TAIL",
            0x1C,
            "Doorbell.",
            (Field("index", 0, 16, RW, "The descriptor after the last one posted."),),
        ),
        Register(
            "HEAD", 0x20, "Progress.", (Field("index", 0, 16, RO, "The descriptor after the last one completed."),)
        ),
        Register("CPL_HEAD", 0x24, "Progress.", (Field("index", 0, 16, RO, "The completion to be written next."),)),
        Register(
            "CPL_TAIL",
            0x28,
            "Completions seen.",
            (
                Field("index", 0, 16, RW, "The completion that the driver will look at next."),
                Field("arm", 31, 1, PULSE, "Clear IRQ.pending, set IRQ.enable and start moderation over."),
            ),
        ),
        Register(
            "IRQ_COUNT",
            0x2C,
            "Interrupt moderation by count.",
            (Field("completions", 0, 16, RW, "Interrupt when as many completions are unseen; 0 counts as 1.", 1),),
        ),
        Register(
            "IRQ_TIME",
            0x30,
            "Interrupt moderation by time.",
            (
                Field(
                    "cycles",
                    0,
                    24,
                    RW,
                    "Interrupt this long after the first unseen completion, in core clock cycles; 0: at once.",
                ),
            ),
        ),
        Register(
            "IRQ",
            0x34,
            "Interrupt. The line is pending & enable.",
            (
                Field("enable", 0, 1, RW, "The line may rise."),
                Field("pending", 1, 1, W1C, "The moderation condition was met; stays until cleared here or by arm."),
            ),
        ),
    ),
    count=16,
    stride=0x100,
)

BLOCKS = (GLOBAL, ARP, STATS, TXQ)

"""Every register of the device, once."""

from enum import IntEnum, IntFlag

from .model import Access, Block, Field, Register, word
from .queues import RXQ, TXQ
from .stats import STATS

__all__ = [
    "ARP",
    "BLOCKS",
    "DEVICE_ID",
    "GLOBAL",
    "MAC",
    "RXQ",
    "STATS",
    "TXQ",
    "VERSION",
    "ArpOp",
    "MdioOp",
    "RxFeatures",
]

RO, RW, PULSE = Access.RO, Access.RW, Access.PULSE

DEVICE_ID = 0x48574E43  # "HWNC"
VERSION = (1, 1, 0)  # The driver refuses another major version.


class ArpOp(IntEnum):
    """Operations on the ARP cache."""

    INSERT = 1  # Add key → mac, or change the mac of a key that is there.
    DELETE = 2  # Remove key.
    FLUSH = 3  # Remove all entries.
    READ = 4  # Read entry number index (set * ways + way) back.
    READ_CLEAR = 5  # The same, and clear its activity bit.


class MdioOp(IntEnum):
    """Operations on a register of the PHY (IEEE Std 802.3-2022 22.2.4.5.4)."""

    WRITE = 1
    READ = 2


class RxFeatures(IntFlag):
    """What the receive side of a device can do."""

    CSUM = 1 << 0  # Verified checksums and the complete sum in each completion.
    VLAN_STRIP = 1 << 1  # MAC.RX_CTRL.vlan_strip works.
    VLAN_FILTER = 1 << 2  # MAC.RX_CTRL.vlan_filter and MAC.VLAN work.
    HASH = 1 << 3  # A hash in each completion. Reserved.


GLOBAL = Block(
    "global",
    0x0000,
    "Identity, parameters, interrupt summary and reset.",
    (
        word("ID", 0x00, RO, "Identity of the device: always 0x48574E43.", DEVICE_ID),
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
            "What the device can do.",
            (
                Field("tx_flags", 0, 16, RO, "Mask of the TxFlags that are implemented."),
                Field("rx_features", 16, 16, RO, "Bits of RxFeatures."),
            ),
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
            (
                Field(
                    "soft_reset",
                    0,
                    1,
                    PULSE,
                    "Reset all queues, drain the bus, clear ARP cache and VLANs.",
                ),
            ),
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
            "Interrupt summary. Queue n of either way raises interrupt line n.",
            (
                Field("tx", 0, 16, RO, "One bit a TX queue: its interrupt condition."),
                Field("rx", 16, 16, RO, "One bit an RX queue: its interrupt condition."),
            ),
        ),
        word("CYCLES_LO", 0x30, RO, "Core clock cycles since power-up, low half; reading it latches the high half."),
        word("CYCLES_HI", 0x34, RO, "High half, as latched."),
    ),
)

ARP = Block(
    "arp",
    0x0100,
    "ARP cache: write KEY, MAC_LO, MAC_HI, INDEX as the operation needs them, then OP; then poll STATUS.busy.",
    (
        word("KEY", 0x00, RW, "IPv4 address, as a number."),
        word("MAC_LO", 0x04, RW, "MAC address, the last four octets as a number."),
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
        word("RESULT_KEY", 0x18, RO, "Key of the entry that was read or evicted."),
        word("RESULT_MAC_LO", 0x1C, RO, "Its MAC address, last four octets."),
        Register("RESULT_MAC_HI", 0x20, "Its MAC address.", (Field("value", 0, 16, RO, "First two octets."),)),
    ),
)

MAC = Block(
    "mac",
    0x0400,
    "Addresses and VLANs to receive, and the management interface of the PHY.",
    (
        word("ADDR_LO", 0x00, RW, "Own MAC address, the last four octets as a number."),
        Register(
            "ADDR_HI", 0x04, "Own MAC address.", (Field("value", 0, 16, RW, "The first two octets as a number."),)
        ),
        Register(
            "RX_CTRL",
            0x08,
            "What to receive besides frames to the own address.",
            (
                Field("promiscuous", 0, 1, RW, "Frames to any address, of any VLAN."),
                Field("all_multicast", 1, 1, RW, "Frames to any group."),
                Field("broadcast", 2, 1, RW, "Frames to all stations.", 1),
                Field("vlan_strip", 3, 1, RW, "Take the tag (EtherType 0x8100) off, into the completion."),
                Field("vlan_filter", 4, 1, RW, "Of tagged frames, only those of VLANs in the table."),
            ),
        ),
        word(
            "HASH_LO",
            0x0C,
            RW,
            "Groups to receive: bit n for those whose address has n in the six highest bits of its ether_crc() (the "
            "CRC-32 of Ethernet over its six octets, not complemented, the first bit on the wire highest).",
        ),
        word("HASH_HI", 0x10, RW, "Bits 32 to 63 of the same."),
        Register(
            "VLAN",
            0x14,
            "A write adds one VLAN to the table, or removes it; at most one write each 16 cycles of the core clock.",
            (
                Field("vid", 0, 12, RW, "VLAN identifier."),
                Field("member", 16, 1, RW, "1 to receive it."),
            ),
        ),
        Register(
            "MDIO",
            0x18,
            "A write starts a transaction with the PHY; ignored while MDIO_STATUS.busy.",
            (
                Field("data", 0, 16, RW, "What to write."),
                Field("reg", 16, 5, RW, "Register address, REGAD."),
                Field("phy", 21, 5, RW, "PHY address, PHYAD."),
                Field("op", 26, 2, RW, "Operation.", 0, MdioOp),
            ),
        ),
        Register(
            "MDIO_STATUS",
            0x1C,
            "Result of the last transaction.",
            (
                Field("data", 0, 16, RO, "What was read."),
                Field("no_answer", 16, 1, RO, "READ: no PHY has pulled MDIO low in the turnaround."),
                Field("busy", 31, 1, RO, "The transaction is under way."),
            ),
        ),
    ),
)

BLOCKS = (GLOBAL, ARP, STATS, MAC, TXQ, RXQ)

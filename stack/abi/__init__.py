"""The contract between driver and device: every register and descriptor, defined once."""

from .desc import TX_CPL, TX_DESC, TxFlags, TxStatus
from .model import Access, Block, Field, Member, Record, Register
from .regs import ARP, BLOCKS, DEVICE_ID, GLOBAL, STATS, TXQ, VERSION, ArpOp

__all__ = [
    "ARP",
    "BLOCKS",
    "DEVICE_ID",
    "GLOBAL",
    "STATS",
    "TXQ",
    "TX_CPL",
    "TX_DESC",
    "VERSION",
    "Access",
    "ArpOp",
    "Block",
    "Field",
    "Member",
    "Record",
    "Register",
    "TxFlags",
    "TxStatus",
]

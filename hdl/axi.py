"""AMBA AXI4 and AXI4-Lite as interfaces: signal names of the standard, directions seen from the manager."""

# Ref: AMBA AXI and ACE Protocol Specification, ARM IHI 0022H.c

from amaranth.hdl import Module
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "AXI_WIDTHS_BITS",
    "Axi4ReadSignature",
    "Axi4Signature",
    "Axi4WriteSignature",
    "AxiLiteSignature",
    "Burst",
    "Resp",
    "check_axi_width_bits",
    "connect_axi",
]

AXI_WIDTHS_BITS = (32, 64, 128, 256, 512)


class Burst(enum.Enum, shape=2):
    """Kinds of burst (A3.4.1); ours are all INCR."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class Resp(enum.Enum, shape=2):
    """Responses (A3.4.5); bit 1 tells an error."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def check_axi_width_bits(axi_width_bits: int) -> int:
    """Return ``axi_width_bits`` if an AXI4 manager of ours can have it.

    Raises
    ------
    ValueError
        If it is not 32, 64, 128, 256 or 512.
    """
    if axi_width_bits not in AXI_WIDTHS_BITS:
        raise ValueError(f"axi_width_bits must be 32, 64, 128, 256 or 512, not {axi_width_bits!r}")
    return axi_width_bits


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite, as a manager sees it.

    Parameters
    ----------
    addr_width : int
        Address bits.
    data_width : int
        Data bits: 32 or 64.
    """

    def __init__(self, *, addr_width: int, data_width: int = 32) -> None:
        self.addr_width = addr_width
        self.data_width = data_width
        super().__init__(
            {
                "awaddr": Out(addr_width),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(data_width),
                "wstrb": Out(data_width // 8),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(addr_width),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(data_width),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Axi4ReadSignature(wiring.Signature):
    """The two read channels of AXI4, as a manager sees them.

    Parameters
    ----------
    addr_width, data_width, id_width : int
        Bits of an address, of a data beat, of a transaction's ID.
    """

    def __init__(self, *, addr_width: int = 64, data_width: int, id_width: int) -> None:
        self.addr_width = addr_width
        self.data_width = data_width
        self.id_width = id_width
        super().__init__(
            {
                "arid": Out(id_width),
                "araddr": Out(addr_width),
                "arlen": Out(8),
                "arsize": Out(3),
                "arburst": Out(2),
                "arvalid": Out(1),
                "arready": In(1),
                "rid": In(id_width),
                "rdata": In(data_width),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class Axi4WriteSignature(wiring.Signature):
    """The three write channels of AXI4, as a manager sees them.

    Parameters
    ----------
    addr_width, data_width, id_width : int
        Bits of an address, of a data beat, of a transaction's ID.
    """

    def __init__(self, *, addr_width: int = 64, data_width: int, id_width: int) -> None:
        self.addr_width = addr_width
        self.data_width = data_width
        self.id_width = id_width
        super().__init__(
            {
                "awid": Out(id_width),
                "awaddr": Out(addr_width),
                "awlen": Out(8),
                "awsize": Out(3),
                "awburst": Out(2),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(data_width),
                "wstrb": Out(data_width // 8),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bid": In(id_width),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )


class Axi4Signature(wiring.Signature):
    """All five channels of AXI4, as a manager sees them.

    Parameters
    ----------
    addr_width, data_width, id_width : int
        Bits of an address, of a data beat, of a transaction's ID.
    """

    def __init__(self, *, addr_width: int = 64, data_width: int, id_width: int) -> None:
        self.addr_width = addr_width
        self.data_width = data_width
        self.id_width = id_width
        read = Axi4ReadSignature(addr_width=addr_width, data_width=data_width, id_width=id_width)
        write = Axi4WriteSignature(addr_width=addr_width, data_width=data_width, id_width=id_width)
        super().__init__({**dict(read.members), **dict(write.members)})


def connect_axi(m: Module, manager, subordinate) -> None:
    """Connect the channels that two sides both have; either may have more, and the subordinate's IDs may be wider."""
    for name, member in manager.signature.members.items():
        if name not in subordinate.signature.members:
            continue
        if member.flow == Out:
            m.d.comb += getattr(subordinate, name).eq(getattr(manager, name))
        else:
            m.d.comb += getattr(manager, name).eq(getattr(subordinate, name))

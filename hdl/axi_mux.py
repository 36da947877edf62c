"""Let several AXI4 managers share a bus."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .axi import Axi4ReadSignature, Axi4WriteSignature, check_axi_width_bits
from .register_slice import RegisterSlice

__all__ = ["AxiReadMux", "AxiWriteMux"]

_AR = ("arid", "araddr", "arlen", "arsize", "arburst")
_AW = ("awid", "awaddr", "awlen", "awsize", "awburst")
_W = ("wdata", "wstrb", "wlast")


def _choose(m: Module, asking: Value, served: Signal) -> Signal:
    """Return the number of one that asks: the first one after ``served``."""
    numbers = range(len(asking))
    chosen = Signal(numbers)
    # The last assignment that applies wins: going down from `served`, the farthest comes first.
    with m.Switch(served):
        for last in numbers:
            with m.Case(last):
                for distance in reversed(numbers):
                    number = (last + 1 + distance) % len(asking)
                    with m.If(asking[number]):
                        m.d.comb += chosen.eq(number)
    return chosen


def _first(asking: Value, served: Signal) -> list[Value]:
    """Return for each manager that none asks that comes before it; this is there earlier than the number."""
    numbers = range(len(asking))
    return [
        ~Cat(
            (served == last) & asking[(last + 1 + distance) % len(asking)]
            for last in numbers
            for distance in range((number - last - 1) % len(asking))
        ).any()
        for number in numbers
    ]


def _check(managers: int, axi_width_bits: int, id_width_bits: int) -> None:
    if managers < 2:
        raise ValueError(f"managers must be at least 2, not {managers!r}")
    if id_width_bits < 1:
        raise ValueError(f"id_width_bits must be at least 1, not {id_width_bits!r}")
    check_axi_width_bits(axi_width_bits)


class AxiReadMux(wiring.Component):
    """Join read managers: addresses in turn, responses by ID.

    The upper bits of an ID on the bus are the manager's number, the lower ones its own ID. So responses may come in any
    order and mixed, as far as each manager tolerates it.

    Timing
    ------
    Domain ``sync``. Addresses 1 cycle, from registers; one each 2 cycles, as none is accepted while one waits.
    Combinational from the bus to the managers' R channels and from their ``rready`` to the bus; from a manager's
    ``arvalid`` to the others' ``arready``.

    Parameters
    ----------
    managers : int
        Number of managers, at least 2.
    axi_width_bits : int
        Width of the bus.
    id_width_bits : int
        Bits of a manager's ID.

    Members
    -------
    i : In(Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits)).array(managers)
        Managers. After an address of one, the others come first.
    o : Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits + ceil_log2(managers)))
        The bus.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, managers: int = 2, axi_width_bits: int = 64, id_width_bits: int = 3) -> None:
        _check(managers, axi_width_bits, id_width_bits)
        self._id_width_bits = id_width_bits
        manager = Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits)
        bus = Axi4ReadSignature(data_width=axi_width_bits, id_width=id_width_bits + ceil_log2(managers))
        super().__init__({"i": In(manager).array(managers), "o": Out(bus)})

    def elaborate(self, platform):
        m = Module()
        numbers = range(len(self.i))
        asking = Cat(manager.arvalid for manager in self.i)
        served = Signal(numbers)  # Whose address came last.
        chosen = _choose(m, asking, served)

        # What goes into the registers is chosen apart from when it does, so that this is all they cost.
        address = {name: Signal.like(getattr(self.o, name), name=f"next_{name}") for name in _AR}
        with m.If(self.o.arready):
            m.d.sync += self.o.arvalid.eq(0)
        with m.If(~self.o.arvalid):
            m.d.sync += [self.o.arvalid.eq(asking.any()), *(getattr(self.o, n).eq(new) for n, new in address.items())]
        with m.If(~self.o.arvalid & asking.any()):
            m.d.sync += served.eq(chosen)
        for manager, first in zip(self.i, _first(asking, served), strict=True):
            m.d.comb += manager.arready.eq(~self.o.arvalid & first)
        with m.Switch(chosen):
            for number, manager in enumerate(self.i):
                with m.Case(number):
                    m.d.comb += [
                        *(address[name].eq(getattr(manager, name)) for name in _AR[1:]),
                        address["arid"].eq(Cat(manager.arid, chosen)),
                    ]

        m.d.comb += self.o.rready.eq(1)  # For nobody, too: where no manager ever waits, it is a constant.
        for number, manager in enumerate(self.i):
            mine = self.o.rid[self._id_width_bits :] == number
            m.d.comb += [
                manager.rid.eq(self.o.rid),
                manager.rdata.eq(self.o.rdata),
                manager.rresp.eq(self.o.rresp),
                manager.rlast.eq(self.o.rlast),
                manager.rvalid.eq(self.o.rvalid & mine),
            ]
            with m.If(mine):
                m.d.comb += self.o.rready.eq(manager.rready)
        return m


class AxiWriteMux(wiring.Component):
    """Join write managers: bursts in turn, responses by ID.

    A burst of one manager passes whole, address and data, before the next one's starts. The upper bits of an ID on the
    bus are the manager's number, the lower ones its own ID, so responses may come in any order.

    Timing
    ------
    Domain ``sync``. Addresses 1 cycle, the first data of a burst that has to wait for its address 2, all other data 1,
    one beat a cycle, besides two cycles a burst. Address and data on the bus come from registers, and so does all that
    follows from ``o.wready``. Combinational between the bus' B channel and the managers'; from a manager's ``awvalid``
    to the others' ``awready``.

    Parameters
    ----------
    managers : int
        Number of managers, at least 2.
    axi_width_bits : int
        Width of the bus.
    id_width_bits : int
        Bits of a manager's ID.

    Members
    -------
    i : In(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)).array(managers)
        Managers. After a burst of one, the others come first. None waits with data until its address was taken, nor
        with an address until data was.
    o : Out(Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits + ceil_log2(managers)))
        The bus.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, managers: int = 2, axi_width_bits: int = 64, id_width_bits: int = 3) -> None:
        _check(managers, axi_width_bits, id_width_bits)
        self._id_width_bits = id_width_bits
        manager = Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits)
        bus = Axi4WriteSignature(data_width=axi_width_bits, id_width=id_width_bits + ceil_log2(managers))
        super().__init__({"i": In(manager).array(managers), "o": Out(bus)})

    def elaborate(self, platform):
        m = Module()
        o = self.o
        asking = Cat(manager.awvalid for manager in self.i)
        serving = Signal(range(len(self.i)))  # Whose data passes, or passed last.
        chosen = _choose(m, asking, serving)
        grant = Signal(len(self.i))  # The same as one bit each, while its data passes.
        accept, free = Signal(), Signal(init=1)
        m.d.comb += accept.eq(asking.any() & free)
        m.d.sync += free.eq(~accept & ~o.awvalid & ~grant.any())
        with m.If(o.awready):
            m.d.sync += o.awvalid.eq(0)
        # What goes into the registers is chosen apart from when it does, so that this is all they cost.
        address = {name: Signal.like(getattr(o, name), name=f"next_{name}") for name in _AW}
        beat = {name: Signal.like(getattr(o, name), name=f"next_{name}") for name in _W}
        m.submodules.out = out = RegisterSlice(data.StructLayout({name: len(one) for name, one in beat.items()}))
        valid = Signal()
        with m.If(accept):
            m.d.sync += [
                o.awvalid.eq(1),
                serving.eq(chosen),
                grant.eq(1 << chosen),
                *(getattr(o, n).eq(new) for n, new in address.items()),
            ]
        with m.Elif(out.i.ready & valid & beat["wlast"]):
            m.d.sync += grant.eq(0)
        m.d.comb += [
            out.i.valid.eq(valid),
            *(out.i.payload[n].eq(new) for n, new in beat.items()),
            o.wvalid.eq(out.o.valid),
            out.o.ready.eq(o.wready),
            *(getattr(o, n).eq(out.o.payload[n]) for n in _W),
        ]
        with m.Switch(chosen):
            for number, manager in enumerate(self.i):
                with m.Case(number):
                    m.d.comb += [
                        *(address[name].eq(getattr(manager, name)) for name in _AW[1:]),
                        address["awid"].eq(Cat(manager.awid, chosen)),
                    ]
        m.d.comb += [
            valid.eq((grant & Cat(manager.wvalid for manager in self.i)).any()),
            *(beat[name].eq(getattr(self.i[0], name)) for name in _W),
        ]
        for number, manager in list(enumerate(self.i))[1:]:
            with m.If(grant[number]):
                m.d.comb += [beat[name].eq(getattr(manager, name)) for name in _W]
        for number, (manager, first) in enumerate(zip(self.i, _first(asking, serving), strict=True)):
            m.d.comb += [
                manager.awready.eq(free & first),
                manager.wready.eq(grant[number] & out.i.ready),
            ]
            mine = o.bid[self._id_width_bits :] == number
            m.d.comb += [
                manager.bid.eq(o.bid),
                manager.bresp.eq(o.bresp),
                manager.bvalid.eq(o.bvalid & mine),
            ]
            with m.If(mine):
                m.d.comb += o.bready.eq(manager.bready)
        return m

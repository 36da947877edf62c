"""What Lattice ECP5 FPGAs have of their own: block RAM whose output register is inside."""

# Ref: Lattice FPGA-TN-02204, ECP5 and ECP5-5G Memory User Guide, 1.3

from collections.abc import Iterator

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value

from ..hdl.block_ram import BlockRam

__all__ = ["Ecp5"]

_BITS = 1 << 14
# Width of a row of one block, where its address starts, and its greatest depth.
_SHAPES = tuple((width, lsb, _BITS >> lsb) for width, lsb in ((36, 5), (18, 4), (9, 3), (4, 2), (2, 1), (1, 0)))


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}{number}" for number in range(count)]


_SIDES = "AB"
_INPUTS = [
    name
    for side in _SIDES
    for name in (
        *(f"{pin}{side}" for pin in ("CLK", "CE", "OCE", "WE", "RST")),
        *_numbered(f"CS{side}", 3),
        *_numbered(f"AD{side}", 14),
        *_numbered(f"DI{side}", 18),
    )
]
_OUTPUTS = [name for side in _SIDES for name in _numbered(f"DO{side}", 18)]
_PARAMETERS = {
    "RESETMODE": "SYNC",
    "GSR": "DISABLED",
    "CSDECODE_A": "0b000",
    "CSDECODE_B": "0b000",
}


def _bus(name: str, count: int) -> str:
    return "{" + ", ".join(reversed(_numbered(name, count))) + "}"


def _model() -> str:
    """Return the Verilog of the block, for simulators; synthesis sees a black box."""
    ports = ",\n  ".join([*(f"input {name}" for name in _INPUTS), *(f"output {name}" for name in _OUTPUTS)])
    parameters = ", ".join(
        [
            "parameter DATA_WIDTH_A = 18",
            "parameter DATA_WIDTH_B = 18",
            'parameter REGMODE_A = "NOREG"',
            'parameter REGMODE_B = "NOREG"',
            *(f'parameter {name} = "{value}"' for name, value in _PARAMETERS.items()),
        ]
    )
    return f"""
// Only what hardwire uses: side A writes, side B reads through its output register, both of one width.
(* blackbox *)
module DP16KD #({parameters}) (
  {ports}
);
  localparam LSB = DATA_WIDTH_A == 36 ? 5 : DATA_WIDTH_A == 18 ? 4 : DATA_WIDTH_A == 9 ? 3 : DATA_WIDTH_A / 2;
  reg [35:0] rows [0:({_BITS} >> LSB) - 1];
  reg [35:0] latched, registered;
  wire [13:0] write_row = {_bus("ADA", 14)} >> LSB;
  wire [13:0] read_row = {_bus("ADB", 14)} >> LSB;
  always @(posedge CLKA) if (CEA & WEA) rows[write_row] <= {{{_bus("DIB", 18)}, {_bus("DIA", 18)}}};
  always @(posedge CLKB) begin
    if (CEB) latched <= rows[read_row];
    if (OCEB) registered <= latched;
  end
  assign {_bus("DOA", 18)} = registered[17:0];
  assign {_bus("DOB", 18)} = DATA_WIDTH_B == 36 ? registered[35:18] : registered[17:0];
endmodule
"""


class Ecp5:
    """Platform for elaboration that builds our components' ``BlockRam`` of the blocks that are there.

    Synthesis does not find their output registers by itself, and without them a read takes 5.8 ns.
    """

    library = _model()

    def declare(self, m: Module) -> None:
        """Add an unused block to the topmost module, by which Yosys learns that it is one without content."""
        m.submodules.declaration = Instance("DP16KD")

    def block_ram(self, ram: BlockRam) -> Module:
        """Return the blocks for a memory."""
        m = Module()
        width, lsb = next((width, lsb) for width, lsb, depth in _SHAPES if ram.depth <= depth)
        write_data = Value.cast(ram.write_data)
        read_data = Value.cast(ram.read_data)
        for start in range(0, Shape.cast(ram.shape).width, width):
            data = write_data[start : start + width]
            row = Signal(36, name=f"row{start}")
            m.d.comb += read_data[start : start + width].eq(row)
            m.submodules[f"block{start}"] = _block(ram, width, lsb, data, row)
        return m


def _block(ram: BlockRam, width: int, lsb: int, data: Value, row: Signal) -> Instance:
    """Return one block: side A writes ``data``, side B reads ``row``."""
    # With rows of 18 or 36 bits, the lowest address bits of the writing side choose groups of 9 bits.
    groups = Const(-1, width // 9) if width > 9 else Const(0, lsb)
    pins = {"CLKA": ClockSignal(), "CLKB": ClockSignal(), "CEA": Const(1), "WEA": ram.write_en}
    pins |= {"CEB": ram.read_en, "OCEB": ram.read_en, "OCEA": ram.read_en, "WEB": Const(0)}
    pins |= dict(_pins("ADA", Cat(groups, Const(0, lsb - len(groups)), ram.write_addr), 14))
    pins |= dict(_pins("ADB", Cat(Const(0, lsb), ram.read_addr), 14))
    pins |= dict(_pins("DIA", data[:18], 18))
    pins |= dict(_pins("DIB", data[18:], 18))
    # A row of 36 bits takes the outputs of both sides.
    outputs = {"DOA": row[:18], "DOB": row[18:]} if width == 36 else {"DOB": row[:18]}
    register = {"REGMODE_A": "OUTREG" if width == 36 else "NOREG", "REGMODE_B": "OUTREG"}
    return Instance(
        "DP16KD",
        **{f"p_{name}": value for name, value in (_PARAMETERS | register).items()},
        p_DATA_WIDTH_A=width,
        p_DATA_WIDTH_B=width,
        **{f"i_{name}": pins.get(name, Const(0)) for name in _INPUTS},
        **{f"o_{name}": pin for bus, value in outputs.items() for name, pin in _pins(bus, value, 18)},
    )


def _pins(name: str, value: Value, count: int) -> Iterator[tuple[str, Value]]:
    """Yield name and bit of each pin of a bus; pins above ``value`` get 0."""
    for number, pin in enumerate(_numbered(name, count)):
        yield pin, value[number] if number < len(value) else Const(0)

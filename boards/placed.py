"""What nextpnr and Yosys say of a design: area by block, clocks, and the longest path in lines of source."""

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

__all__ = ["Block", "Clock", "Placed", "Step", "blocks", "read_placed"]

_RESOURCES = ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "EHXPLLL", "TRELLIS_IO")
# What a cell takes of TRELLIS_COMB; multiplexers behind LUTs are part of them.
_COMBS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}
_CELL = re.compile(r"_(?:LUT4|TRELLIS_FF|TRELLIS_DPR16X4|PFUMX|L6MUX21|CCU2C|DP16KD)(?:_|$)")
_BLOCK_DEPTH = 4


@dataclass(frozen=True)
class Clock:
    """A clock's frequencies, in MHz: what it may have, and what was asked for, margin included."""

    name: str
    achieved_mhz: float
    wanted_mhz: float


@dataclass(frozen=True)
class Block:
    """What a component and all inside it take, before packing."""

    name: str
    comb: int
    ff: int
    ram: int


@dataclass(frozen=True)
class Step:
    """One step of the longest path: its kind, delay in ns, net or cell, and the line of source if it is known."""

    kind: str
    delay_ns: float
    name: str
    source: str


@dataclass(frozen=True)
class Placed:
    """What became of a design.

    ``area`` has for each resource how many are used and how many there are; ``blocks`` the components, largest first;
    ``critical`` the longest path from register to register of the clock with the least margin.
    """

    seed: int
    area: dict[str, tuple[int, int]]
    blocks: list[Block]
    clocks: list[Clock]
    critical: list[Step]

    @property
    def met(self) -> bool:
        """All clocks may be as fast as was asked for."""
        return all(clock.achieved_mhz >= clock.wanted_mhz for clock in self.clocks)

    @property
    def worst(self) -> Clock:
        """The clock with the least margin."""
        return min(self.clocks, key=lambda clock: clock.achieved_mhz / clock.wanted_mhz)


def read_placed(folder: Path, top: str) -> Placed:
    """Read what the tools wrote.

    Raises
    ------
    OSError
        If it is not there.
    """
    timing = json.loads((folder / f"{top}.timing.json").read_text())
    module = json.loads((folder / f"{top}.json").read_text())["modules"][top]
    area = {
        name: (timing["utilization"][name]["used"], timing["utilization"][name]["available"]) for name in _RESOURCES
    }
    nets = _clock_names(list(timing["fmax"]), module)
    clocks = [
        Clock(name, timing["fmax"][net]["achieved"], timing["fmax"][net]["constraint"]) for name, net in nets.items()
    ]
    placed = Placed(int((folder / f"{top}.seed").read_text()), area, blocks(module), clocks, [])
    edge = f"posedge {nets[placed.worst.name]}"
    path = next(path for path in timing["critical_paths"] if path["from"] == path["to"] == edge)
    return replace(placed, critical=_critical(path["path"], module))


def _clock_names(nets: list[str], module: dict[str, Any]) -> dict[str, str]:
    """Return a name for each clock, with its net.

    ``core`` is what the PLL makes, ``phy_rx`` the PHY's receive clock, ``oscillator`` what comes in at the pin.
    """
    made = {
        bit for cell in module["cells"].values() if cell["type"] == "EHXPLLL" for bit in cell["connections"]["CLKOS"]
    }
    names = {}
    for net in sorted(nets):
        plain = net.removeprefix("$glbnet$").removesuffix("$TRELLIS_IO_IN")
        bits = module["netnames"].get(plain, {}).get("bits", [])
        called = {
            alias.rsplit(".", 1)[-1] for alias, wire in module["netnames"].items() if bits and wire["bits"] == bits
        }
        if made.intersection(bits):
            name = "core"
        elif any(alias.endswith("rx_clk") for alias in called):
            name = "phy_rx"
        else:
            name = "oscillator" if any(alias.startswith("clk") for alias in called) else plain
        names[name] = net
    return names


def blocks(module: dict[str, Any]) -> list[Block]:
    """Return the components of a synthesised module (Yosys's JSON), by the names of their cells."""
    comb: Counter[str] = Counter()
    ff: Counter[str] = Counter()
    ram: Counter[str] = Counter()
    for name, cell in module["cells"].items():
        path = name.split(".")[:-1][:_BLOCK_DEPTH]
        kind = cell["type"]
        for depth in range(1, len(path) + 1):
            block = ".".join(path[:depth])
            comb[block] += _COMBS.get(kind, 0)
            ff[block] += kind == "TRELLIS_FF"
            ram[block] += kind == "DP16KD"
    return [Block(name, comb[name], ff[name], ram[name]) for name in sorted(comb) if comb[name] + ff[name] + ram[name]]


def _critical(path: list[dict[str, Any]], module: dict[str, Any]) -> list[Step]:
    steps = []
    for step in path:
        name = step.get("net") or step["to"]["cell"]
        source = _source(name, module) or _source(step["to"]["cell"], module)
        steps.append(Step(step["type"], step["delay"], name, source))
    return steps


def _source(name: str, module: dict[str, Any]) -> str:
    """Return the line of Amaranth source that a net or cell comes from.

    Yosys names what it makes after what that is joined to: ``card.core.nic.ring.head_TRELLIS_FF_Q_3_DI``.
    """
    parts = _CELL.split(name)
    for known in (name, name.removesuffix("$O"), parts[0]):
        for kind in ("cells", "netnames"):
            found = module[kind].get(known, {}).get("attributes", {}).get("src", "")
            for place in found.split("|"):
                if place.startswith(("hardwire/", "amaranth/")):
                    return place
    return ""

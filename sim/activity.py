"""Evaluate only what may change: cut the gateware into parts, each with a clock of its own that rests with the part.

A register takes the value that it has already if nothing that its next value is made from has changed since the last
edge. So a part needs an edge only after a change of its own registers, of those outside that it reads, or of an input.
Most parts rest most of the time: a frame of 64 octets is 8 beats, but 84 cycles on the wire.

Ref: S. Beamer, D. Donofrio, "Efficiently Exploiting Low Activity Factors to Accelerate RTL Simulation", DAC 2020
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["GROUPS", "Parts", "split"]

# Modules below the NIC's core, and all inside them that is not in another part. What is in none is one more part.
_PARTS = (
    ("bank",),
    ("stats", "tx_rmon", "rx_rmon"),
    ("cache", "arp_port"),
    ("dma.split", "dma.reorder"),
    ("dma.gather",),
    ("read_mux",),
    ("ring", "ring.decode", "ring.join"),
    ("ring.fetch",),
    ("ring.write",),
    ("path", "path.planner", "path.order"),
    ("path.stage",),
    ("path.checksum",),
    ("path.checksum.lanes",),
    ("path.checksum.ipv4", "path.checksum.l4"),
    ("path.checksum.ring",),
    ("rx_mac",),
    ("rx_path.filter",),
    ("rx_path.checksum",),
    ("rx_path.buffer",),
    ("rx_ring", "rx_ring.plan"),
    ("rx_ring.fetch",),
    ("rx_ring.dma",),
    ("rx_ring.write",),
    ("write_mux",),
)
_COUNT = len(_PARTS) + 1
# These have an edge in each cycle. At rest they do nothing but count: to what ``wake_in`` tells, or to the gap's end.
_NEVER_AT_REST = ("mac", "cycles", "ring.moderation", "rx_ring.moderation")
# Registers that change all the time, and the modules that look at them only in a cycle for which something else has
# woken their part: a read of the counter, the end of a frame.
_READ_WHEN_AWAKE = (("cycles.", "bank"), ("mac.octets", "tx_rmon"))

# Inputs that the harness changes together.
GROUPS = {
    "csr": ("s_axil_",),
    "read": ("m_axi_r", "m_axi_ar"),
    "write": ("m_axi_aw", "m_axi_w", "m_axi_b"),
    "gmii": ("gmii_rx",),
    "mdio": ("mdio_i",),
    "advance": ("advance_",),
}

_CORE = "core"
_EDGE = re.compile(
    r"^  always @\(posedge \\(?P<module>core\S*?)\.?clk \)(?: begin\n(?P<block>.*?)^  end$|\n(?P<one>.*?;)$)",
    re.M | re.S,
)
_COMB = re.compile(r"^  always @\*(?: begin\n(?P<block>.*?)^  end$|\n(?P<one>.*?;)$)", re.M | re.S)
_ASSIGN = re.compile(r"^  assign (?P<left>.*?) = (?P<right>.*?);$", re.M | re.S)
_TARGET = re.compile(r"^\s*(?P<left>\{.*?\}|\S+ ?(?:\[[^]]*\])?) = ", re.M)
_STORE = re.compile(r"^\s*(?P<name>\S+) ?(?P<index>\[.*\])? <= (?P<value>.*?);$", re.M | re.S)
_CONDITION = re.compile(r"if \((.*)\)(?: begin)?$", re.M)
_INPUT = re.compile(r"^  input (?:\[\d+:\d+\] )?(\S+) ?;$", re.M)
# Literals, comments, functions, and what yosys has simulators start processes with.
_NO_NAMES = re.compile(r"\d+'s?[bdh][0-9a-fxz_]+|/\*.*?\*/|\$signed|if \(\\\$auto\$\S+ \) begin end")
_NAME = re.compile(r"\\\S+|[A-Za-z_][\w$]*")
_KEYWORDS = {"begin", "case", "casez", "default", "else", "end", "endcase", "if"}


@dataclass(frozen=True)
class Parts:
    """Gateware whose parts can rest.

    Members
    -------
    verilog : str
        The module, with an input ``clk_N`` and an output ``awake_N`` more for each part N: what it does at an edge of
        ``clk`` is right if each ``clk_N`` has that edge too, except where ``awake_N`` is low and no input that the part
        reads has changed since the last edge.
    count : int
        Number of parts, numbered from 1.
    fed : dict[str, frozenset[int]]
        Parts that read inputs of each group: those whose names begin so, see ``GROUPS``.
    """

    verilog: str
    count: int
    fed: dict[str, frozenset[int]]


@dataclass
class _State:
    """A register or memory."""

    part: int
    changes: list[str] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)


def split(verilog: str) -> Parts:
    """Cut the NIC, a single flat module, into parts.

    Raises
    ------
    ValueError
        If the Verilog is not as expected, or has not all modules that are to be parts.
    """
    states: dict[str, _State] = {}
    modules = set()

    def give_clock(match: re.Match[str]) -> str:
        module = match["module"].removeprefix(_CORE).removeprefix(".")
        modules.add(module)
        part = _part_of(module)
        _add_state(states, match["block"] or match["one"], part)
        return re.sub(r"posedge \\\S+ ", f"posedge {_clock(part)} ", match[0], count=1)

    verilog = _EDGE.sub(give_clock, verilog)
    if missing := {module for part in _PARTS for module in part} - {name for m in modules for name in _above(m)}:
        raise ValueError(f"no registers in {', '.join(sorted(missing))}")
    if "posedge \\" in verilog or verilog.count("\nmodule ") + verilog.startswith("module ") != 1:
        raise ValueError("the Verilog is not as expected")
    wakes, fed = _wakes(states, _made_from(verilog), set(_INPUT.findall(verilog)))
    return Parts(_with_wakes(verilog, states, wakes), _COUNT, fed)


def _above(module: str) -> Iterator[str]:
    """Yield a module and all that it is inside of."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _part_of(module: str) -> int:
    """Return the part that a module belongs to, 0 for one that is never at rest."""
    for name in _above(module):
        if name in _NEVER_AT_REST:
            return 0
        for number, part in enumerate(_PARTS, 1):
            if name in part:
                return number
    return _COUNT


def _clock(part: int) -> str:
    return f"clk_{part}" if part else "clk"


def _names(text: str) -> set[str]:
    return set(_NAME.findall(_NO_NAMES.sub(" ", text))) - _KEYWORDS


def _add_state(states: dict[str, _State], body: str, part: int) -> None:
    """Add the registers or the memory that a process writes."""
    stores = list(_STORE.finditer(body))
    if not stores:
        raise ValueError(f"nothing is written in {body!r}")
    # A change that does not take place wakes a part in vain, no more; so conditions of several stores are left out.
    conditions = _CONDITION.findall(body) if len(stores) == 1 else []
    for store in stores:
        name = store["name"]
        change = "1'b1" if store["index"] else f"({store['value']}) != {name} "
        for condition in conditions:
            change = f"({condition}) && ({change})"
        state = states.setdefault(name, _State(part))
        state.changes.append(change)
        state.reads |= _names(body)


def _made_from(verilog: str) -> dict[str, set[str]]:
    """Return the names that each wire is made from."""
    sources: dict[str, set[str]] = defaultdict(set)
    for assign in _ASSIGN.finditer(verilog):
        for name in _names(assign["left"]):
            sources[name] |= _names(assign["right"])
    for process in _COMB.finditer(verilog):
        body = process["block"] or process["one"]
        targets = set().union(*(_names(target["left"].split("[")[0]) for target in _TARGET.finditer(body)))
        reads = _names(body) - targets
        for name in targets:
            sources[name] |= reads
    return sources


def _cone(names: Iterable[str], sources: dict[str, set[str]], ends: set[str]) -> set[str]:
    """Return the registers, memories and inputs that wires are made from; ValueError if one is made from nothing."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if name not in ends:
                if name not in sources:
                    raise ValueError(f"nothing known drives {name}")
                waiting += sources[name]
    return seen & ends


def _wakes(
    states: dict[str, _State], sources: dict[str, set[str]], inputs: set[str]
) -> tuple[dict[tuple[int, int], set[str]], dict[str, frozenset[int]]]:
    """Return the states of one part that wake another, by the two parts' numbers, and the parts that read inputs.

    Raises
    ------
    ValueError
        If a part reads an input of no group.
    """
    wakes: dict[tuple[int, int], set[str]] = defaultdict(set)
    fed: dict[str, set[int]] = {group: set() for group in GROUPS}
    ends = inputs | states.keys()
    for part, modules in enumerate((*_PARTS, ()), 1):
        own = {name for name, state in states.items() if state.part == part}
        read = _cone(set().union(*(states[name].reads for name in own)), sources, ends)
        for name in read & inputs - {"rst"}:  # Which never changes.
            fed[_group_of(name)].add(part)
        for name in own | read - inputs:
            path = name.removeprefix(f"\\{_CORE}.")
            if not any(path.startswith(register) and module in modules for register, module in _READ_WHEN_AWAKE):
                wakes[states[name].part, part].add(name)
    return wakes, {group: frozenset(parts) for group, parts in fed.items()}


def _group_of(name: str) -> str:
    for group, beginnings in GROUPS.items():
        if name.startswith(beginnings):
            return group
    raise ValueError(f"the input {name} is of no group")


def _with_wakes(verilog: str, states: dict[str, _State], wakes: dict[tuple[int, int], set[str]]) -> str:
    """Add to the module the registers that tell of changes, and the ports."""
    numbers = range(1, _COUNT + 1)
    lines = []
    for (source, part), names in sorted(wakes.items()):
        changes = [f"({change})" for name in sorted(names) for change in states[name].changes]
        lines += [
            f"  reg wake_{source}_{part} = 1'b1;",
            f"  always @(posedge {_clock(source)}) wake_{source}_{part} <= {' | '.join(changes)};",
        ]
    for number in numbers:
        # Those that are its own have to be cleared, too.
        awake = [f"wake_{pair[0]}_{pair[1]}" for pair in sorted(wakes) if number in pair]
        lines.append(f"  assign awake_{number} = {' | '.join(awake)};")
    ports = [f"{name}_{number}" for name in ("clk", "awake") for number in numbers]
    declared = [f"  {'input' if port.startswith('clk') else 'output'} {port};" for port in ports]
    start = verilog.index(");", verilog.index("module ")) + 2
    end = verilog.rindex("endmodule")
    head = f"{verilog[: start - 2]}, {', '.join(ports)});\n" + "\n".join(declared)
    return head + verilog[start:end] + "\n".join(lines) + "\n" + verilog[end:]

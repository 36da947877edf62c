"""Probes in gateware: one register for each block of statements, which rises once the block has been executed."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from amaranth.hdl import Elaboratable, Fragment, Signal
from amaranth.hdl._ast import Statement, Switch
from amaranth.lib.data import View
from amaranth.lib.enum import EnumView

__all__ = ["PROBE_PREFIX", "Line", "Probed", "Probes", "probed_verilog", "statements"]

PROBE_PREFIX = "hw_probe_"
_PACKAGE = Path(__file__).resolve().parents[1]

Line = tuple[str, int]  # Path below the package, number.


class Probed(TypedDict):
    """What the probes of a Verilog file stand for; see `Probes`."""

    always: list[Line]
    blocks: dict[str, list[Line]]


@cache
def _assignments(path: Path) -> tuple[tuple[int, int], ...]:
    """Return the first and last line of each call of ``eq`` in a file, those inside of others last."""
    calls = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "eq"
    ]
    return tuple(sorted(calls, key=lambda call: (call[0], -call[1])))


def statements(folders: Iterable[str]) -> set[Line]:
    """Return the lines of all assignments in the gateware, whether a bench elaborates them or not."""
    return {
        (str(path.relative_to(_PACKAGE)), first)
        for folder in folders
        for path in (_PACKAGE / folder).rglob("*.py")
        if not path.stem.endswith("formal")  # Properties are proved, not run.
        for first, _ in _assignments(path)
    }


def _line(src_loc: tuple[str, int] | None) -> Line | None:
    """Return where an assignment of ours starts; None if it is not ours."""
    if src_loc is None:
        return None
    path = Path(src_loc[0]).resolve()
    if not path.is_relative_to(_PACKAGE):
        return None
    first = src_loc[1]
    for start, end in _assignments(path):
        if start <= src_loc[1] <= end:
            first = start
    return str(path.relative_to(_PACKAGE)), first


@contextmanager
def _views_say_where() -> Iterator[None]:
    """Let assignments to structures and enums have the place of their caller, not one inside of Amaranth."""

    def eq(view: Any, other: Any) -> Any:
        return view.as_value().eq(other, src_loc_at=1)

    kept = [(kind, kind.eq) for kind in (View, EnumView)]
    for kind, _ in kept:
        kind.eq = eq
    try:
        yield
    finally:
        for kind, method in kept:
            kind.eq = method


class Probes:
    """A component with a probe in each block of statements.

    A block's probe is a register that is set when the block was active at an edge of the clock, and stays so: of what a
    simulator tells of it, that it has changed is enough. It is set a cycle late, since a simulator does not see changes
    at the very first edge. Statements under no condition need none.

    Parameters
    ----------
    component : Elaboratable
        What to look into, with all that is inside of it.

    Members
    -------
    fragment : Fragment
        The component with its probes.
    blocks : dict[str, list[Line]]
        Name of each probe, and the lines that it stands for.
    always : set[Line]
        Lines under no condition.
    """

    def __init__(self, component: Elaboratable) -> None:
        with _views_say_where():
            self.fragment: Any = Fragment.get(component, None)
        self.blocks: dict[str, list[Line]] = {}
        self.always: set[Line] = set()
        self._delayed: list[Statement] = []
        self._instrument(self.fragment, "sync")

    def _instrument(self, fragment: Any, domain: str) -> None:
        # What is combinational is looked at by a clock of its neighbours.
        domain = next((name for name in fragment.statements if name != "comb"), domain)
        for name, block in list(fragment.statements.items()):
            self.always.update(_lines(block))
            first = len(self.blocks)
            seen = list(self._below(block))
            clocked = domain if name == "comb" else name
            fragment.add_statements(clocked, *seen, *self._delayed[first:])
        for inner, _, _ in fragment.subfragments:
            if isinstance(inner, Fragment) and type(inner) is Fragment:
                self._instrument(inner, domain)

    def _below(self, block: Iterable[Statement]) -> Iterator[Statement]:
        """Yield the block's conditions again, with a probe under each."""
        for statement in block:
            if isinstance(statement, Switch):
                cases = []
                for patterns, inner, src_loc in statement.cases:
                    found: list[Statement] = []
                    if lines := _lines(inner):
                        number = len(self.blocks)
                        seen = Signal(name=f"hw_seen_{number}", reset_less=True)
                        probe = Signal(name=f"{PROBE_PREFIX}{number}", reset_less=True)
                        self.blocks[probe.name] = lines
                        self._delayed.append(probe.eq(seen))
                        found.append(seen.eq(1))
                    cases.append((patterns, [*found, *self._below(inner)], src_loc))
                if any(inner for _, inner, _ in cases):
                    yield Switch(statement.test, cases, src_loc=statement.src_loc)


def _lines(block: Iterable[Statement]) -> list[Line]:
    """Return the lines of a block's own assignments."""
    found = (_line(statement.src_loc) for statement in block if not isinstance(statement, Switch))
    return sorted({line for line in found if line is not None})


def probed_verilog(component: Elaboratable, name: str) -> tuple[str, Probed]:
    """Return the Verilog of a component with probes, sources named, and what its probes stand for."""
    from amaranth.back import verilog

    from ..hdl.verilog import FlatPorts

    flat = FlatPorts(component)
    probes = Probes(flat)
    text = verilog.convert(probes.fragment, name=name, ports=list(flat.ports.values()))
    return text, {"always": sorted(probes.always), "blocks": probes.blocks}

"""Formal verification: what a property is, and harnesses that leave every input of a component free."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Const, Cover, Elaboratable, Fragment, Module, Signal, Value
from amaranth.lib import wiring

__all__ = [
    "Channel",
    "Harness",
    "Mutation",
    "Property",
    "channels",
    "cover",
    "design",
    "obey",
    "properties",
]


@dataclass(frozen=True)
class Mutation:
    """A bug to seed: in ``file``, below ``hdl``, the text ``old``, which occurs once, becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Property:
    """Something to prove.

    Parameters
    ----------
    name : str
        ``block.property``.
    build : Callable
        Returns the harness, with its assertions and covers.
    depth : int
        Cycles: of the induction, or of the bounded proof.
    induction : bool
        Prove it for ever by k-induction; if not, for the first ``depth`` cycles after reset.
    cover_depth : int
        Cycles in which each cover must be reached.
    mutations : tuple[Mutation, ...]
        Bugs, each of which must make the proof fail.
    long : bool
        Takes minutes: ``make test`` does less of it.
    """

    name: str
    build: Callable[[], "Harness"]
    depth: int
    induction: bool = True
    cover_depth: int = 20
    mutations: tuple[Mutation, ...]
    long: bool = False

    @property
    def extent(self) -> str:
        """How far the proof goes, for a person."""
        return f"induction, k = {self.depth}" if self.induction else f"first {self.depth} cycles"


@dataclass(frozen=True)
class Channel:
    """A handshake at the boundary of a component; ``out``: the component gives ``valid``."""

    name: str
    valid: Value
    ready: Value
    payload: tuple[Value, ...]
    out: bool

    @property
    def moves(self) -> Value:
        """A payload is handed over."""
        return self.valid & self.ready


def channels(component: wiring.Component) -> Iterator[Channel]:
    """Yield every stream and every channel of an AXI port."""
    ports = {path: (member.flow, Value.cast(value)) for path, member, value in component.signature.flatten(component)}
    for path, (flow, valid) in ports.items():
        *parent, last = path
        prefix = str(last).removesuffix("valid")
        ready = ports.get((*parent, f"{prefix}ready"))
        if not str(last).endswith("valid") or ready is None:
            continue
        payload = tuple(
            value
            for other, (_, value) in ports.items()
            if list(other[:-1]) == parent
            and str(other[-1]).startswith(prefix)
            and other[-1] not in (f"{prefix}valid", f"{prefix}ready")
        )
        name = "_".join(str(part) for part in (*parent, prefix) if part != "")
        yield Channel(name, valid, ready[1], payload, flow == wiring.Out)


def obey(m: Module, channel: Channel, *, check: bool) -> Signal:
    """Assert (or assume) that ``valid`` holds and the payload stands still until ``ready``; return "it was stalled"."""
    stalled = Signal(name=f"{channel.name}_stalled")
    m.d.sync += stalled.eq(channel.valid & ~channel.ready)
    claim = Assert if check else Assume
    with m.If(stalled):
        m.d.comb += claim(channel.valid, f"{channel.name}: valid holds until ready")
    for number, payload in enumerate(channel.payload):
        before = Signal(len(payload), name=f"{channel.name}_before_{number}")
        m.d.sync += before.eq(payload)
        with m.If(stalled):
            m.d.comb += claim(payload == before, f"{channel.name}: payload is stable until ready")
    return stalled


class Harness(Elaboratable):
    """A component with free inputs, from reset on; a subclass or a function adds what is claimed.

    Parameters
    ----------
    component : wiring.Component
        What to verify.
    claims : Callable
        Called with the module and the component; adds ``Assume``, ``Assert`` and ``Cover``.
    streams : bool
        Assume of every channel in that its sender obeys the rules of streams.

    Members
    -------
    ports : list[Signal]
        The inputs.
    """

    def __init__(
        self, component: wiring.Component, claims: Callable[[Module, wiring.Component], None], *, streams: bool = True
    ) -> None:
        self.component = component
        self.ports: list[Signal] = []
        self._claims = claims
        self._streams = streams

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Registers start with their initial values, as after configuration; there is no other reset.
        m.domains.sync = domain = ClockDomain("sync", reset_less=True)
        self.ports.append(domain.clk)
        m.submodules.dut = component = self.component
        for path, member, value in component.signature.flatten(component):
            if member.flow == wiring.In and not isinstance(value, Const):
                port = Signal(len(Value.cast(value)), name="in_" + "_".join(str(part) for part in path))
                m.d.comb += Value.cast(value).eq(port)
                self.ports.append(port)
        if self._streams:
            for channel in channels(component):
                if not channel.out:
                    obey(m, channel, check=False)
        self._claims(m, component)
        return m


def properties() -> list[Property]:
    """Return the ``PROPERTIES`` of every ``*_formal.py`` of this package, by name."""
    package = importlib.import_module(__package__)
    found = []
    for module in pkgutil.walk_packages(package.__path__, f"{__package__}."):
        if module.name.endswith("_formal"):
            found += getattr(importlib.import_module(module.name), "PROPERTIES", ())
    return sorted(found, key=lambda one: one.name)


def design(one: Property) -> str:
    """Return a property's harness as RTLIL, top module ``top``; the same text for the same sources."""
    harness = one.build()
    fragment = Fragment.get(harness, None)  # Now it has its ports.
    return str(rtlil.convert(fragment, name="top", ports=harness.ports, emit_src=False))


def cover(m: Module, condition: Value, name: str) -> None:
    """Claim that ``condition`` can come true."""
    m.d.comb += Cover(condition, name)


if __name__ == "__main__":
    # For the runner, which proves mutated copies of this package too.
    sys.stdout.write(design(next(one for one in properties() if one.name == sys.argv[1])))

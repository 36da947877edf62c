"""The journey of a datagram as a person reads it: a tree of stack functions and device events in order of time."""

from collections.abc import Iterable

from rich.text import Text
from rich.tree import Tree

from ..stack.abi import BLOCKS, TxStatus
from .nic import Event as NicEvent
from .nic import SimNic
from .trace import Call, Event, Tracer

__all__ = ["device_events", "timeline", "tree"]


def _register_names() -> dict[int, str]:
    names = {}
    for block in BLOCKS:
        for index in range(block.count):
            scope = f"{block.name}[{index}]" if block.count > 1 else block.name
            names |= {block.address(register, index): f"{scope}.{register.name}" for register in block.registers}
    return names


def device_events(nic: SimNic) -> list[Event]:
    """Return what the device did since the last call, in words."""
    registers = _register_names()
    return [
        Event(_time_fs(nic, event), event.kind, _what(event, registers), {"a": event.a, "b": event.b})
        for event in nic.take_events()
    ]


def _time_fs(nic: SimNic, event: NicEvent) -> int:
    return nic.time_fs - (nic.cycle - event.cycle) * nic.period_fs


def _what(event: NicEvent, registers: dict[int, str]) -> str:
    kind, a, b = event.kind, event.a, event.b
    if kind in ("mmio_write", "mmio_read"):
        verb = "write" if kind == "mmio_write" else "read"
        doorbell = " (doorbell)" if kind == "mmio_write" and registers.get(a, "").endswith(".TAIL") else ""
        return f"register {verb} {registers.get(a, hex(a))} = {b:#x}{doorbell}"
    if kind in ("read", "write"):
        return f"DMA {kind} at {b:#x}, {a} beat{'s' if a != 1 else ''}"
    if kind in ("read_done", "write_done"):
        return f"DMA {kind.removesuffix('_done')} at {b:#x} done{'' if a == 0 else ', bus error'}"
    if kind == "irq":
        return "interrupt raised" if a else "interrupt lowered"
    return {
        "desc": f"descriptor {a} fetched and decoded",
        "arp": f"ARP cache lookup: {'hit' if a else 'miss'}",
        "csum": "checksums done",
        "cpl": f"completion for descriptor {a}: {TxStatus(b & 0xFF).name if b & 0xFF in TxStatus else b}",
        "frame_start": "wire: first octet of the preamble",
        "frame_end": f"wire: last octet of a frame of {a} octets with FCS",
    }.get(kind, f"{kind} {a} {b:#x}")


def timeline(tracer: Tracer, events: Iterable[Event]) -> list[Call | Event]:
    """Return calls from outside the stack and device events, in order of time; at the same time calls come first."""

    def key(item: Call | Event) -> tuple[int, int]:
        return (item.begin_fs, 0) if isinstance(item, Call) else (item.time_fs, 1)

    return sorted([*tracer.roots, *events], key=key)


def tree(title: str, items: list[Call | Event]) -> Tree:
    """Return a time line as a tree for the terminal."""
    root = Tree(Text(title, style="bold"), guide_style="dim")
    start_fs = min((_start_fs(item) for item in items), default=0)
    for item in items:
        if isinstance(item, Event):
            style = "green" if item.kind.startswith("frame") else "yellow"
            root.add(_line(item.time_fs - start_fs, item.what, "", style))
        else:
            _add_call(root, item, start_fs)
    return root


def _start_fs(item: Call | Event) -> int:
    return item.time_fs if isinstance(item, Event) else item.begin_fs


def _add_call(parent: Tree, call: Call, start_fs: int) -> None:
    branch = parent.add(_line(call.begin_fs - start_fs, call.name, call.module, "cyan"))
    for inner in call.calls:
        _add_call(branch, inner, start_fs)


def _line(time_fs: int, what: str, where: str, style: str) -> Text:
    return Text.assemble(
        (f"{time_fs / 1e9:>9.3f} µs  ", "dim"),
        (what, style),
        (f"  {where.replace('.', '/')}.py" if where else "", "dim"),
    )

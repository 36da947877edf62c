"""The journey of a datagram as a person reads it: a tree of stack functions and device events in order of time."""

from collections.abc import Iterable, Iterator

from rich.text import Text

from ..stack.abi import BLOCKS, RxStatus, TxStatus
from .nic import SimNic
from .nic_event import Event as NicEvent
from .trace import Call, Event, Tracer

__all__ = ["device_events", "timeline", "tree"]

_STATUS_NAMES = {status.value: status.name for status in TxStatus}
_RX_STATUS_NAMES = {status.value: status.name for status in RxStatus}


def _register_names() -> dict[int, str]:
    names: dict[int, str] = {}
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
        "cpl": f"completion for descriptor {a}: {_STATUS_NAMES.get(b, hex(b))}",
        "rx": "frame received",
        "rx_cpl": f"completion for receive descriptor {a}: {_RX_STATUS_NAMES.get(b, hex(b))}",
        "frame_start": "wire: first octet of the preamble",
        "frame_end": f"wire: last octet of a frame of {a} octets with FCS",
    }.get(kind, f"{kind} {a} {b:#x}")


def timeline(tracer: Tracer, events: Iterable[Event]) -> list[Call | Event]:
    """Return calls from outside the stack and device events, in order of time, at the same time causes first."""

    def key(item: Call | Event) -> tuple[int, int]:
        if isinstance(item, Call):
            return item.begin_fs, 1
        # An interrupt makes the stack run; what else the device does at that time comes of what the stack did.
        return item.time_fs, 0 if item.kind == "irq" and item.values["a"] else 2

    return sorted([*tracer.roots, *events], key=key)


def tree(title: str, items: list[Call | Event]) -> Text:
    """Return a time line as a tree for the terminal: two columns a level, for the stack is deep."""
    start_fs = min((item.time_fs if isinstance(item, Event) else item.begin_fs for item in items), default=0)
    lines = [Text(title, style="bold")]
    for item in items:
        last = item is items[-1]
        if isinstance(item, Event):
            style = "green" if item.kind.startswith("frame") else "yellow"
            lines.append(_line(item.time_fs - start_fs, "└ " if last else "├ ", item.what, style))
        else:
            lines.extend(_call_lines(item, "", last, start_fs))
    return Text("\n").join(lines)


def _call_lines(call: Call, guides: str, last: bool, start_fs: int) -> Iterator[Text]:
    where = f"  {call.module.replace('.', '/')}.py"
    yield _line(call.begin_fs - start_fs, guides + ("└ " if last else "├ "), call.name, "cyan", where)
    for inner in call.calls:
        yield from _call_lines(inner, guides + ("  " if last else "│ "), inner is call.calls[-1], start_fs)


def _line(time_fs: int, guides: str, what: str, style: str, where: str = "") -> Text:
    return Text.assemble((f"{time_fs / 1e9:>9.3f} µs  {guides}", "dim"), (what, style), (where, "dim"))

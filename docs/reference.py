"""The reference pages, made when the pages are built: from the contract, and from what commands say of themselves."""

from collections.abc import Callable, Iterable
from enum import IntEnum

import typer
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click

from hardwire.sim.cli.app import app as hardwire
from hardwire.sim.regs import RECORDS
from hardwire.stack.abi import BLOCKS, Access, Block, Field, Record, Register

__all__ = ["commands", "registers", "setup", "table"]

_ACCESS = {
    Access.RO: "read only",
    Access.RW: "read, write",
    Access.W1C: "write 1 to clear",
    Access.PULSE: "write 1 to start",
}


def registers() -> str:
    """Return all registers, descriptors and completions, as Markdown."""
    return "\n".join([*map(_block, BLOCKS), *map(_record, RECORDS)])


def commands() -> str:
    """Return all commands with their options, as Markdown."""
    command = typer.main.get_command(hardwire)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="hardwire")
    return text.partition("\n")[2]  # The page has its own title.


def _block(block: Block) -> str:
    place = f"`{block.base:#06x}`"
    if block.count > 1:
        place += f", and so on every `{block.stride:#x}`, {block.count} at most"
    rows = [row for register in block.registers for row in _rows(register)]
    return f"## {block.name}\n\n{block.doc} At {place}.\n\n" + table(
        ("register", "bits", "field", "access", "after reset", "meaning"), rows
    )


def _rows(register: Register) -> list[tuple[str, ...]]:
    name = f"`{register.offset:#04x}` `{register.name}`"
    if len(register.fields) == 1:
        return [(name, *_field(register.fields[0]))]
    return [(name, "", "", "", "", register.doc), *(("", *_field(field)) for field in register.fields)]


def _field(field: Field) -> tuple[str, ...]:
    meaning = field.doc + _values(field.values)
    return f"`{_bits(field)}`", f"`{field.name}`", _ACCESS[field.access], f"`{field.reset:#x}`", meaning


def _bits(field: Field) -> str:
    return f"{field.lsb}" if field.width == 1 else f"{field.lsb + field.width - 1}:{field.lsb}"


def _record(record: Record) -> str:
    rows = [
        (f"{member.lsb // 8}", f"{member.width // 8}", f"`{member.name}`", member.doc + _values(member.values))
        for member in record.members
    ]
    return f"## {record.name}\n\n{record.doc} {record.size_octets} octets, little-endian.\n\n" + table(
        ("at octet", "octets", "member", "meaning"), rows
    )


def _values(values: type[IntEnum] | None) -> str:
    return "" if values is None else " " + ", ".join(f"{value.value} `{value.name}`" for value in values) + "."


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_PAGES: dict[str, Callable[[], str]] = {"reference/registers": registers, "reference/commands": commands}


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page in _PAGES:
        source[0] += "\n" + _PAGES[page]()


def setup(app: Sphinx) -> None:
    """Be an extension of Sphinx: what is generated follows what the page's file has."""
    app.connect("source-read", _read)

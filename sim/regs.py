"""The contract in other languages: C header, SystemRDL, IP-XACT, HTML and Markdown, all from ``stack.abi``."""

import tempfile
from collections.abc import Callable
from enum import Enum, IntEnum, IntFlag
from functools import partial
from pathlib import Path
from typing import Any

from ..stack.abi import (
    BLOCKS,
    DEVICE_ID,
    RX_ALIGN_OCTETS,
    RX_CPL,
    RX_DESC,
    RX_PAD_OCTETS,
    TX_CPL,
    TX_DESC,
    VERSION,
    Access,
    ArpOp,
    Block,
    MdioOp,
    Record,
    RxFeatures,
    RxFlags,
    RxStatus,
    TxFlags,
    TxStatus,
    regs,
)

__all__ = ["FORMATS", "RECORDS", "c_header", "export_html", "ipxact", "markdown", "systemrdl_text"]

RECORDS = (TX_DESC, TX_CPL, RX_DESC, RX_CPL)

# What software and the device may do, in SystemRDL's properties.
_ACCESS: dict[Access, dict[str, str | bool]] = {
    Access.RO: {"sw": "r", "hw": "w"},
    Access.RW: {"sw": "rw", "hw": "r"},
    Access.W1C: {"sw": "rw", "hw": "rw", "onwrite": "woclr"},
    Access.PULSE: {"sw": "w", "hw": "r", "singlepulse": True},
}


def _compile() -> list[Any]:
    """Return the elaborated SystemRDL model: the registers, then each record as a map of its own."""
    from systemrdl.compiler import RDLCompiler
    from systemrdl.importer import RDLImporter
    from systemrdl.rdltypes.builtin_enums import AccessType, OnWriteType
    from systemrdl.rdltypes.user_enum import UserEnum, UserEnumMemberContainer
    from systemrdl.source_ref import FileSourceRef

    compiler = RDLCompiler()
    importer = RDLImporter(compiler)
    importer.default_src_ref = FileSourceRef(regs.__file__)
    kinds: dict[str, type[Enum]] = {"sw": AccessType, "hw": AccessType, "onwrite": OnWriteType}
    enums: dict[type[IntEnum], Any] = {}

    def describe(component: Any, name: str, doc: str) -> Any:
        importer.assign_property(component, "name", name)
        importer.assign_property(component, "desc", doc)
        return component

    def encoding(values: type[IntEnum]) -> Any:
        if values not in enums:
            members = [UserEnumMemberContainer(v.name.lower(), v.value) for v in values]
            enums[values] = UserEnum.define_new(values.__name__, members)
        return enums[values]

    def add_register(parent: Any, name: str, offset: int, width: int, doc: str, fields: list[tuple[Any, ...]]) -> None:
        register = describe(importer.create_reg_definition(name), name, doc)
        importer.assign_property(register, "regwidth", width)
        importer.assign_property(register, "accesswidth", width)
        for field_name, lsb, field_width, access, field_doc, reset, values in fields:
            field = describe(importer.create_field_definition(), field_name, field_doc)
            for key, value in _ACCESS[access].items():
                importer.assign_property(field, key, kinds[key][str(value)] if key in kinds else value)
            if reset is not None:
                importer.assign_property(field, "reset", reset)
            if values is not None:
                importer.assign_property(field, "encode", encoding(values))
            importer.add_child(register, importer.instantiate_field(field, field_name, lsb, field_width))
        importer.add_child(parent, importer.instantiate_reg(register, name, offset))

    def add_block(parent: Any, block: Block) -> None:
        group = describe(importer.create_regfile_definition(block.name), block.name, block.doc)
        for register in block.registers:
            fields = [(f.name, f.lsb, f.width, f.access, f.doc, f.reset, f.values) for f in register.fields]
            add_register(group, register.name, register.offset, 32, register.doc, fields)
        dimensions, stride = ([block.count], block.stride) if block.count > 1 else (None, None)
        importer.add_child(parent, importer.instantiate_regfile(group, block.name, block.base, dimensions, stride))

    def add_record(record: Record) -> None:
        octets = describe(importer.create_addrmap_definition(record.name), record.name, record.doc)
        for member in record.members:
            # To software a record is memory; the field takes the register's whole width.
            field = ("value", 0, member.width, Access.RW, member.doc, None, member.values)
            add_register(octets, member.name, member.lsb // 8, member.width, member.doc, [field])
        importer.register_root_component(octets)

    device = describe(importer.create_addrmap_definition("hardwire"), "hardwire", "Registers of the hardwire NIC.")
    for block in BLOCKS:
        add_block(device, block)
    importer.register_root_component(device)
    for record in RECORDS:
        add_record(record)
    return [compiler.elaborate(name).top for name in ("hardwire", *(record.name for record in RECORDS))]


def systemrdl_text() -> str:
    """Return the register map and the records as SystemRDL 2.0."""
    from peakrdl_systemrdl import SystemRDLExporter

    return "\n".join(_written(partial(SystemRDLExporter().export, node), "rdl") for node in _compile())


def markdown() -> str:
    """Return the register map and the records as Markdown."""
    from peakrdl_markdown import MarkdownExporter

    return "\n".join(_written(partial(MarkdownExporter().export, node), "md") for node in _compile())


def ipxact() -> str:
    """Return the register map as an IP-XACT component of IEEE Std 1685-2009, the version that Vivado reads."""
    from peakrdl_ipxact import IPXACTExporter, Standard

    exporter = IPXACTExporter(vendor="hardwire", library="net", standard=Standard.IEEE_1685_2009)
    return _written(partial(exporter.export, _compile()[0]), "xml")


def export_html(folder: Path) -> None:
    """Write the register map and the records as HTML pages into ``folder``."""
    from peakrdl_html import HTMLExporter

    HTMLExporter().export(_compile(), str(folder), title="hardwire registers")


def c_header() -> str:
    """Return a C header: registers as structs, field masks, descriptors as structs, flags and values as constants."""
    from peakrdl_cheader.exporter import CHeaderExporter

    registers = _written(partial(CHeaderExporter().export, _compile()[0], reuse_typedefs=False), "h")
    opening = registers.index("#ifdef __cplusplus\n}")
    return registers[:opening] + _c_constants() + "".join(map(_c_record, RECORDS)) + registers[opening:]


def _written(export: Callable[[str], object], suffix: str) -> str:
    """Return what an exporter that can only write files has written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"hardwire_regs.{suffix}"
        export(str(path))
        return path.read_text()


def _c_constants() -> str:
    lines = ["\n// Constants\n", f"#define HARDWIRE_DEVICE_ID 0x{DEVICE_ID:08x}u\n"]
    for part, number in zip(("MAJOR", "MINOR", "PATCH"), VERSION, strict=True):
        lines.append(f"#define HARDWIRE_VERSION_{part} {number}u\n")
    lines.append(f"#define HARDWIRE_RX_ALIGN_OCTETS {RX_ALIGN_OCTETS}u\n")
    lines.append(f"#define HARDWIRE_RX_PAD_OCTETS {RX_PAD_OCTETS}u\n")
    enums: tuple[tuple[str, type[IntEnum] | type[IntFlag]], ...] = (
        ("TX_FLAG", TxFlags),
        ("TX_STATUS", TxStatus),
        ("RX_FLAG", RxFlags),
        ("RX_STATUS", RxStatus),
        ("RX_FEATURE", RxFeatures),
        ("ARP_OP", ArpOp),
        ("MDIO_OP", MdioOp),
    )
    for prefix, values in enums:
        lines += [f"#define HARDWIRE_{prefix}_{value.name} 0x{value.value:x}u\n" for value in values]
    return "".join(lines)


def _c_record(record: Record) -> str:
    members = "".join(f"    uint{m.width}_t {m.name}; // {m.doc}\n" for m in record.members)
    return (
        f"\n// {record.doc} Little-endian.\n"
        f"typedef struct __attribute__ ((__packed__)) {{\n{members}}} hardwire_{record.name}_t;\n"
        f'static_assert(sizeof(hardwire_{record.name}_t) == {record.size_octets}, "Packing error");\n'
    )


FORMATS: dict[str, Callable[[], str]] = {"c": c_header, "rdl": systemrdl_text, "md": markdown}

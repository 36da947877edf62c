"""The contract's exports say the same as the contract."""

import subprocess
from pathlib import Path

import pytest

from hardwire.sim import regs
from hardwire.stack.abi import BLOCKS, RX_CPL, RX_DESC, TX_CPL, TX_DESC, RxFlags, RxStatus, TxFlags, TxStatus

HEADER = Path(__file__).resolve().parents[2] / "docs" / "hardwire_regs.h"


def test_committed_header_is_what_the_contract_gives() -> None:
    assert HEADER.read_text() == regs.c_header(), "run: hardwire regs --format c -o docs/hardwire_regs.h"


def _expressions() -> dict[str, int]:
    expected = {f"HARDWIRE_TX_FLAG_{flag.name}": flag.value for flag in TxFlags}
    expected |= {f"HARDWIRE_TX_STATUS_{status.name}": status.value for status in TxStatus}
    expected |= {f"HARDWIRE_RX_FLAG_{flag.name}": flag.value for flag in RxFlags}
    expected |= {f"HARDWIRE_RX_STATUS_{status.name}": status.value for status in RxStatus}
    for record in (TX_DESC, TX_CPL, RX_DESC, RX_CPL):
        kind = f"hardwire_{record.name}_t"
        expected[f"sizeof({kind})"] = record.size_octets
        for member in record.members:
            expected[f"offsetof({kind}, {member.name})"] = member.lsb // 8
            expected[f"sizeof((({kind} *)0)->{member.name})"] = member.width // 8
    for block in BLOCKS:
        index = f"[{block.count - 1}]" if block.count > 1 else ""
        scope = f"HARDWIRE__{block.name.upper()}{'X' if index else ''}"
        for register in block.registers:
            address = block.address(register, block.count - 1)
            expected[f"offsetof(hardwire_t, {block.name}{index}.{register.name})"] = address
            for field in register.fields:
                expected[f"{scope}__{register.name}__{field.name.upper()}_bm"] = field.mask
                expected[f"{scope}__{register.name}__{field.name.upper()}_bp"] = field.lsb
    return expected


@pytest.mark.parametrize(
    "compiler",
    [["gcc", "-std=c11", "-x", "c"], ["g++", "-std=c++17", "-x", "c++", "-Wno-invalid-offsetof"]],
    ids=["c", "c++"],
)
def test_compiler_sees_the_sizes_offsets_and_masks_of_the_contract(compiler: list[str], tmp_path: Path) -> None:
    expected = _expressions()
    prints = "\n".join(f'printf("%llu\\n", (unsigned long long)({expression}));' for expression in expected)
    source = tmp_path / "offsets.c"
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{\n{prints}\n}}\n'
    )
    subprocess.run(
        [*compiler, "-Wall", "-Werror", str(source), "-o", str(tmp_path / "offsets")],
        check=True,
    )
    printed = subprocess.run([tmp_path / "offsets"], check=True, capture_output=True, text=True).stdout.split()
    assert dict(zip(expected, map(int, printed), strict=True)) == expected


def test_systemrdl_export_compiles_to_the_same_addresses(tmp_path: Path) -> None:
    from systemrdl import RDLCompiler

    source = tmp_path / "hardwire.rdl"
    source.write_text(regs.systemrdl_text())
    compiler = RDLCompiler()
    compiler.compile_file(str(source))
    top = compiler.elaborate("hardwire").top
    for block in BLOCKS:
        for register in block.registers:
            index = f"[{block.count - 1}]" if block.count > 1 else ""
            node = top.find_by_path(f"{block.name}{index}.{register.name}")
            assert node.absolute_address == block.address(register, block.count - 1)
            assert {(f.inst_name, f.low, f.width) for f in node.fields()} == {
                (f.name, f.lsb, f.width) for f in register.fields
            }


def test_every_register_is_in_markdown_and_html(tmp_path: Path) -> None:
    regs.export_html(tmp_path)
    pages = "".join(page.read_text() for page in (tmp_path / "content").rglob("*.html")) + regs.markdown()
    for block in BLOCKS:
        for register in block.registers:
            assert register.name in pages

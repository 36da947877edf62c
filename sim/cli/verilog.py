"""``hardwire verilog``: the NIC as Verilog."""

import dataclasses
import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ...hdl.config import NicConfig
from .boards import board_files
from .package import Package, write_package
from .report import MISUSED, CommandError, print_json, say

__all__ = ["parse_config", "verilog"]

_PARAMETERS = {field.name: field.default for field in dataclasses.fields(NicConfig)}


class Target(Enum):
    """Whose primitives the Verilog uses."""

    GENERIC = "generic"
    ECP5 = "ecp5"


def parse_config(settings: list[str]) -> NicConfig:
    """Return the configuration that ``NAME=VALUE`` settings describe.

    Raises
    ------
    CommandError
        If one is malformed, unknown or out of range.
    """
    values: dict[str, int] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in _PARAMETERS:
            raise CommandError(f"--config knows {', '.join(_PARAMETERS)}, not {name!r}", MISUSED)
        try:
            values[name] = int(value, 0)
        except ValueError as error:
            raise CommandError(f"--config {name} takes a number, not {value!r}", MISUSED) from error
    try:
        return NicConfig(**values)
    except ValueError as error:
        raise CommandError(f"--config: {error}", MISUSED) from error


def verilog(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to; made if missing.")],
    config: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"A parameter; repeatable. Names: {', '.join(_PARAMETERS)}."),
    ] = None,
    block: Annotated[
        str | None, typer.Option(metavar="NAME", help="One block of the NIC alone; a wrong name lists them.")
    ] = None,
    target: Annotated[
        Target, typer.Option(help="Use the primitives of an FPGA family; generic: portable, for any tool.")
    ] = Target.GENERIC,
    board: Annotated[
        str | None, typer.Option(metavar="NAME", help="A whole board, with constraints and build script.")
    ] = None,
    package: Annotated[
        Package | None, typer.Option(help="The NIC as a core for FuseSoC, LiteX, Vivado's catalogue, or LitePCIe.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Write the NIC as Verilog: hardwire_nic.v, and the parameters it was made with; or all files of a board."""
    if board is not None:
        if config or block is not None or package is not None:
            raise CommandError("--board is a whole design: --config, --block and --package do not go with it", MISUSED)
        board_files(board, out, as_json)
        return
    nic = parse_config(config or [])
    if package is not None:
        if block is not None or target is not Target.GENERIC:
            raise CommandError("--package is the whole NIC, for any tool: neither --block nor --target", MISUSED)
        write_package(package, nic, out, as_json=as_json)
        return
    from ...boards.ecp5 import Ecp5
    from ...hdl.blocks import BLOCKS
    from ...hdl.verilog import block_verilog, nic_verilog

    if block is not None and block not in BLOCKS:
        raise CommandError(f"--block knows {', '.join(BLOCKS)}, not {block!r}", MISUSED)
    parameters = dataclasses.asdict(nic)
    platform = Ecp5() if target is Target.ECP5 else None
    try:
        text = nic_verilog(nic, platform) if block is None else block_verilog(block, nic, platform)
    except ValueError as error:
        raise CommandError(f"--config: {error}", MISUSED) from error
    top = f"hardwire_{block or 'nic'}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{top}.v").write_text(text)
        (out / f"{top}.json").write_text(json.dumps(parameters, indent=2) + "\n")
    except OSError as error:
        raise CommandError(f"cannot write to {out}: {error.strerror}") from error
    if as_json:
        print_json({"verilog": str(out / f"{top}.v"), "top": top, "target": target.value, "parameters": parameters})
    else:
        say(f"wrote {out / f'{top}.v'} ({len(text.splitlines())} lines, top module {top})")

"""``hardwire verilog``: the NIC as Verilog."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from ...hdl.config import NicConfig
from .report import MISUSED, CommandError, print_json, say

__all__ = ["parse_config", "verilog"]

_PARAMETERS = {field.name: field.default for field in dataclasses.fields(NicConfig)}


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
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Write the NIC as Verilog: hardwire_nic.v, and the parameters it was made with."""
    nic = parse_config(config or [])
    from ...hdl.verilog import nic_verilog

    parameters = dataclasses.asdict(nic)
    try:
        text = nic_verilog(nic)
    except ValueError as error:
        raise CommandError(f"--config: {error}", MISUSED) from error
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "hardwire_nic.v").write_text(text)
        (out / "hardwire_nic.json").write_text(json.dumps(parameters, indent=2) + "\n")
    except OSError as error:
        raise CommandError(f"cannot write to {out}: {error.strerror}") from error
    if as_json:
        print_json({"verilog": str(out / "hardwire_nic.v"), "top": "hardwire_nic", "parameters": parameters})
    else:
        say(f"wrote {out / 'hardwire_nic.v'} ({len(text.splitlines())} lines, top module hardwire_nic)")

"""``hardwire verilog --package``: the NIC as a core for a tool or framework of others."""

import dataclasses
import importlib.util
import logging
from enum import Enum
from pathlib import Path

from ...hdl.config import NicConfig
from .report import MISUSED, CommandError, print_json, say

__all__ = ["Package", "write_package"]


class Package(Enum):
    """Whose core it is."""

    FUSESOC = "fusesoc"
    LITEX = "litex"
    VIVADO = "vivado"
    LITEPCIE = "litepcie"


_NEEDS = {
    Package.FUSESOC: (),
    Package.LITEX: ("litex", "migen"),
    Package.VIVADO: ("peakrdl_ipxact",),
    Package.LITEPCIE: ("litepcie", "litex", "migen"),
}


def _files(package: Package, config: NicConfig) -> dict[str, str]:
    """Return the text of each file of a package, by its name."""
    if package is Package.FUSESOC:
        from ...boards.soc.fusesoc import fusesoc_package
        from ..regs import c_header

        return fusesoc_package(config, c_header())
    if package is Package.VIVADO:
        from ...boards.soc.vivado import vivado_package
        from ..regs import ipxact

        return vivado_package(config, ipxact())
    logging.disable(logging.INFO)  # LiteX reports each step of its own.
    if package is Package.LITEX:
        from ...boards.soc.litex_soc import litex_package

        return litex_package(config)
    from ...boards.soc.litepcie_core import litepcie_package

    return litepcie_package(config)


def write_package(package: Package, config: NicConfig, out: Path, *, as_json: bool) -> None:
    """Write a package into a folder, and say what it has.

    Raises
    ------
    CommandError
        If a Python package is missing, a parameter is not one that it can have, or a file cannot be written.
    """
    missing = [name for name in _NEEDS[package] if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f"--package {package.value} needs {' and '.join(missing)}: pip install 'hardwire[soc]'", MISUSED
        )
    try:
        files = _files(package, config)
    except ValueError as error:
        raise CommandError(f"--config: {error}", MISUSED) from error
    try:
        for name, text in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as error:
        raise CommandError(f"cannot write to {out}: {error.strerror}") from error
    if as_json:
        paths = [str(out / name) for name in files]
        print_json({"package": package.value, "files": paths, "parameters": dataclasses.asdict(config)})
    else:
        say(f"wrote to {out}: {', '.join(files)}")

"""``hardwire regs``: the register map in other languages."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .report import MISUSED, CommandError, say

__all__ = ["Format", "regs"]


class Format(StrEnum):
    """Languages of the export."""

    C = "c"
    HTML = "html"
    RDL = "rdl"
    MD = "md"


def regs(
    form: Annotated[Format, typer.Option("--format", help="C header, HTML pages, SystemRDL or Markdown.")] = Format.MD,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File, or folder for html. Default: stdout.")] = None,
) -> None:
    """Write the registers and descriptors as a C header, HTML, SystemRDL or Markdown."""
    from .. import regs as exports

    if form is Format.HTML:
        if out is None:
            raise CommandError("--format html makes several files: say where with -o DIR", MISUSED)
        exports.export_html(out)
        say(f"wrote {out / 'index.html'}")
        return
    text = exports.FORMATS[form.value]()
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}") from error
    say(f"wrote {out}")

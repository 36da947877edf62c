"""All commands in one application. Each is a file of its own; what is slow to import, it imports when it runs."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from ... import __version__
from . import bench, boards, doctor, formal, journey, lan, net, regs, run, send, tap, tb, verilog, wire
from .report import FAILED, CommandError

__all__ = ["main"]

app = typer.Typer(
    name="hardwire",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("send")(send.send)
app.command("lan")(lan.lan)
app.command("journey")(journey.journey)
app.command("tap")(tap.tap)
app.command("wire")(wire.wire)
app.command("run", context_settings=run.PASS_ON)(run.run)
for _name in ("ip", "tc", "ethtool", "sysctl", "nft"):
    app.command(_name, context_settings=net.PASS_ON)(net.command(_name))
app.command("tb", context_settings=tb.PASS_ON, add_help_option=False)(tb.tb)
app.command("formal")(formal.formal)
app.command("verilog")(verilog.verilog)
app.command("boards")(boards.boards)
app.command("build")(boards.build)
app.command("program")(boards.program)
app.command("regs")(regs.regs)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hardwire {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """A network card in Amaranth, its driver and a Linux-like network stack above it, simulated."""


def main() -> None:
    """Run the command line; exit with 0, with 1 if the work failed, with 2 if the request made no sense."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # Closed by the caller: no file of ours shall have its number.
    os.close(spare)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    try:
        app()
    except CommandError as error:
        sys.stderr.write(f"hardwire: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _leave(0)  # The reader, such as head, has seen enough.
    except OSError as error:
        place = f": {error.filename}" if error.filename is not None else ""
        sys.stderr.write(f"hardwire: {error.strerror or error}{place}\n")
        _leave(FAILED)


def _leave(status: int) -> NoReturn:
    """Exit without a word about output that can no longer be written."""
    sys.stdout = open(os.devnull, "w")
    sys.exit(status)

"""The boards by name; each is imported when it is asked for."""

from importlib import import_module

from .board import Board

__all__ = ["BOARDS", "WITHOUT", "load_board"]

BOARDS = {
    "ecpix5_85": ("ecpix5", "Ecpix585"),
    "ecpix5_45": ("ecpix5", "Ecpix545"),
    "versa_ecp5": ("versa_ecp5", "VersaEcp5"),
    "colorlight_5a75b": ("colorlight_5a75b", "Colorlight5a75b"),
    "butterstick": ("butterstick", "ButterStick"),
    "arty_a7": ("arty_a7", "ArtyA7"),
    "genesys2": ("genesys2", "Genesys2"),
}
# Boards that people ask for, and why the card is not on them.
WITHOUT = {"tang_primer_20k": "its RTL8201F is on RMII, its GW2A-18 has 46 blocks of RAM, and the card takes 52"}


def load_board(name: str) -> Board:
    """Return a fresh platform of a board; it can be built once.

    Raises
    ------
    ValueError
        If there is no such board.
    ImportError
        If ``amaranth-boards`` is not installed.
    """
    if name not in BOARDS:
        raise ValueError(f"board must be one of {', '.join(BOARDS)}, not {name!r}")
    module, cls = BOARDS[name]
    board: Board = getattr(import_module(f".{module}", __package__), cls)()
    return board

"""A whole board as Verilog for a simulator, the FPGA's own cells replaced by models of what they do."""

from ..hdl.config import NicConfig
from ..hdl.verilog import flat_verilog
from .board import TOP
from .card import Card
from .registry import load_board

__all__ = ["board_sim_verilog"]

_PHY_RESET_CYCLES = 16


def board_sim_verilog(board: str, *, nic: NicConfig | None = None, baud: int = 12_500_000) -> str:
    """Return the Verilog of an ECP5 board, module ``hardwire_board``.

    Its ports are the members of `Card`, of which ``clk`` is the core clock of 125 MHz, as the model of the PLL passes
    it through. The PHY's reset takes 16 cycles.

    Parameters
    ----------
    board : str
        Its name.
    nic : NicConfig
        Parameters of the NIC, if they shall be others than the board's.
    baud : int
        Of the UART, in bit/s; the default makes a bit ten cycles long.

    Raises
    ------
    ValueError
        If there is no such board, or it has no models.
    ImportError
        If ``amaranth-boards`` is not installed.
    """
    platform = load_board(board)
    if platform.flow != "open":
        raise ValueError(f"there are models of the cells of ECP5 boards, not of {board!r}")
    changes = {"nic": nic} if nic is not None else {}
    card = Card.of(platform, baud=baud, phy_reset_cycles=_PHY_RESET_CYCLES, **changes)
    return flat_verilog(card, TOP, platform)

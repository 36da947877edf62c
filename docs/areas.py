"""The tables of the page that compares area and speed: ours as last measured, others' as their sources gave them."""

from typing import Any, NamedTuple

from reference import table
from sphinx.application import Sphinx

from hardwire.boards.area import RESOURCES, read_areas
from hardwire.boards.registry import load_board
from hardwire.boards.results import CLOCKS_125_MHZ, read_results

__all__ = ["boards", "comparison", "setup"]


class Other(NamedTuple):
    """A core of others': cells, flip-flops, block RAMs, MHz at speed 6 (lowest and highest seed), and what it lacks."""

    name: str
    comb: int
    ff: int
    ram: int
    mhz: str
    lacks: str


class Work(NamedTuple):
    """What does the same work: our modules, whether they do it together, and cores of others'."""

    title: str
    ours: tuple[str, ...]
    together: bool
    others: tuple[Other, ...]


# Others' were measured in 2026 from the sources as published.
COMPARED = [
    Work(
        "Checksums of frames that are sent, 64 bits wide",
        ("checksum",),
        False,
        (
            Other(
                "verilog-ethernet `udp_checksum_gen_64`",
                1105,
                783,
                3,
                "108–113",
                "sends 0 for a zero UDP checksum; loses a header when its FIFO fills",
            ),
            Other(
                "Corundum `tx_checksum`",
                876,
                450,
                4,
                "108–115",
                "one bubble per frame; the same zero checksum; start ≤ 255, offset ≤ 127",
            ),
        ),
    ),
    Work(
        "ARP",
        ("arp_cache",),
        False,
        (
            Other(
                "verilog-ethernet `arp_cache`, 512 entries",
                2983,
                244,
                2,
                "71–73",
                "direct-mapped, evicts silently, no ageing, any ARP packet writes it",
            ),
            Other("the same, 16 entries", 242, 175, 0, "157", "as above"),
            Other(
                "verilog-ethernet `arp`",
                3812,
                1148,
                2,
                "73–80",
                "a miss blocks all that is sent for up to 36 s",
            ),
        ),
    ),
    Work(
        "Descriptors, completions and payload reads of the way out",
        ("tx_ring", "dma_read"),
        True,
        (
            Other(
                "Corundum `desc_fetch`, `queue_manager`, `tx_engine`, `cpl_write`",
                3575,
                2158,
                8,
                "81 (slowest)",
                "one read of the bus and one completion of 32 octets per packet; 64 octets of descriptors",
            ),
        ),
    ),
    Work(
        "The MAC",
        ("mac_rx", "mac_tx"),
        True,
        (
            Other("verilog-ethernet `eth_mac_1g`", 583, 179, 0, "136–140", "8 bits wide"),
            Other("the same with FIFOs", 1049, 494, 6, "124", ""),
        ),
    ),
    Work(
        "From the host's or the user's side to the PHY's",
        ("nic", "bridged_nic"),
        False,
        (
            Other(
                "verilog-ethernet `udp_complete`, 64 bits",
                7252,
                4349,
                5,
                "80",
                "no MAC, no rings; a payload over 2 KiB deadlocks; UDP checksum not verified",
            ),
            Other(
                "LiteEth UDP core with MAC and RGMII, 8 bits",
                3334,
                2159,
                1,
                "66",
                "no UDP checksum at all; ARP of one or two entries",
            ),
            Other("the same, 32 bits", 5018, 2322, 0, "59", "as above"),
            Other("LiteEth wishbone MAC", 1941, 944, 6, "89", "no descriptors: a CPU copies"),
        ),
    ),
]


def comparison() -> str:
    """Return our modules beside others', as Markdown."""
    areas, text = read_areas(), ""
    for work in COMPARED:
        rows = [(f"**hardwire `{name}`**", *_figures(areas[name]), "") for name in work.ours]
        if work.together:
            rows.append(("**together**", *_figures(_together([areas[name] for name in work.ours])), ""))
        rows += [(other.name, f"{other.comb:,}", f"{other.ff:,}", f"{other.ram}", *other[4:]) for other in work.others]
        text += f"\n## {work.title}\n\n" + table(("", "COMB", "FF", "RAM", "MHz", "lacks"), rows)
    named = {name for work in COMPARED for name in work.ours}
    rest = [(f"`{name}`", *_figures(area)) for name, area in areas.items() if name not in named]
    return text + "\n## The other blocks\n\n" + table(("", "COMB", "FF", "RAM", "MHz"), rest)


def boards() -> str:
    """Return what the boards reached, placed and routed, as Markdown."""
    rows = []
    for name, result in read_results().items():
        board, area = load_board(name), result["area"]
        speeds = ", ".join(f"{result['clocks'][clock]['achieved_mhz']:.1f}" for clock in CLOCKS_125_MHZ)
        counts = (f"{area[kind]:,}" for kind in RESOURCES)
        rows.append((f"`{name}`", f"{board.device}, speed {board.speed}", *counts, speeds))
    return "\n## On boards\n\n" + table(("board", "FPGA", "COMB", "FF", "RAM", "MHz, core and PHY"), rows)


def _figures(area: dict[str, Any]) -> tuple[str, ...]:
    fmax = area["fmax_mhz"]
    counts = (f"{area[kind]:,}" for kind in RESOURCES)
    return *counts, f"{min(fmax):.0f}–{max(fmax):.0f}" if fmax else ""


def _together(areas: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what modules take in all, and the speed of the slowest."""
    sums = {kind: sum(area[kind] for area in areas) for kind in RESOURCES}
    return sums | {"fmax_mhz": min((area["fmax_mhz"] for area in areas), key=min)}


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page == "area":
        source[0] += comparison() + boards()


def setup(app: Sphinx) -> None:
    """Be an extension of Sphinx: the tables follow what the page's file has."""
    app.connect("source-read", _read)

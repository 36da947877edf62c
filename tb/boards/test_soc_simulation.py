"""The NIC at work in a LiteX SoC and behind LitePCIe, under Verilator."""

from pathlib import Path

import pytest

from hardwire.tb.bench import Bench, Case, run, seed


def check(name: str, folder: Path, **parameters: int) -> None:
    def build(**parameters: int) -> str:
        from hardwire.tb.boards import soc_designs

        return str(getattr(soc_designs, f"{name.rpartition('_')[0]}_verilog")(**parameters))

    bench = Bench(name=name, build=build, module=f"hardwire.tb.boards.cocotb_{name}", variants={"": parameters})
    result = run(Case(bench, ""), run_seed=seed(), out_dir=folder)
    assert result.failures == (), f"seed {result.seed}, log {result.log}"
    assert result.tests


@pytest.mark.soak
@pytest.mark.parametrize("axi_width_bits", [64, 32, 128])
def test_litex_soc_sends_and_receives(axi_width_bits: int, tmp_path: Path) -> None:
    check("litex_soc", tmp_path, axi_width_bits=axi_width_bits)


@pytest.mark.soak
@pytest.mark.parametrize("axi_width_bits", [64, 128])
def test_litepcie_card_sends_and_receives(axi_width_bits: int, tmp_path: Path) -> None:
    check("litepcie_card", tmp_path, axi_width_bits=axi_width_bits)

"""Benches of the whole NIC on Verilog from elsewhere: what passes, what fails, what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hardwire.hdl.config import NicConfig
from hardwire.hdl.verilog import nic_ports, nic_verilog
from hardwire.tb.netlist import NetlistError, netlist_cases, netlist_ports


@pytest.fixture(scope="module")
def own() -> str:
    return nic_verilog(NicConfig())


def write(folder: Path, text: str) -> Path:
    path = folder / "theirs.v"
    path.write_text(text)
    return path


def hardwire_tb(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hardwire.tb", *arguments], capture_output=True, text=True, check=False
    )


def without(text: str, port: str) -> str:
    """Take a port away, and keep a signal of its name."""
    head, declaration = rf"(module hardwire_nic\(.*?){port}, (.*?\);)", rf"^  (input|output) (\[\d+:0\] )?{port};\n"
    text, count = re.subn(head, r"\1\2", text, count=1, flags=re.DOTALL)
    assert count
    text, count = re.subn(declaration, "", text, count=1, flags=re.MULTILINE)
    assert count
    return text


def test_verilator_and_amaranth_agree_on_the_ports(own: str, tmp_path: Path) -> None:
    found = netlist_ports(write(tmp_path, own))
    assert sorted(found, key=lambda port: port.name) == sorted(nic_ports(NicConfig()), key=lambda port: port.name)


def test_types_of_systemverilog_have_their_width(tmp_path: Path) -> None:
    text = """
        typedef enum logic [4:0] {A, B} kind_t;
        typedef struct packed {logic [2:0] a; kind_t kind; logic b;} record_t;
        module hardwire_nic (
          input logic [1:0][7:0] array, input record_t record, output logic [0:3] back, output bit one
        );
        endmodule
    """
    widths = {port.name: (port.width_bits, port.is_input) for port in netlist_ports(write(tmp_path, text))}
    assert widths == {"array": (16, True), "record": (9, True), "back": (4, False), "one": (1, False)}


def test_benches_are_those_whose_bus_is_as_wide(own: str, tmp_path: Path) -> None:
    assert [case.name for case in netlist_cases(write(tmp_path, own))] == ["driver", "nic[stream64axi64]"]
    narrow = nic_verilog(NicConfig(stream_width_bits=128, axi_width_bits=32))
    assert [case.name for case in netlist_cases(write(tmp_path, narrow))] == ["nic[stream128axi32]"]


def test_probes_may_be_left_out(own: str, tmp_path: Path) -> None:
    assert len(netlist_cases(write(tmp_path, without(own, "probe_arp_hit")))) == 2


def test_ports_that_differ_are_listed(own: str, tmp_path: Path) -> None:
    text = without(own, "m_axi_bresp").replace("gmii_txd", "txd")
    text = text.replace("[15:0] s_axil_araddr;", "[11:0] s_axil_araddr;")
    path = write(tmp_path, text)
    result = hardwire_tb("driver", "--verilog", str(path))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"hardwire tb: the ports of hardwire_nic in {path} are not those of the NIC:",
        "  missing: input [1:0] m_axi_bresp",
        "  missing: output [7:0] gmii_txd",
        "  not known: output [7:0] txd",
        "  different: input [11:0] s_axil_araddr, which must be input [15:0] s_axil_araddr",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module hardwire_nic(input clk", r".*syntax error"),
        ("module nic(input clk); endmodule", r".*'hardwire_nic' was not found"),
        ("module hardwire_nic(inout sda); endmodule", r"port sda of .* is neither an input nor an output"),
    ],
)
def test_what_cannot_be_the_nic_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetlistError, match=message):
        netlist_cases(write(tmp_path, text))


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = hardwire_tb("--verilog", str(tmp_path / "none.v"))
    assert result.returncode == 2
    assert result.stderr == f"hardwire tb: --verilog: {tmp_path / 'none.v'} is not a regular file\n"


def test_what_the_file_includes_is_found_beside_it(own: str, tmp_path: Path) -> None:
    (tmp_path / "parts.vh").write_text(own)
    case, _ = netlist_cases(write(tmp_path, '`include "parts.vh"\n'))
    assert "module hardwire_nic(" in case.bench.build()


def test_own_verilog_passes(own: str, tmp_path: Path) -> None:
    result = hardwire_tb("driver", "--json", "--verilog", str(write(tmp_path, own)))
    (report,) = json.loads(result.stdout)
    assert (result.returncode, report["tests"], report["failures"]) == (0, 2, []), result.stderr


def test_one_wrong_bit_in_the_fcs_fails(own: str, tmp_path: Path) -> None:
    polynomial = f"32'd{0xEDB88320}"  # IEEE Std 802.3-2022 3.2.9, reflected. That of TX comes first.
    assert polynomial in own
    wrong = own.replace(polynomial, f"32'd{0xEDB88321}", 1)
    result = hardwire_tb("driver", "--json", "--verilog", str(write(tmp_path, wrong)))
    (report,) = json.loads(result.stdout)
    assert result.returncode == 1
    assert {why for _, why in report["failures"]} == {"a frame has a wrong FCS"}

"""The NIC as an IP for Vivado's catalogue: IP-XACT, from our ports and our registers."""

# Ref: IEEE Std 1685-2009, IP-XACT; Xilinx UG1118, Creating and Packaging Custom IP, 2022.2

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ... import __version__
from ...hdl.config import NicConfig
from ...hdl.verilog import NIC_TOP, Port, nic_ports, nic_verilog

__all__ = ["VENDOR", "vivado_package"]

VENDOR = "hardwire"
_SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_XILINX = "http://www.xilinx.com"
_FAMILIES = (
    "spartan7 artix7 kintex7 virtex7 zynq artixuplus kintexu kintexuplus virtexu virtexuplus zynquplus versal".split()
)
_REGISTERS = "s_axil"
_MEMORY = "m_axi"
_SOURCE = f"hdl/{NIC_TOP}.v"
_SYNTHESIS, _SIMULATION = "synthesis_files", "simulation_files"


def _tag(name: str) -> str:
    return f"{{{_SPIRIT}}}{name}"


def _add(parent: Element, name: str, text: object = None, /, **attributes: str) -> Element:
    """Add an element of the standard's namespace, and return it."""
    element = SubElement(parent, _tag(name), {_tag(key): value for key, value in attributes.items()})
    element.text = None if text is None else str(text)
    return element


def vivado_package(config: NicConfig, registers: str) -> dict[str, str]:
    """Return the files of an IP, by name: ``component.xml`` and the Verilog.

    Parameters
    ----------
    config : NicConfig
        Parameters of the NIC.
    registers : str
        The registers as an IP-XACT component of IEEE Std 1685-2009, of which the memory map is taken.
    """
    return {"component.xml": _component(config, registers), _SOURCE: nic_verilog(config)}


def _component(config: NicConfig, registers: str) -> str:
    for prefix, place in (("spirit", _SPIRIT), ("xilinx", _XILINX)):
        ElementTree.register_namespace(prefix, place)
    ports = nic_ports(config)
    widths = {port.name: port.width_bits for port in ports}
    memory_maps = _memory_maps(registers, widths[f"{_REGISTERS}_araddr"])

    root = Element(_tag("component"))
    for name, text in (("vendor", VENDOR), ("library", "net"), ("name", NIC_TOP), ("version", _version())):
        _add(root, name, text)
    interfaces = _add(root, "busInterfaces")
    _registers_interface(interfaces, ports, memory_maps.findtext(f"{_tag('memoryMap')}/{_tag('name')}", ""))
    _memory_interface(interfaces, ports, config)
    _signal(interfaces, "clk", "clock", "CLK", slave=True, ASSOCIATED_BUSIF=f"{_REGISTERS}:{_MEMORY}",
            ASSOCIATED_RESET="rst", FREQ_HZ=config.clock_khz * 1000)  # fmt: skip
    _signal(interfaces, "rst", "reset", "RST", slave=True, POLARITY="ACTIVE_HIGH")
    _signal(interfaces, "irq", "interrupt", "INTERRUPT", slave=False, SENSITIVITY="LEVEL_HIGH")
    space = _add(_add(root, "addressSpaces"), "addressSpace")
    range_octets = 1 << widths[f"{_MEMORY}_araddr"]
    for name, value in (("name", _MEMORY), ("range", range_octets), ("width", config.axi_width_bits)):
        _add(space, name, value)
    root.append(memory_maps)
    _model(root, ports)
    _files(root)
    _add(root, "description", "Gigabit Ethernet NIC: AXI4-Lite registers, AXI4 DMA, GMII.")
    component_name = _add(_add(root, "parameters"), "parameter")
    _add(component_name, "name", "Component_Name")
    _add(component_name, "value", f"{NIC_TOP}_0", resolve="user", id="PARAM_VALUE.Component_Name")
    _families(root)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _memory_maps(registers: str, addr_width_bits: int) -> Element:
    """Return the memory map, as large as the addresses reach: Vivado wants a power of two."""
    maps = ElementTree.fromstring(registers).find(_tag("memoryMaps"))
    if maps is None or (block := maps.find(f"{_tag('memoryMap')}/{_tag('addressBlock')}")) is None:
        raise ValueError("registers must be an IP-XACT component with a memory map")
    for child in block:
        if child.tag == _tag("range"):
            child.text = str(1 << addr_width_bits)
    return maps


def _version() -> str:
    """Return our version as Vivado takes one: two numbers."""
    return ".".join(__version__.split(".")[:2])


def _interface(parent: Element, name: str, bus: str, kind: str) -> Element:
    """Add the start of a bus interface; ``kind`` is ``interface`` or ``signal``, a library of Xilinx's buses."""
    interface = _add(parent, "busInterface")
    _add(interface, "name", name)
    for element, suffix in (("busType", ""), ("abstractionType", "_rtl")):
        _add(interface, element, vendor="xilinx.com", library=kind, name=bus + suffix, version="1.0")
    return interface


def _maps(interface: Element, names: Iterable[tuple[str, str]]) -> None:
    """Say which port is which signal of the bus."""
    maps = _add(interface, "portMaps")
    for logical, physical in names:
        entry = _add(maps, "portMap")
        _add(_add(entry, "logicalPort"), "name", logical)
        _add(_add(entry, "physicalPort"), "name", physical)


def _parameters(interface: Element, values: dict[str, object]) -> None:
    parameters = _add(interface, "parameters")
    for name, value in values.items():
        parameter = _add(parameters, "parameter")
        _add(parameter, "name", name)
        _add(parameter, "value", value)


def _of_bus(ports: list[Port], bus: str) -> list[tuple[str, str]]:
    return [(p.name.removeprefix(f"{bus}_").upper(), p.name) for p in ports if p.name.startswith(f"{bus}_")]


def _registers_interface(parent: Element, ports: list[Port], memory_map: str) -> None:
    interface = _interface(parent, _REGISTERS, "aximm", "interface")
    _add(_add(interface, "slave"), "memoryMapRef", memoryMapRef=memory_map)
    _maps(interface, _of_bus(ports, _REGISTERS))
    _parameters(interface, {"PROTOCOL": "AXI4LITE"})


def _memory_interface(parent: Element, ports: list[Port], config: NicConfig) -> None:
    interface = _interface(parent, _MEMORY, "aximm", "interface")
    _add(_add(interface, "master"), "addressSpaceRef", addressSpaceRef=_MEMORY)
    _maps(interface, _of_bus(ports, _MEMORY))
    _parameters(interface, {"PROTOCOL": "AXI4", "DATA_WIDTH": config.axi_width_bits})


def _signal(parent: Element, port: str, bus: str, logical: str, *, slave: bool, **parameters: object) -> None:
    """Add an interface of one signal."""
    interface = _interface(parent, port, bus, "signal")
    _add(interface, "slave" if slave else "master")
    _maps(interface, [(logical, port)])
    _parameters(interface, parameters)


def _model(root: Element, ports: list[Port]) -> None:
    model = _add(root, "model")
    views = _add(model, "views")
    for name, use, files in (
        ("xilinx_anylanguagesynthesis", "synthesis", _SYNTHESIS),
        ("xilinx_anylanguagebehavioralsimulation", "simulation", _SIMULATION),
    ):
        view = _add(views, "view")
        _add(view, "name", name)
        _add(view, "envIdentifier", f":vivado.xilinx.com:{use}")
        _add(view, "language", "Verilog")
        _add(view, "modelName", NIC_TOP)
        _add(_add(view, "fileSetRef"), "localName", files)
    elements = _add(model, "ports")
    for port in ports:
        element = _add(elements, "port")
        _add(element, "name", port.name)
        wire = _add(element, "wire")
        _add(wire, "direction", "in" if port.is_input else "out")
        if port.width_bits > 1:
            vector = _add(wire, "vector")
            _add(vector, "left", port.width_bits - 1)
            _add(vector, "right", 0)
        if port.is_input and port.name not in ("clk", "rst"):
            _add(_add(wire, "driver"), "defaultValue", 0)  # What nobody connects in a block design.


def _files(root: Element) -> None:
    sets = _add(root, "fileSets")
    for name in (_SYNTHESIS, _SIMULATION):
        files = _add(sets, "fileSet")
        _add(files, "name", name)
        file = _add(files, "file")
        _add(file, "name", _SOURCE)
        _add(file, "fileType", "verilogSource")


def _families(root: Element) -> None:
    """Name the families that Vivado is to offer it for, which the standard has no words for."""
    extensions = SubElement(_add(root, "vendorExtensions"), f"{{{_XILINX}}}coreExtensions")
    families = SubElement(extensions, f"{{{_XILINX}}}supportedFamilies")
    for name in _FAMILIES:
        SubElement(families, f"{{{_XILINX}}}family", {f"{{{_XILINX}}}lifeCycle": "Production"}).text = name
    SubElement(extensions, f"{{{_XILINX}}}displayName").text = "hardwire NIC"

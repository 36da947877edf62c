"""Link aggregation with Open vSwitch at the other end, in real time; it speaks LACP by itself, without the kernel."""

import fcntl
import os
import select
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_napi import napi_enable
from hardwire.stack.core.dev_register import dev_open, register_netdevice
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.net import Kernel
from hardwire.stack.drivers.bonding import BondMode, IflaBond, IflaBondSlave, XmitPolicy, bond_link_ops, bond_newlink
from hardwire.stack.iproute import addr_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import icmp
from hardwire.tb.stack.linux_peer import can_make_namespaces
from hardwire.tb.stack.pair import WireDevice

pytestmark = pytest.mark.skipif(
    not can_make_namespaces() or not all(map(shutil.which, ("ovs-vswitchd", "ovsdb-server", "ovs-vsctl"))),
    reason="needs root, ip, /dev/net/tun and Open vSwitch",
)

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 2, 0x1000
IN_STEP = 0x3F  # Active, fast, aggregatable, in step, collecting, distributing.


class OpenVswitch:
    """A bridge br0, 10.0.8.2/24, with a bond of two TAP devices, in a namespace of its own."""

    def __init__(self, folder: Path) -> None:
        self.name = f"hardwire-ovs{os.getpid()}"
        self.folder = folder
        self.fds: list[int] = []
        self.processes: list[subprocess.Popen] = []
        self.environment = os.environ | {name: str(folder) for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR")}

    def run(self, *words: str) -> str:
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=self.environment)
        return done.stdout

    def start(self, *words: str) -> None:
        inside = ("ip", "netns", "exec", self.name, *words, "--log-file")
        self.processes.append(subprocess.Popen(inside, env=self.environment, stderr=subprocess.DEVNULL))

    def __enter__(self) -> "OpenVswitch":
        self.run("ip", "netns", "add", self.name)
        try:
            for number in range(2):
                device = f"o{os.getpid()}-{number}"
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                self.fds.append(fd)
                fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
                self.run("ip", "link", "set", device, "netns", self.name, "name", f"tap{number}")
                self.run("ip", "-n", self.name, "link", "set", f"tap{number}", "up")
            database = f"unix:{self.folder}/db.sock"
            self.run("ovsdb-tool", "create", f"{self.folder}/conf.db", *self.schema())
            self.start("ovsdb-server", f"{self.folder}/conf.db", f"--remote=p{database}")
            deadline = time.monotonic() + 10
            while not (self.folder / "db.sock").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            self.start("ovs-vswitchd", database, f"--unixctl={self.folder}/vswitchd.ctl", "--disable-system")
            vsctl = ("ovs-vsctl", f"--db={database}", "--timeout=20")
            self.run(*vsctl, "--no-wait", "init")
            self.run(*vsctl, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
            settings = ("lacp=active", "bond_mode=balance-tcp", "other_config:lacp-time=fast")
            self.run(*vsctl, "add-bond", "br0", "bond0", "tap0", "tap1", *settings)
            self.run("ip", "-n", self.name, "link", "set", "br0", "up")
            self.run("ip", "-n", self.name, "address", "add", "10.0.8.2/24", "dev", "br0")
        except BaseException:
            self.__exit__()
            raise
        return self

    @staticmethod
    def schema() -> list[str]:
        """Return where the schema is, if it is not where the program looks for it."""
        tool = shutil.which("ovsdb-tool")
        beside = Path(tool or "/usr/bin/x").parent.parent / "share/openvswitch/vswitch.ovsschema"
        return [str(beside)] if beside.exists() else []

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
            process.wait()
        for fd in self.fds:
            os.close(fd)
        self.run("ip", "netns", "del", self.name)

    def members(self) -> list[str]:
        """Return what it says of the ports: ``current attached`` of those that are in use."""
        told = self.run("ovs-appctl", "-t", f"{self.folder}/vswitchd.ctl", "lacp/show", "bond0")
        return [line.partition(": ")[2].partition(": ")[2] for line in told.splitlines() if line.startswith("member: ")]


class Host:
    """Ours: a bond of two devices whose frames go to the TAP devices and come from there, as time passes."""

    def __init__(self, fds: list[int]) -> None:
        self.fds = fds
        self.platform = FakePlatform()
        self.net = Kernel(self.platform).init_net
        options = {IflaBond.MODE: BondMode.AD, IflaBond.AD_LACP_RATE: 1, IflaBond.XMIT_HASH_POLICY: XmitPolicy.LAYER34}
        self.bond = bond_newlink(self.net, "bond0", options)
        self.devs = [WireDevice(self.net, bytes((2, 0, 0, 0, 0, 0x10 + number))) for number in range(2)]
        for dev in self.devs:
            register_netdevice(dev)
            napi_enable(dev.napi)
            do_set_master(dev, self.bond)
        dev_open(self.bond)
        addr_add(self.bond, "10.0.8.1/24")
        self.silent: set[int] = set()
        self.started_ns = time.monotonic_ns()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for fd in select.select(self.fds, [], [], 0.005)[0]:
                number = self.fds.index(fd)
                frame = os.read(fd, 65536)
                if number not in self.silent:
                    self.devs[number].receive(frame)
            self.platform.advance(time.monotonic_ns() - self.started_ns - self.platform.time_ns)
            for number, dev in enumerate(self.devs):
                for frame in dev.sent:
                    if number not in self.silent:
                        os.write(self.fds[number], frame)
                dev.sent.clear()

    def states(self) -> list[int]:
        """Return what the ports say of themselves."""
        return [bond_link_ops.fill_slave_info(dev).get(IflaBondSlave.AD_ACTOR_OPER_PORT_STATE, 0) for dev in self.devs]

    def until(self, condition, seconds: float = 20) -> None:
        """Let time pass until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.states(), self.silent)
            self.run(0.05)

    def ping(self, count: int = 20) -> list[int]:
        """Ping the other end by several flows, all answered; return how many frames each device sent."""
        sock = self.net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)
        before = [dev.stats.tx_packets for dev in self.devs]
        for number in range(count):
            ident = (0x100 + number).to_bytes(2, "big")
            sock.sendto(icmp(8, rest=ident + b"\0\1"), ("10.0.8.2", 0))
            self.until(lambda ident=ident: any(p[20] == 0 and p[24:26] == ident for p in received(sock)))
        sock.close()
        return [dev.stats.tx_packets - old for dev, old in zip(self.devs, before, strict=True)]


def received(sock):
    """Yield the packets that a socket has."""
    while True:
        try:
            yield sock.recvfrom(2000, api.MSG_DONTWAIT)[0]
        except BlockingIOError:
            return


def test_a_bond_and_open_vswitch_agree_lose_a_link_and_agree_again(tmp_path):
    with OpenVswitch(tmp_path) as switch:
        host = Host(switch.fds)

        def agreed() -> bool:
            return host.states() == [IN_STEP] * 2 and switch.members() == ["current attached"] * 2

        host.until(agreed)
        assert min(host.ping()) > 3
        host.silent = {1}
        host.until(lambda: host.states()[1] != IN_STEP and switch.members()[1] != "current attached")
        host.run(1)
        assert host.ping()[0] >= 20
        host.silent = set()
        host.until(agreed, 40)
        assert min(host.ping()) > 3

"""``asyncio`` on simulated hosts: a loop each, in one process and one time, over stack, driver and RTL."""

import asyncio
import sys
from errno import ECONNREFUSED
from socket import gaierror
from typing import Any

import pytest

from hardwire.sim.lan import Lan
from hardwire.sim.world import World
from hardwire.stack.asyncio import EventLoop, run
from hardwire.stack.selectors import EVENT_READ, EVENT_WRITE, PollSelector

THERE = "10.0.0.2"


@pytest.fixture
def lan() -> Lan:
    return Lan(World(seed=1), 2)


def both(lan: Lan, here: Any, there: Any) -> list[Any]:
    """Run a coroutine on each host; return their results."""
    tasks = [lan.world.spawn(run, machine.net, main) for machine, main in zip(lan.machines, (here, there), strict=True)]
    lan.world.join(tasks)
    return [task.result for task in tasks]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(5000):
        writer.write(octets)
        await writer.drain()
    writer.close()


async def serve_for(seconds: float) -> str:
    async with await asyncio.start_server(echo, "", 9000) as server:
        try:
            await asyncio.wait_for(server.serve_forever(), seconds)
        except TimeoutError:
            return "served"
    return "ended"


async def ask(number: int) -> bool:
    reader, writer = await asyncio.open_connection(THERE, 9000)
    text = b"%d" % number * 20_000
    writer.write(text)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer == text


async def ask_all() -> list[bool]:
    await asyncio.sleep(0.001)
    return await asyncio.gather(*map(ask, range(5)))


def test_streams_of_several_connections_are_echoed_in_simulated_time(lan: Lan) -> None:
    assert both(lan, ask_all(), serve_for(3)) == [[True] * 5, "served"]
    assert 3 <= lan.world.now_ns / 1e9 < 3.01
    assert not any(machine.kernel.files for machine in lan.machines)


def test_a_server_that_is_not_there_refuses(lan: Lan) -> None:
    async def main() -> int | None:
        with pytest.raises(OSError, match="refused|Connect call failed") as caught:
            await asyncio.open_connection(THERE, 9)
        return caught.value.errno

    assert lan.world.run(run, lan.machines[0].net, main()) == ECONNREFUSED
    assert not lan.machines[0].kernel.files


class Datagrams(asyncio.DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.came.put_nowait((data, addr))


def test_datagrams_go_there_and_back(lan: Lan) -> None:
    async def there() -> None:
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (THERE, 7))
        data, peer = await protocol.came.get()
        transport.sendto(data[::-1], peer)
        transport.close()

    async def here() -> Any:
        await asyncio.sleep(0.001)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Datagrams, remote_addr=(THERE, 7))
        transport.sendto(b"hello")
        try:
            return await asyncio.wait_for(protocol.came.get(), 1)
        finally:
            transport.close()

    assert both(lan, here(), there()) == [(b"olleh", (THERE, 7)), None]


def test_a_timer_of_the_world_may_call_into_a_loop_that_waits(lan: Lan) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        machine.host.timer(2_000_000, lambda: loop.call_soon_threadsafe(event.set))
        await event.wait()
        return loop.time()

    machine = lan.machines[0]
    assert lan.world.run(run, machine.net, main()) == 0.002


def test_each_task_sees_the_loop_of_its_own_host(lan: Lan) -> None:
    async def main() -> set[Any]:
        seen = set()
        for _ in range(3):
            loop = asyncio.get_running_loop()
            assert isinstance(loop, EventLoop)
            seen.add(loop.net)
            await asyncio.sleep(0.001)
        return seen

    assert both(lan, main(), main()) == [{machine.net} for machine in lan.machines]


def test_nothing_of_a_loop_stays_in_the_thread(lan: Lan) -> None:
    async def main(seconds: float) -> Any:
        await asyncio.sleep(seconds)
        return sys.get_asyncgen_hooks()

    before = sys.get_asyncgen_hooks()
    first, second = both(lan, main(0.001), main(0.002))  # The first one ends while the other waits.
    assert len({first, second, before}) == 3
    assert sys.get_asyncgen_hooks() == before


def test_a_reader_can_be_given_as_a_socket_and_taken_away(lan: Lan) -> None:
    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        with loop.net.socket() as sock:
            sock.setblocking(False)
            for _ in range(2):
                loop.add_reader(sock, pytest.fail)
            return [loop.remove_reader(sock), loop.remove_reader(sock)]

    assert lan.world.run(run, lan.machines[0].net, main()) == [True, False]


def test_what_is_no_address_is_refused(lan: Lan) -> None:
    async def main() -> None:
        with pytest.raises(gaierror, match="'there' is no IPv4 address"):
            await asyncio.open_connection("there", 9)
        with pytest.raises(ValueError, match="make a server for each"):
            await asyncio.start_server(echo, [THERE, "10.0.0.3"], 9)

    lan.world.run(run, lan.machines[0].net, main())
    assert not lan.machines[0].kernel.files


def test_the_selector_waits_for_a_stream_in_each_direction(lan: Lan) -> None:
    from hardwire.stack import socket as api

    a, b = (machine.net for machine in lan.machines)
    listener = b.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind((THERE, 9000))
    listener.listen()

    def main() -> None:
        client = a.socket(api.AF_INET, api.SOCK_STREAM)
        client.setblocking(False)
        with PollSelector(a.kernel) as selector:
            with pytest.raises(BlockingIOError):
                client.connect((THERE, 9000))
            selector.register(client, EVENT_READ | EVENT_WRITE, "mine")
            with pytest.raises(KeyError, match="already"):
                selector.register(client.fileno(), EVENT_READ)
            [(key, events)] = selector.select()
            assert (key.fileobj, key.data, events) == (client, "mine", EVENT_WRITE)
            selector.modify(client, EVENT_READ)
            assert selector.select(0.01) == []
            peer, _ = listener.accept()
            peer.sendall(b"x" * 100_000)
            assert [events for _, events in selector.select()] == [EVENT_READ]
            assert selector.get_key(client) is selector.get_map()[client.fileno()]
            client.close()
            assert selector.unregister(client).events == EVENT_READ
            with pytest.raises(KeyError, match="not registered"):
                selector.unregister(client)

    lan.world.run(main)

"""Host memory that answers after a fixed number of cycles, however much is under way."""

from collections import deque

from cocotb.triggers import RisingEdge

__all__ = ["LatentMemory"]


class LatentMemory:
    """Answers on the ports ``axi_read_*`` and ``axi_write_*``; with a latency of 0, in the cycle after the request.

    It takes every request at once and gives one beat a cycle; the strobes of a beat are one run.
    """

    def __init__(self, dut, target, *, latency: int) -> None:
        self._dut = dut
        self._target = target
        self._latency = latency

    async def run(self) -> None:
        """Serve both directions for ever."""
        dut = self._dut
        for name in ("read_rvalid", "read_rid", "read_rresp", "write_bvalid", "write_bid", "write_bresp"):
            getattr(dut, f"axi_{name}").value = 0
        for name in ("read_arready", "write_awready", "write_wready"):
            getattr(dut, f"axi_{name}").value = 1
        beats: deque[tuple[int, int, bool]] = deque()
        answers: deque[tuple[int, int]] = deque()
        addresses: deque[tuple[int, int]] = deque()
        answer = 0
        now, octets = 0, len(dut.axi_read_rdata) // 8
        place: int | None = None
        while True:
            await RisingEdge(dut.clk)
            now += 1
            if dut.axi_read_arvalid.value:
                address, count = int(dut.axi_read_araddr.value), int(dut.axi_read_arlen.value) + 1
                step = 1 << int(dut.axi_read_arsize.value)
                beats += [(now + self._latency, address + step * n, n == count - 1) for n in range(count)]
            if beats and beats[0][0] <= now:
                _, address, last = beats.popleft()
                dut.axi_read_rdata.value = int.from_bytes(
                    await self._target.read(address // octets * octets, octets), "little"
                )
                dut.axi_read_rlast.value = last
                dut.axi_read_rvalid.value = 1
            else:
                dut.axi_read_rvalid.value = 0

            if dut.axi_write_awvalid.value:
                addresses.append((int(dut.axi_write_awaddr.value), int(dut.axi_write_awid.value)))
            if dut.axi_write_wvalid.value:
                if place is None:
                    place, answer = addresses.popleft()
                    place = place // octets * octets
                data = int(dut.axi_write_wdata.value).to_bytes(octets, "little")
                lanes = int(dut.axi_write_wstrb.value)
                first = (lanes & -lanes).bit_length() - 1
                await self._target.write(place + first, data[first : lanes.bit_length()])
                place += octets
                if dut.axi_write_wlast.value:
                    answers.append((now + self._latency, answer))
                    place = None
            due = bool(answers) and answers[0][0] <= now
            if not dut.axi_write_bvalid.value or dut.axi_write_bready.value:
                dut.axi_write_bvalid.value = due
                if due:
                    dut.axi_write_bid.value = answers.popleft()[1]

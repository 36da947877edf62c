"""The registers of a queue, the same for both ways."""

from .model import Access, Block, Field, Register, word

__all__ = ["RXQ", "TXQ"]

RO, RW, W1C, PULSE = Access.RO, Access.RW, Access.W1C, Access.PULSE


def _queue(name: str, base: int, *, enable: str, reset: str, idle: str, tail: str) -> Block:
    """Return the registers of the queues of one way; the texts are what differs."""
    way = name[:2]
    return Block(
        name,
        base,
        f"One {way.upper()} queue.",
        (
            Register(
                "CTRL",
                0x00,
                "Control.",
                (Field("enable", 0, 1, RW, enable), Field("reset", 1, 1, PULSE, reset)),
            ),
            Register(
                "STATUS",
                0x04,
                "State.",
                (
                    Field("running", 0, 1, RO, "Enabled, or still draining."),
                    Field("idle", 1, 1, RO, idle),
                    Field("resetting", 2, 1, RO, "A reset is under way."),
                ),
            ),
            word("BASE_LO", 0x08, RW, "Bus address of the descriptors; aligned to the ring's size."),
            word("BASE_HI", 0x0C, RW, "High half of the same."),
            word(
                "CPL_BASE_LO",
                0x10,
                RW,
                "Bus address of the completion ring; aligned likewise. As many entries as descriptors.",
            ),
            word("CPL_BASE_HI", 0x14, RW, "High half of the same."),
            Register(
                "SIZE",
                0x18,
                "Size of both rings.",
                (Field("log2", 0, 4, RW, f"log2 of the number of descriptors, 1 to QUEUES.{way}_ring_log2_max.", 1),),
            ),
            Register(
                "TAIL",
                0x1C,
                "Doorbell.",
                (Field("index", 0, 16, RW, tail),),
            ),
            Register(
                "HEAD", 0x20, "Progress.", (Field("index", 0, 16, RO, "The descriptor after the last one completed."),)
            ),
            Register("CPL_HEAD", 0x24, "Progress.", (Field("index", 0, 16, RO, "The completion to be written next."),)),
            Register(
                "CPL_TAIL",
                0x28,
                "Completions seen.",
                (
                    Field("index", 0, 16, RW, "The completion that the driver will look at next."),
                    Field("arm", 31, 1, PULSE, "Clear IRQ.pending, set IRQ.enable and start moderation over."),
                ),
            ),
            Register(
                "IRQ_COUNT",
                0x2C,
                "Interrupt moderation by count.",
                (Field("completions", 0, 16, RW, "Interrupt when as many completions are unseen; 0 counts as 1.", 1),),
            ),
            Register(
                "IRQ_TIME",
                0x30,
                "Interrupt moderation by time.",
                (
                    Field(
                        "cycles",
                        0,
                        24,
                        RW,
                        "Interrupt this long after the first unseen completion, in core clock cycles; 0: at once.",
                    ),
                ),
            ),
            Register(
                "IRQ",
                0x34,
                "Interrupt. The line is pending & enable.",
                (
                    Field("enable", 0, 1, RW, "The line may rise."),
                    Field("pending", 1, 1, W1C, "The moderation condition was met; stays till cleared here or by arm."),
                ),
            ),
        ),
        count=16,
        stride=0x100,
    )


TXQ = _queue(
    "txq",
    0x1000,
    enable="Cleared: stop in order, after all that was posted by then is sent.",
    reset="Complete what was fetched and not sent as ABORTED, then clear all indices and enable.",
    idle="Nothing fetched that is not completed, and no completion write under way.",
    tail="The descriptor after the last one posted.",
)
RXQ = _queue(
    "rxq",
    0x2000,
    enable="Cleared: stop in order, after the frame under way is completed.",
    reset="The same, then clear all indices and enable; descriptors that no completion covers are forgotten.",
    idle="No frame under way, and no completion write.",
    tail="The descriptor after the last one posted.",
)

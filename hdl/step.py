"""Small counters in gates: for up to about six bits they are smaller than a carry chain with what leads in and out."""

from amaranth.hdl import Cat, Value, ValueLike

__all__ = ["one_less", "one_more"]


def one_more(value: Value, carry: ValueLike = 1) -> Value:
    """Return ``value`` plus one, or plus a carry that may be 0, in the same number of bits."""
    return value ^ Cat(carry, *(value[:bit].all() & carry for bit in range(1, len(value))))


def one_less(value: Value) -> Value:
    """Return ``value`` minus one, in the same number of bits."""
    return value ^ Cat(1, *(~value[:bit].any() for bit in range(1, len(value))))

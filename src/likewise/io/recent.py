"""A memory of bounded size for what is slow to make and asked for again and again."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key; when they take more than `limit` bytes, those unused for longest are forgotten.

    Args:
        limit: in bytes. A value larger than that is made anew each time.
        size: how many bytes a value takes.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self.limit = limit
        self.size = size
        self.bytes = 0
        self.values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of the key, made if it is not remembered."""
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = make()
        self.values[key] = value
        self.bytes += self.size(value)
        while self.bytes > self.limit:
            _, forgotten = self.values.popitem(last=False)
            self.bytes -= self.size(forgotten)
        return value

"""A total map from page numbers to small integers, kept as maximal runs: state costs its fragments."""

from bisect import bisect_right
from collections.abc import Iterator

import msgspec


class IntervalMap(msgspec.Struct):
    """Run k covers [starts[k], starts[k + 1]) and has values[k]; the last run has no end.

    Adjacent runs always differ, so equal maps have equal fields. Pages are non-negative.
    """

    starts: list[int]
    values: list[int]

    @classmethod
    def filled(cls, value: int) -> "IntervalMap":
        """The map that is `value` everywhere."""
        return cls([0], [value])

    def get(self, page: int) -> int:
        """The value at `page`."""
        return self.values[bisect_right(self.starts, page) - 1]

    def set(self, start: int, end: int, value: int) -> None:
        """Give every page of [start, end) the value; neighbours of equal value are joined."""
        assert 0 <= start < end, f"empty or negative range {start:#x}..{end:#x}"
        starts, values = self.starts, self.values
        first = bisect_right(starts, start) - 1
        if starts[first] == start:
            first -= 1
        last = bisect_right(starts, end, lo=first + 1) - 1
        after = values[last]
        new_starts, new_values = [], []
        if first < 0 or values[first] != value:
            new_starts.append(start)
            new_values.append(value)
        if starts[last] == end:
            tail = last + (after == value)
        else:
            tail = last + 1
            if after != value:
                new_starts.append(end)
                new_values.append(after)
        starts[first + 1 : tail] = new_starts
        values[first + 1 : tail] = new_values

    def runs(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The runs that meet [start, end), cut to it: (start, end, value), in order."""
        starts, values = self.starts, self.values
        at = bisect_right(starts, start) - 1
        stop = len(starts)
        while start < end:
            run_end = starts[at + 1] if at + 1 < stop else end
            cut = min(run_end, end)
            yield start, cut, values[at]
            start = cut
            at += 1

    def run_at(self, page: int, limit: int) -> tuple[int, int]:
        """(end, value) of the run that holds `page`, its end cut to `limit`."""
        at = bisect_right(self.starts, page) - 1
        end = self.starts[at + 1] if at + 1 < len(self.starts) else limit
        return min(end, limit), self.values[at]

    def only(self, start: int, end: int, value: int) -> bool:
        """True when every page of [start, end) has the value."""
        return self.run_at(start, end) == (end, value)

    def pages(self, start: int, end: int, value: int) -> int:
        """How many pages of [start, end) have the value."""
        return sum(e - s for s, e, v in self.runs(start, end) if v == value)

    @property
    def fragments(self) -> int:
        """Number of runs."""
        return len(self.starts)

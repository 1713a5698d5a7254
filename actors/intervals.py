"""A total map from page numbers to small integers, kept as maximal runs: state costs its fragments."""

from bisect import bisect_left, bisect_right

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

    @classmethod
    def of(cls, runs: list[tuple[int, int, int]], rest: int) -> "IntervalMap":
        """The map of these runs, which adjoin and differ, and `rest` everywhere else, which none of them has."""
        if len(runs) == 1 and runs[0][0]:  # most are
            start, end, value = runs[0]
            return cls([0, start, end], [rest, value, rest])
        starts, values = ([0], [rest]) if runs[0][0] else ([], [])
        for start, _, value in runs:
            starts.append(start)
            values.append(value)
        starts.append(runs[-1][1])
        values.append(rest)
        return cls(starts, values)

    def get(self, page: int) -> int:
        """The value at `page`."""
        return self.values[bisect_right(self.starts, page) - 1]

    def set(self, start: int, end: int, value: int) -> None:
        """Give every page of [start, end) the value; neighbours of equal value are joined."""
        assert 0 <= start < end, f"empty or negative range {start:#x}..{end:#x}"
        starts, values = self.starts, self.values
        at = bisect_right(starts, start)
        first = last = at - 1
        # Nearly all changes are one of two: a run is made inside another, or such a run is taken back.
        if at == len(starts) or end < starts[at]:
            if values[first] == value:
                return
            if starts[first] != start:
                starts[at:at] = start, end
                values[at:at] = value, values[first]
                return
        elif (
            end == starts[at]
            and values[at] == value
            and starts[first] == start
            and first
            and values[first - 1] == value
        ):
            del starts[first : at + 1], values[first : at + 1]
            return
        if last + 1 < len(starts) and starts[last + 1] <= end:
            last = bisect_right(starts, end, last + 1) - 1
        after = values[last]
        if after == value and first == last:
            return
        if starts[first] == start:
            first -= 1
        joins = first >= 0 and values[first] == value  # the run before
        tail = last + (after == value or starts[last] != end)
        if after == value or starts[last] == end:
            starts[first + 1 : tail] = () if joins else (start,)
            values[first + 1 : tail] = () if joins else (value,)
        else:
            starts[first + 1 : tail] = (end,) if joins else (start, end)
            values[first + 1 : tail] = (after,) if joins else (value, after)

    def runs(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The runs that meet [start, end), cut to it: (start, end, value), in order."""
        starts, values = self.starts, self.values
        after = bisect_right(starts, start)
        if after == len(starts) or starts[after] >= end:
            return [(start, end, values[after - 1])] if start < end else []
        last = bisect_left(starts, end, after)
        edges = [start, *starts[after:last], end]
        return list(zip(edges, edges[1:], values[after - 1 : last], strict=False))

    def run_at(self, page: int, limit: int) -> tuple[int, int]:
        """(end, value) of the run that holds `page`, its end cut to `limit`."""
        at = bisect_right(self.starts, page) - 1
        end = self.starts[at + 1] if at + 1 < len(self.starts) else limit
        return min(end, limit), self.values[at]

    def only(self, start: int, end: int, value: int) -> bool:
        """True when every page of [start, end) has the value."""
        starts = self.starts
        at = bisect_right(starts, start)
        return self.values[at - 1] == value and (at == len(starts) or end <= starts[at])

    def pages(self, start: int, end: int, value: int) -> int:
        """How many pages of [start, end) have the value."""
        found = 0
        for first, last, has in self.runs(start, end):
            if has == value:
                found += last - first
        return found

    @property
    def fragments(self) -> int:
        """Number of runs."""
        return len(self.starts)

"""A sweep's points and answers as cells of text, for the terminal, the report and points.csv."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workloads.outcome.figures import NONE, UNITS, number, plain, share
from workloads.outcome.seeds import from_json

Found = Mapping[str, Any]
NAMES_MAX = 3
CODE_DIGITS = 12  # of the sources' hash, for people
ENDS = ("", "_low", "_high")
OWN = ("relieved", "held", "seeds", "verdict")  # columns of points.csv between places and measures
# The mean share of those seeds that can tell; seeds that cannot.
LEFT_OUT = ("left_out", "cannot_tell")
BORNE_OUT = {"yes": "", "no": ", in vain relieved", "unchecked": ", unchecked", "": ""}
UNNAMED = {False: "none", True: "unknown"}  # by whether a limit was met
OK = {True: "holds", False: "does not hold", None: "unknown"}
HELD = {True: "holds", False: "missed", None: NONE}


def places(found: Found) -> list[str]:
    """What the points differ in: the axes, and what was searched."""
    names = [axis["name"] for axis in found["axes"]]
    return names + ([found["search"]["name"]] if found["search"] else [])


def titled(found: Found) -> list[str]:
    """The same with their units."""
    units = [axis["unit"] for axis in found["axes"]]
    units += [found["search"]["unit"]] if found["search"] else []
    return [
        name + (f", {unit}" if unit else "")
        for name, unit in zip(places(found), units, strict=True)
    ]


def relieves(found: Found) -> bool:
    """Were points run with a resource relieved?"""
    return any(row["relieved"] for row in found["rows"])


def point_head(found: Found) -> list[str]:
    """Heads of the table of points."""
    head = titled(found)
    head += ["relieved"] if relieves(found) else []
    head += ["objective"] if found["search"] else []
    head += ["left out"] if "warm_up" in found else []
    return head + [measure["name"] for measure in found["measures"]]


def point_rows(found: Found) -> Iterator[list[str]]:
    """Each point that is done: means with half their 95% intervals."""
    for row in found["rows"]:
        cells = [at(row["place"].get(name)) for name in places(found)]
        cells += [row["relieved"] or NONE] if relieves(found) else []
        cells += [HELD[row["held"]]] if found["search"] else []
        cells += [left_out(row.get("left_out", ()))] if "warm_up" in found else []
        yield cells + [
            UNITS[measure["unit"]](from_json(row["values"][measure["name"]]))
            for measure in found["measures"]
        ]


def left_out(shares: Sequence[float | None]) -> str:
    """Of the seeds' beginnings: 2.5% to 14%, 1 cannot tell."""
    known = [part for part in shares if part is not None]
    ends = dict.fromkeys(share(end) for end in (min(known), max(known))) if known else ()
    unlike = len(shares) - len(known)
    return ", ".join(filter(None, (" to ".join(ends), f"{unlike} cannot tell" if unlike else "")))


def at(value: Any) -> str:
    """A place on an axis."""
    if isinstance(value, bool):
        return str(value).lower()
    return NONE if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def answer_head(found: Found) -> list[str]:
    """Heads of the table of answers."""
    searched = titled(found)[-1]
    head = [*titled(found)[:-1], searched, "limited by", "used", "waiting", f"{searched}, relieved"]
    return [*head, "control"] if controlled(found) else head


def controlled(found: Found) -> bool:
    """Was a resource relieved that does not limit?"""
    return any(one["control"] for one in found["found"])


def answer_rows(found: Found) -> Iterator[list[str]]:
    """Each combination's answer, what limits it, the answer with more of that, and with more of what limits least."""
    for one in found["found"]:
        limit = one["resources"].get(one["limiting"], {})
        yield [
            *(at(one["place"].get(axis["name"])) for axis in found["axes"]),
            answer(one["answer"]),
            limit_of(one),
            share(limit.get("utilisation")),
            plain(limit.get("mean_waiting")),
            answer(one["relieved"]["answer"]) if one["relieved"] else NONE,
            *([control(one)] if controlled(found) else []),
        ]


def check_rows(found: Found) -> Iterator[tuple[str, str, str, str]]:
    """Each limit on a figure of the conclusion: the figure, the limit, what it is, whether that keeps to it."""
    figures = found["conclusion"]["figures"]
    for one in found["checks"]:
        name = one["name"]
        yield name, one["limit"], figures.get(name, {}).get("text", NONE), OK[one["ok"]]


def limited(found: Found) -> bool:
    """Was a limit met? Not where everything held, or nothing."""
    return found["value"] is not None and found["missed"] is not None


def limit_name(one: Found) -> str:
    """The resource; "none" where no limit was met, "unknown" where one was that nobody explains."""
    return one["limiting"] or UNNAMED[limited(one["answer"])]


def limit_of(one: Found) -> str:
    """And whether relieving it bears it out: mmu_lock; vmm, unchecked."""
    return limit_name(one) + BORNE_OUT[one.get("borne_out", "")]


def control(one: Found) -> str:
    """5,417 (iommu_queue)."""
    return f"{answer(one['control']['answer'])} ({one['idle']})" if one["control"] else NONE


def answer(found: Found) -> str:
    """The largest value at which the objective holds; a star where a larger one held, too."""
    if found["value"] is None:
        return "none"
    most = "at least " if found["most"] else ""
    return most + number(found["value"]) + ("" if found["monotone"] else "*")


def notes(found: Found) -> Iterator[str]:
    """What to know of the figures."""
    if found["search"]:
        limits = " and ".join(
            f"{name} {limit}" for name, limit in found["search"]["objective"].items()
        )
        yield (
            f"searched: the largest {found['search']['name']} from {found['search']['low']:g} to "
            f"{found['search']['high']:g} at which, in the mean over seeds, {limits}"
        )
        yield (
            "assumed: beyond the first miss all miss; the neighbours of each answer were run to look"
            + (
                ""
                if monotone(found)
                else ". * is where that is not so: the answer is one edge of several"
            )
        )
        if any(limit.endswith("x") for limit in found["search"]["objective"].values()):
            yield f"x: times what it is at {found['search']['low']:g}, for each combination of the axes"
        if controlled(found):
            yield "control: the resource that limits least relieved, which should gain little"
    if "warm_up" in found:
        yield warm_up(found["warm_up"])
    if found["closed_loops"]:
        yield "closed loop: who is slow is asked for less, so this is no offered load"
        yield from (f"  {line}" for line in found["closed_loops"])
    for keys, names in adjusted(found).items():
        yield f"ran with {keys}: {', '.join(names[:NAMES_MAX])}{', ...' if names[NAMES_MAX:] else ''}"


def warm_up(found: Found) -> str:
    """What latencies leave out."""
    runs, unlike = found["runs"], found["runs"] - found["cannot_tell"]
    parts = (
        f", {share(found['least'])} to {share(found['most'])} of its conversions" if unlike else ""
    )
    cannot = f"{number(found['cannot_tell'])} of {number(runs)} runs"
    rest = f"; in {cannot} it cannot tell, and nothing is left out of those"
    return f"latencies leave out each run's beginning, by MSER-5{parts}{rest if found['cannot_tell'] else ''}"


def adjusted(found: Found) -> dict[str, list[str]]:
    """What had to be changed for a protocol -> the points where it was."""
    names: dict[str, list[str]] = {}
    for name, changed in found["adjustments"].items():
        keys = ", ".join(f"{key} = {c['now']} (not {c['was']})" for key, c in changed.items())
        names.setdefault(keys, []).append(name)
    return names


def monotone(found: Found) -> bool:
    """Of every search."""
    return all(
        search["answer"]["monotone"]
        for one in found["found"]
        for search in filter(None, (one, one["relieved"], one["control"]))
    )


def csv_text(found: Found) -> str:
    """points.csv: a row for each point that is done; numbers as they are, in seconds, bytes and fractions."""
    names = [measure["name"] for measure in found["measures"]]
    asked = "warm_up" in found
    head = [*places(found), *OWN, *(LEFT_OUT if asked else ())]
    rows: list[Sequence[Any]] = [[*head, *(name + end for name in names for end in ENDS)]]
    for row in found["rows"]:
        place = [row["place"].get(name, "") for name in places(found)]
        place = [at(value) if isinstance(value, bool) else value for value in place]
        held = "" if row["held"] is None else str(row["held"]).lower()
        cells = [*place, row["relieved"], held, row["seeds"], row["verdict"]]
        if asked:
            shares = row.get("left_out", [])
            known = [part for part in shares if part is not None]
            cells += [sum(known) / len(known) if known else None, len(shares) - len(known)]
        for name in names:
            value = row["values"][name] or {}
            cells += [value.get(end) for end in ("mean", "low", "high")]
        rows.append(["" if cell is None else cell for cell in cells])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

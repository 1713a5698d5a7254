"""Hand-made rows of `gmemsim validate`."""

from workloads.validation.rows import NONE, Figure, Row, inside, within


def figure(**given) -> Figure:
    """Of one second, within a tenth, unless told otherwise."""
    known = {
        "id": "VT1",
        "kind": "predict",
        "what": "one",
        "unit": "s",
        "published": 1.0,
        "tolerance": within(0.1),
    }
    return Figure(**{**known, **given})


def rows() -> list[Row]:
    """One of each kind of verdict."""
    return [
        figure(kind="fit", published=68.0).row(67.9),
        figure(id="VT2", what="two", reason="told why").row(2.0),
        figure(
            id="VT6", what="six", published=15.0, tolerance=inside(10, 20, 0.1), band=(10.0, 20.0)
        ).row(15.0),
        figure(
            id="VT7", kind="report", what="seven", published=50.0, tolerance=NONE, reason="told too"
        ).row(60.0),
        figure(id="VT9", what="nine", unit="us", published=28.0).missing("told why"),
    ]

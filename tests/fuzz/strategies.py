"""What damaged and hostile inputs are made of."""

from typing import Any

from hypothesis import strategies as st

WILD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    -1e308,
    5e-324,
    "",
    "x",
    "\0",
    "\u2028é",
    "nan",
    "1ms",
    [],
    {},
    [None],
    {"a": 1},
)
SPLINTERS = (
    b"\0",
    b"\xff",
    b"\n",
    b"nan",
    b"-",
    b"9" * 400,
    b"inf",
    b"1e308",
    b",",
    b'"',
    b"[" * 2000,
)


@st.composite
def mangled(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut short, with a hole, with a splinter in it, or with a byte changed; several times."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        how = draw(st.sampled_from(["end", "hole", "splinter", "byte"]))
        if how == "end":
            del found[at:]
        elif how == "hole":
            del found[at : at + draw(st.integers(1, 60))]
        elif how == "splinter":
            found[at:at] = draw(st.sampled_from(SPLINTERS))
        else:
            found[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
    return bytes(found)


@st.composite
def changed(draw: st.DrawFn, tree: Any) -> Any:
    """A document of the same shape but for one place, where a value is wild, or missing."""
    if draw(st.integers(0, 5)) == 0 or not isinstance(tree, dict | list) or not tree:
        return draw(st.sampled_from(WILD))
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    key = draw(st.sampled_from(list(tree) if isinstance(tree, dict) else range(len(tree))))
    if draw(st.integers(0, 5)) == 0:
        del copy[key]
    else:
        copy[key] = draw(changed(copy[key]))
    return copy

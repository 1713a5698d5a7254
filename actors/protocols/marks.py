"""Ways to mark a page that could not be unmapped (docs/domain.md section 4.C'): what each names, and what it takes."""

from typing import NamedTuple

from actors.contract import Trace

NODE, SPLIT = "node", "split"


class Mark(NamedTuple):
    """One row of the table, by its `letter` there. What it is, `meaning` says in a few words.

    `whole`: it names the folio, whichever page it was. `takes`: memory on the error path, which nobody has set aside:
    a NODE of a list, without which it is the folio that is named; or what it takes to SPLIT the folio, without which
    nothing is. `survives`: struct pages of a huge folio that is optimised away (HVO) keep it. `fails`: whoever touches
    the page meets EHWPOISON, as if its memory had failed.
    """

    letter: str
    meaning: str
    trace: Trace
    whole: bool = False
    takes: str = ""
    survives: bool = True
    fails: bool = False


# By their names in scenarios. That a reference cannot be told from one that will go is in what guest_memfd does about
# it: it waits, or refuses. What e takes is set aside before anybody is asked (protocol C step 1), so it cannot lack.
MARKS: dict[str, Mark] = {
    "refcount": Mark("a", "a reference on the folio", Trace.REFERENCE, whole=True),
    "page-flag": Mark("b", "a flag of the page", Trace.FLAG, survives=False),
    "folio-flag": Mark("c", "a flag of the folio", Trace.FLAG, whole=True),
    "split-flag": Mark("d", "a flag of the page, once its folio is split", Trace.FLAG, takes=SPLIT),
    "callback": Mark("e", "a list in guest_memfd, by callback", Trace.CALLBACK),
    "folio-list": Mark("f", "a flag of the folio and a list of its pages", Trace.FLAG, takes=NODE),
    "hwpoison": Mark("g", "as memory that has failed", Trace.FLAG, takes=NODE, fails=True),
    "none": Mark("", "nothing", Trace.NONE),
}

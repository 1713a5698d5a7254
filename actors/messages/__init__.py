"""Every message, in the order in which a conversion meets them. Ranges are [start, end) in pages of 4 KiB.

`start` and `end` are guest frame numbers (gfn) except where a message says index (page offset in the guest_memfd).
`op` names one attempt of one conversion: the request's number << 16 | the attempt, which is how often a memory fault
has asked for the same before << 12 | the try. Tags are stable for ever.
"""

from actors.messages.access import *  # noqa: F403
from actors.messages.allocator import *  # noqa: F403
from actors.messages.death import *  # noqa: F403
from actors.messages.devices import *  # noqa: F403
from actors.messages.failure import *  # noqa: F403
from actors.messages.holes import *  # noqa: F403
from actors.messages.load import *  # noqa: F403
from actors.messages.notifiers import *  # noqa: F403
from actors.messages.protocol import *  # noqa: F403
from actors.messages.ranges import *  # noqa: F403
from actors.messages.tdx import *  # noqa: F403
from actors.messages.uses import *  # noqa: F403
from actors.messages.vmm import *  # noqa: F403

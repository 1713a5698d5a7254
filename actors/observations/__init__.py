"""Facts that actors report. Checkers, metrics and transcripts see these and nothing else.

Names follow docs/domain.md section 12. Ranges are [start, end) in gfn unless a fact says index; `vm` is the VM's base
address, durations are simulated ns. Adding a fact never changes what an actor does.
"""

from actors.observations.conversion import *  # noqa: F403
from actors.observations.devices import *  # noqa: F403
from actors.observations.faults import *  # noqa: F403
from actors.observations.frames import *  # noqa: F403
from actors.observations.guest import *  # noqa: F403
from actors.observations.kvm import *  # noqa: F403
from actors.observations.references import *  # noqa: F403
from actors.observations.tdx import *  # noqa: F403
from actors.observations.vmm import *  # noqa: F403

"""Fleet: which hosts do the work, and how VMs come, boot, move and go."""

from dashboards.board import Board, Row
from dashboards.panels import RED, YELLOW, Query, bars, lines, number
from dashboards.promql import per_second, percentiles, ratio, total

ANSWERED = "gmemsim_host_group_conversions_total"
IN_FLIGHT = "gmemsim_host_group_conversions_in_flight"
REQUESTS = "gmemsim_vm_requests_total"
PLACEMENT = "gmemsim_vm_placement_seconds"
BOOT = "gmemsim_boot_seconds"
MOVES = "gmemsim_vm_moves_total"
MOVING = "gmemsim_vm_moves_in_flight"
DOWNTIME = "gmemsim_vm_move_downtime_seconds"
EVACUATION = "gmemsim_host_evacuation_seconds"


def stage(name: str) -> str:
    """How many requests have come to it."""
    return total(REQUESTS, "", f'stage="{name}"')


HOSTS = Row(
    "Hosts: are they alike? (groups of hosts with numbers in a row, at most 16)",
    [
        lines(
            "Conversions answered by host group",
            "By wall clock. Hosts of one load are alike in the long run; a partition runs its "
            "hosts one after the other, so for a while one can be ahead.",
            [Query(per_second(ANSWERED, "host_group"), "hosts {{host_group}}")],
            "ops",
            stacked=True,
        ),
        bars(
            "In flight by host group",
            "Accepted and not answered, now. One group far above the others has hosts that cannot "
            "do what is asked of them, or more VMs.",
            Query(total(IN_FLIGHT, "host_group"), "hosts {{host_group}}"),
            "none",
        ),
        lines(
            "Failed for good by host group",
            "Share of what was answered. Faults that strike some hosts alone show here; elsewhere "
            "all groups are alike.",
            [
                Query(
                    ratio(
                        total(ANSWERED, "host_group", 'outcome="failed"'),
                        total(ANSWERED, "host_group"),
                    ),
                    "hosts {{host_group}}",
                )
            ],
            "percentunit",
            (0.001, YELLOW),
            (0.01, RED),
        ),
    ],
)
ARRIVALS = Row(
    "Arrivals: does everybody find a host?",
    [
        number(
            "Came",
            "Requests for a VM that the controller has got so far. Without arrivals all places "
            "are taken from the start, and this board has no more than zeros here.",
            Query(stage("came"), "VMs"),
            "none",
        ),
        number(
            "Placed",
            "A host has taken the VM. Good is as many as came, but for those of the last moments.",
            Query(stage("placed"), "VMs"),
            "none",
        ),
        number(
            "Turned away",
            "The controller's queue was full, or no place was left for good. Good is 0.",
            Query(stage("turned_away"), "VMs"),
            "none",
            (1, RED),
        ),
        number(
            "Queued",
            "Found no host to ask and had to wait. Some are normal near full; many are a fleet "
            "that is too small.",
            Query(stage("queued"), "VMs"),
            "none",
        ),
        number(
            "Refused by a host",
            "A host said no to the controller, whose picture of it was old; it asks another one. "
            "Some are normal.",
            Query(stage("refused"), "times"),
            "none",
        ),
        number(
            "Left",
            "VMs that departed by themselves. What was placed and has not left is there, or was "
            "lost to a failure.",
            Query(stage("left"), "VMs"),
            "none",
        ),
    ],
)
TIMES = Row(
    "Times: how long until a VM is of use? (simulated time)",
    [
        lines(
            "Placement",
            "From the request until the controller knows that a host has taken it. A millisecond "
            "is good; seconds are a queue.",
            percentiles(PLACEMENT),
            "s",
        ),
        lines(
            "Boot",
            "From a VM's start to the end of its boot load, here and in any run that boots. It "
            "grows with the boots that a host admits at once.",
            percentiles(BOOT),
            "s",
        ),
        lines(
            "Requests by stage",
            "By wall clock. Placed follows came in a fleet that is large enough; left follows "
            "placed, a lifetime later.",
            [Query(per_second(REQUESTS, "stage"), "{{stage}}")],
            "ops",
            width=24,
        ),
    ],
)
BETWEEN_HOSTS = Row(
    "Moves between hosts: does everybody get there? (all zeros where nobody moves)",
    [
        number(
            "Moved",
            "VMs that run at another host now, and whose old memory is free again.",
            Query(total(MOVES, "", 'outcome="moved"'), "VMs"),
            "none",
        ),
        number(
            "Moves that failed",
            "The VM goes on at its source, or is gone. A few are what links and full hosts do; "
            "where all fail, nothing can be emptied.",
            Query(total(MOVES, "", 'outcome!="moved"'), "moves"),
            "none",
            (1, YELLOW),
        ),
        number(
            "Moving now",
            "Begun and not over. Good is a number that goes back to 0; one that stays is a move "
            "that hangs.",
            Query(total(MOVING), "moves"),
            "none",
        ),
        lines(
            "Moves by outcome",
            "By wall clock. Good is moved alone. no_place is a fleet too full, unmovable memory "
            "that nobody may read, transfer_failed the link.",
            [Query(per_second(MOVES, "outcome"), "{{outcome}}")],
            "ops",
            stacked=True,
        ),
        lines(
            "Downtime",
            "Simulated time that a VM stands still, until it runs again. It grows with the memory "
            "that crosses the link and with the conversions that repeat at the target.",
            percentiles(DOWNTIME),
            "s",
        ),
        lines(
            "Evacuation",
            "Simulated time from when a host takes VMs no more until it is empty. Far above moves "
            "times downtime means moves that are tried again.",
            percentiles(EVACUATION),
            "s",
        ),
    ],
)
BOARD = Board(
    "gmemsim-fleet",
    "gmemsim: fleet",
    "Which hosts do the work, and how VMs come, boot, move and go.",
    (HOSTS, ARRIVALS, TIMES, BETWEEN_HOSTS),
)

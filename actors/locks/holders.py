"""Whom facts about locks call by which number: that of a conversion, or for what is none a number with a mark.

A request's number at guest_memfd has 60 bits at most (actors.contract.opportunity), so none reaches a mark.
"""

ACCEPT_OP = 1 << 60  # with an access: KVM heeds the level of its ACCEPT, or splits a leaf for it
FAULT_OP = 1 << 61  # with an access: a guest's page fault; at the allocator, too
RELEASE_OP = 1 << 62  # with a file's instance: its last close
INVALIDATION_OP = 1 << 63  # with an op: the begin or the end of its invalidation
HOST_FAULT_OP = (
    FAULT_OP | ACCEPT_OP
)  # with its ticket: a fault on a mapping of the file in the host

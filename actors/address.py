"""Who is who: an actor's address is one integer, host | file | vm | kind | instance; peers are found by arithmetic.

An address never depends on how many other actors there are, so that adding one changes nothing for the rest.
"""

from typing import NewType

Address = NewType("Address", int)

HOST_SHIFT, VM_SHIFT, KIND_SHIFT = 24, 8, 4
FILE_SHIFT = 22
VM_MASK = (1 << FILE_SHIFT) - (1 << VM_SHIFT)
ADDRESS_BITS = 41  # 17 bits of host, 2 of file, 14 of VM, 4 of kind, 4 of instance
FILES_MAX = 4  # of one inode
VMS_MAX = VM_MASK >> VM_SHIFT  # of one host: field 0 is the host itself

# Actors of a host (VM field 0).
ALLOCATOR, TDX, IOMMU = 0x00, 0x10, 0x20
# Only where VMs arrive: the fleet's controller, on host 0, and every host's agent.
CONTROLLER, AGENT = 0x30, 0x40
# Actors of a VM. guest_memfd instances are GMEM + 0 .. GMEM + 15.
LOAD, GUEST, VMM, KVM, HOST_MAP, PINS, GMEM = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60
DEVICES = 0xD0  # only where devices have DMA of their own

HOST_KINDS = {
    ALLOCATOR: "allocator",
    TDX: "tdx",
    IOMMU: "iommu",
    CONTROLLER: "controller",
    AGENT: "agent",
}
VM_KINDS = {
    LOAD: "load",
    GUEST: "guest",
    VMM: "vmm",
    KVM: "kvm",
    HOST_MAP: "host_map",
    PINS: "pins",
    GMEM: "gmem",
    DEVICES: "devices",
}
GMEMS_MAX = 16


def host_address(host: int) -> Address:
    """Base address of a host; `| TDX` and the like name its actors."""
    return Address(host << HOST_SHIFT)


def vm_address(host: int, vm: int) -> Address:
    """Base address of VM number `vm` (from 0) of a host; `| KVM` and the like name its actors."""
    return Address(host << HOST_SHIFT | (vm + 1) << VM_SHIFT)


def file_address(vm: int, file: int) -> Address:
    """Base address of the VM that has file number `file` of a VM's inodes; number 0 is the VM's own."""
    return Address(vm | file << FILE_SHIFT)


def file_of(address: int) -> int:
    """The number of the file whose VM the actor belongs to; 0 for all but VMs that share another one's inode."""
    return address >> FILE_SHIFT & FILES_MAX - 1


def owner_base(address: int) -> int:
    """Base address of the VM whose inode it is."""
    return vm_base(address) & ~(FILES_MAX - 1 << FILE_SHIFT)


def host_of(address: int) -> int:
    """The host's number."""
    return address >> HOST_SHIFT


def vm_of(address: int) -> int:
    """The VM's number within its host, whichever file of its inode is meant; -1 for an actor of the host itself."""
    return ((address & VM_MASK) >> VM_SHIFT) - 1


def host_base(address: int) -> int:
    """Base address of the host that `address` lives on."""
    return address >> HOST_SHIFT << HOST_SHIFT


def vm_base(address: int) -> int:
    """Base address of the VM (or of the host) that `address` belongs to."""
    return address >> VM_SHIFT << VM_SHIFT


def kind_of(address: int) -> str:
    """The field's own name for this kind of actor."""
    kinds = HOST_KINDS if vm_of(address) < 0 else VM_KINDS
    return kinds[address & 0xF0]


def name_of(address: int) -> str:
    """For people: `h3/tdx`, `h3/v7/kvm`, `h3/v7/gmem1`; `h3/v7.1/kvm` is another VM's, on file 1 of v7's inode."""
    vm, file, instance = vm_of(address), file_of(address), address & 0xF
    place = f"h{host_of(address)}" + (f"/v{vm}" if vm >= 0 else "") + (f".{file}" if file else "")
    return f"{place}/{kind_of(address)}{instance or ''}"

"""The KVM MMU of a VM: faults, walks under mmu_lock, invalidations, and vCPUs on their way in and out."""

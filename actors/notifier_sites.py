"""Who calls mmu_notifier_invalidate_range_start(), and who walks KVM's leaves from within: the mail's audit as data.

Names, marks and chains follow the public mail of 2025-06-05 that docs/domain.md section 2.8 cites, which read a kernel
of 6.16-rc1. What a site does to the page table entries is not in the mail: it is what the function is for, in our
reading.
"""

from typing import NamedTuple


class Caller(NamedTuple):
    """One caller. `number` is what messages carry, `mark` the mail's name for it ("5", "nb", "N2", "K3").

    `path` leads from the outermost function to the innermost; a chain of the mm `ends_in` a direct caller (0: in KVM).
    `no_fail` callers have no way to bear an error; those that are not `blocking` bear -EAGAIN and no other. Host
    entries that the caller `unmaps` come back by refault. One that `protects` only makes KVM's leaves read-only.
    """

    number: int
    mark: str
    path: tuple[str, ...]
    no_fail: bool
    unmaps: bool
    blocking: bool = True
    protects: bool = False
    ends_in: int = 0
    why: str = ""

    @property
    def label(self) -> str:
        """For people and results: the function, with the chain's mark before its outermost one."""
        return f"{self.mark} {self.path[0]}" if self.mark[0] in "NK" else self.path[0]


# Number, name, N where it cannot bear failure, and whether the entries are gone afterwards.
_N, _Y = True, False
_GONE, _STAY = True, False
# fmt: off
_DIRECT = (
    (1,  "clear_refs_write",              _Y, _STAY),
    (2,  "do_pagemap_scan",               _Y, _STAY),
    (3,  "uprobe_write_opcode",           _Y, _STAY),
    (4,  "do_huge_zero_wp_pmd",           _Y, _STAY),
    (5,  "__split_huge_pmd",              _N, _GONE),  # of a file: the entry goes and is faulted in small
    (6,  "__split_huge_pud",              _N, _GONE),
    (7,  "move_pages_huge_pmd",           _Y, _GONE),
    (8,  "copy_hugetlb_page_range",       _Y, _STAY),
    (9,  "hugetlb_unshare_pmds",          _N, _GONE),
    (10, "hugetlb_change_protection",     _Y, _STAY),
    (11, "hugetlb_wp",                    _Y, _STAY),
    (12, "unmap_hugepage_range",          _N, _GONE),
    (13, "move_hugetlb_page_tables",      _Y, _GONE),
    (14, "collapse_huge_page",            _Y, _STAY),
    (15, "retract_page_tables",           _Y, _GONE),
    (16, "collapse_pte_mapped_thp",       _Y, _GONE),
    (17, "write_protect_page",            _Y, _STAY),
    (18, "replace_page",                  _Y, _STAY),
    (19, "madvise_free_single_vma",       _Y, _STAY),
    (20, "wp_clean_pre_vma",              _Y, _STAY),
    (21, "wp_page_copy",                  _Y, _STAY),
    (22, "zap_page_range_single_batched", _N, _GONE),
    (23, "unmap_vmas",                    _N, _GONE),
    (24, "copy_page_range",               _Y, _STAY),
    (25, "remove_device_exclusive_entry", _Y, _STAY),
    (26, "migrate_vma_collect",           _Y, _GONE),
    (27, "__migrate_device_pages",        _Y, _STAY),
    (28, "change_pud_range",              _Y, _STAY),
    (29, "move_page_tables",              _Y, _GONE),
    (30, "page_vma_mkclean_one",          _Y, _STAY),
    (31, "try_to_unmap_one",              _Y, _GONE),
    (32, "try_to_migrate_one",            _Y, _GONE),
    (33, "make_device_exclusive",         _Y, _GONE),
    (34, "move_pages_pte",                _Y, _GONE),
)
# fmt: on
DIRECT = tuple(
    Caller(number, str(number), (name,), no_fail, unmaps)
    for number, name, no_fail, unmaps in _DIRECT
)
SPLIT_PMD, ZAP_SINGLE, UNMAP_VMAS = 5, 22, 23

OOM_REAPER = Caller(35, "nb", ("__oom_reap_task_mm",), no_fail=False, unmaps=True, blocking=False)


def _mm(number: int, ends_in: int, why: str, *path: str) -> Caller:
    """Chain N`number` of the mm, which ends in a direct caller."""
    path = (*path, DIRECT[ends_in - 1].path[0])
    return Caller(40 + number, f"N{number}", path, True, True, ends_in=ends_in, why=why)


def _kvm(number: int, why: str, *path: str, protects: bool = False) -> Caller:
    """Chain K`number` inside KVM."""
    return Caller(50 + number, f"K{number}", path, True, False, protects=protects, why=why)


MM_CHAINS = (
    _mm(1, SPLIT_PMD, "documented never to fail", "split_huge_pmd"),
    _mm(2, ZAP_SINGLE, "is handling an error already",
        "iomap_write_failed", "truncate_pagecache_range", "unmap_mapping_range"),
    _mm(3, ZAP_SINGLE, "cleans up half a mapping", "remap_pfn_range_notrack"),
    _mm(4, ZAP_SINGLE, "cleans up half a mapping", "perf_mmap", "map_range"),
    _mm(5, ZAP_SINGLE, "the poisoned page has to go", "__do_fault", "unmap_mapping_folio"),
    _mm(6, UNMAP_VMAS, "takes a driver's half mapping back", "mmap_region", "unmap_region"),
    _mm(7, ZAP_SINGLE, "returns nothing; the inode is going",
        "iput", "evict", "shmem_evict_inode", "unmap_mapping_folio"),
    _mm(8, UNMAP_VMAS, "the process ends", "exit_mmap"),
)  # fmt: skip
EXIT_MMAP = MM_CHAINS[7].number

KVM_CHAINS = (
    _kvm(1, "made to succeed always",
         "mmu_alloc_direct_roots", "kvm_mmu_get_shadow_page", "account_shadowed",
         "kvm_tdp_mmu_write_protect_gfn", protects=True),
    _kvm(2, "a release", "kvm_vfio_release", "kvm_arch_unregister_noncoherent_dma",
         "kvm_zap_gfn_range"),
    _kvm(3, "no caller looks", "__kvm_set_or_clear_apicv_inhibit", "kvm_zap_gfn_range"),
    _kvm(4, "hard to teach", "kvm_vcpu_flush_tlb_guest", "kvm_mmu_sync_roots",
         "kvm_tdp_mmu_write_protect_gfn", protects=True),
    _kvm(5, "recursion inside the walker", "handle_removed_pt", "handle_changed_spte"),
)  # fmt: skip

CALLERS: dict[int, Caller] = {
    caller.number: caller for caller in (*DIRECT, OOM_REAPER, *MM_CHAINS, *KVM_CHAINS)
}

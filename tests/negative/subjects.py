"""What each bug of an actor is about: sections of docs/planted-bugs.md, in their order."""

from collections.abc import Mapping

SUBJECTS: Mapping[str, str] = {
    "The order of two phases": """
        store_in_prepare restructure_in_prepare unmap_in_prepare allocate_in_abort block_again_in_abort commit_twice
        commit_after_abort refuse_in_commit forget_the_iommu_in_abort lose_an_acknowledgement take_abort_out
        reply_before_the_thaw thaw_late store_nothing
    """,
    "What is answered": """
        tell_of_the_start tell_of_the_end answer_with_the_start refuse_at_the_start ask_about_all_of_it
        take_retry_for_an_error
    """,
    "guest_memfd: attribute, folios, frames": """
        restructure_nothing lose_a_folio keep_the_stash keep_the_tree_nodes give_spare_pages_twice
        give_a_holes_pages_twice two_files_of_one_memory free_before_teardown drop_ilock_before_teardown
        punch_before_the_zap forget_what_failed free_poisoned_pages mark_one_page mark_the_page_alone
        refer_to_one_page leave_poison_in_the_filemap ask_the_owner_alone freeze_the_owner_alone
    """,
    "S-EPT, PAMT and the TDX module": """
        zap_nothing split_nothing split_by_zap leave_blocked leave_the_rest forget_what_is_left drop_the_kick
        forget_to_track split_without_a_kick fail_by_itself refuse_to_block write_nothing_back try_once
        let_in_after_the_kick kick_and_keep_nobody let_in_before_unblock let_in_before_the_leaf_is_unblocked
        let_nobody_in say_nothing_of_what_stays take_nothing_out keep_the_owner own_nothing one_frame_at_two_places
        one_frame_and_a_careless_module two_files_and_a_careless_module forget_to_count count_a_split_as_one
        keep_the_pair look_closer_for_ever keep_what_prepare_reserved give_split_pages_twice
    """,
    "Faults, invalidations and mmu_lock": """
        no_sequence_check nothing the_range_alone the_sequence_alone freeze_the_range_alone thaw_nothing
        thaw_with_the_zap thaw_without_the_lock thaw_in_the_walk lose_the_end_of_an_invalidation forget_the_parked
        map_it_huge forget_to_flush attribute_under_mmu_lock let_others_map_private_memory callbacks_fail_unasked
        give_the_cache_away
    """,
    "Pins": """
        drop_pins_twice overlook_pins pin_what_is_frozen keep_counts_frozen keep_counts_frozen_in_silence
        thaw_counts_in_commit forget_who_waits forget_to_unpin refuse_for_brief_references never_say_quiet
    """,
    "IOMMU and devices": """
        forget_the_iotlb wait_for_no_iotlb give_up_at_once keep_the_descriptor restore_one_entry
        forget_the_saved_ioptes forget_the_devices discard_what_devices_map
    """,
    "The VMM and the host's memory": """
        unmap_nothing forget_the_saved_ptes host_may_fault_anywhere drop_the_mm_at_once close_before_the_mm
        kill_for_memory never_give_up
    """,
    "VMs that come, go and move": """
        ask_twice boot_all_at_once forget_the_refused run_on_while_it_travels run_before_it_is_imported
        let_go_when_sent send_too_little take_shared_for_private accept_too_little leave_no_hole
        leave_the_source_waiting keep_the_place_of_who_does_not_come keep_what_has_moved free_all_but_the_last_run
        forget_the_place
    """,
    "Observations: what an actor tells of a queue": """
        lose_a_waiter wait_told_twice wait_counted_twice wrong_start holder_since_it_was_granted dropped_untold
        queue_of_the_dead killed_with_the_lock late_request iotlb_waits_longer iotlb_overtakes aug_does_not_wait
        placed_later
    """,
}


def names_of(subject: str) -> list[str]:
    """The functions that plant its bugs."""
    return SUBJECTS[subject].split()

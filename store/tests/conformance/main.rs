//! What the store does, the same over every backend: each case runs over memfds, over the memory of one
//! process, and (with the feature `shared_memory`) over named segments; and with every object strict, but for
//! those that need more objects than a process has descriptors, or a slot that is free within its own wakeup.

mod clients;
mod containers;
#[path = "../direct/mod.rs"]
mod direct;
mod references;
mod threads;
mod values;
mod waiting;

use std::{sync::Arc, time::Duration};

use rustyray_store::{Backend, Client, Config, Node, Tier};

/// What a case runs over.
#[derive(Copy, Clone)]
struct Over {
    backend: Backend,
    tier: Tier,
}

fn config(over: Over) -> Config {
    Config {
        capacity_bytes: 64 << 20,
        max_objects: 1 << 16,
        put_timeout: Duration::from_millis(20),
        backend: over.backend,
        tier: over.tier,
        ..Config::default()
    }
}

fn store(over: Over) -> (Arc<Node>, Arc<Client>) {
    let node = Node::create(config(over)).expect("a store");
    let client = node.client();
    (node, client)
}

macro_rules! over {
    ($name:ident, $backend:ident, $tier:ident, { $($module:ident: $($case:ident),* $(,)?;)* }) => {
        mod $name {
            $(mod $module {
                $(#[test]
                fn $case() {
                    use rustyray_store::{Backend, Tier};
                    let (backend, tier) = (Backend::$backend, Tier::$tier);
                    crate::$module::$case(crate::Over { backend, tier });
                })*
            })*
        }
    };
}

macro_rules! conformance {
    (always { $($always:tt)* } unless_strict { $($unless_strict:tt)* }) => {
        over!(memfd, Memfd, Ordinary, { $($always)* });
        over!(memfd_unless_strict, Memfd, Ordinary, { $($unless_strict)* });
        over!(heap, Heap, Ordinary, { $($always)* });
        over!(heap_unless_strict, Heap, Ordinary, { $($unless_strict)* });
        #[cfg(feature = "shared_memory")]
        over!(shared_memory, SharedMemory, Ordinary, { $($always)* });
        #[cfg(feature = "shared_memory")]
        over!(shared_memory_unless_strict, SharedMemory, Ordinary, { $($unless_strict)* });
        over!(strict, Memfd, Strict, { $($always)* });
    };
}

conformance! {
    always {
        values:
            a_value_comes_out_as_it_went_in,
            values_of_all_sizes_come_out_as_they_went_in,
            vectors_of_numbers_are_native_slices,
            bytes_are_read_where_they_lie,
            objects_begin_at_multiples_of_64,
            what_fits_its_slot_takes_no_memory,
            what_is_created_is_written_in_place_or_given_back,
            a_failed_object_gives_its_error,
            a_mismatch_names_both_types,
            an_archive_is_checked_once_per_process_and_object,
            bytes_that_are_no_archive_are_refused,
            a_type_without_bytes_but_with_an_alignment_can_be_stored;
        references:
            an_object_lives_until_its_last_reference_and_view_go,
            a_stale_reference_never_reads_the_next_object,
            a_reference_of_another_session_is_told_apart,
            an_object_is_sealed_once_and_by_the_current_attempt,
            sizes_that_cannot_be_are_errors_of_their_own,
            a_full_table_is_an_error;
        containers:
            a_container_keeps_what_it_refers_to,
            what_was_written_for_a_slot_may_refer_to_others_all_the_same,
            what_a_container_holds_is_lent_together_and_each_let_go_by_itself;
        threads:
            threads_share_and_drop_one_object_without_losing_it,
            threads_that_give_tails_back_do_not_write_to_each_others_pages;
        waiting:
            who_waits_for_one_is_woken_when_it_is_sealed,
            all_values_come_in_order,
            some_of_many_are_told_apart_in_order,
            nobody_waits_longer_than_he_asked_or_for_what_is_gone,
            many_wait_for_the_same_objects;
        clients:
            what_one_client_puts_another_reads,
            a_view_of_one_client_keeps_the_object_of_another,
            a_container_of_one_client_keeps_what_another_put,
            the_end_of_a_watched_object_is_told_however_it_comes,
            what_is_lent_to_a_client_while_it_is_reaped_comes_back,
            what_a_dead_client_left_is_cleared_away;
    }
    unless_strict {
        values:
            put_and_drop_recycle_slots_and_memory;
        containers:
            a_long_chain_of_containers_goes_without_recursion,
            threads_borrow_from_containers_that_end_and_nothing_is_lost_or_left;
        threads:
            threads_put_and_drop_without_mixing_up_their_objects,
            a_wakeup_for_one_object_takes_none_from_the_next_in_its_slot;
        clients:
            what_was_given_back_can_be_written_by_who_has_it_next;
    }
}

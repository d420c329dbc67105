//! The bar that the interface was to reach (`interface.md` §8), line by line, with the tests that show it.

use std::fs;
use std::path::Path;

/// What must hold, and the tests that fail when it does not. `ui::` and `cli::` are tests beside the code.
const LINES: &[(&str, &[&str])] = &[
    (
        "1. start without somebody who can answer never hangs and opens no gate: exit 11, and the flag is named",
        &[
            "gates::at_a_shell_nothing_hangs_and_nothing_opens",
            "gates::in_the_background_nothing_is_asked",
            "gates::with_stdout_in_a_pipe_the_question_is_asked_all_the_same",
            "gates::a_pipe_full_of_yes_answers_nothing",
            "gates::without_a_terminal_an_open_gate_is_not_passed",
            "streams::a_pipe_is_never_asked_anything",
            "ui/terminal::interactive_needs_all_three_parts",
        ],
    ),
    (
        "2. keys typed before a gate appears do not answer it; after yes the gate is read again",
        &[
            "gates::what_was_typed_before_the_question_does_not_answer_it",
            "gates::the_name_typed_ahead_begins_nothing",
            "gates::yes_opens_after_the_gate_is_read_again",
            "gates::a_reading_that_got_worse_voids_the_yes",
        ],
    ),
    (
        "3. no escape, no carriage return, nothing beyond ASCII off a terminal: every command of every test",
        &[
            "support/run::harmless",
            "streams::off_a_terminal_every_verb_writes_plain_ascii",
            "streams::mistakes_in_files_are_written_in_plain_ascii",
            "streams::a_failing_node_is_quoted_in_plain_ascii",
            "streams::a_node_that_cannot_be_reached_is_said_in_plain_ascii",
            "terminal::plain_output_at_a_terminal_is_lines_and_still_asks",
        ],
    ),
    (
        "4. NO_COLOR=1: no SGR at all; NO_COLOR= (empty): colour; --color always into a pipe: colour",
        &[
            "terminal::without_colour_there_is_no_colour_at_all",
            "streams::colour_in_a_pipe_is_a_wish_that_is_granted",
            "ui/terminal::colour_is_decided_in_one_order",
        ],
    ),
    (
        "5. status | head -1 ends quietly; TERM=dumb works; 40, 80, 100, 200 columns: nothing over the width",
        &[
            "streams::a_reader_that_has_seen_enough_ends_it_quietly",
            "streams::a_run_goes_on_when_nobody_reads_it_any_more",
            "terminal::a_dumb_terminal_gets_lines_and_is_asked_all_the_same",
            "terminal::nothing_is_wider_than_the_terminal",
            "terminal::a_terminal_may_change_its_size_in_the_middle",
            "ui/gate/tests::nothing_is_wider_than_the_screen_or_steers_it",
            "ui/plan/tests::nothing_is_wider_than_the_screen",
            "ui/status/tests::nothing_is_wider_than_the_screen",
        ],
    ),
    (
        "6. Ctrl-C at every phase: cursor visible, lock released, journal complete, next shown, right code; twice too",
        &[
            "interrupt::ctrl_c_in_every_section",
            "interrupt::ctrl_c_twice_in_every_section_that_changes_something",
            "terminal::the_cursor_is_there_on_every_way_out",
            "terminal::ctrl_c_finishes_the_step_undoes_and_stops",
            "terminal::ctrl_c_twice_stops_at_once",
            "exits::a_signal_at_a_safe_point_is_16",
            "gates::ctrl_c_at_the_question_stops",
            "gates::ctrl_c_twice_at_a_closed_gate_stops",
        ],
    ),
    (
        "7. every non-zero exit names a way on that clap reads: every command of every test",
        &["support/next::leads_on", "exits::every_code_of_the_table_has_a_test"],
    ),
    (
        "8. every exit code is reached by a test and stands in the manual and the README",
        &[
            "exits::every_code_of_the_table_has_a_test",
            "docs::the_manual_has_every_exit_code_and_every_flag",
            "docs::every_help_names_exit_codes_that_there_are",
            "readme::the_exit_codes_are_those_of_the_code",
        ],
    ),
    (
        "9. -o json of every command is as a committed schema has it, format_version first: every command of every test",
        &[
            "support/schema::documents",
            "support/schema::journals",
            "output::a_run_from_stage_to_unstage",
            "output::a_run_in_trouble",
            "output::files_and_nodes_that_are_checked",
            "output::whatever_is_refused_has_a_document_in_its_place",
            "output::scripts_and_pages_are_formats_of_their_own",
            "output::the_schema_of_records_is_that_of_the_types",
            "output::every_event_is_in_the_schema_of_records",
            "output::a_schema_refuses_what_is_not_so",
            "notify::a_gate_and_the_end_are_told_once_each",
            "report::the_document_has_a_summary_and_the_journal",
        ],
    ),
    (
        "10. slips in commands, flags, values, nodes, groups, gates and keys are answered with what was meant",
        &[
            "typos::what_is_typed_wrong_is_answered_with_what_was_meant",
            "typos::a_run_that_there_is_not_is_answered_with_those_that_there_are",
            "typos::a_key_that_there_is_not_is_answered_with_the_one_that_there_is",
        ],
    ),
    (
        "11. mistakes in YAML: exact messages, all at once; no input makes it panic or take over a second",
        &[
            "config::every_mistake_has_its_exact_message",
            "config::hostile_files_are_refused_at_once",
            "config::a_huge_file_is_not_read",
            "config::no_text_panics",
            "config::no_soup_of_words_panics",
            "config::no_damage_panics",
            "config::no_misplaced_line_panics",
        ],
    ),
    ("12. no match for -l is exit 2, never 0", &["streams::an_unknown_node_is_never_an_empty_success"]),
    (
        "13. completions and manual pages are those of the code; bash, zsh, fish and man read them without a word",
        &[
            "docs::the_manual_pages_are_those_of_the_code",
            "docs::the_completion_scripts_are_those_of_the_code",
            "docs::bash_reads_its_completion_script",
            "docs::zsh_and_fish_read_their_completion_scripts",
            "docs::man_reads_every_page_without_a_warning",
        ],
    ),
    (
        "14. the examples pass check --syntax-only; the blocks of the README run",
        &[
            "examples::every_example_is_read_without_a_complaint",
            "docs::the_examples_of_the_pages_are_accepted",
            "readme::every_command_can_be_typed",
            "readme::the_life_of_a_run_is_what_it_shows",
            "readme::the_nightly_dry_run_ends_with_what_is_said_of_it",
        ],
    ),
    (
        "15. the report refers to nothing outside itself, and is read without eyes and without secrets",
        &[
            "report::a_page_has_everything_and_refers_to_nothing",
            "report::the_drawing_is_a_file_of_its_own",
            "report::the_text_is_complete_by_itself",
            "report::a_secret_is_in_no_form_and_no_file_of_the_bundle",
        ],
    ),
    ("16. every help fits 100 columns and 40 lines", &["docs::every_help_fits_one_screen"]),
];

/// Whether a function of that name stands in the file that a test's path names.
fn stands(test: &str) -> bool {
    let (file, name) = test.rsplit_once("::").expect("FILE::NAME");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = if file.starts_with("ui/") { root.join("src") } else { root.join("tests/it") };
    let source = fs::read_to_string(place.join(format!("{file}.rs"))).unwrap_or_default();
    source.contains(&format!("fn {name}("))
}

#[test]
fn every_line_names_tests_that_there_are() {
    for (line, tests) in LINES {
        assert!(!tests.is_empty(), "{line}");
        for test in *tests {
            assert!(stands(test), "{line}\nthere is no {test}");
        }
    }
    assert!(!stands("gates::nothing_of_this_name") && !stands("nowhere::stands"));
}

#[test]
fn no_line_is_forgotten() {
    let numbers: Vec<usize> =
        LINES.iter().map(|(line, _)| line.split_once('.').unwrap().0.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
}

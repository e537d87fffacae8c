//! How much shorter programs are with the macros than without: counted in sources that are compiled and run
//! here, so that both halves of each pair do the same.
//!
//! A line counts when it holds code: no blank line, no comment, no import, since those differ by taste. Of a
//! program that does more, what counts is the items on which the macros stand.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call
#![allow(dead_code, missing_debug_implementations)] // the sources are examples

#[path = "../examples/flights/columns.rs"]
mod columns;
#[path = "../benches/claims/counter.rs"]
mod counter;
#[path = "../benches/claims/counter_by_hand.rs"]
mod counter_by_hand;
#[path = "../benches/claims/flights_by_hand.rs"]
mod flights_by_hand;
#[path = "../examples/flights/summary.rs"]
mod summary;
#[path = "../benches/claims/task.rs"]
mod task;
#[path = "../benches/claims/task_by_hand.rs"]
mod task_by_hand;

/// The lines of code of a source, without its imports.
fn code_lines(source: &str) -> usize {
    let mut count = 0;
    let mut in_import = false;
    for line in source.lines() {
        let line = line.trim();
        if in_import || line.starts_with("use ") {
            in_import = !line.ends_with(';');
            continue;
        }
        count += usize::from(!line.is_empty() && !line.starts_with("//"));
    }
    count
}

/// The items of a source on which a macro of RustyRay stands.
fn items_of_macros(source: &str) -> String {
    let mut items = String::new();
    let mut inside = false;
    for line in source.lines() {
        inside |= line.starts_with("#[rustyray::");
        if inside {
            items += line;
            items.push('\n');
        }
        inside &= line != "}";
    }
    items
}

/// Lines by macro and by hand, and by how many per cent the former are fewer.
fn compared(name: &str, by_macro: &str, by_hand: &str) -> f64 {
    let (by_macro, by_hand) = (code_lines(by_macro), code_lines(by_hand));
    let fewer = 100.0 * (1.0 - by_macro as f64 / by_hand as f64);
    println!("{name}: {by_macro} lines by macro, {by_hand} by hand, {fewer:.0}% fewer");
    fewer
}

#[test]
fn the_counter_and_the_task_take_at_least_seventy_per_cent_fewer_lines() {
    let counter = compared(
        "counter",
        include_str!("../benches/claims/counter.rs"),
        include_str!("../benches/claims/counter_by_hand.rs"),
    );
    let task = compared(
        "task",
        include_str!("../benches/claims/task.rs"),
        include_str!("../benches/claims/task_by_hand.rs"),
    );
    assert!(counter >= 70.0 && task >= 70.0, "counter {counter:.1}%, task {task:.1}%");
}

#[test]
fn an_example_that_was_there_before_is_shorter_too() {
    let items = items_of_macros(include_str!("../examples/flights/main.rs"));
    assert!(items.contains("fn summarise") && items.contains("fn total"), "{items}");
    let fewer = compared("flights", &items, include_str!("../benches/claims/flights_by_hand.rs"));
    assert!(fewer > 0.0, "{fewer:.1}%");
}

#[test]
fn counting_leaves_out_what_is_no_code() {
    let source = "//! Docs.\n\nuse a::{\n    b,\n    c,\n};\nuse d;\n\n// Why.\nfn f() {\n    g() // so\n}\n";
    assert_eq!(code_lines(source), 3);
    let source = "fn a() {\n}\n\n#[rustyray::remote]\nfn b() {\n    c()\n}\n\nfn d() {\n}\n";
    assert_eq!(items_of_macros(source), "#[rustyray::remote]\nfn b() {\n    c()\n}\n");
}

#[rustyray::test]
async fn both_tasks_do_the_same() -> rustyray::Result<()> {
    let by_macro = task::add_remote::remote(1, 2).await?;
    let by_hand = task_by_hand::remote_add(&by_macro, 10).await?;
    assert_eq!((by_macro.get().await?, by_hand.get().await?), (3, 13));
    Ok(())
}

#[rustyray::test]
async fn both_counters_do_the_same() -> rustyray::Result<()> {
    let by_macro = counter::Counter::remote_with_step(2, 5).await?;
    let by_hand = counter_by_hand::Counter::remote_with_step(2, 5).await?;
    for expected in 11..15 {
        assert_eq!(by_macro.increment().await?.get().await?, expected);
        assert_eq!(by_hand.increment().await?.get().await?, expected);
    }
    assert_eq!(by_macro.value().await?.get().await?, by_hand.value().await?.get().await?);
    Ok(())
}

#[rustyray::test]
async fn the_flights_by_hand_are_summarised_and_reported() -> rustyray::Result<()> {
    let mut flights =
        columns::Flights { carriers: vec!["AA".to_owned()], ..columns::Flights::default() };
    for minutes in [5, -3] {
        flights.carrier.push(0);
        flights.month.push(1);
        flights.dep_delay.push(minutes);
        flights.arr_delay.push(minutes);
        flights.air_time.push(100);
        flights.distance.push(500);
    }
    let stored = rustyray::put(&flights).await?;
    let by = columns::By::Carrier;
    let summary = flights_by_hand::remote_summarise(&stored, by, 0, 0).await?;
    let report = flights_by_hand::Report::remote().await?;
    report.fold(0, &summary).await?.get().await?;
    let total = report.total().await?.get().await?;
    assert_eq!((total.flights, total.arr_delay_minutes), (2, 2));
    assert_eq!(report.rows().await?.get().await?, [(0, summary.get().await?)]);
    Ok(())
}

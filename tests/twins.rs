//! A program that has two functions which no process could tell from each other does not run.

/// One function for each scope, which have all the same name and are written at the same place.
macro_rules! in_each {
    ($($scope:ident)+) => {$(
        fn $scope() -> bool {
            #[rustyray::remote]
            fn same() -> bool {
                stringify!($scope) == "first"
            }
            same()
        }
    )+};
}
in_each!(first second);

#[test]
fn twins_are_refused() {
    assert!(first() && !second(), "they are functions as any other");
    let builder = rustyray::Builder::new().num_cpus(1.0).visible(false);
    let said =
        rustyray::block_on(builder.start()).expect_err("they cannot be told apart").to_string();
    assert!(said.contains("`twins::same` at tests/twins.rs:"), "{said}");
    assert!(said.contains("cannot be told from each other"), "{said}");
    let said = rustyray::blocking::connect("nowhere.sock").expect_err("here as well").to_string();
    assert!(said.contains("cannot be told from each other"), "{said}");
}

//! What the compiler says about mistakes at the attributes: where, what is wrong, what to write instead,
//! and nothing that merely follows from it.
//!
//! `TRYBUILD=overwrite cargo test --test compile_fail` writes the expected messages anew; read them before
//! they are committed.

#[test]
fn mistakes_are_reported_where_they_were_made() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}

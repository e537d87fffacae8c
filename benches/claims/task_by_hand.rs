//! The same task by hand, with what the macro gives: a call, and a call with other options.

use rustyray::{
    ObjectRef, Result,
    manual::{self, Function, IntoArg, Plain, TaskOptions},
};

pub fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[manual::linkme::distributed_slice(manual::FUNCTIONS)]
#[linkme(crate = rustyray::manual::linkme)]
static ADD: Function = Function::new(
    concat!(module_path!(), "::add"),
    concat!(file!(), ":", line!(), ":", column!()),
    |call| {
        let a = call.arg::<i64, _>("a")?;
        let b = call.arg::<i64, _>("b")?;
        call.finish(Plain(add(a, b)))
    },
);

pub async fn remote_add(a: impl IntoArg<i64>, b: impl IntoArg<i64>) -> Result<ObjectRef<i64>> {
    remote_add_with(&TaskOptions::new(), a, b).await
}

pub async fn remote_add_with(
    options: &TaskOptions,
    a: impl IntoArg<i64>,
    b: impl IntoArg<i64>,
) -> Result<ObjectRef<i64>> {
    manual::submit(&ADD, options, |arguments| {
        arguments.push::<i64, _>("a", a)?;
        arguments.push::<i64, _>("b", b)
    })
    .await
}

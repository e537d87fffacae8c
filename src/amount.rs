//! An amount of a resource, as programs write it.

/// A number that says how much of a resource: `num_cpus(4)` and `num_cpus(0.5)` alike.
///
/// ```
/// # fn main() -> rustyray::Result<()> {
/// # rustyray::block_on(async {
/// let cores: usize = 2;
/// rustyray::Builder::new().num_cpus(cores).num_gpus(1).resource("camera", 0.5).start().await?;
/// rustyray::shutdown().await
/// # })
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no amount of a resource",
    label = "expected a number: `4`, `0.5`"
)]
pub trait Amount: sealed::Number {}

mod sealed {
    pub trait Number {
        fn into_f64(self) -> f64;
    }
}

/// The number itself; generated code and the setters read it.
#[doc(hidden)]
pub fn units(amount: impl Amount) -> f64 {
    amount.into_f64()
}

macro_rules! amounts {
    ($($number:ty)*) => {$(
        impl Amount for $number {}

        impl sealed::Number for $number {
            fn into_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

amounts!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize f32 f64);

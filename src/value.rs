//! Values that can be stored and passed between processes.

use rustyray_store::OwnedValue;

/// A type whose values can be objects, arguments and results.
///
/// It is implemented for every type that rkyv can archive with validation; there is nothing to implement by
/// hand. Derive the three traits of rkyv on your own types:
///
/// ```
/// use rustyray::rkyv::{Archive, Deserialize, Serialize};
///
/// #[derive(Archive, Serialize, Deserialize)]
/// #[rkyv(crate = rustyray::rkyv)]
/// struct Reading {
///     station: u32,
///     celsius: f64,
/// }
///
/// fn takes_a_value<T: rustyray::Value>() {}
/// takes_a_value::<Reading>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between processes",
    label = "cannot be stored or sent",
    note = "derive it: `#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]`",
    note = "references, pointers, sockets and locks belong to one process: pass the data itself"
)]
pub trait Value: OwnedValue + Sized + 'static {}

#[diagnostic::do_not_recommend]
impl<T: OwnedValue + Sized + 'static> Value for T {}

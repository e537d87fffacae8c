//! Values: how a type gets into the store and out of it.
//!
//! Every value goes through one serializer, [`ValueSerializer`](crate::ValueSerializer), which writes
//! straight into the object's final place and collects the references the value holds.

use rkyv::{
    Archive, Deserialize, Serialize,
    api::high::{HighDeserializer, HighValidator},
    bytecheck::CheckBytes,
    rancor,
};

use crate::ValueSerializer;

/// What owned values are made with: a type that is to come out of the store as a value of its own implements
/// [`rkyv::Deserialize`] for this, or for every deserializer, as rkyv's derive does.
///
/// ```
/// use rustyray_store::{OwnedValue, ValueDeserializer, decode, encode};
///
/// fn copy<T: OwnedValue>(value: &T) -> T
/// where
///     T::Archived: rkyv::Deserialize<T, ValueDeserializer>,
/// {
///     let words = encode(value, |bytes, _| (to_words(bytes), bytes.len())).expect("it can be written");
///     decode(&words.0, words.1).expect("it was written just now")
/// }
/// # fn to_words(bytes: &[u8]) -> Vec<u64> {
/// #     bytes.chunks(8).map(|chunk| {
/// #         let mut word = [0; 8];
/// #         word[..chunk.len()].copy_from_slice(chunk);
/// #         u64::from_le_bytes(word)
/// #     }).collect()
/// # }
/// assert_eq!(copy(&vec![1_u32, 2, 3]), [1, 2, 3]);
/// ```
pub type ValueDeserializer = HighDeserializer<rancor::Error>;

/// A type whose values the store can hold. Implemented for every type that rkyv can serialise and
/// check. Nobody implements it by hand, since views trust in what the check found:
///
/// ```compile_fail,E0277
/// use rkyv::{Archive, Place, rancor};
/// use rustyray_store::{Value, ValueSerializer};
///
/// struct Lie;
///
/// impl Archive for Lie {
///     type Archived = bool;
///     type Resolver = ();
///     fn resolve(&self, (): (), out: Place<bool>) { out.write(true) }
/// }
///
/// impl Value for Lie {
///     fn write_to(&self, _: &mut ValueSerializer) -> Result<(), rancor::Error> { Ok(()) }
///     fn check(_: &[u8]) -> Result<&bool, rancor::Error> { Ok(&true) }
/// }
/// ```
pub trait Value: Archive<Archived: 'static> + Checkable {
    /// Names the archived type in a way that two builds agree on.
    fn fingerprint() -> u64 {
        crate::fingerprint::of::<Self::Archived>()
    }

    /// The name of the archived type, for messages.
    fn type_name() -> &'static str {
        std::any::type_name::<Self::Archived>()
    }

    /// Writes the value and its root.
    ///
    /// # Errors
    /// When the value does not fit, or refuses.
    fn write_to(&self, serializer: &mut ValueSerializer) -> Result<(), rancor::Error>;

    /// Checks that `bytes` are a valid archive of the type and gives its root.
    ///
    /// # Errors
    /// What the check found.
    fn check(bytes: &[u8]) -> Result<&Self::Archived, rancor::Error>;
}

mod sealed {
    /// Only the types that rkyv can serialise and check.
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Checkable {}
}
use sealed::Checkable;

impl<T> Checkable for T
where
    T: Archive + Serialize<ValueSerializer>,
    T::Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>> + 'static,
{
}

impl<T> Value for T
where
    T: Archive + Serialize<ValueSerializer>,
    T::Archived: for<'a> CheckBytes<HighValidator<'a, rancor::Error>> + 'static,
{
    fn write_to(&self, serializer: &mut ValueSerializer) -> Result<(), rancor::Error> {
        rkyv::SerializeUnsized::serialize_unsized(self, serializer).map(|_| ())
    }

    fn check(bytes: &[u8]) -> Result<&Self::Archived, rancor::Error> {
        rkyv::api::high::access::<T::Archived, rancor::Error>(bytes)
    }
}

/// A value type that can be made from its archive.
pub trait OwnedValue: Value + Sized {
    /// Makes the value.
    ///
    /// # Errors
    /// When the type refuses.
    fn from_archived(archived: &Self::Archived) -> Result<Self, rancor::Error>;
}

impl<T> OwnedValue for T
where
    T: Value,
    T::Archived: Deserialize<T, ValueDeserializer>,
{
    fn from_archived(archived: &Self::Archived) -> Result<Self, rancor::Error> {
        rkyv::api::high::deserialize(archived)
    }
}

//! The names of types as people write them: `Vec<Point>` and not `alloc::vec::Vec<geometry::Point>`.

use std::fmt;

/// Displays the name of `T` without the modules that types lie in.
pub(crate) fn short<T: ?Sized>() -> Short<'static> {
    Short { name: std::any::type_name::<T>(), last: |name| name }
}

/// What the name of an archived type stands for: `Vec<f64>` where `rkyv::vec::ArchivedVec<rend::f64_le>` lies.
pub(crate) fn unarchived(name: &str) -> String {
    Short { name, last: plain }.to_string()
}

/// The last part of the path of an archived type, as the type is called where it is not archived.
fn plain(name: &str) -> &str {
    let named = name.strip_prefix("Archived").filter(|rest| rest.starts_with(char::is_uppercase));
    named.or_else(|| name.strip_suffix("_le")).unwrap_or(name)
}

/// See [`short`].
pub(crate) struct Short<'a> {
    name: &'a str,
    /// What is written of the last part of a path.
    last: fn(&str) -> &str,
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.name;
        while !rest.is_empty() {
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (path, after) = rest.split_at(end);
            f.write_str((self.last)(path.rsplit("::").next().unwrap_or(path)))?;
            let other = after.find(is_name).unwrap_or(after.len());
            f.write_str(&after[..other])?;
            rest = &after[other..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{short, unarchived};

    #[test]
    fn modules_are_left_out_wherever_they_are() {
        type Nested = Vec<(Option<String>, [std::net::IpAddr; 4])>;
        assert_eq!(short::<i64>().to_string(), "i64");
        assert_eq!(short::<Nested>().to_string(), "Vec<(Option<String>, [IpAddr; 4])>");
        assert_eq!(short::<&'static dyn std::error::Error>().to_string(), "&dyn Error");
    }
    #[test]
    fn an_archived_type_is_called_what_it_is_outside_the_store() {
        type Archived<T> = <T as rkyv::Archive>::Archived;
        let name = |name: &str| unarchived(name);
        assert_eq!(name(std::any::type_name::<Archived<Vec<f64>>>()), "Vec<f64>");
        assert_eq!(name(std::any::type_name::<Archived<(String, u8)>>()), "Tuple2<String, u8>");
        assert_eq!(
            name(std::any::type_name::<Archived<Option<Vec<String>>>>()),
            "Option<Vec<String>>"
        );
        assert_eq!(name("geometry::ArchivedPoint"), "Point");
        assert_eq!(name("geometry::Archived"), "Archived");
        assert_eq!(name("()"), "()");
    }
}

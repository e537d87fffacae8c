//! The names of types as people write them: `Vec<Point>` and not `alloc::vec::Vec<geometry::Point>`.

use std::fmt;

/// Displays the name of `T` without the modules that types lie in.
pub(crate) fn short<T: ?Sized>() -> Short {
    Short(std::any::type_name::<T>())
}

/// See [`short`].
pub(crate) struct Short(&'static str);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while !rest.is_empty() {
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (path, after) = rest.split_at(end);
            f.write_str(path.rsplit("::").next().unwrap_or(path))?;
            let other = after.find(is_name).unwrap_or(after.len());
            f.write_str(&after[..other])?;
            rest = &after[other..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn modules_are_left_out_wherever_they_are() {
        type Nested = Vec<(Option<String>, [std::net::IpAddr; 4])>;
        assert_eq!(short::<i64>().to_string(), "i64");
        assert_eq!(short::<Nested>().to_string(), "Vec<(Option<String>, [IpAddr; 4])>");
        assert_eq!(short::<&'static dyn std::error::Error>().to_string(), "&dyn Error");
    }
}

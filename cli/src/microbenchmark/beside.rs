//! A run of Ray's own suite on this machine, to compare with.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::named;

/// What `benches/beside_ray/ray_suite.py` writes.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Beside {
    /// Ray's version.
    ray: String,
    python: String,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Row {
    name: String,
    mean: f64,
    deviation: f64,
}

impl Beside {
    pub(super) fn read(path: &Path) -> io::Result<Beside> {
        let text = fs::read(path).map_err(|error| named(path, error))?;
        serde_json::from_slice(&text).map_err(|error| named(path, error))
    }

    /// Which Ray it was.
    pub(super) fn version(&self) -> &str {
        &self.ray
    }

    /// Ray's figure for the row of this name.
    pub(super) fn mean(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.mean)
    }
}

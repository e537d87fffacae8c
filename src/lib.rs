//! RustyRay.

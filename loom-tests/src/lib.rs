//! One model per protocol, in `tests/`: each is named after the property it checks, and loom runs it
//! through the interleavings of two or three threads. They run the code that runs over shared memory.
//!
//! `mutations/` holds, for each model, at least one change that takes a step of its protocol away;
//! `./replay` sees that the model then fails. `README.md` has all of them, by protocol.

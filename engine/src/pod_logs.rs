//! Logs of containers from files: names, identity, offsets, joining, turns. The shell does the reading.

pub mod checkpoint;
pub mod joiner;
pub mod path;
pub mod records;
pub mod selection;
pub mod turns;
pub mod window;

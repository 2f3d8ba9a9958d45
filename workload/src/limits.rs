//! The bounds on what is decoded, each with its reason. Pure.

/// Bytes of one object. An API server refuses larger requests (3 MiB) and etcd larger values
/// (1.5 MiB), so no served object comes near, and a file that does is no manifest.
pub const MAX_OBJECT_BYTES: usize = 3 * 1024 * 1024;

/// Nesting of arrays and objects anywhere in one object, in parts that are not read as well. The
/// API server's own JSON decoder stops at the same depth.
pub const MAX_NESTING: usize = 10_000;

/// Entries of any one list or map that is read. An object that fits into etcd and has this many
/// containers, volumes or labels would leave 150 bytes for each, less than their shortest stored
/// form.
pub const MAX_ITEMS: usize = 10_000;

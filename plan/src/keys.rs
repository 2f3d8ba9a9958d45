//! The keys that we read and write on a namespace. No I/O.

use podfence_podsecurity::Mode;

/// What every Pod Security label starts with.
pub const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";

/// What every annotation of our own state starts with. A shipped admission policy keeps everybody
/// else from writing there; what people may write has the prefix `podfence.dev/`.
pub const STATE_PREFIX: &str = "state.podfence.dev/";

/// Both labels of a mode, the level's first.
pub(crate) const fn labels_of(mode: Mode) -> [&'static str; 2] {
    [mode.level_label(), mode.version_label()]
}

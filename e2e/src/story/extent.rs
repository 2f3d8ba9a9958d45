//! How much of the long stories is told. Reads the environment.

/// Whether `PODFENCE_STORIES=all` asks for the long form: a kill at every write, thousands of
/// namespaces, a minute for every watch that is refused. Without it `make test` tells samples.
#[must_use]
pub fn everything_is_told() -> bool {
    std::env::var("PODFENCE_STORIES").is_ok_and(|stories| stories == "all")
}

//! A small, sorted, shareable set of labels. Pure.

use std::sync::Arc;

/// Labels, sorted by key, each key once. A clone shares the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(pub(crate) Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let index = self
            .0
            .binary_search_by(|(candidate, _)| (**candidate).cmp(key))
            .ok()?;
        self.0.get(index).map(|(_, value)| &**value)
    }

    /// All labels in the order of their keys.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same memory, which is all that sharing can show.
    #[must_use]
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Of labels with the same key the last one stays, as in a map.
impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let sorted: std::collections::BTreeMap<Box<str>, Box<str>> = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        Self(sorted.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Labels;

    #[test]
    fn labels_are_found_and_sorted() {
        let labels: Labels = [("tier", "web"), ("app", "old"), ("app", "shop")]
            .into_iter()
            .collect();
        assert_eq!(
            labels.iter().collect::<Vec<_>>(),
            [("app", "shop"), ("tier", "web")]
        );
        assert_eq!(labels.get("app"), Some("shop"));
        assert_eq!(labels.get("ap"), None);
        assert_eq!(Labels::default().get(""), None);
        assert!(Labels::default().is_empty());
    }
}

//! All nodes: what containers run under on them, and where which pods can land. No I/O.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use podfence_crd::{NodeCounts, NodeReportSpec, Setting as Switch};
use podfence_seccomp::evidence::Arguments;
use podfence_seccomp::fix::{self, Fix, Setting};
use podfence_seccomp::signature::Signature;
use podfence_seccomp::{
    Abi, Certainty, Container, Filter, Finding, Judgement, LoadError, Loader, Verdict,
    WorkloadJudgement,
};
use podfence_workload::{CapabilityMask, Placement};

use super::landing::can_land;
use super::node::{Ground, GroundKey, KnownNode, Node};

/// One of the grounds of [`Nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroundId(usize);

/// Where pods of one placement can land.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landing {
    /// What they may run under.
    pub grounds: BTreeSet<GroundId>,
    /// The names of the nodes.
    pub nodes: BTreeSet<Box<str>>,
    /// Nodes of which it is not known what containers run under, by name.
    pub unknown: BTreeSet<Box<str>>,
}

/// The nodes of a cluster that run Linux.
#[derive(Debug, Default)]
pub struct Nodes {
    known: BTreeMap<Box<str>, KnownNode>,
    grounds: Vec<Ground>,
    ground_of: BTreeMap<Box<str>, GroundId>,
    /// What was computed before. Most pods of a cluster share a handful of placements.
    landings: HashMap<(Placement, Option<Arc<str>>), Arc<Landing>>,
    filters: HashMap<(GroundId, CapabilityMask), Arc<Filter>>,
    /// What helps, by all that it depends on. To find that out takes milliseconds, and the reports of
    /// all nodes name the same workloads.
    remedies: RefCell<HashMap<RemedyKey, Vec<Fix>>>,
    /// What was said last of workloads: most are like another one, and share it.
    said: VecDeque<Arc<WorkloadJudgement>>,
}

/// What it depends on which remedies there are.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RemedyKey {
    ground: GroundId,
    bounding: CapabilityMask,
    verdict: Verdict,
    calls: Vec<(Box<str>, Arguments, Abi, Certainty)>,
    software: Vec<&'static str>,
}

/// What is said of more workloads is looked for in vain.
const SAID: usize = 32;

/// More are not kept: of each status only the worst workloads are shown.
const REMEDIES: usize = 4096;

impl Nodes {
    /// These nodes, each with what its agent says, where one is there. `label` is the key of the
    /// node label by which an administrator states the kubelet's setting.
    #[must_use]
    pub fn new<'a>(
        nodes: impl IntoIterator<Item = (&'a Node, Option<&'a NodeReportSpec>)>,
        label: Option<&str>,
    ) -> Self {
        let known: BTreeMap<Box<str>, KnownNode> = nodes
            .into_iter()
            .map(|(node, report)| KnownNode::new(node.clone(), report.cloned(), label))
            .filter(KnownNode::is_linux)
            .map(|known| (known.node.name.as_str().into(), known))
            .collect();
        let mut ids: BTreeMap<GroundKey, GroundId> = BTreeMap::new();
        let mut grounds = Vec::new();
        let mut ground_of = BTreeMap::new();
        for (name, node) in &known {
            if let Ok(ground) = &node.ground {
                let id = *ids.entry(ground.key()).or_insert_with(|| {
                    grounds.push(ground.clone());
                    GroundId(grounds.len() - 1)
                });
                ground_of.insert(name.clone(), id);
            }
        }
        Self {
            known,
            grounds,
            ground_of,
            landings: HashMap::new(),
            filters: HashMap::new(),
            remedies: RefCell::default(),
            said: VecDeque::new(),
        }
    }

    /// The same value for workloads of which the same is said.
    pub(super) fn share(&mut self, said: WorkloadJudgement) -> Arc<WorkloadJudgement> {
        if let Some(known) = self.said.iter().find(|known| ***known == said) {
            return Arc::clone(known);
        }
        if self.said.len() == SAID {
            self.said.pop_front();
        }
        let said = Arc::new(said);
        self.said.push_back(Arc::clone(&said));
        said
    }

    /// What would help a container, least privilege first.
    pub(super) fn remedies(
        &self,
        ground: GroundId,
        container: Container,
        judgement: &Judgement,
        signatures: &[&'static Signature],
    ) -> Vec<Fix> {
        let calls = judgement.calls.iter();
        let key = RemedyKey {
            ground,
            bounding: container.bounding,
            verdict: judgement.verdict,
            calls: calls
                .map(|call| {
                    let Finding {
                        name, arguments, ..
                    } = call;
                    (name.clone(), arguments.clone(), call.abi, call.certainty)
                })
                .collect(),
            software: signatures.iter().map(|known| known.software).collect(),
        };
        let mut known = self.remedies.borrow_mut();
        if let Some(remedies) = known.get(&key) {
            return remedies.clone();
        }
        let Some(Ground { profile, .. }) = self.ground(ground) else {
            return Vec::new();
        };
        let setting = Setting {
            profile: &profile.rules,
            container,
            loader: Loader::default(),
        };
        // Rules that cannot be loaded give no remedy; no known profile has such.
        let found = fix::remedies(judgement, signatures, setting).unwrap_or_default();
        if known.len() >= REMEDIES {
            known.clear();
        }
        known.insert(key, found.clone());
        found
    }

    /// A node by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&KnownNode> {
        self.known.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &KnownNode> {
        self.known.values()
    }

    /// How many of them have SeccompDefault.
    #[must_use]
    pub fn counts(&self) -> NodeCounts {
        let mut counts = NodeCounts::default();
        for node in self.known.values() {
            *match node.seccomp_default {
                Switch::Enabled => &mut counts.enabled,
                Switch::Disabled => &mut counts.disabled,
                Switch::Unknown => &mut counts.unknown,
            } += 1;
        }
        counts
    }

    /// What containers run under on a node; none where that is not known.
    #[must_use]
    pub fn ground_of(&self, node: &str) -> Option<GroundId> {
        self.ground_of.get(node).copied()
    }

    /// A ground.
    #[must_use]
    pub fn ground(&self, id: GroundId) -> Option<&Ground> {
        self.grounds.get(id.0)
    }

    /// Where pods can land.
    pub(super) fn landing(
        &mut self,
        placement: &Placement,
        bound_to: Option<&Arc<str>>,
    ) -> Arc<Landing> {
        let key = (placement.clone(), bound_to.cloned());
        if let Some(known) = self.landings.get(&key) {
            return Arc::clone(known);
        }
        let mut landing = Landing::default();
        for (name, known) in &self.known {
            if can_land(placement, bound_to.map(|name| &**name), &known.node) {
                landing.nodes.insert(name.clone());
                match self.ground_of.get(name) {
                    Some(id) => landing.grounds.insert(*id),
                    None => landing.unknown.insert(name.clone()),
                };
            }
        }
        let landing = Arc::new(landing);
        self.landings.insert(key, Arc::clone(&landing));
        landing
    }

    /// The filter that a container with these capabilities gets.
    ///
    /// # Errors
    /// When the rules cannot be loaded. No known profile has such rules.
    pub(super) fn filter(
        &mut self,
        id: GroundId,
        container: Container,
    ) -> Result<Option<Arc<Filter>>, LoadError> {
        let key = (id, container.bounding);
        if let Some(known) = self.filters.get(&key) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(ground) = self.grounds.get(id.0) else {
            return Ok(None);
        };
        let filter = Filter::load(&ground.profile.rules, container, Loader::default())?;
        let filter = Arc::new(filter.on_kernel(ground.kernel));
        self.filters.insert(key, Arc::clone(&filter));
        Ok(Some(filter))
    }
}

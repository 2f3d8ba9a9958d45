//! Who would fail under SeccompDefault: from nodes, pods and records to verdicts, and from these to
//! what policies and reports of nodes say. No I/O.
//!
//! Nothing here decides on labels, and nothing that labels wait for depends on it: a cluster whose
//! nodes cannot be listed is labelled all the same.
//!
//! 1. `node`, `nodes`: what containers run under on which node.
//! 2. `landing`: which pods can land where.
//! 3. `health`: how containers fare with and without a profile.
//! 4. `inputs`: what pods of agents and records come to.
//! 5. `assessment`, `bench`, `template`: the verdict on every workload of a namespace.
//! 6. `findings`, `admission`: counts, the worst by name, and what helps.
//! 7. `report`: what policies and nodes say.
//! 8. `explain`, `pod`: everything that is said of one workload, for people who ask why.

mod admission;
mod assessment;
mod bench;
mod explain;
mod findings;
mod health;
mod inputs;
mod landing;
mod node;
mod nodes;
mod pod;
mod report;
mod template;

pub use admission::Levels;
pub use assessment::{
    AssessedWorkload, Assessment, Circumstances, Failure, Failures, HealthMemory, Recorded, assess,
    failures_of, full_name,
};
pub use explain::{
    Admitted, CallSaid, ContainerSaid, CoverageSaid, Explanation, FixSaid, Given, Look, Place,
};
pub use inputs::{AGENT_LABEL, ReadRecord, united, watched_node};
pub use landing::can_land;
pub use node::{Ground, KnownNode, Node, Taint, UnknownGround};
pub use nodes::{GroundId, Landing, Nodes};
pub use pod::{Fares, PodContainer, PodSaid, RunsUnder};
pub use report::{NodeView, SeccompView, plan_node_status};

//! What a profile says, and what happens while there is none.

use anyhow::ensure;
use podfence_crd::{ConditionType, Phase, Reason};
use podfence_e2e::{
    harness::Shared,
    story::{Passes, Running, kstatus::Kstatus},
};
use serde_json::json;

pub(crate) async fn a_missing_profile_freezes_and_comes_back(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("profile").await?;
    story.namespace("shop").await?;
    story
        .policy(
            "apps",
            "restricted",
            json!({ "rollout": { "strategy": "Immediate" } }),
        )
        .await?;
    let message = story
        .sees_condition(
            "apps",
            ConditionType::Stalled,
            "True",
            Reason::ProfileMissing,
        )
        .await?;
    ensure!(message.contains(&story.full("restricted")), "{message}");
    let seen = serde_json::to_value(story.get_policy("apps").await?)?;
    ensure!(Kstatus::of(&seen) == Kstatus::Failed, "{seen}");
    story
        .sees_phase("apps", "shop", Phase::Unknown, Reason::ProfileMissing)
        .await?;
    ensure!(
        story.requests().await?.is_empty(),
        "{:#?}",
        story.requests().await?
    );

    story.restricted().await?;
    let restricted = "enforce=restricted:v1.34 audit=restricted:latest warn=restricted:latest";
    story.sees_labels("shop", restricted).await?;
    story
        .sees_condition("apps", ConditionType::Ready, "True", Reason::Succeeded)
        .await?;

    // Without it again, the namespaces are still this policy's, and stay as they are.
    story.deletes("PolicyProfile", "restricted").await?;
    story
        .sees_condition(
            "apps",
            ConditionType::Stalled,
            "True",
            Reason::ProfileMissing,
        )
        .await?;
    story.sees_labels("shop", restricted).await?;
    story.restricted().await?;
    story
        .sees_condition("apps", ConditionType::Ready, "True", Reason::Succeeded)
        .await?;
    let seen = serde_json::to_value(story.get_policy("apps").await?)?;
    ensure!(Kstatus::of(&seen) == Kstatus::Current, "{seen}");
    story.end().await
}

/// Under Guarded `latest` is written as the minor that the API servers know, so that an upgrade
/// breaks nothing.
pub(crate) async fn latest_is_pinned_under_guarded_and_only_there(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("versions").await?;
    let all = json!({ "level": "baseline" });
    story
        .profile(
            "latest",
            json!({ "enforce": all, "audit": all, "warn": all }),
        )
        .await?;
    story
        .namespace_with("guarded", json!({ "strategy": "guarded" }))
        .await?;
    story
        .namespace_with("immediate", json!({ "strategy": "immediate" }))
        .await?;
    let policy = |strategy: &str, label: &str| {
        json!({
            "rollout": { "strategy": strategy, "soak": "0s" },
            "namespaceSelector":
                { "matchLabels": { "podfence-story": "versions", "strategy": label } },
        })
    };
    story
        .policy("guarded", "latest", policy("Guarded", "guarded"))
        .await?;
    story
        .policy("immediate", "latest", policy("Immediate", "immediate"))
        .await?;
    story
        .sees_labels(
            "guarded",
            "enforce=baseline:v1.37 audit=baseline:latest warn=baseline:latest",
        )
        .await?;
    story
        .sees_labels(
            "immediate",
            "enforce=baseline:latest audit=baseline:latest warn=baseline:latest",
        )
        .await?;
    story.end().await
}

/// Raising the version is a tightening like raising the level.
pub(crate) async fn a_pin_is_raised_through_the_soak_and_lowered_by_its_author(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("pin").await?;
    let pin = |version: &str| json!({ "enforce": { "level": "restricted", "version": version } });
    story.profile("pinned", pin("v1.24")).await?;
    story.namespace("shop").await?;
    story
        .policy("apps", "pinned", json!({ "rollout": { "soak": "6s" } }))
        .await?;
    story
        .sees_labels("shop", "enforce=restricted:v1.24")
        .await?;
    story.profile("pinned", pin("v1.34")).await?;
    // What is enforced meanwhile is the old version.
    story
        .sees("apps", |status| {
            let entry = serde_json::to_value(&status.namespaces)?[0].clone();
            let target = json!({ "level": "restricted", "version": "v1.34" });
            let current = json!({ "level": "restricted", "version": "v1.24" });
            let seen = (&entry["phase"], &entry["current"], &entry["target"]);
            ensure!(seen == (&json!("Soaking"), &current, &target), "{entry}");
            Ok(())
        })
        .await?;
    story
        .sees_labels("shop", "enforce=restricted:v1.34")
        .await?;
    story.asks_to_lower("shop");
    story.profile("pinned", pin("v1.30")).await?;
    story
        .sees_labels("shop", "enforce=restricted:v1.30")
        .await?;
    story
        .sees_phase("apps", "shop", Phase::Enforced, Reason::AtTarget)
        .await?;
    story.end().await
}

/// Excepted workloads are not held against their owners, but enforcing would block them all the
/// same.
pub(crate) async fn an_exception_is_listed_and_still_holds_enforcement(
    shared: Shared<Running>,
) -> anyhow::Result<()> {
    let story = shared.get().await?.story("exception").await?;
    story.restricted().await?;
    story.namespace("monitoring").await?;
    story
        .deploys("monitoring", "node-exporter", Passes::Privileged)
        .await?;
    let with_expiry = |expires_at: &str| {
        json!({
            "rollout": { "soak": "0s", "whileViolating": "Hold" },
            "exceptions": [{
                "name": "node-exporter",
                "workloadSelector": { "matchLabels": { "app": "node-exporter" } },
                "checks": [
                    "hostNamespaces", "allowPrivilegeEscalation", "capabilities_restricted",
                    "runAsNonRoot", "seccompProfile_restricted",
                ],
                "reason": "reads the node",
                "expiresAt": expires_at,
            }],
        })
    };
    story
        .policy("apps", "restricted", with_expiry("2099-01-01T00:00:00Z"))
        .await?;
    let held = story
        .sees_phase(
            "apps",
            "monitoring",
            Phase::Held,
            Reason::ViolatingWorkloads,
        )
        .await?;
    ensure!(
        held.violating_workloads == 1,
        "excepted ones are counted here: {held:?}"
    );
    story
        .sees("apps", |status| {
            let summary = status.summary;
            let counts = (summary.workloads_violating, summary.workloads_excepted);
            ensure!(counts == (0, 1), "{summary:?}");
            Ok(())
        })
        .await?;
    story
        .sees_condition(
            "apps",
            ConditionType::PodSecurityCompliant,
            "True",
            Reason::Compliant,
        )
        .await?;
    story
        .sees_labels(
            "monitoring",
            "audit=restricted:latest warn=restricted:latest",
        )
        .await?;

    // It expires while nothing else happens.
    let soon = k8s_openapi::jiff::Timestamp::now() + std::time::Duration::from_secs(4);
    let soon = k8s_openapi::jiff::Timestamp::from_second(soon.as_second())?.to_string();
    story
        .policy("apps", "restricted", with_expiry(&soon))
        .await?;
    story
        .sees_condition(
            "apps",
            ConditionType::PodSecurityCompliant,
            "False",
            Reason::ViolatingWorkloads,
        )
        .await?;
    story
        .sees("apps", |status| {
            let summary = status.summary;
            let counts = (summary.workloads_violating, summary.workloads_excepted);
            ensure!(counts == (1, 0), "{summary:?}");
            Ok(())
        })
        .await?;
    story.end().await
}

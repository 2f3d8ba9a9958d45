//! Ten thousand workloads in a hundred namespaces, of which three thousand fail.

use podfence_workload::Kind;
use serde_json::json;

use crate::cluster::{Cluster, app, crashed, healthy};

/// The namespaces by name. Names are as long as they may be.
pub(crate) fn clusters() -> Vec<(String, Cluster)> {
    (0..100)
        .map(|namespace| (format!("{}-{namespace:02}", "n".repeat(60)), cluster()))
        .collect()
}

/// A hundred workloads with a pod on each node, thirty of which fail where SeccompDefault is on.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    for number in 0..100 {
        let name = format!("{}-{number:02}", "w".repeat(180));
        let on = if number < 30 {
            crashed(3, 1)
        } else {
            healthy()
        };
        for (node, mut status) in [("on", on), ("off", healthy())] {
            status["name"] = json!("app");
            status["imageID"] = json!(format!("sha256:{number}"));
            let pod = json!({
                "metadata": { "namespace": "shop", "name": format!("{node}-{number}"),
                    "uid": format!("{node}-{number}"), "ownerReferences": [{
                        "apiVersion": "kafka.example/v1", "kind": "Kafka", "name": name,
                        "uid": name, "controller": true }] },
                "spec": { "nodeName": node, "containers": [app()] },
                "status": { "phase": "Running", "containerStatuses": [status] },
            });
            cluster.add(Kind::Pod, &pod);
        }
    }
    cluster
}

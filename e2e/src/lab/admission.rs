//! What the API server says of an object without storing it. Makes requests.

use anyhow::{Context as _, bail};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    discovery,
};
use serde::Serialize;

use super::Lab;

impl Lab {
    /// The object as the API server would store it: a dry run of its creation.
    ///
    /// # Errors
    ///
    /// When the server refuses it.
    pub async fn accepts(&self, object: &impl Serialize) -> anyhow::Result<DynamicObject> {
        self.dry_run(object)
            .await?
            .map_err(|error| anyhow::Error::new(error).context("refused"))
    }

    /// The message with which the API server refuses the object, in a dry run of its creation.
    ///
    /// # Errors
    ///
    /// When the server accepts it.
    pub async fn rejects(&self, object: &impl Serialize) -> anyhow::Result<String> {
        match self.dry_run(object).await? {
            Ok(stored) => bail!("accepted: {}", serde_json::to_string(&stored)?),
            Err(kube::Error::Api(status)) => Ok(status.message),
            Err(error) => Err(error.into()),
        }
    }

    async fn dry_run(
        &self,
        object: &impl Serialize,
    ) -> anyhow::Result<kube::Result<DynamicObject>> {
        let object: DynamicObject = serde_json::from_value(serde_json::to_value(object)?)?;
        let kind = object
            .types
            .as_ref()
            .context("the object has no apiVersion and kind")?;
        let (resource, _) = discovery::pinned_kind(&self.client(), &kind.try_into()?)
            .await
            .with_context(|| format!("failed to find the resource of {kind:?}"))?;
        let objects: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        };
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        Ok(objects.create(&parameters, &object).await)
    }
}

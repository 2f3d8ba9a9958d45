//! The source of a volume, an unknown one included. Pure.

/// A volume that some rule can forbid.
///
/// A volume with a source that every rule allows is not kept: pods of one controller differ in
/// the names of such volumes (`kube-api-access-x7k2p`), and no verdict depends on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Volume {
    /// `name`.
    pub name: Box<str>,
    /// Every source that is set; none where the source is missing or not known.
    pub sources: VolumeSources,
}

/// A set of volume sources. A volume has one, but only the API server's validation says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VolumeSources(u32);

/// A volume source that Kubernetes has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // Each variant is the field of that name.
pub enum VolumeSource {
    ConfigMap,
    Csi,
    DownwardApi,
    EmptyDir,
    Ephemeral,
    Image,
    PersistentVolumeClaim,
    Projected,
    Secret,
    HostPath,
    GcePersistentDisk,
    AwsElasticBlockStore,
    GitRepo,
    Nfs,
    Iscsi,
    Glusterfs,
    Rbd,
    FlexVolume,
    Cinder,
    CephFs,
    Flocker,
    Fc,
    AzureFile,
    VsphereVolume,
    Quobyte,
    AzureDisk,
    PhotonPersistentDisk,
    PortworxVolume,
    ScaleIo,
    StorageOs,
}

impl VolumeSource {
    /// Every source: first those that the restricted level allows, then the others in the order
    /// in which the admission controller asks for them.
    pub const ALL: [Self; 30] = [
        Self::ConfigMap,
        Self::Csi,
        Self::DownwardApi,
        Self::EmptyDir,
        Self::Ephemeral,
        Self::Image,
        Self::PersistentVolumeClaim,
        Self::Projected,
        Self::Secret,
        Self::HostPath,
        Self::GcePersistentDisk,
        Self::AwsElasticBlockStore,
        Self::GitRepo,
        Self::Nfs,
        Self::Iscsi,
        Self::Glusterfs,
        Self::Rbd,
        Self::FlexVolume,
        Self::Cinder,
        Self::CephFs,
        Self::Flocker,
        Self::Fc,
        Self::AzureFile,
        Self::VsphereVolume,
        Self::Quobyte,
        Self::AzureDisk,
        Self::PhotonPersistentDisk,
        Self::PortworxVolume,
        Self::ScaleIo,
        Self::StorageOs,
    ];

    /// The name of the field that sets it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "configMap",
            Self::Csi => "csi",
            Self::DownwardApi => "downwardAPI",
            Self::EmptyDir => "emptyDir",
            Self::Ephemeral => "ephemeral",
            Self::Image => "image",
            Self::PersistentVolumeClaim => "persistentVolumeClaim",
            Self::Projected => "projected",
            Self::Secret => "secret",
            Self::HostPath => "hostPath",
            Self::GcePersistentDisk => "gcePersistentDisk",
            Self::AwsElasticBlockStore => "awsElasticBlockStore",
            Self::GitRepo => "gitRepo",
            Self::Nfs => "nfs",
            Self::Iscsi => "iscsi",
            Self::Glusterfs => "glusterfs",
            Self::Rbd => "rbd",
            Self::FlexVolume => "flexVolume",
            Self::Cinder => "cinder",
            Self::CephFs => "cephfs",
            Self::Flocker => "flocker",
            Self::Fc => "fc",
            Self::AzureFile => "azureFile",
            Self::VsphereVolume => "vsphereVolume",
            Self::Quobyte => "quobyte",
            Self::AzureDisk => "azureDisk",
            Self::PhotonPersistentDisk => "photonPersistentDisk",
            Self::PortworxVolume => "portworxVolume",
            Self::ScaleIo => "scaleIO",
            Self::StorageOs => "storageos",
        }
    }

    /// The source that a field of a volume sets, if it is a known one.
    #[must_use]
    pub fn from_field(field: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == field)
    }
}

impl VolumeSources {
    /// The sources that every version of every level allows.
    pub const ALWAYS_ALLOWED: Self = Self::of(&[
        VolumeSource::ConfigMap,
        VolumeSource::Csi,
        VolumeSource::DownwardApi,
        VolumeSource::EmptyDir,
        VolumeSource::Ephemeral,
        VolumeSource::PersistentVolumeClaim,
        VolumeSource::Projected,
        VolumeSource::Secret,
    ]);

    /// The set of these sources.
    #[must_use]
    pub const fn of(sources: &[VolumeSource]) -> Self {
        let mut set = 0;
        let mut rest = sources;
        while let [first, others @ ..] = rest {
            set |= 1 << (*first as u32);
            rest = others;
        }
        Self(set)
    }

    /// Adds a source.
    pub const fn insert(&mut self, source: VolumeSource) {
        self.0 |= 1 << (source as u32);
    }

    /// Whether the source is in the set.
    #[must_use]
    pub const fn contains(self, source: VolumeSource) -> bool {
        self.0 & (1 << (source as u32)) != 0
    }

    /// Whether the two sets have a source in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The first source of the set in the order of [`VolumeSource::ALL`].
    #[must_use]
    pub fn first(self) -> Option<VolumeSource> {
        VolumeSource::ALL
            .into_iter()
            .find(|source| self.contains(*source))
    }
}

#[cfg(test)]
mod tests {
    use super::{VolumeSource, VolumeSources};

    #[test]
    fn every_source_has_its_own_bit_and_field() {
        for (index, source) in VolumeSource::ALL.into_iter().enumerate() {
            assert_eq!(source as usize, index);
            assert_eq!(VolumeSource::from_field(source.as_str()), Some(source));
            assert_eq!(VolumeSources::of(&[source]).first(), Some(source));
        }
        assert_eq!(VolumeSource::from_field("ConfigMap"), None);
        assert_eq!(VolumeSources::default().first(), None);
    }

    #[test]
    fn images_are_not_allowed_by_every_server() {
        let image = VolumeSources::of(&[VolumeSource::Image]);
        assert!(!image.intersects(VolumeSources::ALWAYS_ALLOWED));
    }
}

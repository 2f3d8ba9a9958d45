//! The programs in the kernel: loads and attaches them, and takes away what they have counted. Does
//! I/O.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::time::Duration;

use aya::maps::{Array, HashMap as Map, MapData, MapError, RingBuf};
use aya::programs::tp_btf::BtfTracePointLinkId;
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel};
use podfence_seccomp::Errno;

use super::clock::Clock;
use super::layout::{
    self, ADOPTED, ORPHAN, PENDING, PROGRAM, PROGRAM_KEY, RawCall, RawPending, RawSpace, RawTally,
    RawTallyKey, SPACE, TALLY, TALLY_KEY,
};
use super::sight::{Begun, Fate, SeenCall, Sight, Space, SpaceId};
use super::tables::Tables;

/// The programs, as clang has compiled them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer.o"));

/// Threads that are started this long after the programs were made ready still count as older than
/// the observer: attaching takes less.
const ATTACHING: Duration = Duration::from_secs(5);

/// How often it is looked for calls that do not come back, and after which time they count as such.
const PENDING_INTERVAL: Duration = Duration::from_secs(10);

/// Spaces that are kept as ignored. The programs have room for twice as many; what is forgotten is
/// learned again when it makes a call.
const MOST_IGNORED: usize = 2048;

/// `enum total`
const LOST: u32 = 0;
const CHANGED: u32 = 1;

/// Why nothing is observed.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The programs know the registers of other machines only.
    #[error("the observer is not written for this architecture; it is for amd64 and arm64")]
    Architecture,
    /// The kernel does not say where its structures have their fields.
    #[error(
        "failed to read the types of the kernel; the observer needs one of 5.8 or newer with \
         CONFIG_DEBUG_INFO_BTF, as distributions build it"
    )]
    Types(#[source] aya::BtfError),
    /// The maps and types of the programs cannot be made.
    #[error("failed to load the programs; the observer needs CAP_BPF, CAP_PERFMON and bpf(2)")]
    Load(#[source] aya::EbpfError),
    /// The kernel does not take a program.
    #[error(
        "failed to load or attach the program {program:?}; the observer needs CAP_BPF, CAP_PERFMON \
         and bpf(2)"
    )]
    Program {
        /// Which one.
        program: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The object has other parts than this program.
    #[error("the programs have no {0:?}")]
    Missing(&'static str),
    /// What was counted cannot be read.
    #[error("failed to read what was counted")]
    Read(#[from] MapError),
}

/// The programs at work.
pub struct Kernel {
    /// Holds the programs and their links.
    ebpf: Ebpf,
    tables: Tables,
    spaces: Map<MapData, u64, [u8; SPACE]>,
    programs: Map<MapData, [u8; PROGRAM_KEY], [u8; PROGRAM]>,
    pendings: Map<MapData, u32, [u8; PENDING]>,
    tallies: Map<MapData, [u8; TALLY_KEY], [u8; TALLY]>,
    homes: Map<MapData, u64, u64>,
    adoptions: Map<MapData, [u8; ORPHAN], [u8; ADOPTED]>,
    totals: Array<MapData, u64>,
    /// The link of the program on `sys_enter`, while it is attached.
    entries: Option<BtfTracePointLinkId>,
    /// The link of the program on `sys_exit`, while it is attached.
    returns: Option<BtfTracePointLinkId>,
    /// The spaces, each with all that it has lost ever.
    known: BTreeMap<SpaceId, (Space, u64)>,
    lost_anywhere: u64,
    /// Calls that went in while nobody saw calls return.
    unfollowed: u64,
    changed: u64,
    ignored: HashSet<SpaceId>,
    /// Calls that were said not to have come back, by thread.
    waiting: HashMap<u32, (u64, u64)>,
    looked_for_waiting: Option<Duration>,
}

/// A map by its name.
macro_rules! map {
    ($ebpf:expr, $kind:ident, $name:literal) => {
        $kind::try_from($ebpf.take_map($name).ok_or(KernelError::Missing($name))?)?
    };
}

impl Kernel {
    /// Loads the programs and attaches them. Beside them comes where they say that a program of the
    /// host has begun to make namespaces, perhaps those of a container.
    ///
    /// # Errors
    /// When the kernel does not take them.
    pub fn start(tables: Tables, now: Clock) -> Result<(Self, RingBuf<MapData>), KernelError> {
        if OBJECT.is_empty() {
            return Err(KernelError::Architecture);
        }
        let types = Btf::from_sys_fs().map_err(KernelError::Types)?;
        let began = u64::try_from((now.since_boot + ATTACHING).as_nanos()).unwrap_or(u64::MAX);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&types))
            // What the verifier says of programs that it refuses fills a page, and says nothing to
            // an administrator.
            .verifier_log_level(VerifierLogLevel::DISABLE)
            .override_global("tables", tables.bytes(), true)
            .override_global("began", &began, true)
            .load(OBJECT)
            .map_err(KernelError::Load)?;
        let news = map!(ebpf, RingBuf, "news");
        let mut kernel = Self {
            spaces: map!(ebpf, Map, "spaces"),
            programs: map!(ebpf, Map, "programs"),
            pendings: map!(ebpf, Map, "pendings"),
            tallies: map!(ebpf, Map, "tallies"),
            homes: map!(ebpf, Map, "homes"),
            adoptions: map!(ebpf, Map, "adoptions"),
            totals: map!(ebpf, Array, "totals"),
            ebpf,
            tables,
            entries: None,
            returns: None,
            known: BTreeMap::new(),
            lost_anywhere: 0,
            unfollowed: 0,
            changed: 0,
            ignored: HashSet::new(),
            waiting: HashMap::new(),
            looked_for_waiting: None,
        };
        kernel.load("leave", "sys_exit", &types)?;
        kernel.load("enter", "sys_enter", &types)?;
        // A call that comes back without having been seen going in is a denial: so who looks at
        // what goes in comes last, and what was under way then is told by the age of its thread.
        kernel.follow_returns(true)?;
        kernel.follow_entries(true)?;
        Ok((kernel, news))
    }

    fn program(&mut self, name: &'static str) -> Result<&mut BtfTracePoint, KernelError> {
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or(KernelError::Missing(name))?;
        program.try_into().map_err(|source| refused(name, source))
    }

    fn load(
        &mut self,
        name: &'static str,
        tracepoint: &str,
        types: &Btf,
    ) -> Result<(), KernelError> {
        let loaded = self.program(name)?.load(tracepoint, types);
        loaded.map_err(|source| refused(name, source))
    }

    fn attach(&mut self, name: &'static str) -> Result<BtfTracePointLinkId, KernelError> {
        let attached = self.program(name)?.attach();
        attached.map_err(|source| refused(name, source))
    }

    /// Attaches the program that sees calls go in, or takes it off. An observer that is at work has it
    /// attached all the time; without it is what it costs compared.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn follow_entries(&mut self, needed: bool) -> Result<(), KernelError> {
        let link = self.entries.take();
        self.entries = self.followed("enter", link, needed)?;
        Ok(())
    }

    /// Attaches the program that sees calls come back, or takes it off: while no container is
    /// watched, nobody pays for it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn follow_returns(&mut self, needed: bool) -> Result<(), KernelError> {
        let link = self.returns.take();
        let begins = needed && link.is_none();
        self.returns = self.followed("leave", link, needed)?;
        if begins {
            self.forget_pendings()?;
        }
        Ok(())
    }

    /// The link of a program that is attached if that is needed.
    fn followed(
        &mut self,
        name: &'static str,
        link: Option<BtfTracePointLinkId>,
        needed: bool,
    ) -> Result<Option<BtfTracePointLinkId>, KernelError> {
        match (needed, link) {
            (true, None) => self.attach(name).map(Some),
            (false, Some(link)) => {
                let detached = self.program(name)?.detach(link);
                detached.map_err(|source| refused(name, source))?;
                Ok(None)
            }
            (_, unchanged) => Ok(unchanged),
        }
    }

    /// Calls that went in while nobody saw calls return: it is not known what became of them, and
    /// those that have returned would seem to wait for ever.
    fn forget_pendings(&mut self) -> Result<(), KernelError> {
        let all: Vec<_> = self.pendings.iter().collect::<Result<_, _>>()?;
        for (thread, bytes) in all {
            found(self.pendings.remove(&thread))?;
            self.unfollowed += u64::from(!RawPending::read(&bytes).passes);
        }
        Ok(())
    }

    /// What was seen since the last look.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn look(&mut self, now: Clock) -> Result<Sight, KernelError> {
        let lost = self.totals.get(&LOST, 0)?;
        let changed = self.totals.get(&CHANGED, 0)?;
        let mut sight = Sight {
            lost: lost.saturating_sub(self.lost_anywhere) + std::mem::take(&mut self.unfollowed),
            ..Sight::default()
        };
        self.lost_anywhere = lost;
        for (space, _) in self.known.values_mut() {
            space.lost = 0;
        }
        if changed != self.changed {
            // What changes while it is read is read again the next time.
            self.changed = changed;
            self.read_spaces(now)?;
            self.take_tallies(now, &mut sight)?;
        }
        let is_due = |last| now.since_boot.saturating_sub(last) >= PENDING_INTERVAL;
        if self.looked_for_waiting.is_none_or(is_due) {
            self.looked_for_waiting = Some(now.since_boot);
            self.find_waiting(now, &mut sight)?;
        }
        sight.spaces = self
            .known
            .values()
            .map(|(space, _)| space.clone())
            .collect();
        Ok(sight)
    }

    fn read_spaces(&mut self, now: Clock) -> Result<(), KernelError> {
        for entry in &self.spaces {
            let (number, bytes) = entry?;
            let raw = RawSpace::read(&bytes);
            let id = SpaceId(number);
            if raw.ignored || self.ignored.contains(&id) {
                continue;
            }
            let lost = self.known.get(&id).map_or(0, |(_, lost)| *lost);
            let space = Space {
                id,
                groups: raw.groups,
                seen: now.moment(raw.seen),
                begun: raw.begun.map(|at| Begun {
                    at: now.moment(at),
                    filters: raw.filters,
                }),
                lost: raw.lost.saturating_sub(lost),
                blind: raw.blind,
            };
            self.known.insert(id, (space, raw.lost));
        }
        Ok(())
    }

    fn take_tallies(&mut self, now: Clock, sight: &mut Sight) -> Result<(), KernelError> {
        let keys: Vec<_> = self.tallies.keys().collect::<Result<_, _>>()?;
        for bytes in keys {
            let Some(tally) = found(self.tallies.get(&bytes, 0))? else {
                continue;
            };
            // What is counted between these two is lost as a count, and was counted as a call.
            found(self.tallies.remove(&bytes))?;
            let (key, tally) = (RawTallyKey::read(&bytes), RawTally::read(&tally));
            if self.ignored.contains(&SpaceId(key.call.space)) {
                continue;
            }
            let errno = Errno::new(u16::try_from(key.errno).unwrap_or(u16::MAX));
            let fate = if key.denied {
                Fate::Denied {
                    errno,
                    filters: key.filters,
                    ambiguous: key.ambiguous,
                }
            } else if key.errno == 0 {
                Fate::Success
            } else {
                Fate::Refused(errno)
            };
            let seen = self.seen(&key.call, fate, tally, now)?;
            sight.calls.extend(seen);
        }
        Ok(())
    }

    /// Calls that do not come back: what they wait for may be for ever.
    fn find_waiting(&mut self, now: Clock, sight: &mut Sight) -> Result<(), KernelError> {
        let all: Vec<_> = self.pendings.iter().collect::<Result<_, _>>()?;
        let mut waiting = HashMap::new();
        for (thread, bytes) in all {
            let pending = RawPending::read(&bytes);
            let age = now
                .since_boot
                .saturating_sub(Duration::from_nanos(pending.at));
            if pending.passes || age < PENDING_INTERVAL {
                continue;
            }
            let which = (pending.started, pending.at);
            waiting.insert(thread, which);
            if self.waiting.get(&thread) == Some(&which) {
                continue;
            }
            let tally = RawTally {
                count: 1,
                first: pending.at,
                last: pending.at,
            };
            let seen = self.seen(&pending.call, Fate::Unrecorded, tally, now)?;
            sight.calls.extend(seen);
        }
        self.waiting = waiting;
        Ok(())
    }

    fn seen(
        &self,
        call: &RawCall,
        fate: Fate,
        tally: RawTally,
        now: Clock,
    ) -> Result<Option<SeenCall>, KernelError> {
        let Some(abi) = self.tables.abi(call.abi) else {
            return Ok(None);
        };
        let kept = self.tables.kept(call.abi, call.number);
        let arguments = kept.into_iter().zip(call.kept);
        let program = found(self.programs.get(&layout::program_key(call), 0))?;
        let executable = program
            .map(|bytes| layout::path(&bytes))
            .unwrap_or_default();
        Ok(Some(SeenCall {
            space: SpaceId(call.space),
            abi,
            number: call.number,
            arguments: (!call.unread).then(|| arguments.collect()),
            fate,
            executable: executable.into(),
            count: tally.count,
            first: now.moment(tally.first),
            last: now.moment(tally.last),
        }))
    }

    /// Says nothing of a space any more.
    ///
    /// # Errors
    /// When the kernel cannot be told.
    pub fn ignore(&mut self, id: SpaceId) -> Result<(), KernelError> {
        if self.ignored.len() >= MOST_IGNORED {
            for id in std::mem::take(&mut self.ignored) {
                found(self.spaces.remove(&id.0))?;
            }
        }
        self.spaces.insert(id.0, RawSpace::ignored(), 0)?;
        self.ignored.insert(id);
        self.leave_out(id)
    }

    /// Forgets a space that is gone.
    ///
    /// # Errors
    /// When the kernel cannot be told.
    pub fn forget(&mut self, id: SpaceId) -> Result<(), KernelError> {
        found(self.spaces.remove(&id.0))?;
        self.ignored.remove(&id);
        self.leave_out(id)
    }

    /// Nothing more is said of a space: its programs and where they lie are of no use.
    fn leave_out(&mut self, id: SpaceId) -> Result<(), KernelError> {
        self.known.remove(&id);
        let programs: Vec<_> = self.programs.keys().collect::<Result<_, _>>()?;
        for key in programs {
            if key.starts_with(&id.0.to_ne_bytes()) {
                found(self.programs.remove(&key))?;
            }
        }
        let homes: Vec<_> = self.homes.iter().collect::<Result<_, _>>()?;
        for (mount, space) in homes {
            if space == id.0 {
                found(self.homes.remove(&mount))?;
            }
        }
        let adoptions: Vec<_> = self.adoptions.iter().collect::<Result<_, _>>()?;
        for (file, adopted) in adoptions {
            if adopted.starts_with(&id.0.to_ne_bytes()) {
                found(self.adoptions.remove(&file))?;
            }
        }
        Ok(())
    }
}

/// None where there is no such key: it was taken away, or never put there for want of room.
fn found<T>(result: Result<T, MapError>) -> Result<Option<T>, MapError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(MapError::SyscallError(error)) if is_missing(&error.io_error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// What the kernel said, without what the verifier did not say.
fn refused(program: &'static str, error: ProgramError) -> KernelError {
    let source = match error {
        ProgramError::LoadError { io_error, .. } => io_error,
        ProgramError::SyscallError(error) => error.io_error,
        other => io::Error::other(other),
    };
    KernelError::Program { program, source }
}

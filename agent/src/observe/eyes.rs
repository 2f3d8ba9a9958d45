//! The observer's eyes in the kernel: opened once it is known what containers run under, and again
//! when that changes. Does I/O.

use aya::maps::{MapData, RingBuf};
use podfence_seccomp::{Sieve, SieveError};
use tokio::io::unix::AsyncFd;

use super::assumption::{self, AssumptionError};
use super::clock::Clock;
use super::context::Context;
use super::kernel::{Kernel, KernelError};
use super::sight::{Sight, SpaceId};
use super::tables::{Tables, TooManyRules};
use super::task::Eyes;

/// Programs in the kernel, if there are any yet.
#[derive(Default)]
#[allow(missing_debug_implementations)] // Nor have the programs one.
pub struct KernelEyes {
    open: Option<Open>,
    /// Whether it is known how this kernel shows denied calls: that does not change.
    is_tried: bool,
}

struct Open {
    kernel: Kernel,
    news: AsyncFd<RingBuf<MapData>>,
}

/// Why nothing is seen.
#[derive(Debug, thiserror::Error)]
pub enum EyesError {
    /// The programs cannot go by the rules.
    #[error(transparent)]
    Rules(#[from] SieveError),
    /// The programs have no room for the rules.
    #[error(transparent)]
    Room(#[from] TooManyRules),
    /// The kernel is not one that shows it.
    #[error(transparent)]
    Assumption(#[from] AssumptionError),
    /// The kernel does not take the programs, or does not say what they have counted.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Nobody would say that a container is about to start.
    #[error("failed to wait for news of the kernel")]
    News(#[source] std::io::Error),
    /// They were not opened.
    #[error("the programs are not in the kernel")]
    Closed,
}

impl KernelEyes {
    fn kernel(&mut self) -> Result<&mut Kernel, EyesError> {
        let open = self.open.as_mut().ok_or(EyesError::Closed)?;
        Ok(&mut open.kernel)
    }
}

impl Eyes for KernelEyes {
    type Error = EyesError;

    fn adapt(&mut self, context: &Context) -> Result<(), EyesError> {
        // Two at work would count everything twice.
        self.open = None;
        let rules = &context.profile.rules;
        let sieve = Sieve::of(rules, context.architecture, context.kernel)?;
        let tables = Tables::of(&sieve)?;
        if !self.is_tried {
            assumption::check()?;
            self.is_tried = true;
        }
        let (kernel, news) = Kernel::start(tables, Clock::now())?;
        // Deprecated for types that close their descriptor or change it; a ring buffer keeps one.
        // What takes its place is unsafe to call.
        #[allow(deprecated)]
        let news = AsyncFd::new(news).map_err(EyesError::News)?;
        tracing::info!(profile = %context.profile, "observing system calls");
        self.open = Some(Open { kernel, news });
        Ok(())
    }

    fn look(&mut self) -> Result<Sight, EyesError> {
        Ok(self.kernel()?.look(Clock::now())?)
    }

    fn ignore(&mut self, space: SpaceId) -> Result<(), EyesError> {
        Ok(self.kernel()?.ignore(space)?)
    }

    fn forget(&mut self, space: SpaceId) -> Result<(), EyesError> {
        Ok(self.kernel()?.forget(space)?)
    }

    fn follow_returns(&mut self, needed: bool) -> Result<(), EyesError> {
        Ok(self.kernel()?.follow_returns(needed)?)
    }

    async fn news(&mut self) {
        let Some(Open { news, .. }) = &mut self.open else {
            return std::future::pending().await;
        };
        let Ok(mut readable) = news.readable_mut().await else {
            // Then returns are followed from the next look on, as always.
            return std::future::pending().await;
        };
        while readable.get_inner_mut().next().is_some() {}
        readable.clear_ready();
    }
}

//! Runs a seccomp filter's program on a call, as the kernel does. No I/O.
//!
//! The instructions are those of classic BPF that libseccomp and runc use; any other is an error.

use anyhow::{Context, Result, bail};
use podfence_seccomp::{Abi, Action, Errno};

/// A filter's program: code, jump if true, jump if false, operand.
pub type Program = Vec<[u32; 4]>;

/// A call as the kernel shows it to a filter (`struct seccomp_data`).
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The number, with the bit that x32 adds.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub architecture: u32,
    /// The arguments.
    pub arguments: [u64; 6],
}

impl Call {
    /// A call of an ABI, little-endian where there are two.
    #[must_use]
    pub fn new(abi: Abi, number: u32, arguments: [u64; 6]) -> Self {
        /// `__X32_SYSCALL_BIT`
        const X32: u32 = 1 << 30;
        let number = if abi == Abi::X32 {
            number | X32
        } else {
            number
        };
        Self {
            number,
            architecture: audit_architecture(abi),
            arguments,
        }
    }

    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.architecture),
            // The instruction pointer, which no profile asks for.
            8 | 12 => Some(0),
            _ => {
                let offset = offset.checked_sub(16)?;
                let argument = self.arguments.get(usize::try_from(offset / 8).ok()?)?;
                let shift = match offset % 8 {
                    0 => 0,
                    4 => 32,
                    _ => return None,
                };
                u32::try_from((argument >> shift) & u64::from(u32::MAX)).ok()
            }
        }
    }
}

/// What the kernel's headers call an ABI (`include/uapi/linux/audit.h`).
fn audit_architecture(abi: Abi) -> u32 {
    const WIDE: u32 = 1 << 31;
    const LITTLE: u32 = 1 << 30;
    const N32: u32 = 1 << 29;
    // The machine's number in ELF (`include/uapi/linux/elf-em.h`), and what the ABI is like.
    let (machine, kind) = match abi {
        Abi::X86_64 | Abi::X32 => (62, WIDE | LITTLE),
        Abi::X86 => (3, LITTLE),
        Abi::Aarch64 => (183, WIDE | LITTLE),
        Abi::Arm => (40, LITTLE),
        Abi::Riscv64 => (243, WIDE | LITTLE),
        Abi::S390x => (22, WIDE),
        Abi::S390 => (22, 0),
        Abi::Ppc64 => (21, WIDE | LITTLE),
        Abi::Ppc => (20, 0),
        Abi::Loongarch64 => (258, WIDE | LITTLE),
        Abi::Mips => (8, LITTLE),
        Abi::Mips64 => (8, WIDE | LITTLE),
        Abi::Mips64n32 => (8, WIDE | LITTLE | N32),
    };
    machine | kind
}

/// What the program says of the call.
///
/// # Errors
///
/// When the program has an instruction that is not known here, runs past its end or gives an action
/// that no profile asks for.
pub fn run(program: &Program, call: &Call) -> Result<Action> {
    const LOAD_WORD: u32 = 0x20;
    const AND: u32 = 0x54;
    const RETURN: u32 = 0x06;
    const JUMP: u32 = 0x05;
    const JUMP_EQUAL: u32 = 0x15;
    const JUMP_GREATER: u32 = 0x25;
    const JUMP_GREATER_OR_EQUAL: u32 = 0x35;
    const JUMP_ANY_BIT: u32 = 0x45;
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let [code, if_true, if_false, operand] =
            *program.get(at).context("the program runs past its end")?;
        at += 1;
        let holds = match code {
            LOAD_WORD => {
                accumulator = call.word(operand).context("a word that no call has")?;
                continue;
            }
            AND => {
                accumulator &= operand;
                continue;
            }
            JUMP => {
                at += usize::try_from(operand)?;
                continue;
            }
            RETURN => return action(operand),
            JUMP_EQUAL => accumulator == operand,
            JUMP_GREATER => accumulator > operand,
            JUMP_GREATER_OR_EQUAL => accumulator >= operand,
            JUMP_ANY_BIT => accumulator & operand != 0,
            _ => bail!("unknown instruction {code:#x}"),
        };
        at += usize::try_from(if holds { if_true } else { if_false })?;
    }
}

fn action(returned: u32) -> Result<Action> {
    const KILL_THREAD: u32 = 0;
    const ERRNO: u32 = 0x0005;
    const ALLOW: u32 = 0x7fff_0000;
    Ok(match returned {
        ALLOW => Action::Allow,
        KILL_THREAD => Action::KillThread,
        errno if errno >> 16 == ERRNO => Action::Errno(Errno::new(u16::try_from(errno & 0xffff)?)),
        other => bail!("unknown action {other:#x}"),
    })
}

//! One line of a log: is it a record of the audit subsystem, and what does it say? Pure.
//!
//! The kernel writes `audit: type=1326 audit(TIME:SERIAL): KEY=VALUE …`, auditd
//! `type=SECCOMP msg=audit(TIME:SERIAL): KEY=VALUE …`, and other programs put more before it. Text that
//! a program can choose is quoted, or hexadecimal where it holds a quote, a space or a control
//! character; so spaces separate fields. What auditd adds for people comes behind the character 0x1D,
//! with names in capitals.

use podfence_seccomp::{Abi, syscalls};

/// The bit that x32 adds to its numbers.
const X32_BIT: u32 = 0x4000_0000;

/// The audit subsystem's number of each ABI (`AUDIT_ARCH_*`).
const ARCHITECTURES: [(u32, Abi); 18] = [
    (0xc000_003e, Abi::X86_64),
    (0x4000_0003, Abi::X86),
    (0xc000_00b7, Abi::Aarch64),
    (0x4000_0028, Abi::Arm),
    (0x0000_0028, Abi::Arm),
    (0xc000_00f3, Abi::Riscv64),
    (0x8000_0016, Abi::S390x),
    (0x0000_0016, Abi::S390),
    (0xc000_0015, Abi::Ppc64),
    (0x8000_0015, Abi::Ppc64),
    (0x0000_0014, Abi::Ppc),
    (0xc000_0102, Abi::Loongarch64),
    (0x0000_0008, Abi::Mips),
    (0x4000_0008, Abi::Mips),
    (0x8000_0008, Abi::Mips64),
    (0xc000_0008, Abi::Mips64),
    (0xa000_0008, Abi::Mips64n32),
    (0xe000_0008, Abi::Mips64n32),
];

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing of the audit subsystem.
    Other,
    /// The kernel says that it lost records.
    Lost,
    /// A record of another type.
    Record(Stamp),
    /// That a filter did something to a call.
    Seccomp(Record),
}

/// When a record was made, and which one it is. Records of one event share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The node, where the log names it. Numbers go on within a node only.
    pub(crate) node: Option<String>,
    /// Seconds since the beginning of 1970.
    pub(crate) seconds: u64,
    pub(crate) serial: u64,
}

/// What a filter did to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) stamp: Stamp,
    pub(crate) abi: Abi,
    pub(crate) call: &'static str,
    /// The filter's action (`SECCOMP_RET_*`), without data.
    pub(crate) code: u32,
    /// The thread's name.
    pub(crate) comm: Option<String>,
    /// The program, as a path within its root.
    pub(crate) exe: Option<String>,
}

/// Reads a line.
///
/// # Errors
///
/// With what is wrong, where it looks like a record.
pub(crate) fn read(line: &str) -> Result<Line, String> {
    let Some((head, body)) = line.split_once("audit(") else {
        return Ok(if says_lost(line) {
            Line::Lost
        } else {
            Line::Other
        });
    };
    let Some(kind) = kind(head) else {
        return Ok(Line::Other);
    };
    let is_seccomp = matches!(kind, "1326" | "SECCOMP" | "UNKNOWN[1326]");
    let (stamp, fields) = match stamp(head, body) {
        Ok(read) => read,
        Err(error) if is_seccomp => return Err(error),
        Err(_) => return Ok(Line::Other),
    };
    if is_seccomp {
        Ok(Line::Seccomp(record(stamp, fields)?))
    } else {
        Ok(Line::Record(stamp))
    }
}

/// The messages of the kernel's `audit.c` and of its rate limit.
fn says_lost(line: &str) -> bool {
    let of_audit = |rest: &str| {
        [
            "audit_lost=",
            "backlog limit exceeded",
            "rate limit exceeded",
        ]
        .iter()
        .any(|said| rest.starts_with(said))
    };
    line.contains("kauditd_printk_skb: ") && line.contains(" callbacks suppressed")
        || line.contains("audit_printk_skb: ") && line.contains(" callbacks suppressed")
        || line.split("audit: ").skip(1).any(of_audit)
}

/// The type of the record whose time comes next.
fn kind(head: &str) -> Option<&str> {
    let head = head.trim_end();
    let head = head.strip_suffix("msg=").unwrap_or(head).trim_end();
    let (before, kind) = head.rsplit_once("type=")?;
    let is_word = before.is_empty() || before.ends_with(' ');
    (is_word && !kind.contains(' ')).then_some(kind)
}

/// The time and the number, and what stands behind them.
fn stamp<'a>(head: &str, body: &'a str) -> Result<(Stamp, &'a str), String> {
    let (inside, fields) = body.split_once(')').ok_or("it ends within audit(…)")?;
    let wrong = || {
        format!(
            "audit({inside}) is not a time and a number such as 1795475386.792:8; of what ausearch \
             interpreted import the original, ausearch --raw"
        )
    };
    let (time, serial) = inside.rsplit_once(':').ok_or_else(wrong)?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    number(fraction)?;
    let node = head
        .split_whitespace()
        .find_map(|word| word.strip_prefix("node="));
    let stamp = Stamp {
        node: node.map(str::to_owned),
        seconds: number(seconds)?,
        serial: number(serial)?,
    };
    Ok((stamp, fields))
}

fn record(stamp: Stamp, fields: &str) -> Result<Record, String> {
    let fields = Fields::read(fields)?;
    let arch = fields.number("arch", 16)?;
    let abi = ARCHITECTURES.iter().find(|(number, _)| *number == arch);
    let (_, abi) = abi.ok_or_else(|| format!("arch={arch:x} is no architecture that is known"))?;
    let number = fields.number("syscall", 10)?;
    let (abi, number) = match abi {
        Abi::X86_64 if number & X32_BIT != 0 => (Abi::X32, number & !X32_BIT),
        other => (*other, number),
    };
    let call = syscalls::name(abi, number)
        .ok_or_else(|| format!("syscall={number} is no call of {abi} that is known"))?;
    Ok(Record {
        stamp,
        abi,
        call,
        code: fields.number("code", 16)?,
        comm: fields.text("comm")?,
        exe: fields.text("exe")?,
    })
}

/// The fields of a record that count here.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

const COUNTING: [&str; 5] = ["arch", "syscall", "code", "comm", "exe"];

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        // rsyslog writes the separator as #035, its number in octal.
        let kernel = text.split(['\u{1d}']).next().unwrap_or_default();
        let kernel = kernel.split("#035").next().unwrap_or_default();
        let mut fields = Vec::new();
        for (key, value) in kernel
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
        {
            if !COUNTING.contains(&key) {
                continue;
            }
            if fields.iter().any(|(known, _)| *known == key) {
                return Err(format!("{key} is there twice"));
            }
            fields.push((key, value));
        }
        Ok(Self(fields))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == key)?;
        Some(*value)
    }

    fn number(&self, key: &str, radix: u32) -> Result<u32, String> {
        let value = self.get(key).ok_or_else(|| format!("{key} is missing"))?;
        let digits = if radix == 16 {
            value.strip_prefix("0x").unwrap_or(value)
        } else {
            value
        };
        u32::from_str_radix(digits, radix)
            .ok()
            .filter(|_| !digits.starts_with('+'))
            .ok_or_else(|| format!("{key}={value} is not a number"))
    }

    /// Text that a program chose; none where the kernel could not tell.
    fn text(&self, key: &str) -> Result<Option<String>, String> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        if value == "(null)" || value == "?" {
            return Ok(None);
        }
        if let Some(quoted) = value.strip_prefix('"') {
            let text = quoted
                .strip_suffix('"')
                .ok_or_else(|| format!("{key}={value} has no end"))?;
            return Ok(Some(text.to_owned()));
        }
        let wrong = || format!("{key}={value} is neither quoted nor hexadecimal");
        let digits: Vec<u8> = value
            .chars()
            .map(|digit| {
                digit
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            })
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let (pairs, []) = digits.as_chunks::<2>() else {
            return Err(wrong());
        };
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

//! Calls that some ABIs make through another one: sockets through `socketcall`, System V IPC through
//! `ipc`. Pure.
//!
//! libseccomp then adds each rule twice, once for the number of the call itself, if it has one, and
//! once for the other call with its first argument saying which. The other conditions of the rule
//! stay as they are, although the other call has its arguments elsewhere.

use crate::{Abi, syscalls};

/// Where the numbers of calls within `socketcall` begin: with 1 (`include/uapi/linux/net.h`).
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls within `ipc` (`include/uapi/linux/ipc.h`).
const IPC: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// Whether some ABI makes other calls through this one.
pub(crate) fn is_carrier(name: &str) -> bool {
    matches!(name, "socketcall" | "ipc")
}

/// The number of the call that this one is made through, and what its first argument then is.
pub(super) fn through(abi: Abi, name: &str) -> Option<(u32, Option<u32>)> {
    if !abi.is_multiplexed() {
        return None;
    }
    let within = |carrier: &str, number: u32| {
        syscalls::number(abi, carrier).map(|carrier| (carrier, Some(number)))
    };
    if let Some((_, number)) = IPC.iter().find(|(known, _)| *known == name) {
        return within("ipc", *number);
    }
    let at = SOCKETCALL.iter().position(|known| *known == name)?;
    within("socketcall", u32::try_from(at).ok()? + 1)
}

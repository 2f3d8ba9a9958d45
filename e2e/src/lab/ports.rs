//! Free TCP ports on the loopback address, reserved across processes. Opens sockets.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

use anyhow::bail;

/// Below 32768, where Linux begins to take ports for outgoing connections: nothing but a listener
/// can take these.
const RANGE: Range<u16> = 20_000..32_000;

/// A TCP port of 127.0.0.1 that no other lab takes while this value lives.
///
/// A server that is stopped and started again must find its port free, so the port cannot be held
/// by listening on it. The UDP socket of the same number stands for it: the kernel gives it to one
/// process only, and takes it back when that process dies, however it dies.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port on which nothing listens.
    ///
    /// A stranger may still begin to listen on it before our server does; the caller then tries
    /// again with other ports.
    ///
    /// # Errors
    ///
    /// When every port of the range is taken.
    pub(super) fn reserve() -> anyhow::Result<Self> {
        // RandomState is seeded anew in each process, so that labs do not race along the same
        // sequence.
        let random = RandomState::new().hash_one(std::process::id());
        let length = u64::from(RANGE.end - RANGE.start);
        let start = RANGE.start + u16::try_from(random % length)?;
        for number in (start..RANGE.end).chain(RANGE.start..start) {
            let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _reservation: reservation,
                });
            }
        }
        bail!("no free port on 127.0.0.1 in {RANGE:?}");
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// The port's place among all that any lab may take, from 0 to 11,999.
    pub(super) fn offset(&self) -> u16 {
        self.number - RANGE.start
    }

    /// The address of a server that listens on it, with `scheme` `http` or `https`.
    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_differ_while_they_are_held() {
        let held: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let numbers: BTreeSet<u16> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());
    }

    #[test]
    fn a_server_can_listen_on_a_reserved_port_again_and_again() {
        let port = Port::reserve().unwrap();
        for _ in 0..2 {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
        }
    }
}

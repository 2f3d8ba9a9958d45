//! Servers that people run, from Debian's packages, and what loads them. Does I/O.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::NonZero;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::attach::contained;

/// `nobody` of Debian, and its group: `PostgreSQL` does not run as root.
const NOBODY: u32 = 65534;
/// Connections of the load, which are enough to keep every server busy.
const CONNECTIONS: &str = "16";
/// Requests of redis before its load begins anew, which is seldom.
const REDIS_REQUESTS: &str = "10000000";
/// Seconds of a load that is ended when it is not needed any more.
const SECONDS: u32 = 24 * 60 * 60;
/// Servers have the first processor and what loads them the last one, so that none is measured where
/// the scheduler happened to put it.
const SERVER: usize = 0;
/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, stopped when it is dropped.
pub(crate) struct Server {
    /// As people are told.
    pub(crate) name: &'static str,
    child: Child,
    port: u16,
    load: fn(u16) -> Result<Command>,
}

/// How a server is started, in a folder of its own, on a port.
type Start = fn(&Path, u16) -> Result<Command>;

struct Kind {
    name: &'static str,
    /// Programs that are needed, and the package of each.
    needs: &'static [(&'static str, &'static str)],
    start: Start,
    fill: fn(u16) -> Result<Command>,
    /// Makes requests until it is killed.
    load: fn(u16) -> Result<Command>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "redis",
        needs: &[
            ("redis-server", "redis-server"),
            ("redis-benchmark", "redis-tools"),
        ],
        start: start_redis,
        fill: |port| Ok(redis_benchmark(port, "set", "1000")),
        load: |port| {
            let mut benchmark = redis_benchmark(port, "get", REDIS_REQUESTS);
            benchmark.arg("-l");
            Ok(benchmark)
        },
    },
    Kind {
        name: "nginx",
        needs: &[("nginx", "nginx-light"), ("wrk", "wrk")],
        start: start_nginx,
        fill: |port| Ok(wrk(port, 1)),
        load: |port| Ok(wrk(port, SECONDS)),
    },
    Kind {
        name: "postgresql",
        needs: &[
            ("initdb", "postgresql"),
            ("postgres", "postgresql"),
            ("pgbench", "postgresql"),
        ],
        start: start_postgresql,
        fill: |port| {
            let mut pgbench = pgbench(port)?;
            pgbench.args(["--initialize", "--quiet", "--scale=5"]);
            Ok(pgbench)
        },
        load: |port| {
            let mut pgbench = pgbench(port)?;
            pgbench.args(["--select-only", "--no-vacuum", "--client=4"]);
            pgbench.arg(format!("--time={SECONDS}"));
            Ok(pgbench)
        },
    },
];

/// The Debian packages that have to be installed before anything can be measured.
pub(crate) fn missing() -> Vec<&'static str> {
    let needs = KINDS.iter().flat_map(|kind| kind.needs);
    let mut missing: Vec<_> = needs
        .filter(|(program, _)| find(program).is_err())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    missing
}

/// Starts all of them.
pub(crate) fn start(folder: &Path) -> Result<Vec<Server>> {
    KINDS
        .iter()
        .map(|kind| Server::start(kind, &folder.join(kind.name)))
        .collect()
}

impl Server {
    fn start(kind: &Kind, folder: &Path) -> Result<Self> {
        fs::create_dir(folder)?;
        let port = free_port()?;
        let log = fs::File::create(folder.join("log"))?;
        let child = (kind.start)(folder, port)?
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            name: kind.name,
            child,
            port,
            load: kind.load,
        };
        server.fill(kind, folder)?;
        Ok(server)
    }

    /// Fills it as soon as it lets itself be filled.
    fn fill(&mut self, kind: &Kind, folder: &Path) -> Result<()> {
        let began = Instant::now();
        let mut said = String::new();
        while began.elapsed() < PATIENCE {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                let output = (kind.fill)(self.port)?.output()?;
                if output.status.success() {
                    return Ok(());
                }
                said = String::from_utf8_lossy(&output.stderr).into_owned();
            }
            if self.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(folder.join("log"))?;
        bail!("{} does not start: {log}\n{said}", self.name);
    }

    /// What makes requests of it until it is killed.
    pub(crate) fn load(&self) -> Result<Command> {
        (self.load)(self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // All of them stop at once at this signal, and take their own children along.
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = process {
            let _ = kill_process(process, Signal::INT);
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start_redis(folder: &Path, port: u16) -> Result<Command> {
    let mut command = server();
    command
        .arg(find("redis-server")?)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder);
    Ok(command)
}

/// A command that runs what follows where loads run.
fn load() -> Command {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut command = Command::new("taskset");
    command
        .args(["--cpu-list", &(processors - 1).to_string()])
        .stdin(Stdio::null());
    command
}

fn server() -> Command {
    let mut command = contained();
    command.args(["taskset", "--cpu-list", &SERVER.to_string()]);
    command
}

fn redis_benchmark(port: u16, test: &str, requests: &str) -> Command {
    let mut command = load();
    command
        .arg("redis-benchmark")
        .args(["-p", &port.to_string(), "-t", test, "-n", requests])
        .args(["-c", CONNECTIONS, "--csv"]);
    command
}

fn start_nginx(folder: &Path, port: u16) -> Result<Command> {
    let root = folder.display();
    fs::write(
        folder.join("index.html"),
        "<p>Here is nothing.</p>\n".repeat(40),
    )?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {root}/{name};\n"))
        .concat();
    let configuration = folder.join("nginx.conf");
    fs::write(
        &configuration,
        format!(
            "daemon off;\nmaster_process off;\npid {root}/pid;\nevents {{}}\nhttp {{\n\
             access_log off;\n{temporary}\
             server {{ listen 127.0.0.1:{port}; root {root}; }}\n}}\n"
        ),
    )?;
    let mut command = server();
    command
        .arg(find("nginx")?)
        .arg("-e")
        .arg(folder.join("errors"))
        .arg("-c")
        .arg(configuration);
    Ok(command)
}

fn wrk(port: u16, seconds: u32) -> Command {
    let mut command = load();
    command
        .arg("wrk")
        .args(["-t", "1", "-c", CONNECTIONS])
        .args(["-d", &format!("{seconds}s")])
        .arg(format!("http://127.0.0.1:{port}/index.html"));
    command
}

fn start_postgresql(folder: &Path, port: u16) -> Result<Command> {
    chown(folder, Some(NOBODY), Some(NOBODY))?;
    let data = folder.join("data");
    let output = as_nobody()
        .arg(find("initdb")?)
        .args(["--no-sync", "--auth=trust", "--username=nobody"])
        .args(["--encoding=UTF8", "--no-locale", "--pgdata"])
        .arg(&data)
        .output()?;
    ensure!(
        output.status.success(),
        "initdb failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut command = as_nobody();
    command
        .arg(find("postgres")?)
        .args(["-p", &port.to_string(), "-D"])
        .arg(&data)
        .arg("-k")
        .arg(folder)
        // Disks and what the server does by itself are not what is measured.
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .args(["-c", "autovacuum=off", "-c", "checkpoint_timeout=1h"]);
    Ok(command)
}

fn as_nobody() -> Command {
    let mut command = contained();
    command
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
        .args([
            "--clear-groups",
            "taskset",
            "--cpu-list",
            &SERVER.to_string(),
        ])
        .current_dir("/");
    command
}

fn pgbench(port: u16) -> Result<Command> {
    let mut command = load();
    command
        .arg(find("pgbench")?)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", "nobody")
        .env("PGDATABASE", "postgres");
    Ok(command)
}

/// Where a program is: in PATH, among the programs of the system, or in the newest `PostgreSQL`,
/// which Debian keeps out of both.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    let mut folders: Vec<PathBuf> = versions.into_iter().rev().collect();
    folders.push("/usr/sbin".into());
    folders.extend(std::env::split_paths(&path));
    let mut files = folders.into_iter().map(|folder| folder.join(program));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("there is no {program}"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

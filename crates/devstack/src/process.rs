//! One child process: how it is born, how it ends, and that it never outlives us.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process_group, set_parent_process_death_signal, waitpid,
};

/// How often a process is asked whether it is ready or has ended.
const POLL: Duration = Duration::from_millis(10);

/// How much of a log an error message shows.
const TAIL_BYTES: u64 = 4096;

/// What of our own environment a child may see. Everything else is given to it explicitly, so that a test does not
/// depend on what happens to be set on a machine.
const INHERITED: [&str; 4] = ["PATH", "HOME", "RUST_LOG", "RUST_BACKTRACE"];

/// A program with its arguments and its environment.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
}

impl Program {
    /// The program at `path`, with no arguments and no environment but `PATH`, `HOME` and Rust's logging settings.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: Vec::new(), environment: Vec::new(), folder: None }
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; a later value replaces an earlier one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Sets the folder that it runs in, ours otherwise.
    pub fn working_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear();
        command.envs(INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

/// A running child process with the group of processes that it leads.
///
/// It is killed on drop; and the kernel kills it when our process ends without a chance to drop anything.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program, which appends what it prints to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be written or the program cannot be started.
    pub fn spawn(name: &str, program: &Program, log: &Path) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| format!("cannot write the log {}", log.display()))?;
        let mut command = program.command();
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A group of its own: Ctrl-C in a terminal reaches us alone, and we decide in which order things end.
        command.process_group(0);
        let child =
            spawn_bound_to_us(command).with_context(|| format!("cannot start {}", program.path.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf() })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The status it ended with, or `None` while it runs.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`; the error ends with its log.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} still runs after {limit:?}; {}", self.name, self.end_of_log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until it ends with success.
    ///
    /// # Errors
    /// When it fails, or still runs after `limit`; the error ends with its log.
    pub async fn succeed(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait(limit).await?;
        ensure!(status.success(), "{} failed ({status}); {}", self.name, self.end_of_log());
        Ok(())
    }

    /// Waits until `probe` says that it is ready.
    ///
    /// # Errors
    /// When it ends before, or is not ready after `limit`; the error ends with its log.
    pub async fn wait_until_ready(
        &mut self,
        limit: Duration,
        mut probe: impl AsyncFnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                bail!("{} ended before it was ready ({status}); {}", self.name, self.end_of_log());
            }
            if probe().await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("{} is not ready after {limit:?}; {}", self.name, self.end_of_log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends SIGTERM, and SIGKILL when it has not ended after `grace`.
    ///
    /// # Errors
    /// When the kernel does not tell how it ended.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)?; // a paused process would not see the first one
        match self.wait(grace).await {
            Ok(status) => Ok(status),
            Err(_) => Ok(self.kill()?),
        }
    }

    /// Sends SIGKILL and waits for the end, which that cannot delay.
    ///
    /// # Errors
    /// When the kernel does not tell how it ended.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.child.wait()
    }

    /// Sends a signal to it and its children; nothing happens when it has ended.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_some() {
            return Ok(()); // its number may be another process's by now
        }
        let group = Pid::from_raw(self.pid().cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(kill_process_group(group, signal)?)
    }

    /// Lets it stand still: when this returns, none of its threads runs any more.
    ///
    /// # Errors
    /// When it cannot be told to.
    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        // The signal is sent, but a thread on another core may still run for a moment. One that stood already does
        // not report it again.
        let deadline = Instant::now() + Duration::from_secs(1);
        while self.ended()?.is_none() && Instant::now() < deadline {
            let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
            if waitpid(Some(Pid::from_child(&self.child)), options)?.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The last lines of the log, in words for an error message.
    fn end_of_log(&self) -> String {
        let tail = tail(&self.log).unwrap_or_else(|error| format!("(unreadable: {error})"));
        format!("its log {} ends with:\n{}", self.log.display(), tail.trim_end())
    }
}

/// A test that fails shows what its processes said last.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
        if std::thread::panicking() {
            eprintln!("{}: {}", self.name, self.end_of_log());
        }
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Starts a command that the kernel kills when our process ends.
///
/// The kernel ties that to the *thread* which started the child, and threads of tests and runtimes come and go. So one
/// thread, which lives as long as our process, starts all children.
pub fn spawn_bound_to_us(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::SyncSender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::SyncSender<Order>> = OnceLock::new();

    let starter = STARTER.get_or_init(|| {
        let (orders, incoming) = mpsc::sync_channel::<Order>(1);
        thread::spawn(move || {
            for (command, answer) in incoming {
                let _ = answer.send(die_with_this_thread(command).spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that starts processes is gone");
    starter.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

fn die_with_this_thread(mut command: Command) -> Command {
    let parent = getpid();
    let bind = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the parent ended before that call, no signal will come any more.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only calls that are safe in a signal handler are allowed. These are two plain
    // system calls; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(bind) };
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateFolder;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(folder: &PrivateFolder, script: &str) -> Process {
        let program = Program::new("/bin/sh").arguments(["-c", script]);
        Process::spawn("shell", &program, &folder.path().join("shell.log")).unwrap()
    }

    #[tokio::test]
    async fn a_process_that_ends_too_early_is_reported_with_its_last_words() {
        let folder = PrivateFolder::new().unwrap();
        let mut process = shell(&folder, "echo no such table >&2; exit 3");
        let error = process.wait_until_ready(LIMIT, async || false).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("no such table"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_is_never_ready_is_reported_with_its_last_words() {
        let folder = PrivateFolder::new().unwrap();
        let mut process = shell(&folder, "echo waiting; exec sleep 1000");
        let spoken = async || std::fs::read(folder.path().join("shell.log")).is_ok_and(|log| !log.is_empty());
        process.wait_until_ready(LIMIT, spoken).await.unwrap();
        let error = process.wait_until_ready(Duration::ZERO, async || false).await.unwrap_err().to_string();
        assert!(error.contains("is not ready") && error.ends_with("waiting"), "{error}");
    }

    #[tokio::test]
    async fn a_paused_process_can_be_stopped() {
        let folder = PrivateFolder::new().unwrap();
        let mut process = shell(&folder, "exec sleep 1000");
        process.pause().unwrap();
        let status = process.stop(LIMIT).await.unwrap();
        assert_eq!(status.to_string(), "signal: 15 (SIGTERM)");
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_request_to_stop_is_killed() {
        let folder = PrivateFolder::new().unwrap();
        let mut process = shell(&folder, "trap '' TERM; echo deaf; while :; do sleep 1; done");
        let deaf = async || std::fs::read(folder.path().join("shell.log")).is_ok_and(|log| !log.is_empty());
        process.wait_until_ready(LIMIT, deaf).await.unwrap();
        let status = process.stop(Duration::from_millis(50)).await.unwrap();
        assert_eq!(status.to_string(), "signal: 9 (SIGKILL)");
    }

    #[tokio::test]
    async fn a_child_sees_only_the_environment_that_it_is_given() {
        let folder = PrivateFolder::new().unwrap();
        let mut program = Program::new("/usr/bin/env");
        program.set("GREETING", "hello");
        let log = folder.path().join("env.log");
        let mut process = Process::spawn("env", &program, &log).unwrap();
        assert!(process.wait(LIMIT).await.unwrap().success());
        let seen = std::fs::read_to_string(log).unwrap();
        assert!(seen.contains("GREETING=hello") && !seen.contains("CARGO_"), "{seen}");
    }
}

//! `devstack exec` gives its command a database server and takes it away again, however the two end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use devstack::PrivateFolder;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Runs a shell script under `devstack exec`, as the leader of a process group, as a shell would.
fn exec(temporary: &PrivateFolder, script: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_devstack"))
        .args(["exec", "--", "sh", "-c", script])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits for the first line that the script prints, and returns the processes that run by then.
fn children_once_it_speaks(devstack: &mut Child) -> HashSet<u32> {
    let mut line = String::new();
    BufReader::new(devstack.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let children = children_of(devstack.id());
    assert_eq!(children.len(), 2, "the server and the command");
    children
}

/// State and parent of a process; `None` when it is gone.
fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> HashSet<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|pid| state_and_parent(*pid).is_some_and(|(_, its)| its == parent)).collect()
}

fn wait_until_gone(processes: &HashSet<u32>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    // A dead process stays a zombie (Z) until whoever adopted it asks for its status.
    while processes.iter().any(|pid| state_and_parent(*pid).is_some_and(|(state, _)| state != "Z")) {
        assert!(Instant::now() < deadline, "still there: {processes:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_ends_as_its_command_does() {
    let temporary = PrivateFolder::new().unwrap();
    assert_eq!(exec(&temporary, "exit 7").wait().unwrap().code(), Some(7));
    assert_eq!(exec(&temporary, "kill -TERM $$").wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn it_tells_its_command_where_the_server_is() {
    let temporary = PrivateFolder::new().unwrap();
    let mut devstack =
        exec(&temporary, r#"echo "$DEVSTACK_MYSQL_HOST $DEVSTACK_MYSQL_PORT $DEVSTACK_MYSQL_USERPASSWORD""#);
    let mut output = String::new();
    devstack.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(devstack.wait().unwrap().success());
    let [host, port, user_password] = output.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{output}")
    };
    assert_eq!(host, "127.0.0.1");
    assert!(port.parse::<u16>().is_ok());
    assert!(user_password.starts_with("kube:") && "=:@#%".chars().all(|c| user_password[5..].contains(c)));
}

#[test]
fn an_unknown_command_is_an_error_with_its_name() {
    let output = Command::new(env!("CARGO_BIN_EXE_devstack"))
        .args(["exec", "--", "no-such-command"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("no-such-command"), "{words}");
}

#[test]
fn ctrl_c_stops_everything_and_leaves_no_file() {
    let temporary = PrivateFolder::new().unwrap();
    let mut devstack = exec(&temporary, "echo ready; exec sleep 1000");
    let children = children_once_it_speaks(&mut devstack);
    kill_process_group(pid(&devstack), Signal::INT).unwrap();
    assert_eq!(devstack.wait().unwrap().code(), Some(128 + 2));
    wait_until_gone(&children);
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_request_to_end_is_passed_on_to_the_command() {
    let temporary = PrivateFolder::new().unwrap();
    let mut devstack = exec(&temporary, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    let mut line = String::new();
    BufReader::new(devstack.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    kill_process(pid(&devstack), Signal::TERM).unwrap();
    assert_eq!(devstack.wait().unwrap().code(), Some(5));
}

#[test]
fn killing_it_leaves_no_process_behind() {
    let temporary = PrivateFolder::new().unwrap();
    let mut devstack = exec(&temporary, "echo ready; exec sleep 1000");
    let children = children_once_it_speaks(&mut devstack);
    devstack.kill().unwrap();
    devstack.wait().unwrap();
    wait_until_gone(&children);
}

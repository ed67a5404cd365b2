//! What a page is looked at with: a desktop or a phone, in light or dark.

use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::Browser;

/// A screen.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    pub name: &'static str,
    width: u32,
    height: u32,
    /// Whether it is touched, and a page is as wide as it says.
    is_phone: bool,
    scheme: &'static str,
}

pub const DESKTOP: Device =
    Device { name: "desktop", width: 1280, height: 900, is_phone: false, scheme: "light" };
pub const DARK: Device = Device { name: "dark", scheme: "dark", ..DESKTOP };
pub const PHONE: Device = Device { name: "phone", width: 360, height: 740, is_phone: true, scheme: "light" };

impl Browser {
    /// A command of Chromium's own protocol.
    async fn chromium(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.command(Method::POST, "/goog/cdp/execute", Some(body)).await.unwrap()
    }

    /// From now on pages are shown on this device.
    pub async fn become_a(&self, device: Device) {
        let Device { width, height, is_phone, scheme, .. } = device;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.chromium("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", scheme).await;
    }

    /// What is seen, as a JPEG in Base64.
    pub async fn photograph(&self) -> String {
        let parameters = json!({ "format": "jpeg", "quality": 80 });
        self.chromium("Page.captureScreenshot", parameters).await["data"].as_str().unwrap().to_owned()
    }
}

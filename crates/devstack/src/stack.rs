//! All of it together: queue, folders of pictures and the four services that keep running.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::nsq::{Nsqd, Nsqlookupd};
use crate::paths;
use crate::port::Port;
use crate::service::{Finished, Service};

/// Longer than the redeemer tries before it gives up.
const REDEEMED_WITHIN: Duration = Duration::from_secs(70);

/// Queue and services around a database that somebody else keeps, with two empty folders of pictures.
pub struct Stack {
    /// HTTP in.
    pub receiver: Service,
    /// From message to result.
    pub image_processor: Service,
    /// Recognition.
    pub face_recog: Service,
    /// The page.
    pub frontend: Service,
    /// The queue.
    pub nsqd: Nsqd,
    /// Where consumers find the queue.
    pub nsqlookupd: Nsqlookupd,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    receiver_port: Port,
    frontend_port: Port,
    _face_recog_port: Port,
}

/// The settings that lead services to the queue, to a face-recog on the port `face_recog`, and to the two folders of
/// pictures in `folder`. Of settings with one name the last counts.
pub fn environment(
    folder: &Path,
    nsqlookupd: &Nsqlookupd,
    nsqd: &Nsqd,
    face_recog: &Port,
) -> Vec<(String, String)> {
    [
        ("PRODUCER_ADDRESS", nsqd.tcp_address()),
        ("NSQ_LOOKUP_ADDRESS", nsqlookupd.http_address()),
        ("FACE_RECOG_PORT", face_recog.to_string()),
        ("GRPC_ADDRESS", format!("127.0.0.1:{face_recog}")),
        ("KNOWN_PEOPLE", folder.join("known_people").display().to_string()),
        ("UNKNOWN_PEOPLE", folder.join("unknown_people").display().to_string()),
        ("MODELS", paths::models().display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

impl Stack {
    /// Starts everything in `folder` and waits until all services are ready.
    ///
    /// `settings` name the database and whatever else should not have its default; every service sees all of them.
    /// Receiver and frontend get the ports that the documents name, if nobody has them and `usual_ports` asks for them.
    ///
    /// # Errors
    /// When something cannot be started or is not ready within a minute; the error ends with its log.
    pub async fn start(
        folder: &Path,
        settings: impl IntoIterator<Item = (String, String)>,
        usual_ports: bool,
    ) -> Result<Self> {
        for made in ["known_people", "unknown_people", "thumbnails"] {
            fs::create_dir_all(folder.join(made))
                .with_context(|| format!("cannot make the folder {made}"))?;
        }
        let port = |usual| if usual_ports { Port::reserve_if_free(usual) } else { Port::reserve() };
        let (receiver_port, frontend_port, face_recog_port) = (port(8000)?, port(8081)?, Port::reserve()?);
        let nsqlookupd = Nsqlookupd::start(folder).await?;
        let nsqd = Nsqd::start(folder, &nsqlookupd).await?;

        let own = [
            ("RECEIVER_PORT", receiver_port.to_string()),
            ("FRONTEND_PORT", frontend_port.to_string()),
            ("RECEIVER_ADDRESS", format!("127.0.0.1:{receiver_port}")),
            ("THUMBNAILS", folder.join("thumbnails").display().to_string()),
        ];
        let mut environment = environment(folder, &nsqlookupd, &nsqd, &face_recog_port);
        environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
        environment.extend(settings);

        // All at once: they wait for each other.
        let spawn = |name: &str| -> Result<Service> {
            let mut service = Service::prepare(name, folder, environment.iter().cloned())?;
            service.server.spawn()?;
            Ok(service)
        };
        let mut stack = Self {
            receiver: spawn("receiver")?,
            image_processor: spawn("image-processor")?,
            face_recog: spawn("face-recog")?,
            frontend: spawn("frontend")?,
            nsqd,
            nsqlookupd,
            environment,
            folder: folder.to_path_buf(),
            receiver_port,
            frontend_port,
            _face_recog_port: face_recog_port,
        };
        for service in
            [&mut stack.face_recog, &mut stack.receiver, &mut stack.image_processor, &mut stack.frontend]
        {
            service.server.wait_until_ready().await?;
        }
        Ok(stack)
    }

    /// Where pictures are posted, without a slash at the end.
    pub fn receiver_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.receiver_port)
    }

    /// Where the table is, without a slash at the end.
    pub fn frontend_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.frontend_port)
    }

    /// The folder KNOWN_PEOPLE.
    pub fn known_people(&self) -> PathBuf {
        self.folder.join("known_people")
    }

    /// The folder UNKNOWN_PEOPLE.
    pub fn unknown_people(&self) -> PathBuf {
        self.folder.join("unknown_people")
    }

    /// The value of a setting that the services were given; empty for one that they were not.
    pub fn setting(&self, name: &str) -> &str {
        let setting = self.environment.iter().rev().find(|(known, _)| known == name);
        setting.map_or("", |(_, value)| value)
    }

    /// Starts another replica of a service that listens on no port of its own, the image-processor.
    ///
    /// # Errors
    /// When it cannot be started or is not ready within a minute.
    pub async fn another(&self, name: &str) -> Result<Service> {
        self.another_with(name, []).await
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// When it cannot be started or is not ready within a minute.
    pub async fn another_with(
        &self,
        name: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Service> {
        Service::start(name, &self.folder, self.environment.iter().cloned().chain(settings)).await
    }

    /// Runs the redeemer once.
    ///
    /// # Errors
    /// When it is not built, or does not end.
    pub async fn redeem(&self) -> Result<Finished> {
        Service::run("redeemer", &self.folder, self.environment.iter().cloned(), REDEEMED_WITHIN).await
    }
}

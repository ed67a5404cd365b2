//! Starts the real server in-process, on a free port, with folders of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod headers;
pub mod made;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::supervisor::Supervisor;
use face_recog::settings::RecognitionSettings;
use image::{DynamicImage, RgbImage};
use rpc::{
    Empty, IdentifyRequest, IdentifyResponse, health_check_client::HealthCheckClient,
    identify_client::IdentifyClient,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use web::ops::Readiness;

/// Longest wait for anything: far more than it takes, so that a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// A file that `make setup` fetched.
fn fetched(folder: &str, name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache").join(folder).join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

/// The path of a sample photograph. obama*.jpg and 32bit.png show one man, biden.jpg another and
/// astronaut.png a woman; camera.png shows a man in profile; the others show no face.
pub fn photograph(name: &str) -> PathBuf {
    fetched("photographs", name)
}

/// The pixels of a sample photograph.
pub fn pixels(name: &str) -> RgbImage {
    image::open(photograph(name)).unwrap().into_rgb8()
}

/// The folder of the weights.
pub fn models() -> PathBuf {
    fetched("models", "dlib_face_recognition_resnet_model_v1.dat").parent().unwrap().to_owned()
}

/// A running server and its folders.
pub struct World {
    folders: TempDir,
    pub address: SocketAddr,
    channel: Channel,
    pub shutdown: CancellationToken,
    pub server: JoinHandle<anyhow::Result<()>>,
}

impl World {
    /// Starts with the photographs `known` as known people, and waits until it is ready.
    pub async fn with_known(known: &[&str]) -> Self {
        let world = Self::unready(|folders| {
            fs::create_dir(folders.join("known")).unwrap();
            for name in known {
                fs::copy(photograph(name), folders.join("known").join(name)).unwrap();
            }
        })
        .await;
        eventually("the server is ready", async || world.is_ready().await).await;
        world
    }

    /// Starts with folders that `prepare` fills, and does not wait.
    pub async fn unready(prepare: impl FnOnce(&Path)) -> Self {
        let folders = tempfile::tempdir().unwrap();
        fs::create_dir(folders.path().join("unknown")).unwrap();
        prepare(folders.path());
        Self::with_folders(folders).await
    }

    /// Starts with the folders of another server, and waits until it is ready.
    pub async fn again(folders: TempDir) -> Self {
        let world = Self::with_folders(folders).await;
        eventually("the server is ready", async || world.is_ready().await).await;
        world
    }

    /// Stops the server and leaves its folders.
    pub async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        let Self { folders, server, channel, .. } = self;
        drop(channel);
        server.await.unwrap().unwrap();
        folders
    }

    async fn with_folders(folders: TempDir) -> Self {
        let settings = RecognitionSettings {
            known_people: folders.path().join("known"),
            unknown_people: folders.path().join("unknown"),
            models: models(),
            embeddings_cache: folders.path().join("embeddings"),
            match_tolerance: 0.6,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let server = tokio::spawn(async move {
            let readiness = Readiness::waiting_for("the known people");
            face_recog::run(&settings, listener, readiness, Supervisor::new(stop)).await
        });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { folders, address, channel, shutdown, server }
    }

    /// A connection to the server.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The path of a known person's picture.
    pub fn known(&self, name: &str) -> PathBuf {
        self.folders.path().join("known").join(name)
    }

    /// The path of an unknown person's picture.
    pub fn unknown(&self, name: &str) -> PathBuf {
        self.folders.path().join("unknown").join(name)
    }

    /// A path beside the folders, which no request may reach.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.folders.path().join(name)
    }

    pub async fn is_ready(&self) -> bool {
        let answer = HealthCheckClient::new(self.channel()).health_check(Empty {}).await;
        answer.is_ok_and(|answer| answer.into_inner().ready)
    }

    pub async fn identify(&self, path: &str) -> Result<IdentifyResponse, Status> {
        let request = IdentifyRequest { image_path: path.to_owned() };
        Ok(IdentifyClient::new(self.channel()).identify(request).await?.into_inner())
    }

    /// Who is on a sample photograph.
    pub async fn identify_photograph(&self, name: &str) -> IdentifyResponse {
        fs::copy(photograph(name), self.unknown(name)).unwrap();
        self.identify(name).await.unwrap()
    }

    /// Who is on a picture given as the bytes of a file.
    pub async fn identify_bytes(&self, bytes: &[u8]) -> Result<IdentifyResponse, Status> {
        fs::write(self.unknown("bytes"), bytes).unwrap();
        self.identify("bytes").await
    }

    /// Who is on a picture given as pixels.
    pub async fn identify_pixels(&self, picture: impl Into<DynamicImage>) -> IdentifyResponse {
        picture.into().save_with_format(self.unknown("pixels"), image::ImageFormat::Png).unwrap();
        self.identify("pixels").await.unwrap()
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "still not so after {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Checks the name, and the distance to three thousandths: enough for other processors' arithmetic.
#[track_caller]
pub fn assert_nearest(answer: &IdentifyResponse, name: &str, distance: f64) {
    assert_eq!(answer.image_name, name, "{answer:?}");
    let actual = answer.distance.unwrap();
    assert!((actual - distance).abs() < 0.003, "distance {actual}, expected {distance}");
}

/// Puts an EXIF segment with nothing but an orientation behind the start marker of a JPEG.
pub fn with_exif_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08".to_vec(); // big-endian TIFF, its directory at offset 8
    exif.extend([0, 1]); // one entry
    exif.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]); // Orientation, one SHORT
    exif.extend([0, 0, 0, 0]); // no further directory
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// The memory that this process holds now, in bytes.
pub fn memory() -> u64 {
    memory_as("VmRSS:")
}

/// The most memory that this process ever held, in bytes.
pub fn peak_memory() -> u64 {
    memory_as("VmHWM:")
}

/// Forgets it, so that from now on it is the most since now.
pub fn forget_peak_memory() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn memory_as(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

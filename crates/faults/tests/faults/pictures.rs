//! Pictures that are none, lie elsewhere or are hostile; the real face-recog looks at them.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use faults::{System, Vitals, Watch, eventually};
use reqwest::StatusCode;
use rustix::fs::{CWD, FileType, Mode, inotify, makedev, mknodat};
use rustix::io::Errno;

/// Sees when something in a folder is opened.
struct Witness(OwnedFd);

impl Witness {
    fn of(folder: &Path) -> Self {
        let witness = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&witness, folder, inotify::WatchFlags::OPEN).unwrap();
        Self(witness)
    }

    /// The files that were opened since it was asked last.
    fn opened(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.0, &mut buffer);
        let mut names = Vec::new();
        loop {
            match events.next() {
                Ok(event) => names.push(
                    event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
                ),
                Err(Errno::WOULDBLOCK) => return names,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn fault_18_a_poisonous_picture_fails_with_a_reason_and_the_server_lives() {
    let mut system = System::with_face_recog(&["obama.jpg"]).start().await;
    system.lay_out("obama2.jpg", "whole.jpg");
    let whole = fs::read(system.unknown("whole.jpg")).unwrap();
    for (name, bytes) in [
        ("empty.jpg", &b""[..]),
        ("text.jpg", b"I am no picture"),
        ("head.jpg", &whole[..20]),
        ("png.jpg", b"\x89PNG\r\n\x1a\n"),
        ("elf.jpg", b"\x7fELF\x02\x01\x01\0\0\0\0\0"),
    ] {
        fs::write(system.unknown(name), bytes).unwrap();
        let reason = system.failed(system.post(&[name]).await.ids[0]).await;
        assert!(!reason.is_empty() && !reason.contains("panicked"), "{name}: {reason}");
    }
    // Of one that was cut off later, something decodes.
    fs::write(system.unknown("truncated.jpg"), &whole[..whole.len() / 2]).unwrap();
    system.post(&["truncated.jpg", "whole.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    let face_recog = system.face_recog.as_mut().unwrap();
    assert_eq!(face_recog.server.stop().await.unwrap().code(), Some(0), "the same process lived through it");
}

#[tokio::test]
async fn fault_26_a_path_out_of_the_folder_is_refused_before_anything_is_opened() {
    let system = System::with_face_recog(&["obama.jpg"]).start().await;
    let outside = system.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::copy(system.known("obama.jpg"), outside.join("secret.jpg")).unwrap();
    let (outside, known) = (Witness::of(&outside), Witness::of(system.known("").as_path()));
    let there = system.folder.path().display().to_string();

    for path in ["/unknown_people/../outside/secret.jpg", "../outside/secret.jpg", "/unknown_people/a\0.jpg"]
    {
        let answer = system.client.post(&[path]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path:?}");
    }
    for path in [
        format!("{there}/outside/secret.jpg"),
        format!("{there}/known_people/obama.jpg"),
        "/etc/passwd".into(),
        "/".into(),
    ] {
        let reason = system.failed(system.client.store(&[&path]).await[0]).await;
        assert!(reason.contains("out of the folder"), "{path}: {reason}");
    }
    // face-recog looks into the folder of known people from time to time, but opens no picture a second time.
    let known: Vec<_> = known.opened().into_iter().filter(|name| !name.is_empty()).collect();
    assert_eq!((outside.opened(), known), (vec![], vec![]));
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_27_links_out_of_the_folder_pipes_and_devices_are_refused_and_nothing_hangs() {
    let system = System::with_face_recog(&["obama.jpg"]).start().await;
    let outside = system.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::copy(system.known("obama.jpg"), outside.join("secret.jpg")).unwrap();
    let witness = Witness::of(&outside);
    symlink("../outside/secret.jpg", system.unknown("relative.jpg")).unwrap();
    symlink(outside.join("secret.jpg"), system.unknown("absolute.jpg")).unwrap();
    symlink("../outside", system.unknown("folder")).unwrap();
    symlink("/dev/zero", system.unknown("zero.jpg")).unwrap();
    mknodat(CWD, system.unknown("pipe.jpg"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // Only root may make one.
    let zero = FileType::CharacterDevice;
    let device = mknodat(CWD, system.unknown("device.jpg"), zero, Mode::RUSR, makedev(1, 5)).is_ok();
    let mut names = vec!["relative.jpg", "absolute.jpg", "folder/secret.jpg", "zero.jpg", "pipe.jpg"];
    names.extend(device.then_some("device.jpg"));
    for id in system.post(&names).await.ids {
        let reason = system.failed(id).await;
        assert!(reason.contains("out of the folder") || reason.contains("not a regular file"), "{reason}");
    }

    // What lies there is swapped all the time: a picture, and a link to the one outside.
    let (picture, link, swapped) =
        (system.unknown("picture.jpg"), system.unknown("link.jpg"), system.unknown("swapped.jpg"));
    system.lay_out("coffee.png", "picture.jpg");
    symlink("../outside/secret.jpg", &link).unwrap();
    fs::copy(&picture, &swapped).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let swapping = std::thread::spawn(move || {
        use rustix::fs::{RenameFlags, renameat_with};
        while !stopped.load(Ordering::Relaxed) {
            renameat_with(CWD, &link, CWD, &swapped, RenameFlags::EXCHANGE).unwrap();
        }
    });
    // Different paths of one file, so that each is an image of its own.
    let paths: Vec<_> =
        (0..60).map(|number| format!("/unknown_people/{}swapped.jpg", "./".repeat(number))).collect();
    system.client.store(&paths).await;
    system.nothing_is_lost_and_nothing_invented().await;
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert_eq!(witness.opened(), Vec::<String>::new(), "nothing outside was opened");
    let named = "SELECT COUNT(*) FROM images WHERE person > 0";
    let named: i64 = sqlx::query_scalar(named).fetch_one(&system.pool).await.unwrap();
    assert_eq!(named, 0, "nobody saw the face outside");
}

#[tokio::test]
async fn fault_28_a_decompression_bomb_is_refused_in_bounded_memory() {
    let system = System::with_face_recog(&["obama.jpg"]).start().await;
    fs::write(system.unknown("bomb.png"), png_of(60_000, 60_000)).unwrap();
    let pid = system.face_recog.as_ref().unwrap().server.pid().unwrap();
    let before = Vitals::of(pid).unwrap().memory;
    let watch = Watch::of(pid);
    let reason = system.failed(system.post(&["bomb.png"]).await.ids[0]).await;
    assert!(reason.contains("too many"), "{reason}");
    let peak = watch.peak_memory().await;
    assert!(peak < before + 64 * 1024 * 1024, "from {before} to {peak} bytes");
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_31_a_picture_without_a_face_is_processed_and_a_bad_known_picture_is_named_in_the_log() {
    let system = System::with_face_recog(&["obama.jpg"]).start().await;
    fs::write(system.known("broken.jpg"), "no picture").unwrap();
    fs::copy(system.known("obama.jpg"), system.known("zz_last.jpg")).unwrap();
    let face_recog = system.face_recog.as_ref().unwrap();
    eventually("the new pictures are looked at", async || {
        (System::metric(face_recog, "facerecog_known_people").await == 2.0).then_some(())
    })
    .await;
    let log = System::log(face_recog);
    assert!(log.lines().any(|line| line.contains("skipped") && line.contains("broken.jpg")), "{log}");

    sqlx::raw_sql("INSERT INTO person_images (image_name, person_id) VALUES ('zz_last.jpg', 2)")
        .execute(&system.pool)
        .await
        .unwrap();
    system.lay_out("coffee.png", "cup.png");
    system.lay_out("obama2.jpg", "obama2.jpg");
    system.post(&["cup.png", "obama2.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    let rows: Vec<(i32, i32, Option<String>)> =
        sqlx::query_as("SELECT status, person, reason FROM images ORDER BY id")
            .fetch_all(&system.pool)
            .await
            .unwrap();
    assert_eq!(rows, [(1, -1, Some("no face was found".to_owned())), (1, 2, None)]);
}

/// A tiny PNG that says how large it is, and ends.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let header = [&b"IHDR"[..], &width.to_be_bytes(), &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for chunk in [&header[..], b"IDAT\x78\x9c", b"IEND"] {
        png.extend(u32::try_from(chunk.len() - 4).unwrap().to_be_bytes());
        png.extend(chunk);
        png.extend(crc32(chunk).to_be_bytes());
    }
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

//! Pictures that somebody made to do harm: each is answered in words, in bounded memory, and face-recog lives.
//!
//! One test in a process of its own, so that the memory it measures is that of these pictures. What is refused for
//! simpler reasons stands in `refusals.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{FileExt as _, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use support::{
    World, headers,
    made::{chunk, png, png_chunk_of, profile, progressive_jpeg, text},
    peak_memory, photograph,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use web::ops::Readiness;

/// More than any of them may take, in bytes: what all decoders may have, and a file of 64 MiB as it was made and as it
/// was read.
const GROWTH: u64 = (256 + 2 * 64) << 20;

/// What the answer to a hostile picture has to be.
enum Answer {
    /// Refused, with these words among its reason.
    Refused(Code, &'static str),
    /// There is a picture in it, which is looked at and shows no face.
    NoFace,
    /// Either, as its decoder likes best.
    Any,
}
use Answer::{Any, NoFace, Refused};

/// Puts the hostile thing at a path.
type Make = fn(&Path);

const DAMAGED: Answer = Refused(Code::InvalidArgument, "damaged");

const HOSTILE: &[(&str, Make, Answer)] = &[
    ("no bytes", |at| put(at, b""), Refused(Code::InvalidArgument, "empty")),
    ("half a photograph", half_a_photograph, Any),
    (
        "a PNG of 60,000 × 60,000",
        |at| put(at, &headers::png(60_000, 60_000)),
        Refused(Code::InvalidArgument, "too many"),
    ),
    ("a folder", |at| fs::create_dir(at).unwrap(), Refused(Code::InvalidArgument, "not a regular file")),
    (
        "a page in place of a picture",
        |at| put(at, b"<html>404</html>"),
        Refused(Code::InvalidArgument, "no JPEG"),
    ),
    (
        "a program in place of a picture",
        |at| put(at, b"\x7fELF\x02\x01\x01"),
        Refused(Code::InvalidArgument, "no JPEG"),
    ),
    (
        "a drawing that is a program",
        |at| put(at, b"<svg onload='x()'/>"),
        Refused(Code::InvalidArgument, "no JPEG"),
    ),
    (
        "a TIFF with a directory of 65,535 entries that is not there",
        |at| put(at, b"II\x2a\0\x08\0\0\0\xff\xff"),
        DAMAGED,
    ),
    (
        "a BMP of 60,000 × 60,000",
        |at| put(at, &bmp(60_000, 60_000)),
        Refused(Code::InvalidArgument, "too many"),
    ),
    ("a PNG without pixels", |at| put(at, &headers::png(0, 0)), DAMAGED),
    ("a GIF without pixels", |at| put(at, &headers::gif(0, 0)), DAMAGED),
    ("a JPEG without pixels", |at| put(at, &headers::jpeg(0, 0)), DAMAGED),
    (
        "a PNG of the largest sides there are",
        |at| put(at, &headers::png(u32::MAX >> 1, u32::MAX >> 1)),
        Refused(Code::InvalidArgument, "too many"),
    ),
    (
        "a GIF whose frame is larger than its screen",
        |at| put(at, &gif_with_frame((4, 4), (60_000, 60_000))),
        Any,
    ),
    ("a GIF of 64 million pixels in 40 bytes", |at| put(at, &headers::gif(8_000, 8_000)), Any),
    ("a PNG chunk of 2 GiB that ends at once", |at| put(at, &png_chunk_of(0x7fff_ffff)), DAMAGED),
    ("a PNG with a colour profile of 1 GiB in 7 MB", |at| put(at, &png(64, 64, &profile(1 << 30), 0)), Any),
    ("a PNG with a text of 1 GiB in 7 MB", |at| put(at, &png(64, 64, &text(1 << 30), 0)), NoFace),
    ("a PNG with 1 GiB more pixels than it says", |at| put(at, &png(64, 64, &[], 1 << 30)), Any),
    (
        "a PNG with a million chunks",
        |at| put(at, &png(64, 64, &chunk(b"teXt", b"").repeat(1_000_000), 0)),
        NoFace,
    ),
    (
        "a progressive JPEG of 64 megapixels in 375 kB",
        |at| put(at, &progressive_jpeg(8_000, 8_000, 0)),
        Refused(Code::InvalidArgument, "408 MiB of memory to open, and 256 are allowed"),
    ),
    ("a progressive JPEG of 36 megapixels", |at| put(at, &progressive_jpeg(6_000, 6_000, 0)), NoFace),
    ("a JPEG of a hundred thousand scans", |at| put(at, &progressive_jpeg(4_000, 4_000, 100_000)), DAMAGED),
    (
        "a PNG with an EXIF block of 60 MB",
        |at| put(at, &png(64, 64, &chunk(b"eXIf", &[0; 60 << 20]), 0)),
        DAMAGED,
    ),
    ("a TIFF with ten million strips", |at| put(at, &tiff_of_strips(10_000_000)), DAMAGED),
    ("a JPEG with 60 MB of segments", |at| put(at, &jpeg_with(&segments(60 << 20))), NoFace),
    ("a JPEG whose EXIF directory follows itself", |at| put(at, &jpeg_with(CIRCULAR_EXIF)), NoFace),
    ("a WebP with chunks without end", |at| put(at, &webp_of_empty_chunks(1_000_000)), DAMAGED),
    (
        "two gibibytes of nothing",
        |at| File::create(at).unwrap().set_len(2 << 30).unwrap(),
        Refused(Code::InvalidArgument, "larger than 64 MiB"),
    ),
    ("a link to nowhere", |at| symlink("gone.jpg", at).unwrap(), Refused(Code::NotFound, "no such file")),
    (
        "a link to a device",
        |at| symlink("/dev/zero", at).unwrap(),
        Refused(Code::PermissionDenied, "out of the folder"),
    ),
    (
        "a link to this process's memory",
        |at| symlink("/proc/self/mem", at).unwrap(),
        Refused(Code::PermissionDenied, "out of the folder"),
    ),
    ("a link to a pipe", a_link_to_a_pipe, Refused(Code::InvalidArgument, "not a regular file")),
    (
        "a link to the folder itself",
        |at| symlink(".", at).unwrap(),
        Refused(Code::InvalidArgument, "not a regular file"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_pictures_are_answered_in_words_and_in_bounded_memory() {
    let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ops_address = ops.local_addr().unwrap();
    let readiness = Readiness::waiting_for("the known people");
    tokio::spawn(web::ops::run(ops, readiness, CancellationToken::new()));
    let world = World::with_known(&["obama.jpg"]).await;
    let before = peak_memory();
    let mut wrong = Vec::new();
    for (number, (name, make, answer)) in HOSTILE.iter().enumerate() {
        let file = format!("{number}.jpg");
        make(&world.unknown(&file));
        let got = world.identify(&file).await;
        let right = match (&got, answer) {
            (Err(status), Refused(code, words)) => status.code() == *code && status.message().contains(words),
            (Ok(found), NoFace | Any) => found.faces == Some(0),
            (Err(status), Any) => status.code() == Code::InvalidArgument,
            (_, NoFace | Refused(..)) => false,
        };
        let growth = peak_memory() - before;
        if !right || growth > GROWTH {
            wrong.push(format!("{name}: {growth} bytes, {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        failures_by_reason(ops_address).await,
        [
            r#""damaged"} 11"#,
            r#""empty"} 1"#,
            r#""file_too_large"} 1"#,
            r#""missing"} 1"#,
            r#""no_picture"} 3"#,
            r#""not_a_file"} 3"#,
            r#""outside"} 2"#,
            r#""too_many_pixels"} 3"#,
            r#""too_much_memory"} 2"#,
        ]
    );
    files_that_change_under_way_do_no_harm(&world).await;
    assert_eq!(world.identify_photograph("obama2.jpg").await.image_name, "obama.jpg", "and it goes on");
}

/// A picture and a link to one outside change places all the time, and a third one is written and cut while it is read.
async fn files_that_change_under_way_do_no_harm(world: &World) {
    let (inside, link, growing) =
        (world.unknown("swapped.jpg"), world.unknown("link.jpg"), world.unknown("growing.jpg"));
    fs::copy(photograph("obama.jpg"), world.outside("secret.jpg")).unwrap();
    symlink("../secret.jpg", &link).unwrap();
    put(&inside, &png(8, 8, &[], 0));
    let whole = fs::read(photograph("obama.jpg")).unwrap();
    fs::write(&growing, &whole).unwrap();
    let stop = AtomicBool::new(false);
    let runtime = tokio::runtime::Handle::current();
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&growing).unwrap();
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &link, CWD, &inside, RenameFlags::EXCHANGE).unwrap();
                file.set_len(0).unwrap();
                file.write_all_at(&whole, 0).unwrap();
            }
        });
        tokio::task::block_in_place(|| {
            for _ in 0..200 {
                match runtime.block_on(world.identify("swapped.jpg")) {
                    Ok(found) => assert_eq!(found.faces, Some(0), "the face outside was seen"),
                    Err(status) => assert_eq!(status.code(), Code::PermissionDenied, "{status}"),
                }
            }
            for _ in 0..20 {
                if let Err(status) = runtime.block_on(world.identify("growing.jpg")) {
                    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

/// What the metrics say about refusals, the end of each line.
async fn failures_by_reason(ops: SocketAddr) -> Vec<String> {
    let mut stream = TcpStream::connect(ops).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let lines = answer.lines().filter_map(|line| line.strip_prefix("facerecog_failures_total{reason="));
    let mut failures: Vec<_> = lines.map(str::to_owned).collect();
    failures.sort_unstable();
    failures
}

fn put(at: &Path, bytes: &[u8]) {
    File::create(at).unwrap().write_all(bytes).unwrap();
}

fn half_a_photograph(at: &Path) {
    let whole = fs::read(photograph("chelsea.png")).unwrap();
    put(at, &whole[..whole.len() / 2]);
}

fn a_link_to_a_pipe(at: &Path) {
    let pipe = at.with_extension("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    symlink(pipe.file_name().unwrap(), at).unwrap();
}

/// A TIFF whose only field says where so many strips are.
fn tiff_of_strips(count: u32) -> Vec<u8> {
    let field = [&[0x11, 1, 4, 0], &count.to_le_bytes()[..], &26_u32.to_le_bytes()].concat();
    [b"II\x2a\0\x08\0\0\0\x01\0", &field[..], &[0; 4], &vec![0; 4 * count as usize]].concat()
}

fn bmp(width: u32, height: u32) -> Vec<u8> {
    let sizes = [width.to_le_bytes(), height.to_le_bytes()].concat();
    [b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", &sizes[..], &[1, 0, 24, 0], &[0; 24]].concat()
}

fn gif_with_frame(screen: (u16, u16), frame: (u16, u16)) -> Vec<u8> {
    let mut gif = headers::gif(frame.0, frame.1);
    gif[6..8].copy_from_slice(&screen.0.to_le_bytes());
    gif[8..10].copy_from_slice(&screen.1.to_le_bytes());
    gif
}

/// A grey JPEG with `segments` behind its start.
fn jpeg_with(segments: &[u8]) -> Vec<u8> {
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode_image(&image::GrayImage::new(64, 64)).unwrap();
    [&jpeg[..2], segments, &jpeg[2..]].concat()
}

fn segments(size: usize) -> Vec<u8> {
    [&[0xff, 0xed, 0xff, 0xff][..], &[0; 0xffff - 2]].concat().repeat(size / 0x1_0001)
}

/// A directory at offset 8 without entries, whose next one is at offset 8.
const CIRCULAR_EXIF: &[u8] = b"\xff\xe1\0\x16Exif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\x08";

fn webp_of_empty_chunks(count: usize) -> Vec<u8> {
    let extended = b"VP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0f\0\0";
    let chunks = [&extended[..], &b"ABCD\0\0\0\0".repeat(count)].concat();
    let size = u32::try_from(chunks.len() + 4).unwrap();
    [b"RIFF", &size.to_le_bytes()[..], b"WEBP", &chunks].concat()
}

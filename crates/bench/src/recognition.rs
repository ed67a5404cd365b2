//! One call of the service beside the same work in a plain loop, and time by the size of the picture.

use std::{fs, hint::black_box, path::Path, thread, time::Instant};

use devstack::{PEOPLE_IN_CROWD, Port, crowd, paths};
use dlib_face_recognition::{
    FaceDetector, FaceDetectorTrait, FaceEncoderNetwork, FaceEncoderTrait, ImageMatrix, LandmarkPredictor,
    LandmarkPredictorTrait,
};
use face_recog::{
    engine::{FaceEngine, Models},
    picture,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use image::{ImageFormat, imageops::FilterType};
use rpc::{IdentifyRequest, identify_client::IdentifyClient};
use tonic::transport::Channel;

use crate::{
    gallery,
    load::metrics,
    plot::Plot,
    report::{Report, Unit, in_turn, median},
    world::World,
};

const ROUNDS: usize = 15;

/// A photograph of 1 megapixel, and another of the same man.
const PHOTOGRAPH: &str = "obama.jpg";
const KNOWN: &str = "obama2.jpg";

/// Pictures by which two cores are measured, for each of them.
const PER_CORE: usize = 12;

/// Where the service's time goes.
const STAGES: [&str; 5] = ["decode", "detect", "landmarks", "embed", "search"];

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let models = Models::load(&paths::models())?;
    service(report, &models).await?;
    sizes(report, &mut models.engine()?)?;
    crowds(report, &mut models.engine()?)
}

/// Reads, decodes, finds and describes; in seconds.
fn plainly(engine: &mut FaceEngine, bytes: &[u8]) -> anyhow::Result<f64> {
    let begun = Instant::now();
    black_box(engine.faces(&picture::decode(bytes)?.pixels, |_| {}));
    Ok(begun.elapsed().as_secs_f64())
}

async fn service(report: &mut Report, models: &Models) -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut settings = gallery::fill(world.folder.path(), 10_000)?;
    let unknown = world.folder.path().join("unknown_people");
    fs::create_dir(&unknown)?;
    let photograph = paths::photographs().join(PHOTOGRAPH);
    fs::copy(paths::photographs().join(KNOWN), world.folder.path().join("known_people").join(KNOWN))?;
    fs::copy(&photograph, unknown.join(PHOTOGRAPH))?;
    let port = Port::reserve()?;
    settings.push(("FACE_RECOG_PORT", port.to_string()));
    settings.push(("UNKNOWN_PEOPLE", unknown.display().to_string()));
    let face_recog = world.service("face-recog", &settings).await?;
    let client = IdentifyClient::connect(format!("http://127.0.0.1:{port}")).await?;
    let (bytes, mut engine) = (fs::read(photograph)?, models.engine()?);

    let (ours, plain) =
        in_turn(ROUNDS, async || identify(&client).await, async || plainly(&mut engine, &bytes)).await?;
    let what = "one Identify call, 10,000 known people";
    report.add(what, Unit::Time, ours, "the same calls in a plain loop", plain);
    let stages = stages(&face_recog.ops_address()).await?;
    for (stage, time) in STAGES.iter().zip(stages) {
        report.add(&format!("of it: {stage}"), Unit::Time, time, what, ours);
    }

    let all = 2 * PER_CORE;
    let (ours, plain) = in_turn(
        3,
        async || {
            let begun = Instant::now();
            // Two for each worker, so that none waits for the next question.
            let calls = stream::iter(0..all).map(|_| identify(&client)).buffer_unordered(4);
            calls.try_collect::<Vec<_>>().await?;
            Ok(all as f64 / begun.elapsed().as_secs_f64())
        },
        async || {
            let begun = Instant::now();
            let threads = [models.engine()?, models.engine()?].map(|mut engine| {
                let bytes = bytes.clone();
                thread::spawn(move || (0..PER_CORE).try_for_each(|_| plainly(&mut engine, &bytes).map(drop)))
            });
            for thread in threads {
                thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            Ok(all as f64 / begun.elapsed().as_secs_f64())
        },
    )
    .await?;
    report.add(
        "pictures through the service, two cores",
        Unit::Rate,
        ours,
        "two threads with plain loops",
        plain,
    );

    for (known, rounds) in [(0, 5), (3, 3), (100, 1)] {
        let original = Original::open(&paths::models())?;
        let known_bytes = fs::read(paths::photographs().join(KNOWN))?;
        let (ours, theirs) = in_turn(
            rounds,
            async || identify(&client).await,
            async || {
                let begun = Instant::now();
                for _ in 0..known {
                    original.describe(&known_bytes)?;
                }
                original.describe(&bytes)?;
                Ok(begun.elapsed().as_secs_f64())
            },
        )
        .await?;
        let beside = match known {
            0 => "Python's way, known faces kept".to_owned(),
            _ => format!("Python's way, {known} known embedded for each call"),
        };
        report.add("one Identify call, 10,000 known people", Unit::Time, ours, &beside, theirs);
    }
    Ok(())
}

/// Seconds of a call.
async fn identify(client: &IdentifyClient<Channel>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let request = IdentifyRequest { image_path: PHOTOGRAPH.to_owned() };
    let answer = client.clone().identify(request).await?.into_inner();
    anyhow::ensure!(answer.image_name == KNOWN, "an answer that is wrong: {answer:?}");
    Ok(begun.elapsed().as_secs_f64())
}

/// The mean time of each of [`STAGES`] in seconds, from the service's own metrics.
async fn stages(ops: &str) -> anyhow::Result<[f64; STAGES.len()]> {
    let answer = metrics(ops).await?;
    let number = |stage: &str, what: &str| {
        let name = format!("facerecog_stage_seconds_{what}{{stage=\"{stage}\"}} ");
        answer.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<f64>().ok())
    };
    let mut means = [f64::NAN; STAGES.len()];
    for (mean, stage) in means.iter_mut().zip(STAGES) {
        if let (Some(sum), Some(count)) = (number(stage, "sum"), number(stage, "count")) {
            *mean = sum / count;
        }
    }
    Ok(means)
}

/// How Python's face_recognition looks at a picture: it searches for faces on a copy of twice the size. The service that
/// this one takes after does so with each known picture for each call. A model of both: no Python, no network, and the
/// same build of dlib as ours.
struct Original {
    detector: FaceDetector,
    landmarks: LandmarkPredictor,
    network: FaceEncoderNetwork,
}

impl Original {
    fn open(models: &Path) -> anyhow::Result<Self> {
        let wrong = anyhow::Error::msg::<String>;
        let landmarks = LandmarkPredictor::open(models.join("shape_predictor_5_face_landmarks.dat"));
        let network = FaceEncoderNetwork::open(models.join("dlib_face_recognition_resnet_model_v1.dat"));
        Ok(Self {
            detector: FaceDetector::new(),
            landmarks: landmarks.map_err(wrong)?,
            network: network.map_err(wrong)?,
        })
    }

    fn describe(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let picture = picture::decode(bytes)?.pixels;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        // SAFETY: an RgbImage owns three bytes for each pixel, which are copied.
        let full = unsafe { ImageMatrix::new(width, height, picture.as_raw().as_ptr()) };
        let doubled = full.resize(2 * width, 2 * height);
        // The face's place on the doubled copy serves as well as that on the picture: the work is the same.
        let boxes = self.detector.face_locations(&doubled);
        let landmarks: Vec<_> =
            boxes.iter().map(|place| self.landmarks.face_landmarks(&doubled, place)).collect();
        black_box(self.network.get_face_encodings(&doubled, &landmarks, 0));
        Ok(())
    }
}

/// Pictures of many people: the demo's crowd, and twelve of it on one picture.
fn crowds(report: &mut Report, engine: &mut FaceEngine) -> anyhow::Result<()> {
    let crowd = crowd()?;
    let (width, height) = crowd.dimensions();
    let mut crowds = image::RgbImage::new(3 * width, 4 * height);
    for (column, row) in (0..3).flat_map(|column| (0..4).map(move |row| (column, row))) {
        image::imageops::replace(&mut crowds, &crowd, (column * width).into(), (row * height).into());
    }
    let portrait = image::open(paths::photographs().join(PHOTOGRAPH))?.into_rgb8();
    let mut time = |picture: &image::RgbImage, faces: usize| {
        let times: anyhow::Result<Vec<f64>> = (0..ROUNDS / 3)
            .map(|_| {
                let begun = Instant::now();
                let found = engine.faces(picture, |_| {}).len();
                anyhow::ensure!(10 * found >= 9 * faces, "only {found} faces are found of {faces}");
                Ok(begun.elapsed().as_secs_f64())
            })
            .collect();
        Ok::<_, anyhow::Error>(median(&mut times?))
    };
    let one = time(&portrait, 1)?;
    for (picture, faces) in [(&crowd, PEOPLE_IN_CROWD), (&crowds, 12 * PEOPLE_IN_CROWD)] {
        let what = format!("a crowd of {faces}, without decoding");
        report.add(&what, Unit::Time, time(picture, faces)?, "a portrait, without decoding", one);
    }
    Ok(())
}

/// The same photograph in several sizes.
fn sizes(report: &mut Report, engine: &mut FaceEngine) -> anyhow::Result<()> {
    let photograph = image::open(paths::photographs().join(PHOTOGRAPH))?;
    let mut of_one_megapixel = None;
    let mut points = Vec::new();
    for megapixels in [1.0, 0.25, 3.0, 6.0, 12.0, 24.0] {
        let scale =
            (megapixels * 1e6 / (f64::from(photograph.width()) * f64::from(photograph.height()))).sqrt();
        let side = |length: u32| (f64::from(length) * scale) as u32;
        let sized =
            photograph.resize(side(photograph.width()), side(photograph.height()), FilterType::Triangle);
        let mut jpeg = std::io::Cursor::new(Vec::new());
        sized.write_to(&mut jpeg, ImageFormat::Jpeg)?;
        let times: anyhow::Result<Vec<f64>> = (0..ROUNDS).map(|_| plainly(engine, jpeg.get_ref())).collect();
        let time = median(&mut times?);
        points.push([megapixels, time * 1e3]);
        let one = *of_one_megapixel.get_or_insert(time);
        report.add(
            &format!("a picture of {megapixels} megapixels"),
            Unit::Time,
            time,
            "one of 1 megapixel",
            one,
        );
        if megapixels == 12.0 {
            let begun = Instant::now();
            Original::open(&paths::models())?.describe(jpeg.get_ref())?;
            let theirs = begun.elapsed().as_secs_f64();
            report.add(
                "a picture of 12 megapixels",
                Unit::Time,
                time,
                "Python's way, known faces kept",
                theirs,
            );
        }
    }
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    report.plot(Plot {
        name: "picture-size",
        axes: ["megapixels", "milliseconds from the JPEG to the embedding"],
        lines: vec![("decode, detect, describe", points)],
    });
    Ok(())
}

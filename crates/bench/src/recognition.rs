//! One call of the service beside the same work in a plain loop, and time by the size of the picture.

use std::{fs, hint::black_box, time::Instant};

use devstack::{Port, paths};
use face_recog::{faces::Recogniser, models::Models, picture};
use image::{ImageFormat, imageops::FilterType};
use rpc::{IdentifyRequest, identify_client::IdentifyClient};

use crate::{
    report::{Report, Unit, in_turn, median},
    world::World,
};

const ROUNDS: usize = 15;
const PHOTOGRAPH: &str = "obama.jpg";

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let recogniser = Models::load(&paths::models())?.recogniser();
    service(report, &recogniser).await?;
    sizes(report, &recogniser)
}

/// Reads, decodes, finds and describes; in seconds.
fn plainly(recogniser: &Recogniser, bytes: &[u8]) -> anyhow::Result<f64> {
    let begun = Instant::now();
    black_box(recogniser.faces(&picture::decode(bytes)?));
    Ok(begun.elapsed().as_secs_f64())
}

async fn service(report: &mut Report, recogniser: &Recogniser) -> anyhow::Result<()> {
    let world = World::start().await?;
    let [known, unknown] = ["known_people", "unknown_people"].map(|name| world.folder.path().join(name));
    for folder in [&known, &unknown] {
        fs::create_dir(folder)?;
    }
    for name in ["obama2.jpg", "biden.jpg"] {
        fs::copy(paths::photographs().join(name), known.join(name))?;
    }
    let photograph = paths::photographs().join(PHOTOGRAPH);
    fs::copy(&photograph, unknown.join(PHOTOGRAPH))?;
    let port = Port::reserve()?;
    let settings = [
        ("FACE_RECOG_PORT", port.to_string()),
        ("KNOWN_PEOPLE", known.display().to_string()),
        ("UNKNOWN_PEOPLE", unknown.display().to_string()),
        ("MODELS", paths::models().display().to_string()),
    ];
    let _face_recog = world.service("face-recog", &settings).await?;
    let mut client = IdentifyClient::connect(format!("http://127.0.0.1:{port}")).await?;
    let bytes = fs::read(photograph)?;
    let (ours, plain) = in_turn(
        ROUNDS,
        async || {
            let begun = Instant::now();
            let answer =
                client.identify(IdentifyRequest { image_path: PHOTOGRAPH.to_owned() }).await?.into_inner();
            anyhow::ensure!(answer.image_name == "obama2.jpg", "an answer that is wrong: {answer:?}");
            Ok(begun.elapsed().as_secs_f64())
        },
        async || plainly(recogniser, &bytes),
    )
    .await?;
    report.add("one Identify call", Unit::Time, ours, "the same dlib calls in a plain loop", plain);
    Ok(())
}

/// The same photograph in several sizes.
fn sizes(report: &mut Report, recogniser: &Recogniser) -> anyhow::Result<()> {
    let photograph = image::open(paths::photographs().join(PHOTOGRAPH))?;
    let mut of_one_megapixel = None;
    for megapixels in [1.0, 0.25, 3.0, 12.0] {
        let scale =
            (megapixels * 1e6 / (f64::from(photograph.width()) * f64::from(photograph.height()))).sqrt();
        let side = |length: u32| (f64::from(length) * scale) as u32;
        let sized =
            photograph.resize(side(photograph.width()), side(photograph.height()), FilterType::Triangle);
        let mut jpeg = std::io::Cursor::new(Vec::new());
        sized.write_to(&mut jpeg, ImageFormat::Jpeg)?;
        let times: anyhow::Result<Vec<f64>> =
            (0..ROUNDS).map(|_| plainly(recogniser, jpeg.get_ref())).collect();
        let time = median(&mut times?);
        let one = *of_one_megapixel.get_or_insert(time);
        report.add(
            &format!("a picture of {megapixels} megapixels"),
            Unit::Time,
            time,
            "one of 1 megapixel",
            one,
        );
    }
    Ok(())
}

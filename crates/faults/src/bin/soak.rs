//! `make soak`: steady load and a random fault every few seconds for as long as one likes; then the oracle, and a
//! picture of every service's memory and open files.
//!
//! `SOAK` is how long (`10m`, `8h`), `FAULTS_SEED` repeats the choices. The picture is `target/soak.svg`. The first
//! replica of receiver and processor is never harmed itself, so that its lines show what time alone does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a soak fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use devstack::{Server, paths};
use faults::{System, Vitals};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often every service is looked at.
const SAMPLE: Duration = Duration::from_secs(1);

/// Photographs a second, by which face-recog is busy but not overrun.
const PAUSE: Duration = Duration::from_millis(250);

/// How long what was frozen or stopped stays so, at most.
const LONGEST: u64 = 8;

const FAULTS: [Fault; 11] = [
    Fault("kill the receiver", Harm::Kill, |system| &mut system.receivers[1].service.server),
    Fault("kill the processor", Harm::Kill, |system| &mut system.processors[1].server),
    Fault("kill face-recog", Harm::Kill, |system| &mut system.face_recog.as_mut().unwrap().server),
    Fault("kill nsqd", Harm::Kill, |system| &mut system.nsqd.server),
    Fault("kill nsqlookupd", Harm::Kill, |system| &mut system.nsqlookupd.server),
    Fault("kill the database", Harm::Kill, |system| &mut system.database_server.as_mut().unwrap().server),
    Fault("freeze the processor", Harm::Freeze, |system| &mut system.processors[1].server),
    Fault("freeze face-recog", Harm::Freeze, |system| &mut system.face_recog.as_mut().unwrap().server),
    Fault("freeze nsqd", Harm::Freeze, |system| &mut system.nsqd.server),
    Fault("freeze the database", Harm::Freeze, |system| &mut system.database_server.as_mut().unwrap().server),
    Fault("stop the receiver", Harm::Stop, |system| &mut system.receivers[1].service.server),
];

/// What happens, how, and to whom.
struct Fault(&'static str, Harm, fn(&mut System) -> &mut Server);

enum Harm {
    Kill,
    Freeze,
    Stop,
}

#[tokio::main]
async fn main() {
    let length = length(&std::env::var("SOAK").unwrap_or_else(|_| "10m".to_owned()));
    let seed = std::env::var("FAULTS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("soaking for {length:?}; FAULTS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let plan = System::with_face_recog(&["obama.jpg"]).receivers(2).processors(2).frontend().own_database();
    let mut system = plan.set("IDENTIFY_TIMEOUT", "3s").set("CLAIM_LEASE", "6s").start().await;
    for lane in 0..2 {
        for number in 0..50 {
            let photograph = ["coffee.png", "obama2.jpg"][lane];
            system.lay_out(photograph, &format!("{lane}-{number}.jpg"));
        }
    }

    // Fifty files serve for any number of images: "x", "./x" and "././x" are one file, but not one path.
    let client = system.client.clone();
    let mut posting = tokio::task::JoinSet::new();
    let end = Instant::now() + length;
    for lane in 0..2 {
        let client = client.clone();
        posting.spawn(async move {
            for number in 0_u64.. {
                if Instant::now() >= end {
                    break;
                }
                let (file, round) = (number % 50, number / 50);
                client.insist(&format!("/unknown_people/{}{lane}-{file}.jpg", folders(round))).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    let began = Instant::now();
    let mut samples: BTreeMap<String, Vec<(f64, Option<Vitals>)>> = BTreeMap::new();
    let mut log: Vec<(f64, &'static str)> = Vec::new();
    let mut next = Instant::now() + Duration::from_secs(5);
    let mut healing: Option<(Instant, &Fault)> = None;
    while Instant::now() < end {
        for (name, pid) in pids(&system) {
            samples.entry(name).or_default().push((began.elapsed().as_secs_f64(), Vitals::of(pid)));
        }
        if healing.as_ref().is_some_and(|(when, _)| Instant::now() >= *when) {
            let (_, fault) = healing.take().unwrap();
            let server = (fault.2)(&mut system);
            match fault.1 {
                Harm::Freeze => server.resume().unwrap(),
                Harm::Kill | Harm::Stop => server.spawn().unwrap(),
            }
            next = Instant::now() + Duration::from_secs(random.random_range(2..8));
        } else if healing.is_none() && Instant::now() >= next {
            let fault = &FAULTS[random.random_range(0..FAULTS.len())];
            log.push((began.elapsed().as_secs_f64(), fault.0));
            println!("{:>6.0} s  {}", began.elapsed().as_secs_f64(), fault.0);
            let server = (fault.2)(&mut system);
            match fault.1 {
                Harm::Kill => drop(server.kill().unwrap()),
                Harm::Freeze => server.pause().unwrap(),
                Harm::Stop => drop(server.stop().await.unwrap()),
            }
            healing = Some((Instant::now() + Duration::from_secs(random.random_range(1..LONGEST)), fault));
        }
        tokio::time::sleep(SAMPLE).await;
    }
    if let Some((_, fault)) = healing {
        let server = (fault.2)(&mut system);
        let _ = (server.resume(), server.spawn());
    }
    posting.join_all().await;
    let picture = paths::workspace().join("target/soak.svg");
    std::fs::write(&picture, draw(&samples, &log, length.as_secs_f64())).unwrap();
    println!("{} faults; memory and open files are drawn in {}", log.len(), picture.display());

    system.nothing_is_lost_and_nothing_invented_within(Duration::from_secs(300)).await;
    println!(
        "{} images were promised: {} processed, {} failed with a reason; none lost, none twice, none invented",
        system.book.promised().len(),
        system.count(1).await,
        system.count(2).await
    );
}

/// Every service with its process.
fn pids(system: &System) -> Vec<(String, u32)> {
    let mut pids = Vec::new();
    for (number, receiver) in system.receivers.iter().enumerate() {
        pids.push((format!("receiver {}", number + 1), receiver.service.server.pid()));
    }
    for (number, processor) in system.processors.iter().enumerate() {
        pids.push((format!("image-processor {}", number + 1), processor.server.pid()));
    }
    pids.push(("face-recog".to_owned(), system.face_recog.as_ref().and_then(|service| service.server.pid())));
    let frontend = system.frontend.as_ref();
    pids.push(("frontend".to_owned(), frontend.and_then(|frontend| frontend.service.server.pid())));
    pids.into_iter().filter_map(|(name, pid)| Some((name, pid?))).collect()
}

/// A detour of its own for each round, which leads nowhere: at most a hundred characters for two million rounds.
fn folders(round: u64) -> String {
    (0..21).map(|bit| if round >> bit & 1 == 1 { "./" } else { "/" }).collect::<String>()
}

fn length(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("SOAK is a number of seconds, minutes or hours, like 90s, 10m or 8h, not {text:?}"),
    };
    Duration::from_secs(number.parse::<u64>().expect("SOAK begins with a number") * unit)
}

/// Two plots, one above the other: memory in MiB and open files; the faults are ticks along the bottom.
fn draw(
    samples: &BTreeMap<String, Vec<(f64, Option<Vitals>)>>,
    faults: &[(f64, &str)],
    length: f64,
) -> String {
    const WIDTH: f64 = 900.0;
    const HEIGHT: f64 = 260.0;
    const COLOURS: [&str; 6] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b"];
    let mut svg = String::from(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1160 680' font-family='sans-serif' font-size='12'>\n\
         <rect width='1160' height='680' fill='white'/>\n",
    );
    let memory: fn(Vitals) -> f64 = |vitals| vitals.memory as f64 / 1024.0 / 1024.0;
    let files: fn(Vitals) -> f64 = |vitals| vitals.files as f64;
    for (plot, (title, value)) in [("memory, MiB", memory), ("open files", files)].into_iter().enumerate() {
        let (left, top) = (60.0, 40.0 + plot as f64 * 320.0);
        let all = samples.values().flatten().filter_map(|(_, vitals)| Some(value((*vitals)?)));
        let most = all.fold(1.0, f64::max) * 1.1;
        let x = |time: f64| left + time / length * WIDTH;
        let y = |value: f64| top + HEIGHT - value / most * HEIGHT;
        let _ = writeln!(
            svg,
            "<text x='{left}' y='{:.0}' font-weight='bold'>{title}</text>\n\
             <rect x='{left}' y='{top}' width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='#999'/>",
            top - 8.0
        );
        for step in 0..=4 {
            let mark = most * f64::from(step) / 4.0;
            let _ = writeln!(svg, "<text x='52' y='{:.0}' text-anchor='end'>{mark:.0}</text>", y(mark) + 4.0);
        }
        for (time, name) in faults {
            let _ = writeln!(
                svg,
                "<line x1='{0:.1}' x2='{0:.1}' y1='{1}' y2='{2}' stroke='#bbb'><title>{name}</title></line>",
                x(*time),
                top + HEIGHT,
                top + HEIGHT + 8.0
            );
        }
        for (number, (name, samples)) in samples.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            // A process that is being replaced leaves a gap.
            for run in samples.split(|(_, vitals)| vitals.is_none_or(|vitals| vitals.memory == 0)) {
                let points: String = run
                    .iter()
                    .filter_map(|(time, vitals)| {
                        Some(format!("{:.1},{:.1} ", x(*time), y(value((*vitals)?))))
                    })
                    .collect();
                let _ = writeln!(svg, "<polyline points='{points}' fill='none' stroke='{colour}'/>");
            }
            let _ = writeln!(
                svg,
                "<text x='{}' y='{:.0}' fill='{colour}'>{name}</text>",
                left + WIDTH + 12.0,
                top + 16.0 + number as f64 * 18.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x='{left}' y='{0:.0}'>0</text><text x='{1}' y='{0:.0}' text-anchor='end'>{length:.0} s, ticks are faults</text>",
            top + HEIGHT + 22.0,
            left + WIDTH
        );
    }
    svg.push_str("</svg>\n");
    svg
}

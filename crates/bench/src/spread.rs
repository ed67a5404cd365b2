//! Two replicas of face-recog with one core each behind one image-processor, beside two whole systems that share
//! nothing but the machine.

use std::{fs, io::Write as _, path::Path, time::Duration, time::Instant};

use anyhow::ensure;
use devstack::{Port, Process, Program, Service, paths};
use rpc::{Empty, health_check_client::HealthCheckClient};

use crate::{
    load::Connection,
    report::{Report, Unit, in_turn},
    world::World,
};

const ROUNDS: usize = 5;
const PHOTOGRAPH: &str = "obama.jpg";

/// Photographs of one round: some seconds for two cores.
const PHOTOGRAPHS: usize = 64;

/// As many addresses as cores.
const HOSTS: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

/// Gives programs names for addresses by a file of their own in place of /etc/hosts (Debian's package libnss-wrapper).
const NAMES: &str = "libnss_wrapper.so";

/// Far longer than face-recog takes to start.
const SOON: Duration = Duration::from_secs(30);

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut together = System::start(&[0, 1]).await?;
    let (mut one, mut other) = (System::start(&[0]).await?, System::start(&[1]).await?);
    let (ours, limit) = in_turn(
        ROUNDS,
        async || together.work_off(PHOTOGRAPHS).await,
        async || {
            let half = PHOTOGRAPHS / 2;
            let begun = Instant::now();
            tokio::try_join!(one.work_off(half), other.work_off(half))?;
            Ok(PHOTOGRAPHS as f64 / begun.elapsed().as_secs_f64())
        },
    )
    .await?;
    report.add(
        "photographs with two replicas of one core each",
        Unit::Rate,
        ours,
        "two whole systems of one core each",
        limit,
    );
    Ok(())
}

/// A whole system. What is declared first is stopped first.
struct System {
    _processor: Service,
    _receiver: Service,
    _replicas: Vec<Process>,
    client: Connection,
    world: World,
    posted: usize,
}

impl System {
    /// With one replica on each of `cores`; nobody is known.
    async fn start(cores: &[usize]) -> anyhow::Result<Self> {
        let world = World::start().await?;
        let (folder, port) = (world.folder.path().to_owned(), Port::reserve()?);
        fs::create_dir(folder.join("known_people"))?;
        fs::create_dir(folder.join("unknown_people"))?;
        let mut names = fs::File::create(folder.join("hosts"))?;
        let mut replicas = Vec::new();
        for &core in cores {
            writeln!(names, "{} replicas", HOSTS[core])?;
            replicas.push(replica(&folder, core, &port).await?);
        }
        let receiver_port = Port::reserve()?;
        let receiver = world.service("receiver", &[("RECEIVER_PORT", receiver_port.to_string())]).await?;
        let settings = [
            ("GRPC_ADDRESS", format!("replicas:{port}")),
            ("LD_PRELOAD", NAMES.to_owned()),
            ("NSS_WRAPPER_HOSTS", folder.join("hosts").display().to_string()),
        ];
        let processor = world.service("image-processor", &settings).await?;
        let client = Connection::open(&format!("127.0.0.1:{receiver_port}")).await?;
        Ok(Self { _processor: processor, _receiver: receiver, _replicas: replicas, client, world, posted: 0 })
    }

    /// Posts `count` photographs at once, and waits until all have been looked at; photographs per second.
    async fn work_off(&mut self, count: usize) -> anyhow::Result<f64> {
        let unknown = self.world.folder.path().join("unknown_people");
        let mut paths = Vec::new();
        for number in self.posted..self.posted + count {
            let name = format!("{number}.jpg");
            fs::copy(paths::photographs().join(PHOTOGRAPH), unknown.join(&name))?;
            paths.push(format!(r#"{{"path":"/unknown_people/{name}"}}"#));
        }
        self.posted += count;
        let begun = Instant::now();
        self.client.post("/images/post", &format!(r#"{{"paths":[{}]}}"#, paths.join(","))).await?;
        let left = "SELECT EXISTS (SELECT * FROM images WHERE status IN (0, 3))";
        while sqlx::query_scalar::<_, bool>(left).fetch_one(&self.world.pool).await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        let failed = "SELECT COUNT(*) FROM images WHERE status <> 1";
        let failed: i64 = sqlx::query_scalar(failed).fetch_one(&self.world.pool).await?;
        ensure!(failed == 0, "{failed} photographs failed");
        Ok(rate)
    }
}

/// A face-recog that has one core for itself, and so one worker.
async fn replica(folder: &Path, core: usize, port: &Port) -> anyhow::Result<Process> {
    let face_recog = std::env::current_exe()?.with_file_name("face-recog");
    let mut program = Program::new("taskset")
        .arguments(["--cpu-list".to_owned(), core.to_string(), face_recog.display().to_string()])
        .working_folder(folder);
    program.set("BIND_HOST", HOSTS[core]);
    program.set("FACE_RECOG_PORT", port.to_string());
    program.set("OPS_PORT", "0");
    program.set("KNOWN_PEOPLE", folder.join("known_people").display().to_string());
    program.set("UNKNOWN_PEOPLE", folder.join("unknown_people").display().to_string());
    program.set("MODELS", paths::models().display().to_string());
    program.set("RUST_LOG", "warn");
    let mut process = Process::spawn("face-recog", &program, &folder.join(format!("face-recog-{core}.log")))?;
    let address = format!("http://{}:{port}", HOSTS[core]);
    let ready = async || {
        let Ok(mut client) = HealthCheckClient::connect(address.clone()).await else { return false };
        client.health_check(Empty {}).await.is_ok_and(|answer| answer.get_ref().ready)
    };
    process.wait_until_ready(SOON, ready).await?;
    Ok(process)
}

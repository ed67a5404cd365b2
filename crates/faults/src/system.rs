//! The whole system: real servers and the real binaries, each in as many replicas as a test needs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use devstack::{
    Cluster, Database, DatabaseServer, FakeFaceRecog, Nsqd, Nsqlookupd, Port, PrivateFolder, Replication,
    Service, http_client, paths,
};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::{Executor, MySqlPool};

use crate::client::{Answer, Book, Client};
use crate::oracle;
use crate::proxy::Proxy;
use crate::standby;
use crate::wait::{SOON, eventually};

/// Times so short that a test notices a fault's end within a second or two.
const QUICK: [(&str, &str); 5] = [
    ("SWEEP_AFTER", "1s"),
    ("IDENTIFY_TIMEOUT", "2s"),
    ("CLAIM_LEASE", "4s"),
    ("BREAKER_TIMEOUT", "500ms"),
    ("BREAKER_MAX_TIMEOUT", "1s"),
];

/// A connection within the system that can lead through a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// From the receivers and the processors to the database.
    Database,
    /// From the receivers to nsqd.
    Producer,
    /// From the processors to nsqd.
    Consumer,
    /// From the processors to face-recog.
    FaceRecog,
}

enum Eyes {
    Scripted(String),
    Real(Vec<&'static str>),
}

/// What a system consists of.
pub struct Plan {
    receivers: usize,
    processors: usize,
    frontend: bool,
    own_database: bool,
    standby: bool,
    cluster: Option<Replication>,
    eyes: Eyes,
    links: Vec<Link>,
    settings: Vec<(String, String)>,
}

impl Plan {
    /// So many receivers, one otherwise.
    pub fn receivers(self, receivers: usize) -> Self {
        Self { receivers, ..self }
    }

    /// So many processors, one otherwise.
    pub fn processors(self, processors: usize) -> Self {
        Self { processors, ..self }
    }

    /// With the page.
    pub fn frontend(self) -> Self {
        Self { frontend: true, ..self }
    }

    /// With a database server of its own, which may be stopped.
    pub fn own_database(self) -> Self {
        Self { own_database: true, ..self }
    }

    /// With two database servers, of which the second follows the first until [`System::fail_over`]. The services are
    /// users who may not write where the server is read-only.
    pub fn standby(self) -> Self {
        Self { standby: true, ..self }.through(Link::Database)
    }

    /// With a cluster of databases of its own.
    pub fn cluster(self, replication: Replication) -> Self {
        Self { cluster: Some(replication), ..self }
    }

    /// Leads a connection through a proxy.
    pub fn through(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// A setting that every service sees.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts everything and waits until it is ready.
    pub async fn start(self) -> System {
        let folder = PrivateFolder::new().unwrap();
        for pictures in ["known_people", "unknown_people"] {
            fs::create_dir(folder.path().join(pictures)).unwrap();
        }
        let database_server = match (self.standby, self.own_database) {
            (true, _) => Some(standby::first_server(folder.path()).await),
            (false, true) => Some(DatabaseServer::mariadb(folder.path()).await.unwrap()),
            (false, false) => None,
        };
        let cluster = match self.cluster {
            Some(replication) => Some(Cluster::start(folder.path(), replication).await.unwrap()),
            None => None,
        };
        let database = match (&cluster, &database_server) {
            (Some(cluster), _) => cluster.database().await.unwrap(),
            (_, Some(server)) => server.database().await.unwrap(),
            _ => Database::fresh().await.unwrap(),
        };
        let standby = match &database_server {
            Some(first) if self.standby => Some(standby::follow(first, folder.path()).await),
            _ => None,
        };
        let mut proxies = Vec::new();
        let nsqlookupd = Nsqlookupd::start(folder.path()).await.unwrap();
        // Consumers are led through a proxy by the port that nsqd tells nsqlookupd.
        let consumer_port = Port::reserve().unwrap();
        let mut options = vec![];
        if self.links.contains(&Link::Consumer) {
            options.push(format!("--broadcast-tcp-port={consumer_port}"));
        }
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let nsqd = Nsqd::start_with(folder.path(), &nsqlookupd, &options).await.unwrap();
        if self.links.contains(&Link::Consumer) {
            proxies.push((Link::Consumer, Proxy::on(consumer_port, nsqd.tcp_address()).await));
        }

        let face_recog_port = Port::reserve().unwrap();
        let mut environment = database.environment();
        environment.extend(devstack::environment(folder.path(), &nsqlookupd, &nsqd, &face_recog_port));
        let eyes = match &self.eyes {
            Eyes::Scripted(address) => address.clone(),
            Eyes::Real(_) => format!("127.0.0.1:{face_recog_port}"),
        };
        environment.push(("GRPC_ADDRESS".to_owned(), eyes.clone()));
        if self.standby {
            environment.push(standby::plain_user(&database).await);
        }
        let database_address = format!("{}:{}", database.host, database.port);
        for (link, setting, address) in [
            (Link::Producer, "PRODUCER_ADDRESS", nsqd.tcp_address()),
            (Link::FaceRecog, "GRPC_ADDRESS", eyes),
            (Link::Database, "MYSQL_PORT", database_address),
        ] {
            if self.links.contains(&link) {
                let proxy = Proxy::to(address).await;
                let value = if link == Link::Database { proxy.port().to_string() } else { proxy.address() };
                environment.push((setting.to_owned(), value));
                proxies.push((link, proxy));
            }
        }
        environment.extend(QUICK.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment.extend(self.settings);

        let pool = MySqlPoolOptions::new().max_connections(4);
        let pool = match &cluster {
            // By the last node, which is told to have applied what all others have committed.
            Some(cluster) => {
                let reads_all = cluster.reads_all();
                pool.after_connect(move |connection, _| {
                    Box::pin(async move { connection.execute(reads_all).await.map(drop) })
                })
                .connect_lazy_with(cluster.nodes[2].options().database(&database.name))
            }
            None => pool.connect_lazy_with(database.options()),
        };
        let mut system = System {
            client: Client::new(Vec::new(), Arc::default()),
            receivers: Vec::new(),
            processors: Vec::new(),
            face_recog: None,
            frontend: None,
            nsqd,
            nsqlookupd,
            proxies,
            pool,
            book: Arc::default(),
            database,
            database_server,
            standby,
            cluster,
            environment,
            folder,
            _face_recog_port: face_recog_port,
        };
        for _ in 0..self.receivers {
            system.add_receiver(&[]);
        }
        if let Eyes::Real(known) = &self.eyes {
            for name in known {
                fs::copy(paths::photographs().join(name), system.known(name)).unwrap();
            }
            system.face_recog = Some(system.spawn("face-recog", &[]));
        }
        if self.frontend {
            let port = Port::reserve().unwrap();
            let service = system.spawn("frontend", &[("FRONTEND_PORT", &port.to_string())]);
            system.frontend = Some(Receiver { service, port });
        }
        // The processors come last, so that a test may do without any.
        for receiver in &mut system.receivers {
            receiver.service.server.wait_until_ready().await.unwrap();
        }
        oracle::install(&system.database).await;
        if let Eyes::Real(known) = &self.eyes {
            for name in known {
                let person = "INSERT INTO person_images (image_name, person_id) VALUES (?, 2)";
                sqlx::query(person).bind(*name).execute(&system.pool).await.unwrap();
            }
        }
        for _ in 0..self.processors {
            let processor = system.spawn("image-processor", &[]);
            system.processors.push(processor);
        }
        let frontend = system.frontend.as_mut().map(|frontend| &mut frontend.service);
        for service in system.processors.iter_mut().chain(&mut system.face_recog).chain(frontend) {
            service.server.wait_until_ready().await.unwrap();
        }
        let urls = system.receivers.iter().map(Receiver::url).collect();
        system.client = Client::new(urls, system.book.clone());
        system
    }
}

/// A service with a port for users: a receiver, or the frontend.
pub struct Receiver {
    /// The process.
    pub service: Service,
    port: Port,
}

impl Receiver {
    /// Its address, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its address, `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A running system. Fields are dropped in their order: services before what they stand on.
pub struct System {
    /// Posts to all receivers in turn.
    pub client: Client,
    /// HTTP in.
    pub receivers: Vec<Receiver>,
    /// From message to result.
    pub processors: Vec<Service>,
    /// The real face-recog, if there is one.
    pub face_recog: Option<Service>,
    /// The page, if there is one.
    pub frontend: Option<Receiver>,
    /// The queue.
    pub nsqd: Nsqd,
    /// Where consumers find the queue.
    pub nsqlookupd: Nsqlookupd,
    proxies: Vec<(Link, Proxy)>,
    /// The test's own view of the tables.
    pub pool: MySqlPool,
    /// What was posted and promised.
    pub book: Arc<Book>,
    /// The database.
    pub database: Database,
    /// Its server, if it is the system's own.
    pub database_server: Option<DatabaseServer>,
    standby: Option<DatabaseServer>,
    /// The cluster of databases, if there is one. The test looks at the tables through its last server.
    pub cluster: Option<Cluster>,
    environment: Vec<(String, String)>,
    /// Holds all logs.
    pub folder: PrivateFolder,
    _face_recog_port: Port,
}

impl System {
    /// One receiver, one processor and a scripted face-recog.
    pub fn with(face_recog: &FakeFaceRecog) -> Plan {
        Self::plan(Eyes::Scripted(face_recog.address()))
    }

    /// One receiver, one processor and the real face-recog, which knows these sample photographs: they all show the
    /// person 2.
    pub fn with_face_recog(known: &[&'static str]) -> Plan {
        Self::plan(Eyes::Real(known.to_vec())).set("IDENTIFY_TIMEOUT", "20s").set("CLAIM_LEASE", "30s")
    }

    fn plan(eyes: Eyes) -> Plan {
        Plan {
            receivers: 1,
            processors: 1,
            frontend: false,
            own_database: false,
            standby: false,
            cluster: None,
            eyes,
            links: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Judges the system once every image is settled; each test ends with it. See the oracle.
    pub async fn nothing_is_lost_and_nothing_invented(&self) {
        self.nothing_is_lost_and_nothing_invented_within(SOON).await;
    }

    /// The same where more time is needed.
    pub async fn nothing_is_lost_and_nothing_invented_within(&self, limit: Duration) {
        oracle::judge(&self.pool, &self.book, limit).await;
    }

    /// The proxy of a connection that the plan led through one.
    pub fn proxy(&self, link: Link) -> &Proxy {
        self.proxies.iter().find_map(|(known, proxy)| (*known == link).then_some(proxy)).unwrap()
    }

    /// The first database server becomes read-only and lives on, with every connection to it; the second is ready to take
    /// over, with all of its data.
    pub async fn stand_aside(&self) {
        standby::promote(self.database_server.as_ref().unwrap(), self.standby.as_ref().unwrap()).await;
    }

    /// New connections lead to the second database server, and those that stand to the first. Since when.
    pub fn fail_over(&mut self) -> Instant {
        let second = self.standby.as_ref().unwrap();
        self.proxy(Link::Database).lead_to(format!("{}:{}", second.host(), second.port()));
        let options = self.database.options().port(second.port());
        self.pool = MySqlPoolOptions::new().max_connections(4).connect_lazy_with(options);
        Instant::now()
    }

    /// Starts another process of a service, with more settings, without waiting.
    pub fn spawn(&self, name: &str, settings: &[(&str, &str)]) -> Service {
        let more = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let environment = self.environment.iter().cloned().chain(more);
        let mut service = Service::prepare(name, self.folder.path(), environment).unwrap();
        service.server.spawn().unwrap();
        service
    }

    fn add_receiver(&mut self, settings: &[(&str, &str)]) -> &mut Receiver {
        let port = Port::reserve().unwrap();
        let number = port.to_string();
        let service = self.spawn("receiver", &[&[("RECEIVER_PORT", &*number)], settings].concat());
        self.receivers.push(Receiver { service, port });
        self.receivers.last_mut().unwrap()
    }

    /// Starts another receiver, which publishes to this nsqd; the client posts to it as well.
    pub async fn add_receiver_of(&mut self, nsqd: &Nsqd) {
        let receiver = self.add_receiver(&[("PRODUCER_ADDRESS", &nsqd.tcp_address())]);
        receiver.service.server.wait_until_ready().await.unwrap();
        let urls = self.receivers.iter().map(Receiver::url).collect();
        self.client = Client::new(urls, self.book.clone());
    }

    /// Starts another processor, with more settings, and waits until it is ready.
    pub async fn add_processor(&mut self, settings: &[(&str, &str)]) -> &mut Service {
        let mut processor = self.spawn("image-processor", settings);
        processor.server.wait_until_ready().await.unwrap();
        self.processors.push(processor);
        self.processors.last_mut().unwrap()
    }

    /// Runs the redeemer to its end and returns its exit code and what it printed.
    pub async fn redeem(&self) -> (Option<i32>, String) {
        let limit = Duration::from_secs(70);
        let environment = self.environment.iter().cloned();
        let finished = Service::run("redeemer", self.folder.path(), environment, limit).await.unwrap();
        (finished.status.code(), finished.output)
    }

    /// Where a known person's picture lies.
    pub fn known(&self, name: &str) -> PathBuf {
        self.folder.path().join("known_people").join(name)
    }

    /// Where an unknown person's picture lies.
    pub fn unknown(&self, name: &str) -> PathBuf {
        self.folder.path().join("unknown_people").join(name)
    }

    /// Copies a sample photograph into the folder of unknown people.
    pub fn lay_out(&self, photograph: &str, name: &str) {
        fs::copy(paths::photographs().join(photograph), self.unknown(name)).unwrap();
    }

    /// Posts pictures of the folder of unknown people by their names.
    pub async fn post(&self, names: &[&str]) -> Answer {
        let paths: Vec<_> = names.iter().map(|name| format!("/unknown_people/{name}")).collect();
        self.client.post(&paths).await
    }

    /// Posts so many pictures, which no folder holds, and returns their ids.
    pub async fn post_many(&self, count: usize) -> Vec<u64> {
        let paths: Vec<_> = (0..count).map(|number| format!("/unknown_people/{number}.jpg")).collect();
        self.client.store(&paths).await
    }

    /// How many rows have this status.
    pub async fn count(&self, status: i32) -> i64 {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM images WHERE status = ?").bind(status);
        count.fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until so many rows have this status.
    pub async fn until_count(&self, status: i32, count: i64) {
        let what = format!("{count} rows have the status {status}");
        eventually(&what, async || (self.count(status).await == count).then_some(())).await;
    }

    /// Waits until at least so many images are processed.
    pub async fn until_processed(&self, count: i64) {
        let what = format!("{count} images are processed");
        eventually(&what, async || (self.count(1).await >= count).then_some(())).await;
    }

    /// Status and reason of a row.
    pub async fn row(&self, id: u64) -> (i32, Option<String>) {
        let row = sqlx::query_as("SELECT status, reason FROM images WHERE id = ?").bind(id);
        row.fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until an image has failed for good, and returns the reason.
    pub async fn failed(&self, id: u64) -> String {
        eventually("the image has failed", async || match self.row(id).await {
            (2, reason) => Some(reason.unwrap_or_default()),
            (status, _) => {
                assert_ne!(status, 1, "image {id} was processed");
                None
            }
        })
        .await
    }

    /// How often images became PROCESSING.
    pub async fn claims(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM changes WHERE became = 3")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// How many tries all images have used up.
    pub async fn failed_tries(&self) -> i64 {
        let sum = "SELECT CAST(COALESCE(SUM(attempts), 0) AS SIGNED) FROM images";
        sqlx::query_scalar(sum).fetch_one(&self.pool).await.unwrap()
    }

    /// What a service's log holds.
    pub fn log(service: &Service) -> String {
        String::from_utf8_lossy(&fs::read(service.server.log()).unwrap()).into_owned()
    }

    /// The value of a metric without labels; 0 when there is none.
    pub async fn metric(service: &Service, name: &str) -> f64 {
        let client = http_client().build().unwrap();
        let metrics = client.get(format!("http://{}/metrics", service.ops_address())).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_default()
    }
}

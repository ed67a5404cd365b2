//! A database, and a processor to which nothing is announced.

use clap::Parser;
use common::{
    db::{pool, schema},
    supervisor::Supervisor,
};
use devstack::{Database, Port};
use image_processor::{Settings, run};
use sqlx::MySqlPool;
use tokio_util::sync::CancellationToken;
use web::ops::Readiness;

pub struct Processor {
    pub pool: MySqlPool,
    shutdown: CancellationToken,
    // Dropped last.
    _database: Database,
}

impl Processor {
    /// With these flags beside those that lead to its database. No queue is there, and no face-recog that they do not name.
    pub async fn start(more: impl IntoIterator<Item = String>) -> Self {
        let database = Database::fresh().await.unwrap();
        let nobody = Port::reserve().unwrap();
        let flags = [
            "image-processor".to_owned(),
            format!("--db-host={}", database.host),
            format!("--db-port={}", database.port),
            format!("--db-dbname={}", database.name),
            format!("--db-username-password={}", database.user_password),
            format!("--nsq-lookup-address=127.0.0.1:{nobody}"),
        ];
        let settings = Settings::try_parse_from(flags.into_iter().chain(more)).unwrap();
        assert_eq!(settings.check(), Ok(()));
        let pool = pool::pool(&settings.database, 4);
        schema::ensure(&settings.database, &pool).await;
        let shutdown = CancellationToken::new();
        let readiness = Readiness::waiting_for("the database");
        tokio::spawn(run(settings, readiness, Supervisor::new(shutdown.clone())));
        Self { pool, shutdown, _database: database }
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

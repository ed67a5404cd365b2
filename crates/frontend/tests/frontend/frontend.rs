//! A frontend for one test, and a client for it.

use std::net::Ipv4Addr;

use clap::Parser;
use common::supervisor::Supervisor;
use devstack::Database;
use frontend::Settings;
use reqwest::{Method, RequestBuilder, Response};
use sqlx::{AssertSqlSafe, MySqlPool};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use web::ops::Readiness;

/// A running frontend.
pub struct Frontend {
    pub readiness: Readiness,
    address: String,
    client: reqwest::Client,
    shutdown: CancellationToken,
    service: JoinHandle<anyhow::Result<()>>,
}

impl Frontend {
    /// Starts one that looks for its database at `port` of this machine.
    pub async fn start(port: u16, database: &str, user_password: &str) -> Self {
        Self::start_with(port, database, user_password, &[]).await
    }

    /// The same with more flags.
    pub async fn start_with(port: u16, database: &str, user_password: &str, flags: &[&str]) -> Self {
        let own = [
            "frontend",
            "--db-host=127.0.0.1",
            &format!("--db-port={port}"),
            &format!("--db-dbname={database}"),
            &format!("--db-username-password={user_password}"),
        ];
        let settings = Settings::parse_from(own.iter().chain(flags));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let readiness = Readiness::waiting_for("the database");
        let shutdown = CancellationToken::new();
        let service = tokio::spawn(frontend::run(
            settings,
            listener,
            readiness.clone(),
            Supervisor::new(shutdown.clone()),
        ));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { readiness, address, client, shutdown, service }
    }

    /// Where it is, without a slash at the end.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A request for `path`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    /// The answer to a GET.
    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The HTML of a page that is there.
    pub async fn html(&self, path: &str) -> String {
        self.get(path).await.error_for_status().unwrap().text().await.unwrap()
    }

    /// The JSON of a page, or of a problem.
    pub async fn json(&self, path: &str) -> serde_json::Value {
        let request = self.request(Method::GET, path).header("Accept", "application/json");
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Stops it, and waits until it has ended.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.service.await.unwrap().unwrap();
    }
}

/// A frontend with a database of its own, which has today's schema and the sample's people.
pub struct Stage {
    pub frontend: Frontend,
    pub pool: MySqlPool,
    // Dropped last: the database goes when nobody uses it any more.
    database: Database,
}

impl Stage {
    pub async fn set() -> Self {
        Self::set_with(&[]).await
    }

    /// The same with more flags.
    pub async fn set_with(flags: &[&str]) -> Self {
        let database = Database::fresh().await.unwrap();
        let frontend =
            Frontend::start_with(database.port, &database.name, &database.user_password, flags).await;
        until(|| async { frontend.readiness.missing().is_none() }).await;
        let pool = MySqlPool::connect_with(database.options()).await.unwrap();
        Self { frontend, pool, database }
    }

    /// Another replica.
    pub async fn another(&self, flags: &[&str]) -> Frontend {
        let Database { port, name, user_password, .. } = &self.database;
        Frontend::start_with(*port, name, user_password, flags).await
    }

    /// Runs SQL of the test's own.
    pub async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }

    /// Stores a pending image.
    pub async fn store(&self, path: &str) -> u64 {
        common::db::images::store(&self.pool, &[path]).await.unwrap()[0].id.0
    }

    /// Stores many pending images, by one statement. They are newer than all before.
    pub async fn fill(&self, count: usize) {
        let digits = "(SELECT 0 AS i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
                       UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
        self.sql(&format!(
            "INSERT INTO images (path) SELECT CONCAT('/many/', a.i, b.i, c.i, d.i, e.i, '.jpg')
             FROM {digits} AS a, {digits} AS b, {digits} AS c, {digits} AS d, {digits} AS e LIMIT {count}"
        ))
        .await;
    }

    /// Stores an image of 400 × 200 pixels that was recognised, with one face for each of `people`; -1 is nobody.
    /// The ids of the image and of its faces.
    pub async fn recognise(&self, path: &str, people: &[i32]) -> (u64, Vec<u64>) {
        let image = self.store(path).await;
        let mut faces = Vec::new();
        for (position, person) in people.iter().enumerate() {
            let done = sqlx::query(
                "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned,
                                    gallery, nearest, distance, matches, person, shown_at)
                 SELECT id, ?, 100, 50, 40, 40, '', 'm', 100, 0.1, 1, 'hannibal_1.jpg', 0.5, ?, ?, shown_at
                 FROM images WHERE id = ?",
            )
            .bind(u64::try_from(position).unwrap())
            .bind(*person > 0)
            .bind(person)
            .bind(image)
            .execute(&self.pool)
            .await
            .unwrap();
            faces.push(done.last_insert_id());
        }
        let shown = people.iter().copied().find(|&person| person > 0).unwrap_or(-1);
        let size = "width = 400, height = 200, status = 1";
        self.sql(&format!("UPDATE images SET {size}, person = {shown}, distance = 0.5 WHERE id = {image}"))
            .await;
        (image, faces)
    }

    /// Makes unknown faces one cluster.
    pub async fn group(&self, faces: &[u64]) {
        let joined: Vec<_> = faces.iter().map(|&face| (face, faces[0])).collect();
        common::db::faces::clusters::join(&self.pool, &joined).await.unwrap();
    }
}

/// Waits until `condition` holds; the test fails when that takes far too long.
pub async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(180), wait).await.expect("it took too long");
}

/// The text of each cell of the table's body, row by row, tags removed and blanks in a row made one.
pub fn cells(html: &str) -> Vec<[String; 4]> {
    let Some((_, body)) = html.split_once("<tbody") else { return Vec::new() };
    body.split("<tr")
        .skip(1)
        .map(|row| {
            let cells: Vec<String> = row.split("<td").skip(1).map(text).collect();
            cells.try_into().expect("a row has four cells")
        })
        .collect()
}

fn text(cell: &str) -> String {
    let inside = cell.split_once('>').unwrap().1.split("</td>").next().unwrap();
    let without_tags: String =
        inside.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
    without_tags.split_whitespace().collect::<Vec<_>>().join(" ")
}

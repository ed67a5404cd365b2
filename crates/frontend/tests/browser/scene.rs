//! Everything that a page needs around it, with two known people and pictures to show.

use std::{fs, time::Duration};

use common::db::corrections::{Correction, correct};
use devstack::{Database, PrivateFolder, Stack, paths};
use serde_json::{Value, json};
use sqlx::MySqlPool;

/// The real stack, and a way to post pictures.
pub struct Scene {
    pub stack: Stack,
    pub pool: MySqlPool,
    client: reqwest::Client,
    // Declared last: what is around goes after what uses it.
    _database: Database,
    _folder: PrivateFolder,
}

impl Scene {
    /// Starts it: Barack Obama is known.
    pub async fn set() -> Self {
        Self::set_with(&[]).await
    }

    /// With more settings, as the environment has them.
    pub async fn set_with(more: &[(&str, &str)]) -> Self {
        let folder = PrivateFolder::new().unwrap();
        let uploads = folder.path().join("unknown_people/uploads");
        fs::create_dir_all(&uploads).unwrap();
        let database = Database::fresh().await.unwrap();
        let mut settings = database.environment();
        settings.push(("UPLOADS".into(), uploads.display().to_string()));
        settings.extend(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        let stack = Stack::start(folder.path(), settings, false).await.unwrap();
        let pool = MySqlPool::connect_with(database.options()).await.unwrap();
        fs::copy(paths::photographs().join("obama.jpg"), stack.known_people().join("obama.jpg")).unwrap();
        sqlx::raw_sql(
            "INSERT INTO person (id, name) VALUES (5, 'Barack Obama');
             INSERT INTO person_images (image_name, person_id) VALUES ('obama.jpg', 5)",
        )
        .execute(&pool)
        .await
        .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { stack, pool, client, _database: database, _folder: folder }
    }

    /// With pictures of all kinds on it, which have all been looked at: people, a crowd, new faces that look alike, one without
    /// a face, one that failed, and names and paths of all lengths.
    pub async fn furnish(&self) {
        devstack::crowd().unwrap().save(self.stack.unknown_people().join("crowd.png")).unwrap();
        let long = format!("{}.jpg", "a picture with a very long name ".repeat(7));
        for (photograph, name) in [
            ("obama2.jpg", "team/speech.jpg"),
            ("obama3.jpg", &long),
            ("astronaut.png", "astronaut.png"),
            ("astronaut.png", "the same.png"),
            ("coffee.png", "cup.png"),
            ("chelsea.png", "cat.png"),
            ("", "missing.jpg"),
            ("", "crowd.png"),
        ] {
            fs::create_dir_all(self.stack.unknown_people().join("team")).unwrap();
            self.post(photograph, name).await;
        }
        sqlx::query("INSERT INTO person (id, name) VALUES (6, ?), (7, 'عائشة بنت أحمد')")
            .bind("Ada Augusta ".repeat(20).trim())
            .execute(&self.pool)
            .await
            .unwrap();
        sqlx::raw_sql(
            "INSERT INTO webhook_targets (id, url, secret, events, paused) VALUES
                 (1, 'https://hooks.example.org/faces', 'whsec_s3cret', 'image.processed', FALSE);
             INSERT INTO webhook_attempts (target, event, image_id, status, problem, took_ms) VALUES
                 (1, 'image.processed', 1, 204, NULL, 17), (1, 'image.processed', 2, 503, 'the answer was 503', 9)",
        )
        .execute(&self.pool)
        .await
        .unwrap();
        let left = async || -> i64 {
            let waiting = "SELECT (SELECT COUNT(*) FROM images WHERE status IN (0, 3)) + (SELECT COUNT(*) = 0 FROM clusters)";
            sqlx::query_scalar(waiting).fetch_one(&self.pool).await.unwrap()
        };
        while left().await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let crowd = "SELECT id FROM faces WHERE image_id = 8 ORDER BY id LIMIT 3";
        for face in sqlx::query_scalar::<_, u64>(crowd).fetch_all(&self.pool).await.unwrap() {
            correct(&self.pool, face, Correction::Ignore, "ada").await.unwrap();
        }
    }

    /// The address of a page.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.stack.frontend_url())
    }

    /// Posts a photograph under another name, so that it is another picture. Its id.
    pub async fn post(&self, photograph: &str, name: &str) -> u64 {
        let target = self.stack.unknown_people().join(name);
        if !photograph.is_empty() {
            fs::copy(paths::photographs().join(photograph), target).unwrap();
        }
        let request = self.client.post(format!("{}/image/post", self.stack.receiver_url()));
        let request = request.header("accept", "application/json").json(&json!({ "path": name }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["id"].as_u64().unwrap()
    }
}

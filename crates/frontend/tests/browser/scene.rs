//! Everything that a page needs around it, with two known people and pictures to show.

use std::fs;

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

//! A picture that is sent is kept as a file, once, and recognised as if its path had been posted.

use std::{
    fs::{self, File, FileTimes},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use devstack::PrivateFolder;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::stack::{Answer, Stack, until};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a photograph";
/// Its SHA-256.
const JPEG_NAME: &str = "f96789ffffb5fb852a77b1a6ae1ab5ca37d7b9015db77bbe220ab4043efd0771";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n a drawing";

/// A receiver that takes uploads, and their folder.
struct Uploading {
    stack: Stack,
    folder: PrivateFolder,
}

impl Uploading {
    async fn start(more: &[&str]) -> Self {
        Self::start_in(PrivateFolder::new().unwrap(), more).await
    }

    async fn start_in(folder: PrivateFolder, more: &[&str]) -> Self {
        let uploads = folder.path().join("uploads");
        let mut flags = vec!["--uploads", uploads.to_str().unwrap()];
        flags.extend(more);
        Self { stack: Stack::start_with(&flags).await, folder }
    }

    fn uploads(&self) -> PathBuf {
        self.folder.path().join("uploads")
    }

    /// The names in the folder, hidden ones too.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.uploads()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    async fn send(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.stack.receiver.post("/images", body).await
    }

    /// A form of so many files of so many bytes each.
    fn form(files: usize, size: usize) -> Vec<u8> {
        let mut form = Vec::new();
        for nth in 0..files {
            let head = "content-disposition: form-data; name=\"f\"; filename=\"a.jpg\"";
            form.extend(format!("--XX\r\n{head}\r\n\r\n").into_bytes());
            form.extend([JPEG, format!("{nth:size$}").as_bytes(), b"\r\n"].concat());
        }
        form.extend(b"--XX--\r\n");
        form
    }

    /// A client at `address` that sends the first bytes of an upload.
    async fn begin(&self, address: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let mut client = socket.connect(self.stack.receiver.address).await.unwrap();
        let head = b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n\xff\xd8\xff";
        client.write_all(head).await.unwrap();
        client
    }

    async fn send_form(&self, body: Vec<u8>) -> Answer {
        let request = self.stack.receiver.build("/images");
        let request = request.header("content-type", "multipart/form-data; boundary=XX").body(body);
        self.stack.receiver.send(request).await
    }
}

/// A form with these files.
fn form(files: &[&[u8]]) -> Vec<u8> {
    let mut body = b"--XX\r\nContent-Disposition: form-data; name=\"album\"\r\n\r\nholidays\r\n".to_vec();
    for file in files {
        body.extend(b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../a.jpg\"\r\n\r\n");
        body.extend_from_slice(file);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

fn object(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn assert_problem(answer: &Answer, status: u16, words: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "application/problem+json"));
    assert!(object(answer)["detail"].as_str().unwrap().contains(words), "{}", answer.body);
}

#[tokio::test]
async fn a_picture_is_kept_under_its_own_name_and_announced() {
    let uploading = Uploading::start(&[]).await;
    let answer = uploading.send(JPEG).await;
    let path = format!("/unknown_people/uploads/{JPEG_NAME}.jpg");
    assert_eq!((answer.status.as_u16(), answer.header("location")), (201, "/images/1"));
    assert_eq!(object(&answer), json!({"path": path, "id": 1, "created": true, "queued": true}));
    assert_eq!(uploading.files(), [format!("{JPEG_NAME}.jpg")]);
    assert_eq!(fs::read(uploading.uploads().join(format!("{JPEG_NAME}.jpg"))).unwrap(), JPEG);
    assert_eq!(uploading.stack.rows.paths().await, [path]);
    assert_eq!(uploading.stack.messages(1).await, [1_u64.to_le_bytes()]);
    assert_eq!(uploading.stack.receiver.request("GET", answer.header("location")).await.status, 202);
}

#[tokio::test]
async fn the_same_picture_twice_is_one_file_and_one_image() {
    let uploading = Uploading::start(&[]).await;
    uploading.send(JPEG).await;
    for again in [uploading.send(JPEG).await, uploading.send_form(form(&[JPEG])).await] {
        assert_eq!((again.status.as_u16(), again.header("location")), (200, "/images/1"), "{}", again.body);
    }
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (1, 1));
    assert_eq!(uploading.stack.message_count().await, 1);
}

/// What an image's file was called, as its status tells it.
async fn file_name(uploading: &Uploading, image: u64) -> Value {
    let answer = uploading.stack.receiver.request("GET", &format!("/images/{image}")).await;
    object(&answer)["file_name"].take()
}

#[tokio::test]
async fn an_upload_keeps_the_first_name_that_its_file_came_with() {
    let uploading = Uploading::start(&[]).await;
    uploading.send(JPEG).await;
    assert_eq!(file_name(&uploading, 1).await, Value::Null);
    for (given, kept) in [
        ("", Value::Null),
        ("%20/%E2%80%AE", Value::Null),
        ("C:%5Calbum%5Cich%20%C3%BC.jpg", json!("ich ü.jpg")),
        ("other.jpg", json!("ich ü.jpg")),
    ] {
        let answer = uploading.stack.receiver.post(&format!("/images?name={given}"), JPEG).await;
        assert_eq!((answer.status.as_u16(), file_name(&uploading, 1).await), (200, kept), "{given}");
    }
    let list = uploading.stack.receiver.request("GET", "/images").await;
    assert_eq!(object(&list)["images"][0]["file_name"], "ich ü.jpg");

    assert_eq!(uploading.send_form(form(&[JPEG, PNG])).await.status, 201);
    assert_eq!(file_name(&uploading, 1).await, "ich ü.jpg");
    assert_eq!(file_name(&uploading, 2).await, "a.jpg", "the form calls it ../a.jpg");
}

#[tokio::test]
async fn an_upload_with_a_misspelt_parameter_is_refused() {
    let uploading = Uploading::start(&[]).await;
    for query in ["nmae=me.jpg", "name=a&name=b"] {
        let answer = uploading.stack.receiver.post(&format!("/images?{query}"), JPEG).await;
        assert_problem(&answer, 400, "allowed is name");
    }
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (0, 0));
}

#[tokio::test]
async fn each_file_of_a_form_is_answered_for_by_itself() {
    let uploading = Uploading::start(&["--max-upload", "100KiB"]).await;
    let large = [JPEG, &vec![7; 100 * 1024]].concat();
    let [heic, avif] = [b"\0\0\0\x18ftypheic", b"\0\0\0\x18ftypavif"];
    let almost = [JPEG, &vec![7; 100 * 1024 - JPEG.len()]].concat();
    let files = [
        JPEG,
        b"a text",
        &large,
        PNG,
        &almost,
        b"GIF89a",
        b"RIFF....WEBP",
        JPEG,
        b"BM",
        b"II\x2a\0",
        heic,
        avif,
    ];
    let answer = uploading.send_form(form(&files)).await;
    assert_eq!((answer.status.as_u16(), answer.header("link")), (207, "</batches/1-9>; rel=\"status\""));
    let paths = object(&answer)["paths"].as_array().unwrap().clone();
    let told: Vec<_> = paths.iter().map(|path| path.get("id").unwrap_or(&path["status"]).as_u64()).collect();
    assert_eq!(told, [1, 415, 413, 2, 3, 4, 5, 1, 6, 7, 8, 9].map(Some), "{paths:?}");
    assert!(paths[1]["detail"].as_str().unwrap().starts_with("files[1]: the file is no JPEG"));
    let mut extensions: Vec<_> =
        uploading.files().iter().map(|name| name.split_once('.').unwrap().1.to_owned()).collect();
    extensions.sort_unstable();
    assert_eq!(extensions, ["avif", "bmp", "gif", "heic", "jpg", "jpg", "png", "tif", "webp"]);

    let fine = uploading.send_form(form(&[PNG, b"GIF87a"])).await;
    assert_eq!((fine.status.as_u16(), fine.header("location")), (201, ""), "one of them is new");
}

#[tokio::test]
async fn uploads_are_off_until_they_have_a_folder() {
    let stack = Stack::start().await;
    assert_problem(&stack.receiver.post("/images", JPEG).await, 501, "UPLOADS");
    let answer = stack.receiver.request("DELETE", "/images").await;
    assert_problem(&answer, 405, "the header Allow says");
    let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn the_list_of_images_tells_whether_pictures_are_taken() {
    let told = async |receiver: &crate::stack::Receiver| {
        receiver.request("HEAD", "/images").await.header("accept-post").to_owned()
    };
    assert!(told(&Uploading::start(&[]).await.stack.receiver).await.contains("image/tiff"));
    assert_eq!(told(&Stack::start().await.receiver).await, "");
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_not_kept() {
    let uploading = Uploading::start(&[]).await;
    for body in [b"".to_vec(), b"\xff\xd8".to_vec(), b"a text".to_vec(), vec![b'x'; 20 * 1024 * 1024]] {
        assert_problem(
            &uploading.send(body).await,
            415,
            "no JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF picture",
        );
    }
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (0, 0));
}

#[tokio::test]
async fn a_picture_may_be_as_large_as_the_limit_and_no_larger() {
    let uploading = Uploading::start(&["--max-upload", "1000"]).await;
    let picture = |length: usize| [JPEG, &vec![7; length - JPEG.len()]].concat();
    assert_eq!(uploading.send(picture(1000)).await.status, 201);
    assert_problem(&uploading.send(picture(1001)).await, 413, "at most 1000 bytes are allowed");
    let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(picture(900)), Ok(picture(900))]);
    assert_problem(&uploading.send(reqwest::Body::wrap_stream(pieces)).await, 413, "at most 1000 bytes");
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (1, 1));
}

#[tokio::test]
async fn a_form_that_is_none_is_refused() {
    let uploading = Uploading::start(&[]).await;
    for (kind, status) in [("multipart/mixed; boundary=XX", 415), ("Multipart/Form-Data", 400)] {
        let request = uploading.stack.receiver.build("/images").header("content-type", kind).body("x");
        assert_problem(&uploading.stack.receiver.send(request).await, status, "multipart/form-data");
    }
    assert_problem(&uploading.send_form(form(&[])).await, 422, "no file");
    assert_problem(&uploading.send_form(b"no form".to_vec()).await, 400, "the form cannot be read");
    let endless = [b"--XX\r\n".to_vec(), vec![b'x'; 10 * 1024 * 1024]].concat();
    assert_problem(&uploading.send_form(endless).await, 400, "cannot be read");
    let many = uploading.send_form(form(&[PNG; 100])).await;
    assert_eq!((many.status.as_u16(), object(&many)["paths"][99]["status"].as_u64()), (207, Some(413)));
}

#[tokio::test]
async fn what_was_taken_in_before_a_form_broke_off_is_told() {
    let uploading = Uploading::start(&[]).await;
    let mut body = form(&[JPEG, PNG]);
    body.truncate(body.len() - 20);
    let answer = uploading.send_form(body).await;
    assert_eq!(answer.status, 207, "{}", answer.body);
    let paths = &object(&answer)["paths"];
    assert_eq!((&paths[0]["id"], &paths[1]["status"]), (&json!(1), &json!(400)));
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (1, 1));
}

#[tokio::test]
async fn an_upload_that_trickles_is_given_up_and_nothing_of_it_stays() {
    let uploading = Uploading::start(&["--body-timeout", "200ms"]).await;
    let head = b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n\xff\xd8\xff";
    let answer = uploading.stack.receiver.raw(head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("128 KiB a second"), "{answer}");
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (0, 0));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind_and_uploads_at_once_are_bounded() {
    let uploading = Uploading::start(&[]).await;
    let mut clients = Vec::new();
    for number in 0..16 {
        clients.push(uploading.begin([127, 0, 0, 1 + number / 8]).await);
    }
    until("all of them are under way", async || uploading.files().len() == 16).await;
    let refused = uploading.send(JPEG).await;
    assert_problem(&refused, 503, "too many requests");
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(uploading.stack.receiver.post_path("/a.jpg").await.status, 200, "paths are taken meanwhile");
    drop(clients);
    until("their files are gone", async || uploading.files().is_empty()).await;
    assert_eq!(uploading.send(JPEG).await.status, 201);
}

#[tokio::test]
async fn without_the_folder_an_upload_is_refused_until_it_is_back() {
    let uploading = Uploading::start(&[]).await;
    fs::remove_dir(uploading.uploads()).unwrap();
    let answer = uploading.send(JPEG).await;
    assert_problem(&answer, 503, "the folder for the file cannot be written to");
    assert_eq!(answer.header("retry-after"), "5");
    assert!(!answer.body.contains("os error"), "{}", answer.body);
    assert_eq!(uploading.stack.rows.count().await, 0);
    fs::create_dir(uploading.uploads()).unwrap();
    assert_eq!(uploading.send(JPEG).await.status, 201);
}

#[tokio::test]
async fn without_nsqd_or_the_database_an_upload_is_answered_as_a_path_is() {
    let mut uploading = Uploading::start(&[]).await;
    uploading.stack.nsqd.server.stop().await.unwrap();
    let answer = uploading.send(JPEG).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (202, "/images/1"));
    let mut busy = uploading.stack.rows.0.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *busy).await.unwrap();
    let answer = uploading.send(PNG).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *busy).await.unwrap();
    assert_eq!(uploading.send(PNG).await.status, 202, "it can be sent again");
}

#[tokio::test]
async fn what_a_killed_process_left_is_cleared_away_at_the_next_start() {
    let folder = PrivateFolder::new().unwrap();
    let uploads = folder.path().join("uploads");
    fs::create_dir(&uploads).unwrap();
    let old = FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(2 * 60 * 60));
    for (name, is_old) in [(".upload-old", true), (".upload-young", false), ("picture.jpg", true)] {
        let file = File::create(uploads.join(name)).unwrap();
        if is_old {
            file.set_times(old).unwrap();
        }
    }
    let uploading = Uploading::start_in(folder, &[]).await;
    until("it is cleared", async || uploading.files() == [".upload-young", "picture.jpg"]).await;
}

#[tokio::test]
async fn of_a_form_with_too_many_parts_the_first_are_kept_and_the_limit_is_named() {
    let uploading = Uploading::start(&[]).await;
    let answer = uploading.send_form(Uploading::form(1000, 20_000)).await;
    assert_eq!(answer.status, 207, "{}", answer.body);
    assert!(answer.body.contains("files[100]: a form may have 100 fields"), "{}", answer.body);
    assert_eq!(uploading.files().len(), 100);
}

#[tokio::test]
async fn one_address_that_trickles_uploads_keeps_no_other_out() {
    let uploading = Uploading::start(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..17 {
        clients.push(uploading.begin([127, 0, 0, 2]).await);
    }
    for refused in clients.split_off(8) {
        let mut answer = [0; 12];
        let mut refused = refused;
        refused.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 503");
    }
    assert_eq!(uploading.send(JPEG).await.status, 201);
}

#[tokio::test]
async fn an_upload_that_no_decoder_reads_leaves_no_file_and_is_tried_again_when_it_is_sent_again() {
    let uploading = Uploading::start(&[]).await;
    assert_eq!(uploading.send(JPEG).await.status, 201);
    assert_eq!(uploading.send(PNG).await.status, 201);
    let fail = async |redeemable: bool, image: u64| {
        sqlx::query("UPDATE images SET status = 2, redeemable = ?, updated_at = NOW(6) - INTERVAL 1 MINUTE WHERE id = ?")
            .bind(redeemable)
            .bind(image)
            .execute(&uploading.stack.rows.0)
            .await
            .unwrap();
    };
    // Another try may help this one.
    fail(true, 2).await;
    fail(false, 1).await;
    until("it goes", async || uploading.files().len() == 1).await;
    assert!(uploading.files()[0].ends_with(".png"));

    let again = uploading.send(JPEG).await;
    assert_eq!((again.status.as_u16(), object(&again)["created"].as_bool()), (200, Some(false)));
    assert_eq!(uploading.files().len(), 2);
    assert_eq!(uploading.stack.receiver.request("GET", "/images/1").await.status, 202);
    assert_eq!(uploading.stack.message_count().await, 3);
}

#[tokio::test]
async fn uploads_take_no_more_room_than_their_quota() {
    let uploading = Uploading::start(&["--uploads-quota", "30"]).await;
    assert_eq!(uploading.send(JPEG).await.status, 201);
    assert_problem(&uploading.send(PNG).await, 507, "UPLOADS_QUOTA");
    assert_eq!((uploading.files().len(), uploading.stack.rows.count().await), (1, 1));
    assert_eq!(uploading.send(JPEG).await.status, 507, "it is not known before all of it is there");
    assert_eq!(uploading.stack.receiver.request("DELETE", "/images/1").await.status, 200);
    assert_eq!(uploading.send(PNG).await.status, 201);
}

#[tokio::test]
async fn what_lies_in_the_folder_at_the_start_counts_against_the_quota() {
    let folder = PrivateFolder::new().unwrap();
    fs::create_dir(folder.path().join("uploads")).unwrap();
    fs::write(folder.path().join("uploads").join(format!("{JPEG_NAME}.jpg")), JPEG).unwrap();
    let uploading = Uploading::start_in(folder, &["--uploads-quota", "30"]).await;
    until("it is counted", async || uploading.send(PNG).await.status == 507).await;
}

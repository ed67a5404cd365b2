//! Files of pictures as they are, handed on from face-recog.

use std::net::SocketAddr;

use devstack::Port;
use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use rpc::{
    ReadRequest, ReadResponse,
    pictures_server::{Pictures, PicturesServer},
};
use tonic::{Request, Response, Status};

use crate::frontend::Stage;

/// A face-recog whose pictures are their paths, in pieces of one byte; they are of the kind that their names say.
#[derive(Clone)]
struct Reader;

#[tonic::async_trait]
impl Pictures for Reader {
    type ReadStream = stream::BoxStream<'static, Result<ReadResponse, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let path = request.into_inner().image_path;
        if path.contains("gone") {
            return Err(Status::not_found("no such file"));
        }
        if path.contains("busy") {
            return Err(Status::resource_exhausted("later"));
        }
        let media_type = if path.contains("page") { "text/html" } else { "image/jpeg" };
        let first = ReadResponse {
            size: path.len() as u64,
            media_type: media_type.to_owned(),
            ..ReadResponse::default()
        };
        let piece = |byte| Ok(ReadResponse { piece: vec![byte].into(), ..ReadResponse::default() });
        let pieces = stream::iter(path.into_bytes()).map(piece);
        Ok(Response::new(stream::iter([Ok(first)]).chain(pieces).boxed()))
    }
}

async fn stage() -> Stage {
    let port = Port::reserve().unwrap();
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let server = tonic::transport::Server::builder().add_service(PicturesServer::new(Reader));
    tokio::spawn(async move {
        let _port = port;
        server.serve(address).await.unwrap();
    });
    Stage::set_with(&[&format!("--grpc-address={address}")]).await
}

#[tokio::test]
async fn a_picture_can_be_seen_in_full_and_kept_under_its_name() {
    let stage = stage().await;
    let image = stage.store("/unknown_people/uploads/5f.jpg").await;
    stage.sql("UPDATE images SET file_name = 'Été 1.JPG'").await;
    let page = stage.frontend.html(&format!("/images/{image}")).await;
    let link = format!("/images/{image}/original");
    assert!(page.contains(&format!(r#"<a href="{link}" download>"#)), "the page leads there");

    let answer = stage.frontend.get(&link).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "image/jpeg");
    assert_eq!(header("content-length"), "30");
    assert_eq!(header("content-disposition"), "inline; filename*=UTF-8''%C3%89t%C3%A9%201.JPG");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "private, no-store");
    assert_eq!(answer.text().await.unwrap(), "/unknown_people/uploads/5f.jpg");
}

#[tokio::test]
async fn where_there_is_no_picture_a_sentence_says_why() {
    let stage = stage().await;
    for (path, status, code) in [
        ("/gone.jpg", StatusCode::NOT_FOUND, "no_picture"),
        ("/page.jpg", StatusCode::NOT_FOUND, "no_picture"),
        ("/busy.jpg", StatusCode::SERVICE_UNAVAILABLE, "picture_away"),
    ] {
        let image = stage.store(path).await;
        let link = format!("/images/{image}/original");
        let answer = stage.frontend.get(&link).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8", "{path}");
        assert_eq!(stage.frontend.json(&link).await["code"], code, "{path}");
    }
    for nowhere in ["/images/99/original", "/images/x/original"] {
        assert_eq!(stage.frontend.json(nowhere).await["code"], "no_such_page", "{nowhere}");
    }
}

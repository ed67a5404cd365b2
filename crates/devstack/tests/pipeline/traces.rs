//! Where a collector is named, an image's way through the services is seen as traces.

use std::fs;
use std::sync::mpsc::Receiver;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::system::{System, eventually, get, listen};

/// The spans that a collector was sent, each with its service.
#[derive(Default)]
struct Collected(Vec<(String, Span)>);

impl Collected {
    fn take_in(&mut self, bodies: &Receiver<Vec<u8>>) {
        for body in bodies.try_iter() {
            for of_service in ExportTraceServiceRequest::decode(&*body).unwrap().resource_spans {
                let service = attribute(&of_service.resource.unwrap().attributes, "service.name").unwrap();
                let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
                self.0.extend(spans.map(|span| (service.clone(), span)));
            }
        }
    }

    fn find(&self, service: &str, name: &str) -> Option<&Span> {
        self.0.iter().find(|(of, span)| of == service && span.name == name).map(|(_, span)| span)
    }
}

fn attribute(all: &[KeyValue], key: &str) -> Option<String> {
    let Some(AnyValue { value: Some(value) }) = all.iter().find(|it| it.key == key)?.value.clone() else {
        return None;
    };
    match value {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_collector_sees_the_request_of_an_image_and_the_work_on_it() {
    let (url, bodies) = listen("");
    let system = System::start_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("RUST_LOG", "warn"),
    ])
    .await;
    system.lay_out("obama2.jpg", "speech.jpg");
    let request = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = request.post(format!("{}/image/post", system.stack.receiver_url()));
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    request.body(r#"{"path":"/unknown_people/speech.jpg"}"#).send().await.unwrap();
    let id = system.settled().await[0].id.to_string();
    get(&format!("{}/images/{id}", system.stack.frontend_url())).await;

    let mut seen = Collected::default();
    eventually("all services have sent their spans", async || {
        seen.take_in(&bodies);
        let wanted = [
            ("receiver", "POST /image/post"),
            ("image-processor", "image"),
            ("face-recog", "facerecog.Faces/Find"),
            ("face-recog", "embed"),
            ("frontend", "GET /images/{id}"),
        ];
        wanted.iter().all(|(service, name)| seen.find(service, name).is_some()).then_some(())
    })
    .await;

    let post = seen.find("receiver", "POST /image/post").unwrap();
    assert_eq!(
        post.trace_id,
        0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes(),
        "the client's trace"
    );
    assert_eq!(post.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(attribute(&post.attributes, "image_id").as_ref(), Some(&id));
    assert_eq!(attribute(&post.attributes, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(seen.find("receiver", "store").unwrap().parent_span_id, post.span_id);

    let image = seen.find("image-processor", "image").unwrap();
    assert_eq!(attribute(&image.attributes, "image_id").as_ref(), Some(&id));
    let call = seen.find("image-processor", "face_recog").unwrap();
    assert_eq!((&call.trace_id, &call.parent_span_id), (&image.trace_id, &image.span_id));
    let find = seen.find("face-recog", "facerecog.Faces/Find").unwrap();
    assert_eq!((&find.trace_id, &find.parent_span_id), (&image.trace_id, &call.span_id));
    for stage in ["decode", "detect", "embed"] {
        let stage = seen.0.iter().find(|(_, span)| span.name == stage && span.trace_id == image.trace_id);
        assert_eq!(stage.unwrap().1.parent_span_id, find.span_id);
    }
}

#[tokio::test]
async fn a_collector_that_is_away_holds_up_nobody_and_is_named_in_the_log() {
    let system = System::start_with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ])
    .await;
    system.lay_out("obama2.jpg", "speech.jpg");
    system.post(&["speech.jpg"]).await;
    assert_eq!(system.settled().await[0].named(), Some("Barack Obama"));
    eventually("the processor says that its traces are lost", async || {
        let log = fs::read_to_string(system.stack.image_processor.server.log()).unwrap();
        log.contains("cannot send traces to the collector").then_some(())
    })
    .await;
}

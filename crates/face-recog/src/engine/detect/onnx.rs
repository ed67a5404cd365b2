//! As much of the ONNX format (onnx.proto3) as it takes to let a network look at pictures of any size.

use prost::Message;

/// The same network with free sides: the published file takes 640 × 640 pixels alone, though nothing in it depends on
/// that. `None` when the bytes are no such network.
pub(super) fn with_free_sides(model: &[u8]) -> Option<Vec<u8>> {
    let mut model = Model::decode(model).ok()?;
    let graph = model.graph.as_mut()?;
    let [input] = &mut graph.inputs[..] else { return None };
    let [_, _, height, width] = &mut input.tensor()?.shape.as_mut()?.dimensions[..] else { return None };
    *height = Dimension { value: None, name: Some("height".to_owned()) };
    *width = Dimension { value: None, name: Some("width".to_owned()) };
    // The sizes of all others follow.
    for output in &mut graph.outputs {
        output.tensor()?.shape = None;
    }
    Some(model.encode_to_vec())
}

// What is left out is dropped: documentation, and sizes between input and output.

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    format_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    operator_sets: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(bytes = "vec", repeated, tag = "1")]
    nodes: Vec<Vec<u8>>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "vec", repeated, tag = "5")]
    weights: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "11")]
    inputs: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    outputs: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

impl Value {
    fn tensor(&mut self) -> Option<&mut Tensor> {
        self.kind.as_mut()?.tensor.as_mut()
    }
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dimensions: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

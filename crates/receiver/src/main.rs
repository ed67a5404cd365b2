//! HTTP in: stores the paths of pictures and announces them on the queue.

fn main() {}

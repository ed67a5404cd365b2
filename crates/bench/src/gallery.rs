//! The search among known faces.

use std::{hint::black_box, time::Instant};

use face_recog::{
    faces::{DIMENSIONS, Embedding, Face},
    gallery::Gallery,
};

use crate::report::{Report, Unit, median};

const ROUNDS: usize = 50;

pub(crate) fn measure(report: &mut Report) {
    let mut read = Vec::new();
    for (people, words) in [(10_000, "10,000"), (100_000, "100,000")] {
        let known = (0..people).map(|n| (format!("{n}.jpg"), embedding()));
        let gallery = Gallery::new(known);
        let face = [Face { area: 1, embedding: embedding() }];
        let search = median_of(|| drop(black_box(gallery.nearest(black_box(&face)))));
        // What the search cannot do without: reading every number once.
        let numbers: Vec<f32> = vec![1.0; people * DIMENSIONS];
        read.push(median_of(|| {
            let mut sums = [0.0_f32; 16];
            for chunk in black_box(&numbers).chunks_exact(16) {
                sums.iter_mut().zip(chunk).for_each(|(sum, number)| *sum += number);
            }
            black_box(sums);
        }));
        let limit = read[read.len() - 1];
        report.add(
            &format!("search among {words} known faces"),
            Unit::Time,
            search,
            "adding their numbers up",
            limit,
        );
    }
}

fn embedding() -> Embedding {
    std::array::from_fn(|_| rand::random_range(-0.2..0.2))
}

fn median_of(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    median(&mut times)
}

//! What a face looks like in 128 numbers, as they are kept, and how far two faces are from each other.

/// How many numbers describe a face.
pub const DIMENSIONS: usize = 128;

/// Describes a face: the Euclidean distance of two of them is below 0.6 when they show the same person.
pub type Embedding = [f32; DIMENSIONS];

/// Reads 128 little-endian singles; `None` when they are none.
pub fn read(bytes: &[u8]) -> Option<Embedding> {
    let (numbers, rest) = bytes.as_chunks();
    (numbers.len() == DIMENSIONS && rest.is_empty())
        .then(|| std::array::from_fn(|i| f32::from_le_bytes(numbers[i])))
}

/// The bytes that [`read`] reads.
pub fn write(embedding: &Embedding) -> Vec<u8> {
    embedding.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The square of the Euclidean distance, with as many partial sums side by side as fill the widest vector registers.
pub fn squared_distance(one: &Embedding, other: &Embedding) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    for (one, other) in one.as_chunks::<LANES>().0.iter().zip(other.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let difference = one[lane] - other[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use proptest::{array::uniform, collection::vec, prelude::*};

    use super::*;

    #[test]
    fn what_is_no_embedding_is_not_read() {
        assert_eq!(read(&write(&[1.5; DIMENSIONS])), Some([1.5; DIMENSIONS]));
        assert_eq!(read(&[0; 511]), None);
        assert_eq!(read(&[0; 516]), None);
        assert_eq!(read(&[]), None);
    }

    proptest! {
        #[test]
        fn an_embedding_is_read_as_it_was_written(bytes in vec(any::<u8>(), 4 * DIMENSIONS)) {
            prop_assert_eq!(write(&read(&bytes).unwrap()), bytes);
        }

        #[test]
        fn a_distance_is_the_same_both_ways_and_the_one_of_the_sums(
            one in uniform(-1.0..1.0_f32), other in uniform(-1.0..1.0_f32),
        ) {
            let exact: f64 = one.iter().zip(other).map(|(&one, other)| (f64::from(one) - f64::from(other)).powi(2)).sum();
            prop_assert_eq!(squared_distance(&one, &other), squared_distance(&other, &one));
            prop_assert!((f64::from(squared_distance(&one, &other)) - exact).abs() < 1e-3);
        }
    }
}

//! What must hold of any bytes at all that a peer sends in place of nsqd's frames.
//!
//! The fuzz target calls [`check`] with bytes that it makes from the [`seeds`]; the test below calls it with the
//! seeds themselves.

use bytes::{BufMut, BytesMut};

use crate::protocol::{Frame, MAX_FRAME_SIZE, MalformedFrame, failed_touch, is_harmless};

/// More than a buffer ever takes: the largest frame, and as much again for growing by doubling.
const MAX_BUFFER: usize = 2 * (4 + MAX_FRAME_SIZE);

/// Reads frames from `bytes`: however they arrive, the same frames are read up to the same mistake, nothing is lost
/// or read twice, and the buffer stays within its bounds.
///
/// # Panics
///
/// When something of this does not hold.
pub fn check(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    for frame in &whole.0 {
        if let Frame::Error(error) = frame {
            let late_touch = failed_touch(error);
            assert!(late_touch.is_none() || is_harmless(error), "a late TOUCH is no reason to part: {error}");
        }
    }
    for step in [1, 5] {
        assert_eq!(read(bytes, step), whole, "in steps of {step} bytes");
    }
}

/// All frames, and the number of bytes that are left or the mistake that ended the reading.
fn read(bytes: &[u8], step: usize) -> (Vec<Frame>, Result<usize, MalformedFrame>) {
    let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
    let mut taken = 0;
    for chunk in bytes.chunks(step) {
        buffer.extend_from_slice(chunk);
        loop {
            let before = buffer.len();
            let frame = Frame::take(&mut buffer);
            assert!(buffer.capacity() <= MAX_BUFFER, "{} bytes are reserved", buffer.capacity());
            match frame {
                Ok(Some(frame)) => {
                    let raw = &bytes[taken..taken + before - buffer.len()];
                    assert_is(&frame, raw);
                    taken += raw.len();
                    frames.push(frame);
                }
                Ok(None) => {
                    assert_eq!(buffer.len(), before, "what is incomplete stays where it is");
                    break;
                }
                Err(mistake) => return (frames, Err(mistake)),
            }
        }
    }
    (frames, Ok(buffer.len()))
}

/// Compares a frame with the bytes that it was read from.
fn assert_is(frame: &Frame, raw: &[u8]) {
    let (size, content) = raw.split_at(4);
    assert_eq!(
        size,
        u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes(),
        "a frame is as long as it says"
    );
    let (kind, data) = content.split_at(4);
    match frame {
        Frame::Heartbeat => assert_eq!((kind, data), (&[0; 4][..], &b"_heartbeat_"[..])),
        Frame::Response(response) => assert_eq!((kind, data), (&[0, 0, 0, 0][..], &response[..])),
        Frame::Error(error) => {
            assert_eq!((kind, String::from_utf8_lossy(data).as_ref()), (&[0, 0, 0, 1][..], &error[..]))
        }
        Frame::Message(delivery) => {
            assert_eq!((kind, &data[26..]), (&[0, 0, 0, 2][..], &delivery.body[..]));
            assert_eq!(data[8..10], delivery.attempts.to_be_bytes());
        }
    }
}

/// Frames of each kind, as nsqd sends them, and what just is none.
pub fn seeds() -> Vec<Vec<u8>> {
    let message =
        [&1_500_000_000_i64.to_be_bytes()[..], &[0, 3], b"0123456789abcdef", &[4, 3, 2, 1, 0, 0, 0, 0]]
            .concat();
    let mut seeds = vec![
        frame(0, b"OK"),
        frame(0, b"_heartbeat_"),
        frame(0, b"CLOSE_WAIT"),
        frame(1, b"E_TOUCH_FAILED TOUCH 0123456789abcdef failed ID not in flight"),
        frame(1, b"E_INVALID cannot FIN in current state"),
        frame(1, b"\xff\xfe"),
        frame(2, &message),
        frame(2, &message[..26]),
        frame(2, &message[..25]),
        frame(3, b""),
        [frame(0, b"OK"), frame(2, &message), frame(0, b"_heartbeat_")].concat(),
        frame(2, &message)[..20].to_vec(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![],
    ];
    let most = u32::try_from(MAX_FRAME_SIZE).unwrap_or(u32::MAX);
    seeds.extend([0, 3, most, most + 1, u32::MAX].map(|size| size.to_be_bytes().to_vec()));
    seeds
}

fn frame(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_u32(u32::try_from(4 + data.len()).unwrap_or(u32::MAX));
    frame.put_u32(kind);
    frame.put_slice(data);
    frame
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_begins_with_is_read_as_it_should_be() {
        super::seeds().iter().for_each(|seed| super::check(seed));
    }
}

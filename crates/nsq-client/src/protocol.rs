//! The bytes of NSQ's TCP protocol (V2): commands to send, frames to read. No I/O happens here.
//!
//! A client first sends [`MAGIC`], then [`Command`]s: one line of ASCII, for some followed by a
//! body with its size in front. nsqd answers with frames: size, type, data. All numbers are big-endian.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// What a connection starts with: it announces version 2 of the protocol.
pub(crate) const MAGIC: &[u8] = b"  V2";

/// The answer to a command that succeeded.
pub(crate) const OK: &[u8] = b"OK";

/// The answer to CLS: nsqd sends no further messages.
pub(crate) const CLOSE_WAIT: &[u8] = b"CLOSE_WAIT";

/// The largest frame that is accepted. nsqd's own limit for a message is 1 MiB unless its operator
/// raised it; a larger size than this is a peer that speaks something else.
pub(crate) const MAX_FRAME_SIZE: usize = 16 * 1024 * 1024;

/// nsqd's default for `--max-req-timeout`. It does not tell its setting; some versions close the
/// connection over a longer delay, others shorten it silently.
pub(crate) const MAX_REQUEUE_DELAY: Duration = Duration::from_secs(60 * 60);

const HEARTBEAT: &[u8] = b"_heartbeat_";
const FRAME_TYPE_SIZE: usize = 4;
const MESSAGE_HEADER_SIZE: usize = 8 + 2 + MessageId::SIZE;

/// Says whether nsqd takes `name` as the name of a topic or channel: 1 to 64 of the characters
/// `.a-zA-Z0-9_-`, the end `#ephemeral` allowed and counted.
///
/// ```
/// assert!(nsq_client::is_valid_name("images"));
/// assert!(nsq_client::is_valid_name("images#ephemeral"));
/// assert!(!nsq_client::is_valid_name("no spaces"));
/// ```
pub fn is_valid_name(name: &str) -> bool {
    let stem = name.strip_suffix("#ephemeral").unwrap_or(name);
    name.len() <= 64
        && !stem.is_empty()
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The name that nsqd gave a message: 16 characters, unique within that nsqd.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId([u8; Self::SIZE]);

impl MessageId {
    const SIZE: usize = 16;
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// One command to nsqd.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    /// Introduces the client; the body is JSON.
    Identify(&'a [u8]),
    /// Turns the connection into a consumer's.
    Subscribe { topic: &'a str, channel: &'a str },
    /// Publishes one message.
    Publish { topic: &'a str, body: &'a [u8] },
    /// Publishes several messages, all or none.
    PublishMany { topic: &'a str, bodies: &'a [Bytes] },
    /// Allows that many messages in flight.
    Ready(usize),
    /// The message was dealt with.
    Finish(MessageId),
    /// The message shall come again, no earlier than after this delay.
    Requeue(MessageId, Duration),
    /// The message needs more time: its timeout starts again.
    Touch(MessageId),
    /// The consumer wants no further messages and is about to leave.
    StartClose,
    /// Answers a heartbeat.
    Nop,
}

impl Command<'_> {
    /// Appends the command's bytes to `out`.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        match *self {
            Command::Identify(body) => {
                out.put_slice(b"IDENTIFY\n");
                put_sized(out, body);
            }
            Command::Subscribe { topic, channel } => put_line(out, format_args!("SUB {topic} {channel}")),
            Command::Publish { topic, body } => {
                put_line(out, format_args!("PUB {topic}"));
                put_sized(out, body);
            }
            Command::PublishMany { topic, bodies } => {
                put_line(out, format_args!("MPUB {topic}"));
                out.reserve(4 + multi_body_size(bodies));
                put_size(out, multi_body_size(bodies));
                put_size(out, bodies.len());
                bodies.iter().for_each(|body| put_sized(out, body));
            }
            Command::Ready(count) => put_line(out, format_args!("RDY {count}")),
            Command::Finish(id) => put_line(out, format_args!("FIN {id}")),
            Command::Requeue(id, delay) => {
                let delay = delay.min(MAX_REQUEUE_DELAY).as_millis();
                put_line(out, format_args!("REQ {id} {delay}"));
            }
            Command::Touch(id) => put_line(out, format_args!("TOUCH {id}")),
            Command::StartClose => out.put_slice(b"CLS\n"),
            Command::Nop => out.put_slice(b"NOP\n"),
        }
    }
}

/// The size of an MPUB's body: the number of messages, then each with its size in front.
pub(crate) fn multi_body_size(bodies: &[Bytes]) -> usize {
    4 + bodies.iter().map(|body| multi_body_share(body)).sum::<usize>()
}

/// What one message adds to the body of an MPUB.
pub(crate) fn multi_body_share(body: &[u8]) -> usize {
    4 + body.len()
}

fn put_line(out: &mut BytesMut, line: fmt::Arguments<'_>) {
    // Writing to a BytesMut grows it and has no error to report.
    let _ = fmt::Write::write_fmt(out, line);
    out.put_u8(b'\n');
}

fn put_sized(out: &mut BytesMut, body: &[u8]) {
    put_size(out, body.len());
    out.put_slice(body);
}

/// Sizes were checked against limits of a few MiB before, so that none is ever cut here.
fn put_size(out: &mut BytesMut, size: usize) {
    out.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
}

/// One frame from nsqd.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// Asks for a sign of life, any command will do.
    Heartbeat,
    /// The answer to a command that succeeded.
    Response(Bytes),
    /// A command failed. Most errors end the connection, see [`is_harmless`].
    Error(String),
    /// A message was delivered.
    Message(Delivery),
}

/// A message as it lies in a frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Delivery {
    /// When nsqd received the message from its publisher.
    pub(crate) timestamp: SystemTime,
    /// How often it was delivered, this time included.
    pub(crate) attempts: u16,
    pub(crate) id: MessageId,
    pub(crate) body: Bytes,
}

/// What came is not a frame of this protocol; where the next one begins is unknown.
#[derive(Debug, PartialEq, Error)]
pub(crate) enum MalformedFrame {
    #[error("a frame of {0} bytes is announced, {FRAME_TYPE_SIZE} to {MAX_FRAME_SIZE} are possible")]
    Size(u32),
    #[error("frame type {0} does not exist")]
    Type(u32),
    #[error("a message of {0} bytes is too short for its header of {MESSAGE_HEADER_SIZE}")]
    ShortMessage(usize),
}

impl Frame {
    /// Takes the first frame off `buffer`; `None` when it has not fully arrived yet.
    ///
    /// A size that cannot be is refused as soon as it is seen, before anything is reserved for it.
    pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, MalformedFrame> {
        let Some(size) = buffer.first_chunk().copied().map(u32::from_be_bytes) else { return Ok(None) };
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if !(FRAME_TYPE_SIZE..=MAX_FRAME_SIZE).contains(&length) {
            return Err(MalformedFrame::Size(size));
        }
        if buffer.len() < 4 + length {
            buffer.reserve(4 + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(4);
        let mut data = buffer.split_to(length).freeze();
        match data.get_u32() {
            0 if data == HEARTBEAT => Ok(Some(Frame::Heartbeat)),
            0 => Ok(Some(Frame::Response(data))),
            1 => Ok(Some(Frame::Error(String::from_utf8_lossy(&data).into_owned()))),
            2 => Delivery::parse(data).map(|delivery| Some(Frame::Message(delivery))),
            other => Err(MalformedFrame::Type(other)),
        }
    }
}

impl Delivery {
    fn parse(mut data: Bytes) -> Result<Delivery, MalformedFrame> {
        if data.len() < MESSAGE_HEADER_SIZE {
            return Err(MalformedFrame::ShortMessage(data.len()));
        }
        // Nanoseconds since 1970. A negative number is nonsense, and 1970 says so well enough.
        let nanoseconds = u64::try_from(data.get_i64()).unwrap_or(0);
        let attempts = data.get_u16();
        let mut id = [0; MessageId::SIZE];
        data.copy_to_slice(&mut id);
        Ok(Delivery {
            timestamp: UNIX_EPOCH + Duration::from_nanos(nanoseconds),
            attempts,
            id: MessageId(id),
            body: data,
        })
    }
}

/// Says whether an error leaves the connection usable: an answer that came too late for its message
/// does. nsqd adds the message's id and a reason to the code, so the code alone is compared.
pub(crate) fn is_harmless(error: &str) -> bool {
    ["E_FIN_FAILED", "E_REQ_FAILED", "E_TOUCH_FAILED"].iter().any(|code| error.starts_with(code))
}

/// The message whose TOUCH failed, from `E_TOUCH_FAILED TOUCH <id> failed …`.
pub(crate) fn failed_touch(error: &str) -> Option<MessageId> {
    let id = error.strip_prefix("E_TOUCH_FAILED TOUCH ")?.split(' ').next()?;
    id.as_bytes().try_into().ok().map(MessageId)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId(*b"0123456789abcdef");

    fn bytes_of(command: Command<'_>) -> Vec<u8> {
        let mut out = BytesMut::new();
        command.encode(&mut out);
        out.to_vec()
    }

    fn frame(kind: u32, data: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u32(4 + data.len() as u32);
        out.put_u32(kind);
        out.put_slice(data);
        out
    }

    #[test]
    fn commands_without_a_body_are_one_line() {
        assert_eq!(bytes_of(Command::Subscribe { topic: "images", channel: "ch" }), b"SUB images ch\n");
        assert_eq!(bytes_of(Command::Ready(25)), b"RDY 25\n");
        assert_eq!(bytes_of(Command::Finish(ID)), b"FIN 0123456789abcdef\n");
        assert_eq!(bytes_of(Command::Touch(ID)), b"TOUCH 0123456789abcdef\n");
        assert_eq!(bytes_of(Command::StartClose), b"CLS\n");
        assert_eq!(bytes_of(Command::Nop), b"NOP\n");
    }

    #[test]
    fn bodies_carry_their_size() {
        assert_eq!(bytes_of(Command::Identify(b"{}")), b"IDENTIFY\n\0\0\0\x02{}");
        assert_eq!(
            bytes_of(Command::Publish { topic: "t", body: &[1, 0, 0, 0, 0, 0, 0, 0] }),
            b"PUB t\n\0\0\0\x08\x01\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn many_messages_carry_their_number_and_each_its_size() {
        let bodies = [Bytes::from_static(b"one"), Bytes::from_static(b"three")];
        assert_eq!(
            bytes_of(Command::PublishMany { topic: "t", bodies: &bodies }),
            b"MPUB t\n\0\0\0\x14\0\0\0\x02\0\0\0\x03one\0\0\0\x05three"
        );
    }

    #[test]
    fn a_requeue_delay_is_sent_in_milliseconds_and_never_exceeds_an_hour() {
        let delay = Duration::from_millis(1500);
        assert_eq!(bytes_of(Command::Requeue(ID, delay)), b"REQ 0123456789abcdef 1500\n");
        assert_eq!(bytes_of(Command::Requeue(ID, Duration::MAX)), b"REQ 0123456789abcdef 3600000\n");
    }

    #[test]
    fn a_frame_is_taken_only_once_it_is_complete() {
        let whole = frame(0, b"OK");
        for end in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..end]);
            assert_eq!(Frame::take(&mut part), Ok(None));
            assert_eq!(part.len(), end, "an incomplete frame stays where it is");
        }
        let mut two = whole.clone();
        two.extend_from_slice(&frame(0, b"_heartbeat_"));
        assert_eq!(Frame::take(&mut two), Ok(Some(Frame::Response(Bytes::from_static(OK)))));
        assert_eq!(Frame::take(&mut two), Ok(Some(Frame::Heartbeat)));
        assert_eq!(Frame::take(&mut two), Ok(None));
    }

    #[test]
    fn a_message_frame_holds_time_attempts_id_and_body() {
        let mut data = vec![];
        data.put_i64(1_500_000_000);
        data.put_u16(3);
        data.put_slice(b"0123456789abcdef");
        data.put_slice(b"body");
        let expected = Delivery {
            timestamp: UNIX_EPOCH + Duration::from_millis(1500),
            attempts: 3,
            id: ID,
            body: Bytes::from_static(b"body"),
        };
        assert_eq!(Frame::take(&mut frame(2, &data)), Ok(Some(Frame::Message(expected))));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(Frame::take(&mut frame(2, b"short")), Err(MalformedFrame::ShortMessage(5)));
        assert_eq!(Frame::take(&mut frame(9, b"")), Err(MalformedFrame::Type(9)));
        assert_eq!(Frame::take(&mut BytesMut::from(&[0, 0, 0, 3][..])), Err(MalformedFrame::Size(3)));
        let mut http = BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]);
        let capacity = http.capacity();
        assert!(matches!(Frame::take(&mut http), Err(MalformedFrame::Size(_))));
        assert_eq!(http.capacity(), capacity, "nothing is reserved for a size that cannot be");
    }

    #[test]
    fn only_late_answers_are_harmless() {
        assert!(is_harmless("E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight"));
        assert!(is_harmless("E_REQ_FAILED REQ 0123456789abcdef failed ID not in flight"));
        let touch = "E_TOUCH_FAILED TOUCH 0123456789abcdef failed ID not in flight";
        assert!(is_harmless(touch));
        assert_eq!(failed_touch(touch), Some(ID));
        assert_eq!(failed_touch("E_TOUCH_FAILED TOUCH short"), None);
        assert!(!is_harmless("E_INVALID cannot FIN in current state"));
    }

    #[test]
    fn names_follow_the_servers_rule() {
        let longest = "a".repeat(64);
        for name in ["a", "images", "A.b_c-9", "x#ephemeral", longest.as_str()] {
            assert!(is_valid_name(name), "{name}");
        }
        let too_long = "a".repeat(65);
        let too_long_with_ending = format!("{}#ephemeral", "a".repeat(55));
        for name in ["", "#ephemeral", "a b", "a\n", "a#b", "ä", &too_long, &too_long_with_ending] {
            assert!(!is_valid_name(name), "{name}");
        }
    }
}

//! Steps as TensorBoard's events: the few fields of `event.proto` and `summary.proto` that a scalar needs, written by hand.

use super::records::record;
use crate::train::metrics::StepMetrics;

/// The file's name in a run folder. TensorBoard takes files with `tfevents` in their names.
pub const EVENTS_FILE: &str = "events.out.tfevents.diablo";

/// Bytes of varying length, little end first, seven bits each.
fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A field that is a number of varying length.
fn number(field: u64, n: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(n, out);
}

/// A field that is a text, bytes or another message.
fn bytes(field: u64, data: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(data.len() as u64, out);
    out.extend(data);
}

/// `Event` with `wall_time`, in seconds since 1970, which comes first.
fn event(time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    varint(1 << 3 | 1, &mut event);
    event.extend(time.to_le_bytes());
    event
}

/// What a file begins with: an event with the version of the format (`file_version`).
pub(super) fn head(time: f64) -> Vec<u8> {
    let mut event = event(time);
    bytes(3, b"brain.Event:2", &mut event);
    record(&event)
}

/// A step: an event with `step` and a `summary` of a `value` for each number, which has a `tag` and a `simple_value`.
pub(super) fn step(m: &StepMetrics, time: f64) -> Vec<u8> {
    let numbers = [
        ("loss/train", Some(m.loss)),
        ("loss/held_out", m.eval_loss.map(|l| l as f32)),
        ("gradient_norm", Some(m.grad_norm)),
        ("learning_rate", Some(m.lr)),
        ("tokens_per_second", Some(m.tokens_per_second as f32)),
        ("epoch", Some(m.epoch as f32)),
    ];
    let mut summary = Vec::new();
    for (tag, number) in numbers {
        let Some(number) = number else { continue };
        let mut value = Vec::new();
        bytes(1, tag.as_bytes(), &mut value);
        varint(2 << 3 | 5, &mut value);
        value.extend(number.to_le_bytes());
        bytes(1, &value, &mut summary);
    }
    let mut event = event(time);
    number(2, m.step, &mut event);
    bytes(5, &summary, &mut event);
    record(&event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_length_that_protobuf_gives_them() {
        // The examples of protobuf's own description of its encoding.
        let encoded = |n| {
            let mut out = Vec::new();
            number(1, n, &mut out);
            out
        };
        assert_eq!((encoded(150), encoded(1)), (vec![0x08, 0x96, 0x01], vec![0x08, 0x01]));
        let mut out = Vec::new();
        bytes(2, b"testing", &mut out);
        assert_eq!(out, [&[0x12, 0x07][..], b"testing"].concat());
    }
}

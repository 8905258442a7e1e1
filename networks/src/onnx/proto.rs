//! The wire format of protocol buffers, as far as ONNX files need it
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

/// How a field's value is laid out.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// A whole number; negative ones take ten bytes.
    pub fn int(&mut self, field: u64, value: i64) -> &mut Self {
        self.varint(field << 3 | VARINT);
        self.varint(value as u64);
        self
    }

    /// A number of single precision.
    pub fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.varint(field << 3 | FIXED_32);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.bytes.extend(value);
        self
    }

    /// Text.
    pub fn text(&mut self, field: u64, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    /// A message within the message.
    pub fn message(&mut self, field: u64, value: &Message) -> &mut Self {
        self.bytes(field, &value.bytes)
    }

    /// Whole numbers, one after the other.
    pub fn packed(&mut self, field: u64, values: &[i64]) -> &mut Self {
        let mut packed = Message::default();
        for value in values {
            packed.varint(*value as u64);
        }
        self.message(field, &packed)
    }

    /// The finished message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Seven bits a byte, lowest first; the highest bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own documentation.
    #[test]
    fn messages_are_encoded_as_documented() {
        let encoded = |write: &dyn Fn(&mut Message)| {
            let mut message = Message::default();
            write(&mut message);
            message.into_bytes()
        };
        assert_eq!(
            encoded(&|m| {
                m.int(1, 150);
            }),
            [0x08, 0x96, 0x01]
        );
        assert_eq!(
            encoded(&|m| {
                m.text(2, "testing");
            }),
            b"\x12\x07testing"
        );
        assert_eq!(
            encoded(&|m| {
                m.packed(6, &[3, 270, 86942]);
            }),
            b"\x32\x06\x03\x8e\x02\x9e\xa7\x05"
        );
        assert_eq!(
            encoded(&|m| {
                m.int(1, -2);
            }),
            b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
        );
        assert_eq!(
            encoded(&|m| {
                m.float(1, 1.0);
            }),
            [0x0d, 0, 0, 0x80, 0x3f]
        );
    }
}

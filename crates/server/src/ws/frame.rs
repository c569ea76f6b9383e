//! WebSocket frames (RFC 6455, section 5): bytes in, frames out, and back. Pure; knows no socket.
//!
//! Our own, because a frame that goes to ten thousand sockets is made once and shared: libraries make one for each.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The most that a control frame holds (5.5).
const LONGEST_CONTROL: usize = 125;

/// Why a connection is closed (7.4.1, and our own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// The other side does not speak WebSocket.
    Protocol,
    /// A kind of data that is not taken: binary.
    Unsupported,
    /// A text that is not UTF-8.
    NotText,
    /// A message or frame over the limit.
    TooLarge,
    /// The node goes down; connect again.
    Restart,
    /// The token has expired, or none was shown in time.
    Unauthorized,
}

impl CloseCode {
    fn number(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::NotText => 1007,
            Self::TooLarge => 1009,
            Self::Restart => 1012,
            Self::Unauthorized => 4401,
        }
    }
}

/// What a frame is (5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// How a frame of a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    /// Whether the message ends with this frame.
    pub(crate) is_last: bool,
    /// How many bytes the head itself has.
    pub(crate) length: usize,
    /// How many bytes follow it.
    pub(crate) payload: usize,
    mask: [u8; 4],
}

/// Reads the head of a client's frame; `None` when more bytes are needed. `limit` is the largest payload that is taken.
///
/// # Errors
/// With the code to close with.
pub(crate) fn head(bytes: &[u8], limit: usize) -> Result<Option<Head>, CloseCode> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (is_last, reserved) = (first & 0x80 != 0, first & 0x70);
    let opcode = Opcode::of(first & 0x0F).ok_or(CloseCode::Protocol)?;
    // Clients mask (5.1), nobody has agreed on an extension, and control frames are whole and short (5.5).
    let is_masked = second & 0x80 != 0;
    let short = second & 0x7F;
    if reserved != 0
        || !is_masked
        || (opcode.is_control() && (!is_last || usize::from(short) > LONGEST_CONTROL))
    {
        return Err(CloseCode::Protocol);
    }
    let (payload, size) = match short {
        126 => {
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*length)), 2)
        }
        127 => {
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*length), 8)
        }
        short => (u64::from(short), 0),
    };
    // The shortest way to say a length is the only one (5.2).
    if (size == 2 && payload < 126) || (size == 8 && payload <= u64::from(u16::MAX)) {
        return Err(CloseCode::Protocol);
    }
    let payload = usize::try_from(payload).ok().filter(|payload| *payload <= limit);
    let payload = payload.ok_or(CloseCode::TooLarge)?;
    let Some(mask) = rest.get(size..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    Ok(Some(Head { opcode, is_last, length: 2 + size + 4, payload, mask: *mask }))
}

impl Head {
    /// Takes the mask off a payload.
    pub(crate) fn unmask(&self, payload: &mut [u8]) {
        let (words, rest) = payload.as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(self.mask)).to_ne_bytes();
        }
        for (byte, mask) in rest.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
    }
}

/// A text in one frame.
pub(crate) fn text(text: &str) -> Bytes {
    frame(Opcode::Text, text.as_bytes())
}

/// A control frame. What is too long for one is cut.
pub(crate) fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    frame(opcode, payload.get(..LONGEST_CONTROL).unwrap_or(payload))
}

/// The frame that closes a connection.
pub(crate) fn close(code: CloseCode, reason: &str) -> Bytes {
    let mut payload = code.number().to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    control(Opcode::Close, &payload)
}

/// What is answered to a close (5.5.1): the same code, or what is wrong with it.
pub(crate) fn close_answer(payload: &[u8]) -> Bytes {
    let (code, reason) = match payload {
        [] => return control(Opcode::Close, &[]),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return close(CloseCode::Protocol, ""),
    };
    // 7.4: not those that are never sent, nor those that nobody has given a meaning.
    let is_sendable = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    match std::str::from_utf8(reason) {
        Ok(_) if is_sendable => control(Opcode::Close, &code.to_be_bytes()),
        Ok(_) => close(CloseCode::Protocol, ""),
        Err(_) => close(CloseCode::NotText, ""),
    }
}

/// Any frame, whole and without a mask, as a server sends it.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 10);
    bytes.put_u8(0x80 | opcode.bits());
    match u16::try_from(payload.len()) {
        Ok(short @ ..=125) => bytes.put_u8(short as u8),
        Ok(length) => {
            bytes.put_u8(126);
            bytes.put_u16(length);
        }
        Err(_) => {
            bytes.put_u8(127);
            bytes.put_u64(payload.len() as u64);
        }
    }
    bytes.put_slice(payload);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A client's frame: the server's, masked.
    fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let plain = frame(opcode, payload);
        let at = plain.len() - payload.len();
        let mut bytes = plain[..at].to_vec();
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let read = head(&hello, LIMIT).unwrap().unwrap();
        assert_eq!((read.opcode, read.is_last, read.length, read.payload), (Opcode::Text, true, 6, 5));
        let mut payload = hello[6..].to_vec();
        read.unmask(&mut payload);
        assert_eq!(payload, b"Hello");
        assert_eq!(&text("Hello")[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(frame(Opcode::Binary, &[0; 256])[..4], [0x82, 0x7E, 0x01, 0x00]);
        assert_eq!(frame(Opcode::Binary, &vec![0; 65_536])[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn what_breaks_the_rules() {
        let refused = |bytes: &[u8]| head(bytes, LIMIT).unwrap_err();
        assert_eq!(refused(&[0x81, 0x05]), CloseCode::Protocol, "not masked");
        assert_eq!(refused(&[0xC1, 0x80]), CloseCode::Protocol, "a reserved bit");
        assert_eq!(refused(&[0x83, 0x80]), CloseCode::Protocol, "a reserved opcode");
        assert_eq!(refused(&[0x09, 0x80]), CloseCode::Protocol, "a control frame in pieces");
        assert_eq!(refused(&[0x89, 0xFE, 0, 126]), CloseCode::Protocol, "a long control frame");
        assert_eq!(refused(&[0x81, 0xFE, 0, 125]), CloseCode::Protocol, "a length said the long way");
        assert_eq!(refused(&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255]), CloseCode::Protocol);
        assert_eq!(refused(&[0x81, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1]), CloseCode::TooLarge);
        assert_eq!(refused(&[0x81, 0xFF, 255, 255, 255, 255, 255, 255, 255, 255]), CloseCode::TooLarge);
    }

    #[test]
    fn closes_are_answered() {
        let answer = |payload: &[u8]| close_answer(payload)[2..].to_vec();
        assert_eq!(answer(&[]), Vec::<u8>::new());
        assert_eq!(answer(&[3]), 1002_u16.to_be_bytes());
        for code in [1000_u16, 1001, 1003, 1007, 1011, 3000, 4999] {
            assert_eq!(answer(&code.to_be_bytes()), code.to_be_bytes());
        }
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
            assert_eq!(answer(&code.to_be_bytes()), 1002_u16.to_be_bytes(), "{code}");
        }
        assert_eq!(answer(&[3, 232, 0xff]), 1007_u16.to_be_bytes());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payload in proptest::collection::vec(any::<u8>(), 0..70_000), cut in 0..14_usize) {
            let bytes = masked(Opcode::Text, &payload);
            let read = head(&bytes, LIMIT).unwrap().unwrap();
            prop_assert_eq!(read.length + read.payload, bytes.len());
            let mut seen = bytes[read.length..].to_vec();
            read.unmask(&mut seen);
            prop_assert_eq!(seen, payload);
            if cut < read.length {
                prop_assert_eq!(head(&bytes[..cut], LIMIT), Ok(None));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            if let Ok(Some(read)) = head(&bytes, LIMIT) {
                prop_assert!(read.length <= bytes.len() && read.payload <= LIMIT);
            }
        }
    }
}

use super::*;

/// A zip archive of stored members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, body) in members {
        let (at, len) = ((out.len() as u32).to_le_bytes(), (body.len() as u32).to_le_bytes());
        let name_len = (name.len() as u16).to_le_bytes();
        out.extend([b"PK\x03\x04".as_slice(), &[0; 14], &len, &len, &name_len, &[0; 2], name.as_bytes(), body].concat());
        list.extend([b"PK\x01\x02".as_slice(), &[0; 16], &len, &len, &name_len, &[0; 12], &at, name.as_bytes()].concat());
    }
    let (count, size, start) = ((members.len() as u16).to_le_bytes(), (list.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(list);
    out.extend([b"PK\x05\x06".as_slice(), &[0; 4], &count, &count, &size, &start, &[0; 2]].concat());
    out
}

/// A text of a pickle.
fn text(s: &str) -> Vec<u8> {
    [b"X".as_slice(), &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat()
}

/// A tensor [2, 3] of storage "0" with six numbers.
fn tensor(storage: &str, offset: u8, shape: [u8; 2], strides: [u8; 2], stored: u8) -> Vec<u8> {
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        b"(",
        &text("storage"),
        format!("ctorch\n{storage}\n").as_bytes(),
        &text("0"),
        &text("cpu"),
        &[b'K', stored, b't', b'Q', b'K', offset],
        &[b'K', shape[0], b'K', shape[1], 0x86, b'K', strides[0], b'K', strides[1], 0x86, 0x89],
        b"ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A dictionary with one entry `w`.
fn dictionary(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02}(".as_slice(), &text("w"), value, b"u."].concat()
}

fn numbers() -> Vec<u8> {
    (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

fn file(pickle: &[u8]) -> Result<TorchFile> {
    TorchFile::from_bytes("f", archive(&[("a/data.pkl", pickle), ("a/byteorder", b"little"), ("a/data/0", &numbers())]))
}

fn good() -> Vec<u8> {
    dictionary(&tensor("FloatStorage", 0, [2, 3], [3, 1], 6))
}

#[test]
fn a_dictionary_of_tensors_is_read() {
    let f = file(&good()).expect("valid");
    assert_eq!((f.names().collect::<Vec<_>>(), f.shape("w")), (vec!["w"], Some([2, 3].as_slice())));
    assert_eq!(f.tensor("w").expect("w").to_f32(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let f = file(&dictionary(&tensor("FloatStorage", 2, [1, 3], [3, 1], 6))).expect("valid");
    assert_eq!(f.tensor("w").expect("w").to_f32(), [2.0, 3.0, 4.0]);
}

#[test]
fn names_outside_the_list_are_refused_and_named() {
    for (pickle, name) in [
        (b"\x80\x02cos\nsystem\n".to_vec(), "os.system"),
        ([b"\x80\x04".as_slice(), &text("builtins"), &text("eval"), b"\x93."].concat(), "builtins.eval"),
        (dictionary(&tensor("LongStorage", 0, [2, 3], [3, 1], 6)), "torch.LongStorage"),
        (b"\x80\x02ctorch._utils\n_rebuild_device_tensor_from_numpy\n".to_vec(), "_rebuild_device_tensor_from_numpy"),
        (b"\x80\x02ccollections\nOrderedDict\n(K\x01tR.".to_vec(), "calls collections.OrderedDict"),
        (b"\x80\x02ccollections\nOrderedDict\nq\x00h\x00)b.".to_vec(), "no dictionary"),
    ] {
        let error = file(&pickle).expect_err(name);
        assert!(error.to_string().contains(name), "{name}: {error}");
        assert!(error.hint().is_some_and(|h| h.contains("nothing in the file was run")));
    }
    // Instructions that make objects, and ones of old protocols.
    for code in [b'i', b'o', 0x81, 0x92, b'P', 0x82, b'0', b'2', b'I', b'B', 0x8e, 0x97, 0xff] {
        let error = file(&[0x80, 2, code]).expect_err("refused").to_string();
        assert!(error.contains(&format!("{code:#04x}")) && error.contains("byte 2"), "{error}");
    }
}

#[test]
fn tensors_that_lie_about_their_size_are_refused() {
    for (value, what) in [
        (tensor("FloatStorage", 1, [2, 3], [3, 1], 6), "past the end"),
        (tensor("FloatStorage", 0, [255, 255], [255, 1], 6), "past the end"),
        (tensor("FloatStorage", 0, [2, 3], [1, 2], 6), "contiguous"),
        (tensor("FloatStorage", 0, [2, 3], [0, 0], 6), "contiguous"),
    ] {
        let error = file(&dictionary(&value)).expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
    // A shape whose product overflows.
    let huge = [b"\x8a\x08".as_slice(), &i64::MAX.to_le_bytes()].concat();
    let shape = [b"(".as_slice(), &huge, &huge, &huge, b"t", b"(K\x01K\x01K\x01t"].concat();
    let head = [b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(), &text("storage"), b"ctorch\nFloatStorage\n", &text("0"), &text("cpu")];
    let value = [head.concat(), b"K\x06tQK\x00".to_vec(), shape, b"\x89NtR".to_vec()].concat();
    assert!(file(&dictionary(&value)).expect_err("overflow").to_string().contains("past the end"));
    // The storage is shorter than the pickle says, or absent.
    let f = file(&dictionary(&tensor("FloatStorage", 0, [2, 3], [3, 1], 7))).expect("found out when it is read");
    assert!(f.tensor("w").expect_err("short").to_string().contains("24 bytes, and not 7 numbers"));
    let f = TorchFile::from_bytes("f", archive(&[("a/data.pkl", &good())])).expect("found out when it is read");
    assert!(f.tensor("w").expect_err("absent").to_string().contains("a/data/0, are not in the file"));
}

#[test]
fn bombs_do_not_go_off() {
    // Tuples of two of the one before: 2^100 leaves for whoever follows them.
    let nest = [b'q', 0, b'h', 0, 0x86].repeat(100);
    let error = file(&[b"\x80\x02)".as_slice(), &nest, b"."].concat()).expect_err("no dictionary").to_string();
    assert!(error.contains("does not hold a dictionary"), "{error}");
    // A list that holds itself, a text of 4 GiB, a frame that is not there, a place in the memo far away.
    for (pickle, what) in [
        (b"\x80\x02]q\x00h\x00a.".to_vec(), "does not hold a dictionary"),
        (b"\x80\x02X\xff\xff\xff\xffab".to_vec(), "in the middle of an instruction"),
        (b"\x80\x04\x95\x00".to_vec(), "in the middle of an instruction"),
        (b"\x80\x02j\xff\xff\xff\xff.".to_vec(), "recalls value 4294967295"),
        (b"\x80\x02}r\xff\xff\xff\xffj\xff\xff\xff\xff(u".to_vec(), "in the middle of an instruction"),
        (b"\x80\x02\x8a\xff".to_vec(), "in the middle of an instruction"),
        ([b"\x80\x02\x8a\x09".as_slice(), &[1; 9]].concat(), "whole number of 9 bytes"),
        (b"\x80\x02t".to_vec(), "closes what was not opened"),
        (b"\x80\x02R".to_vec(), "where there is none"),
        (b"\x80\x02}(K\x01u.".to_vec(), "sets keys"),
        (b"\x80\x02}(K\x01K\x01u.".to_vec(), "no text"),
        (b"\x80\x09.".to_vec(), "version 9"),
        (b"".to_vec(), "in the middle"),
        // A long key or a long shape would be copied for each tensor that uses it.
        ([b"\x80\x02(".as_slice(), &text("storage"), b"ctorch\nFloatStorage\n", &text(&"k".repeat(65)), b"NK\x06tQ"].concat(), "65 bytes"),
        ([b"\x80\x02(".as_slice(), &b"N".repeat(17), b"tQ"].concat(), "no storage"),
    ] {
        let error = file(&pickle).expect_err(what).to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn archives_that_are_not_torch_s_are_refused() {
    let stray = archive(&[("../../etc/data.pkl", &good()), ("data.pkl", &good())]);
    let packed = {
        let mut bytes = archive(&[("a/data.pkl", &good())]);
        let list = bytes.windows(4).position(|w| w == b"PK\x01\x02").expect("a list");
        bytes[list + 10] = 8;
        bytes
    };
    let twice = archive(&[("a/data.pkl", &good()), ("a/data.pkl", &good())]);
    let big = archive(&[("a/data.pkl", &good()), ("a/byteorder", b"big")]);
    for (bytes, what) in [
        (stray, "without NAME/data.pkl"),
        (packed, "compressed or encrypted"),
        (twice, "there twice"),
        (big, "another order of bytes"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "no zip archive"),
        (Vec::new(), "no zip archive"),
    ] {
        let error = TorchFile::from_bytes("f", bytes).expect_err(what).to_string();
        assert!(error.starts_with("f: ") && error.contains(what), "{what}: {error}");
    }
    // A storage's key that leads out of the archive is the name of no member.
    let (key, outside) = (text("0"), text("../../../etc/passwd"));
    let at = good().windows(key.len()).position(|w| w == key).expect("the key");
    let pickle = [&good()[..at], &outside, &good()[at + key.len()..]].concat();
    let error = file(&pickle).expect("a name").tensor("w").expect_err("outside").to_string();
    assert!(error.contains("a/data/../../../etc/passwd, are not in the file"), "{error}");
}

/// Deterministic damage: no panic, and nothing beyond the file is believed.
#[test]
fn damaged_files_are_refused_or_read() {
    let whole = archive(&[("a/data.pkl", &good()), ("a/byteorder", b"little"), ("a/data/0", &numbers())]);
    for len in 0..whole.len() {
        assert!(TorchFile::from_bytes("f", whole[..len].to_vec()).is_err(), "cut to {len}");
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(f) = TorchFile::from_bytes("f", bytes) {
                f.names().for_each(|name| drop(f.tensor(name)));
            }
        }
    }
}

use proptest::prelude::*;

use super::*;

fn list(keys: &[&str]) -> DigestList {
    let mut list = DigestList::default();
    for key in keys {
        list.push(key, Digest::of(key.as_bytes())).unwrap();
    }
    list.sort().unwrap();
    list
}

fn text(list: &DigestList) -> Vec<u8> {
    let mut text = Vec::new();
    list.write_to(&mut text).unwrap();
    text
}

#[test]
fn the_text_is_as_documented() {
    let expected = format!("{}  1  a\n# 1 entries\n", hex::encode(Sha256::digest(b"a")));
    assert_eq!(String::from_utf8(text(&list(&["a"]))).unwrap(), expected);
    assert_eq!(list(&["a"]).sha256(), hex::encode(Sha256::digest(expected)));
}

#[test]
fn a_cut_text_is_refused_at_every_byte() {
    let whole = text(&list(&["a/b", "a/c", "b"]));
    for cut in 0..whole.len() {
        assert!(
            DigestList::read_from(&whole[..cut]).is_err(),
            "cut at {cut}"
        );
    }
    let mut lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    lines.swap(0, 1);
    let unsorted = lines.concat();
    let error = DigestList::read_from(&unsorted[..]).unwrap_err();
    assert!(error.to_string().starts_with("line 2"), "{error}");
}

#[test]
fn differences_are_phrases() {
    let (mut was, mut is) = (list(&["a", "b"]), list(&["a", "c"]));
    was.push("d", Digest::of(b"1")).unwrap();
    is.push("d", Digest::of(b"2")).unwrap();
    assert_eq!(
        was.differences(&is, 9).unwrap(),
        ["b is gone", "c is new", "d has other contents"]
    );
    assert_eq!(was.differences(&was, 9).unwrap(), Vec::<String>::new());
    assert_ne!(was, is);
}

proptest! {
    #[test]
    fn text_round_trips(keys in proptest::collection::btree_set("[a-c/\\\\\n\r ]{1,6}", 0..20)) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let before = list(&keys);
        let after = DigestList::read_from(&text(&before)[..]).unwrap();
        prop_assert_eq!(before, after);
    }
}

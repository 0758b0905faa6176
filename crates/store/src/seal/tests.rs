use super::*;

const PLACE: Place<'_> = Place { table: "credentials", row: "crd_one", tenant: "" };

fn key(byte: u8) -> MasterKey {
    MasterKey::new([byte; KEY_LEN])
}

fn dice(byte: u8) -> SealDice {
    SealDice(std::array::from_fn(|at| byte.wrapping_add(at as u8)))
}

fn sealed() -> Vec<u8> {
    key(1).seal(&PLACE, &Secret::new("sk-kept-well"), dice(7)).unwrap()
}

#[test]
fn what_was_sealed_opens_and_shows_nothing_before() {
    let sealed = sealed();
    assert_eq!(key(1).open(&PLACE, &sealed).unwrap().expose(), "sk-kept-well");
    assert_eq!(KeyId::of(&sealed), Some(key(1).id()));
    assert!(!sealed.windows(4).any(|window| window == b"kept"), "the secret is in what was sealed");
    assert!(!sealed.windows(8).any(|window| window == &dice(7).0[..8]), "the data key is in what was sealed");
    let empty = key(1).seal(&PLACE, &Secret::new(""), dice(8)).unwrap();
    assert_eq!(key(1).open(&PLACE, &empty).unwrap().expose(), "");
}

#[test]
fn it_opens_in_no_other_row_table_or_tenant() {
    let sealed = sealed();
    let elsewhere = [
        Place { row: "crd_two", ..PLACE },
        Place { table: "settings", ..PLACE },
        Place { tenant: "team_a", ..PLACE },
        // The same letters, cut elsewhere.
        Place { table: "credential", row: "scrd_one", ..PLACE },
    ];
    for place in elsewhere {
        let altered = SealError::Altered { table: place.table.to_owned(), row: place.row.to_owned() };
        assert_eq!(key(1).open(&place, &sealed).unwrap_err(), altered);
    }
}

#[test]
fn not_a_single_bit_may_change_nor_a_byte_be_missing() {
    let sealed = sealed();
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            assert!(key(1).open(&PLACE, &changed).is_err(), "byte {at}, bit {bit}");
        }
        assert!(key(1).open(&PLACE, &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn another_master_key_is_told_from_changed_bytes() {
    let (expected, found) = (key(1).id(), key(2).id());
    assert_eq!(key(2).open(&PLACE, &sealed()).unwrap_err(), SealError::OtherKey { expected, found });
}

#[test]
fn resealing_changes_the_master_key_and_keeps_the_secret() {
    let (old, new) = (key(1), key(2));
    let again = new.reseal(&old, &PLACE, &sealed(), &WrapDice([9; NONCE_LEN])).unwrap();
    assert_eq!(new.open(&PLACE, &again).unwrap().expose(), "sk-kept-well");
    assert!(old.open(&PLACE, &again).is_err());
    let elsewhere = Place { row: "crd_two", ..PLACE };
    assert!(new.reseal(&old, &elsewhere, &sealed(), &WrapDice([9; NONCE_LEN])).is_err());
}

#[test]
fn derived_keys_differ_by_purpose_and_by_master_key() {
    assert_eq!(key(1).derive("ledger-chain"), key(1).derive("ledger-chain"));
    assert_ne!(key(1).derive("ledger-chain"), key(1).derive("audit-chain"));
    assert_ne!(key(1).derive("ledger-chain"), key(2).derive("ledger-chain"));
    assert_ne!(*key(1).derive("seal"), [1; KEY_LEN]);
    // The same as HKDF elsewhere.
    let root = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"waypost master key v1").extract(&[1; KEY_LEN]);
    let mut expected = [0; KEY_LEN];
    root.expand(&[b"ledger-chain"], ring::hkdf::HKDF_SHA256).unwrap().fill(&mut expected).unwrap();
    assert_eq!(*key(1).derive("ledger-chain"), expected);
}

#[test]
fn dice_never_fall_the_same_twice() {
    let mut dice = Dice::seeded([1; 32]);
    let (first, second): ([u8; 80], [u8; 80]) = (dice.bytes(), dice.bytes());
    assert_ne!(first, second);
    assert_ne!(first[..32], first[32..64]);
    assert_eq!(Dice::seeded([1; 32]).bytes::<80>(), first);
    assert_ne!(Dice::seeded([2; 32]).bytes::<80>(), first);
}

#[test]
fn a_master_key_is_32_bytes_in_hex_or_base64() {
    let id = key(0xfb).id();
    let base64 = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s";
    let urlsafe = base64.replace('+', "-").replace('/', "_");
    for text in ["fb".repeat(32), "FB".repeat(32), base64.to_owned(), format!("{base64}=\n"), urlsafe] {
        assert_eq!(MasterKey::parse(&text, "X").unwrap().id(), id, "{text}");
    }
    for text in ["", "short", &"fb".repeat(31), &"fb".repeat(33), &"gb".repeat(32), "passwordpasswordpasswordpassword"]
    {
        let error = MasterKey::parse(text, "WAYPOST_MASTER_KEY").unwrap_err();
        assert!(error.to_string().starts_with("WAYPOST_MASTER_KEY: this is no master key"), "{error}");
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
    assert_eq!(KeyId::parse(&id.to_string()), Some(id));
    assert_eq!(format!("{:?}", key(0xfb)), format!("MasterKey({id})"));
}

// === where it comes from ===

/// A folder that is removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waypost-seal-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }

    fn source(&self) -> KeySource {
        KeySource { text: None, file: None, beside: self.0.join("database/master.key") }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_key_is_made_once_and_only_its_owner_may_read_it() {
    let folder = Folder::new("made");
    let source = folder.source();
    let (made, origin) = source.find(None, [3; KEY_LEN]).unwrap();
    assert_eq!((made.id(), origin), (key(3).id(), KeyOrigin::Made(source.beside.clone())));
    let (found, origin) = source.find(Some(made.id()), [4; KEY_LEN]).unwrap();
    assert_eq!((found.id(), origin), (made.id(), KeyOrigin::File(source.beside.clone())));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&source.beside).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(folder.0.join("database")).unwrap().count(), 1, "a draft was left behind");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("exposed");
    let source = folder.source();
    source.find(None, [3; KEY_LEN]).unwrap();
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&source.beside, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = source.find(None, [4; KEY_LEN]).unwrap_err();
        assert_eq!(error, SealError::Exposed { path: source.beside.display().to_string(), mode });
        assert!(error.to_string().contains("chmod 600"));
    }
}

#[test]
fn no_key_or_another_one_is_an_error_once_something_is_sealed() {
    let folder = Folder::new("missing");
    let known = key(1).id();
    assert_eq!(folder.source().find(Some(known), [3; KEY_LEN]).unwrap_err(), SealError::Missing { expected: known });
    assert!(!folder.source().beside.exists(), "a key was made that opens nothing");
    let named = KeySource { file: Some(folder.0.join("none")), ..folder.source() };
    assert!(matches!(named.find(None, [3; KEY_LEN]).unwrap_err(), SealError::File { .. }));
    let text = |digits: &str| Some((Secret::new(digits.repeat(32)), "WAYPOST_MASTER_KEY".to_owned()));
    let other = KeySource { text: text("02"), ..folder.source() };
    let error = other.find(Some(known), [3; KEY_LEN]).unwrap_err();
    assert_eq!(error, SealError::OtherKey { expected: known, found: key(2).id() });
    let right = KeySource { text: text("01"), ..named };
    assert_eq!(right.find(Some(known), [3; KEY_LEN]).unwrap().1, KeyOrigin::Text);
}

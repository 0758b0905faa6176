//! How the keys that the gateway makes are written: `wp-`, 256 random bits in base 62, and a check character.
//! Knows neither where the bits come from nor what a key may do. Tests are below.

use crate::secret::Secret;

/// What every key of ours begins with.
pub const PREFIX: &str = "wp-";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The fewest digits of base 62 that hold 256 bits.
const LENGTH: usize = 43;

/// The key made of these bits: 47 letters and digits after one another, so that a double click takes all of it.
pub fn write(bits: [u8; 32]) -> Secret {
    let mut number = bits;
    let digits: Vec<usize> = (0..LENGTH).map(|_| divide(&mut number)).collect();
    let check = check(digits.iter().copied());
    let letters = digits.into_iter().chain([check]);
    let text = letters.filter_map(|digit| DIGITS.get(digit)).map(|digit| char::from(*digit));
    Secret::new(PREFIX.chars().chain(text).collect::<String>())
}

/// Has it the form of a key of ours, and cannot be one? True of every key of ours with one wrong character. Keys of other forms may
/// come from elsewhere and are never mistyped.
pub fn is_mistyped(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX).filter(|rest| rest.len() == LENGTH + 1) else { return false };
    let digits: Option<Vec<usize>> = rest.bytes().map(|byte| DIGITS.iter().position(|digit| *digit == byte)).collect();
    let Some((last, digits)) = digits.as_deref().and_then(<[usize]>::split_last) else { return false };
    check(digits.iter().copied()) != *last
}

/// The last four characters: enough to tell keys apart in a list, too few to be of use.
pub fn hint(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    // Of a short key nothing is told.
    if letters.len() < 16 {
        return String::new();
    }
    letters.iter().skip(letters.len() - 4).collect()
}

/// Divides a big number by 62 in place and gives the remainder.
fn divide(number: &mut [u8; 32]) -> usize {
    let mut rest = 0_usize;
    for byte in number.iter_mut() {
        let value = rest * 256 + usize::from(*byte);
        *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
        rest = value % 62;
    }
    rest
}

/// Each place has a weight that has an inverse modulo 62, so that no single change is missed.
fn check(digits: impl Iterator<Item = usize>) -> usize {
    const WEIGHTS: [usize; 30] = [
        1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59,
        61,
    ];
    digits.zip(WEIGHTS.iter().cycle()).map(|(digit, weight)| digit * weight).sum::<usize>() % 62
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_47_letters_and_holds_all_its_bits() {
        assert_eq!(write([0; 32]).expose(), format!("wp-{}", "0".repeat(44)));
        let most = write([255; 32]);
        assert!(most.expose().len() == 47 && most.expose().bytes().skip(3).all(|byte| byte.is_ascii_alphanumeric()));
        let mut other = [255; 32];
        other[0] = 254;
        assert_ne!(write(other), most);
        other[0] = 255;
        other[31] = 254;
        assert_ne!(write(other), most);
    }

    #[test]
    fn every_single_wrong_character_is_noticed() {
        let key = write(std::array::from_fn(|at| u8::try_from(at * 7 % 251).unwrap()));
        assert!(!is_mistyped(key.expose()));
        for place in 3..key.expose().len() {
            for digit in DIGITS {
                let mut typed = key.expose().to_owned().into_bytes();
                typed[place] = *digit;
                let typed = String::from_utf8(typed).unwrap();
                assert_eq!(is_mistyped(&typed), typed != key.expose(), "{place}");
            }
        }
    }

    #[test]
    fn keys_of_other_forms_are_nobodys_typing_error() {
        for key in [
            "",
            "wp-",
            "wp-simulator",
            "sk-0123456789",
            &format!("wp-{}", "f".repeat(64)),
            &format!("wp-{}", "é".repeat(22)),
        ] {
            assert!(!is_mistyped(key), "{key}");
        }
    }

    #[test]
    fn a_hint_is_four_characters_of_a_long_key_and_nothing_of_a_short_one() {
        assert_eq!((hint("wp-test-key-0123456789"), hint("0123456789abcde")), ("6789".to_owned(), String::new()));
    }
}

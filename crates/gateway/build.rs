//! Lays out the o200k_base vocabulary and Unicode's letter classes as flat tables that the binary reads in place.
//!
//! The published tokenizer crates build maps on the heap: 46 to 68 MB that stay for good after the first count. Flat
//! tables cost three megabytes of the binary, of which only the pages that are used are ever loaded.
//! `src/tokens.rs` reads them; its tests compare every answer with the crate that the vocabulary comes from.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use regex_syntax::hir::{Class, HirKind};

#[path = "src/tokens/hash.rs"]
mod hash;

const SLOT_BITS: u32 = 18;
const TAG_BITS: u32 = 14;
/// Ranks below this are tokens that merging can reach; the few above are control tokens, which text never gives.
const TOKENS: u32 = 199_998;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/tokens/hash.rs");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let vocabulary = tiktoken_rs::o200k_base()?;
    let mut offsets = Vec::new();
    let mut text = Vec::new();
    let mut slots = vec![u32::MAX; 1 << SLOT_BITS];
    for rank in 0..TOKENS {
        let token = vocabulary.decode_bytes(&[rank])?;
        offsets.extend_from_slice(&u32::try_from(text.len())?.to_le_bytes());
        let (mut slot, tag) = hash::slot_and_tag(&token, SLOT_BITS, TAG_BITS);
        while slots[slot] != u32::MAX {
            slot = (slot + 1) % slots.len();
        }
        slots[slot] = (tag << SLOT_BITS) | rank;
        text.extend_from_slice(&token);
    }
    offsets.extend_from_slice(&u32::try_from(text.len())?.to_le_bytes());
    let slots: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
    fs::write(out.join("o200k.slots"), slots)?;
    fs::write(out.join("o200k.offsets"), offsets)?;
    fs::write(out.join("o200k.text"), text)?;
    let (blocks, index) = letter_classes()?;
    fs::write(out.join("letters.blocks"), blocks)?;
    fs::write(out.join("letters.index"), index)?;
    Ok(())
}

/// One byte per code point, in blocks of 256 of which equal ones are kept once; the index names each block, one byte each.
fn letter_classes() -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let mut classes = vec![0_u8; 0x11_0000];
    let rows = [
        (r"[\p{Lu}\p{Lt}]", 1),
        (r"\p{Ll}", 2),
        (r"[\p{Lm}\p{Lo}]", 3),
        (r"\p{M}", 4),
        (r"\p{N}", 5),
        (r"\s", 6),
        (r"[\r\n]", 7),
    ];
    for (pattern, class) in rows {
        let parsed = regex_syntax::parse(pattern)?;
        let HirKind::Class(Class::Unicode(ranges)) = parsed.kind() else {
            return Err(format!("{pattern} is not a class of characters").into());
        };
        for range in ranges.iter() {
            classes[range.start() as usize..=range.end() as usize].fill(class);
        }
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut index = Vec::new();
    for block in classes.chunks(256) {
        let at = kept.iter().position(|known| *known == block);
        let at = at.unwrap_or_else(|| {
            kept.push(block);
            kept.len() - 1
        });
        index.push(u8::try_from(at)?);
    }
    Ok((kept.concat(), index))
}

//! Where the running kernel has the members of its structures, by its own type information (BTF): aya relocates by it, but
//! tells no offsets.

use anyhow::{Context as _, Result, bail};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
/// Anonymous members lie in few others.
const DEEPEST: usize = 8;

/// The kernel's types, as they lie in its file.
pub(super) struct Btf {
    bytes: Vec<u8>,
    /// Where the record of each type begins; number 0 is void.
    types: Vec<usize>,
    strings: usize,
}

/// The kinds that lead to a structure, or are one.
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TRANSPARENT: [u32; 6] = [8, 9, 10, 11, 18, 2];

impl Btf {
    pub(super) fn of_kernel() -> Result<Self> {
        let bytes = std::fs::read(VMLINUX).with_context(|| format!("reading {VMLINUX}"))?;
        Self::parse(bytes).with_context(|| format!("reading {VMLINUX}"))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        let mut btf = Self {
            bytes,
            types: vec![0],
            strings: 0,
        };
        let magic = btf.bytes.get(..2).map(|two| u16::from_ne_bytes([two[0], two[1]]));
        if magic != Some(MAGIC) {
            bail!("it is no type information");
        }
        let header = btf.word(4)? as usize;
        let (at, length) = (btf.word(8)? as usize, btf.word(12)? as usize);
        btf.strings = header + btf.word(16)? as usize;
        let (mut at, end) = (header + at, header + at + length);
        while at < end {
            btf.types.push(at);
            at += 12 + btf.size_behind(at)?;
        }
        Ok(btf)
    }

    /// Bytes from the beginning of a structure to a member of it; `path` goes on in the member's own structure.
    pub(super) fn offset(&self, structure: &str, path: &[&str]) -> Result<u32> {
        let is_it =
            |at: &&usize| self.kind(**at) == Ok(STRUCT) && self.name(**at) == Some(structure.as_bytes());
        let at = self.types[1..].iter().find(is_it);
        let mut at = *at.with_context(|| format!("there is no struct {structure}"))?;
        let mut bits = 0;
        for name in path {
            let (offset, member) = self
                .member(at, name, DEEPEST)
                .with_context(|| format!("struct {structure} has no {name}"))?;
            bits += offset;
            at = self.resolve(member).unwrap_or(at);
        }
        Ok(bits / 8)
    }

    /// The bits before a member, and its type; those of anonymous members count as the structure's.
    fn member(&self, at: usize, name: &str, depth: usize) -> Option<(u32, u32)> {
        let info = self.word(at + 4).ok()?;
        let offsets = if info >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
        let members = (0..(info & 0xffff) as usize).map(|index| at + 12 + 12 * index);
        for member in members {
            let (kind, offset) = (self.word(member + 4).ok()?, self.word(member + 8).ok()? & offsets);
            match self.name(member) {
                Some(found) if found == name.as_bytes() => return Some((offset, kind)),
                Some(b"") if depth > 0 => {
                    let inner = self
                        .resolve(kind)
                        .and_then(|inner| self.member(inner, name, depth - 1));
                    if let Some((further, kind)) = inner {
                        return Some((offset + further, kind));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The structure behind names, qualifiers and pointers.
    fn resolve(&self, number: u32) -> Option<usize> {
        let mut number = number;
        for _ in 0..DEEPEST {
            let at = *self.types.get(number as usize)?;
            match self.kind(at).ok()? {
                STRUCT | UNION => return Some(at),
                kind if TRANSPARENT.contains(&kind) => number = self.word(at + 8).ok()?,
                _ => return None,
            }
        }
        None
    }

    /// What follows a type's first three words.
    fn size_behind(&self, at: usize) -> Result<usize> {
        let count = (self.word(at + 4)? & 0xffff) as usize;
        Ok(match self.kind(at).map_err(anyhow::Error::msg)? {
            1 | 14 | 17 => 4,
            3 => 12,
            STRUCT | UNION | 15 | 19 => 12 * count,
            6 | 13 => 8 * count,
            2 | 7..=12 | 16 | 18 => 0,
            kind => bail!("a type of the unknown kind {kind}"),
        })
    }

    fn kind(&self, at: usize) -> Result<u32, &'static str> {
        let info = self.word(at + 4).map_err(|_| "it is cut short")?;
        Ok((info >> 24) & 0x1f)
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        let from = self.strings + self.word(at).ok()? as usize;
        self.bytes.get(from..)?.split(|byte| *byte == 0).next()
    }

    fn word(&self, at: usize) -> Result<u32> {
        let word = self.bytes.get(at..at + 4).context("it is cut short")?;
        Ok(u32::from_ne_bytes(word.try_into().expect("four bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_in_anonymous_ones_and_behind_names() {
        // struct outer { struct { u32 a; union { u32 b; named c; } } }; typedef struct { u32 x; u32 y; } named;
        let strings = b"\0outer\0a\0b\0c\0named\0x\0y\0u32\0";
        let name = |text: &[u8]| {
            let with_ends = [b"\0", text, b"\0"].concat();
            let found = strings
                .windows(with_ends.len())
                .position(|window| window == with_ends);
            found.map_or(0, |at| at as u32 + 1)
        };
        let (record, union) = (4 << 24, 5 << 24);
        let types: Vec<[u32; 3]> = vec![
            [name(b"u32"), 1 << 24, 4],       // 1
            [0, 0, 0],                        // the integer's encoding, one word of these
            [name(b"outer"), record | 1, 12], // 2
            [0, 3, 0],
            [0, record | 2, 12], // 3
            [name(b"a"), 1, 0],
            [0, 4, 32],
            [0, union | 2, 8], // 4
            [name(b"b"), 1, 0],
            [name(b"c"), 5, 0],
            [name(b"named"), 8 << 24, 6], // 5
            [0, record | 2, 8],           // 6
            [name(b"x"), 1, 0],
            [name(b"y"), 1, 32],
        ];
        let mut words: Vec<u32> = types.concat();
        words.drain(4..6);
        let length = words.len() as u32 * 4;
        let mut bytes: Vec<u8> = [
            u32::from(MAGIC) | 1 << 16,
            24,
            0,
            length,
            length,
            strings.len() as u32,
        ]
        .iter()
        .chain(&words)
        .flat_map(|word| word.to_ne_bytes())
        .collect();
        bytes.extend(strings);
        let btf = Btf::parse(bytes).expect("types");
        assert_eq!(btf.offset("outer", &["a"]).expect("a"), 0);
        assert_eq!(btf.offset("outer", &["b"]).expect("b"), 4);
        assert_eq!(btf.offset("outer", &["c", "y"]).expect("y"), 8);
        assert!(btf.offset("outer", &["z"]).is_err() && btf.offset("inner", &["a"]).is_err());
        assert!(Btf::parse(vec![1, 2, 3]).is_err());
    }

    #[test]
    fn the_running_kernels_devices_have_numbers_and_namespaces() {
        let Ok(btf) = Btf::of_kernel() else {
            return eprintln!("NOT RUN: the kernel tells no types");
        };
        for path in [&["ifindex"][..], &["nd_net", "net"]] {
            assert!(btf.offset("net_device", path).expect("a member") > 0);
        }
        assert!(btf.offset("net", &["ns", "inum"]).expect("a member") > 0);
    }
}

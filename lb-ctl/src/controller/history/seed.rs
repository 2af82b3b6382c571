//! The hash seed, which is kept in the state directory unless it is given.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::directory::PRIVATE_FILE;

const SEED_FILE: &str = "hash-seed";

/// The seed that was kept, or a new random one, which is kept. One that can't be read is never replaced: with another
/// seed, every host of the fleet and every later start would choose other endpoints.
pub fn kept_seed(directory: &Path) -> anyhow::Result<u128> {
    let path = directory.join(SEED_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => u128::from_str_radix(text.trim(), 16).with_context(|| {
            format!(
                "{} does not hold 32 hexadecimal digits; restore it, or give --hash-seed",
                path.display()
            )
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let seed = crate::random::bits().context("reading /dev/urandom")?;
            replace(&path, format!("{seed:032x}\n").as_bytes())
                .with_context(|| format!("writing {}", path.display()))?;
            Ok(seed)
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "reading {}, which holds the hash seed: restore it, or give --hash-seed",
                path.display()
            )
        }),
    }
}

/// Whole or not at all, also after a loss of power. Readable by the owner alone: the seed is a secret.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE_FILE)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_seed_is_random_and_kept_for_the_owner_alone() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let seed = kept_seed(one.path()).expect("a new seed");
        assert_eq!(kept_seed(one.path()).expect("the kept seed"), seed);
        assert_ne!(kept_seed(other.path()).expect("another seed"), seed);
        let file = fs::metadata(one.path().join(SEED_FILE)).expect("the file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_seed_that_cant_be_read_is_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(SEED_FILE);
        for damaged in [&b"not a seed"[..], b"", b"\xff\xfe"] {
            fs::write(&path, damaged).expect("writing");
            let error = kept_seed(directory.path())
                .expect_err("a damaged seed")
                .to_string();
            assert!(
                error.contains("hash-seed") && error.contains("--hash-seed"),
                "{error}"
            );
            assert_eq!(fs::read(&path).expect("it is there"), damaged);
        }
        fs::remove_file(&path).expect("removing");
        fs::create_dir(&path).expect("what is no file at all");
        kept_seed(directory.path()).expect_err("no file");
        assert!(path.is_dir());
    }
}

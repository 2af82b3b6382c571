//! What must hold of a compiled kernel object before anything loads it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSymbol};

/// A surviving panic is a bounds check that the optimiser kept; the verifier would refuse it with a far worse message.
pub(crate) fn check(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("parsing {}", path.display()))?;
    let names: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    let panics = panic_symbols(&names);
    if !panics.is_empty() {
        bail!("{} can panic: it refers to {}", path.display(), panics.join(", "));
    }
    if file.section_by_name(".BTF").is_none() {
        bail!("{} carries no BTF", path.display());
    }
    Ok(())
}

fn panic_symbols<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names
        .iter()
        .copied()
        .filter(|name| name.contains("core9panicking"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mangled_panics_are_found_in_both_manglings() {
        let names = [
            "_ZN4core9panicking5panic17h0E",
            "_RNvNtCs1_4core9panicking9panic_fmt",
            "lb_xdp",
        ];
        assert_eq!(panic_symbols(&names), names[..2]);
    }
}

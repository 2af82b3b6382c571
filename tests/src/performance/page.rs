//! Text with tables between marks: `<!-- table NAME -->` and `<!-- end -->`, each on a line of its own.

use anyhow::{Context as _, Result, ensure};

/// A table by its name.
pub(super) type Table = (&'static str, String);

const START: &str = "<!-- table ";
const END: &str = "<!-- end -->";

/// The same text with these tables between its marks. Each must have a place.
pub(super) fn filled(page: &str, tables: &[Table]) -> Result<String> {
    let mut text = String::new();
    let mut placed = Vec::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(START) {
        let (name, after) = after.split_once(" -->").context("a mark has no end")?;
        let mut named = tables.iter().filter(|(known, _)| *known == name);
        let (_, table) = named
            .next()
            .with_context(|| format!("no table is called {name}"))?;
        let (_, after) = after
            .split_once(END)
            .with_context(|| format!("the table {name} has no {END}"))?;
        text += &format!("{before}{START}{name} -->\n\n{table}\n{END}");
        placed.push(name);
        rest = after;
    }
    for (name, _) in tables {
        ensure!(placed.contains(name), "the table {name} has no place");
    }
    Ok(text + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "before\n\n<!-- table a -->\nold\n<!-- end -->\n\nafter\n";

    #[test]
    fn what_is_between_marks_is_replaced() {
        let once = filled(PAGE, &[("a", "| new |\n".to_owned())]).expect("a page");
        assert_eq!(
            once,
            "before\n\n<!-- table a -->\n\n| new |\n\n<!-- end -->\n\nafter\n"
        );
        assert_eq!(
            filled(&once, &[("a", "| new |\n".to_owned())]).expect("a page"),
            once
        );
    }

    #[test]
    fn every_table_has_a_place_and_every_place_a_table() {
        let table = |name| (name, String::new());
        assert!(filled(PAGE, &[table("a"), table("b")]).is_err());
        assert!(filled(PAGE, &[table("b")]).is_err());
        assert!(filled("<!-- table a -->\n", &[table("a")]).is_err());
    }
}

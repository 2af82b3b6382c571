//! Which items of a list are shown, and in what order: `--filter`, `--sort-by`, `--limit`, `--page-size`, `--uri`.

use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use super::super::options::Shape;
use super::{Failure, Streams};
use crate::output::{Data, Filter, Format, Listing, SortKey, SyntaxError};

#[derive(Debug, Args)]
pub(in crate::cli) struct Selection {
    /// Only items that the expression holds for, such as "region:europe-west4 AND name~^web".
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<Filter>,
    /// Order by these fields; a ~ before one turns its order around.
    #[arg(long, value_name = "FIELD,…", value_delimiter = ',')]
    sort_by: Vec<SortKey>,
    /// List at most so many.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Repeat a table's header after so many rows.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: Option<u32>,
    /// Print URLs only.
    #[arg(long, conflicts_with = "format")]
    uri: bool,
    #[command(flatten)]
    shape: Shape,
}

impl Selection {
    pub(in crate::cli) fn print(
        &self,
        streams: &mut Streams<'_>,
        items: Vec<Value>,
        listing: Listing,
    ) -> Result<(), Failure> {
        let items = self.select(items);
        let format = self
            .format(listing)
            .map_err(|error| Failure::failed(error.to_string()))?;
        let page = match self.page_size {
            Some(size) if format.is_table() => size as usize,
            _ => items.len().max(1),
        };
        if items.is_empty() {
            format.print(streams.out, Data::Many(&[]))?;
            streams.out.flush()?;
            writeln!(streams.err, "Listed 0 items.")?;
        }
        for page in items.chunks(page) {
            format.print(streams.out, Data::Many(page))?;
        }
        Ok(())
    }

    fn select(&self, mut items: Vec<Value>) -> Vec<Value> {
        items.sort_by(|a, b| SortKey::compare(&self.sort_by, a, b));
        if let Some(filter) = &self.filter {
            items.retain(|item| filter.admits(item));
        }
        items.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        items
    }

    fn format(&self, listing: Listing) -> Result<Format, SyntaxError> {
        if self.uri {
            return Format::from_str("value(uri())");
        }
        let format = self.shape.format.clone().unwrap_or_else(Format::table);
        Ok(format.or_columns_of(&listing.columns()))
    }
}

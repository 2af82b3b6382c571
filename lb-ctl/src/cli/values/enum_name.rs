//! The name of a value of an enumeration, in any case and with dashes: `per-session` is `PER_SESSION`.
//!
//! The daemon judges the name: it knows why a value that the cloud has can't be had here, and tells every fault at
//! once. The names given here are those that it takes, for help and completion.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};

#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct EnumName(pub(in crate::cli) &'static [&'static str]);

impl TypedValueParser for EnumName {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let text = value
            .to_str()
            .ok_or_else(|| clap::Error::new(ErrorKind::InvalidUtf8).with_cmd(command))?;
        Ok(text.replace('-', "_").to_uppercase())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

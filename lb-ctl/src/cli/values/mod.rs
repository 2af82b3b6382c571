//! What values of flags look like, as gcloud reads them, and the JSON that they become.

mod duration;
mod enum_name;
mod fields;
mod pairs;
#[cfg(test)]
mod tests;

pub(super) use self::duration::seconds;
pub(super) use self::enum_name::EnumName;
pub(super) use self::fields::Fields;
pub(super) use self::pairs::KeyValues;

/// A flag and its opposite, `--no-…`; the later one has won already.
pub(super) fn switch(yes: bool, no: bool) -> Option<bool> {
    match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// What is said when none of the flags was given.
pub(super) fn nothing_given<F: clap::Args>() -> super::Failure {
    let command = F::augment_args(clap::Command::new("flags"));
    let flags: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .map(|name| format!("--{name}"))
        .collect();
    super::Failure::Usage(format!(
        "nothing to change; give at least one of {}",
        flags.join(", ")
    ))
}

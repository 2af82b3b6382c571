//! The database library may panic on a file that is damaged, although that is no fault of the program. Here such a
//! panic becomes an error, and nothing is written about it but what the caller says.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or what the panic said. Nothing that `work` has changed may be used after a panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| quietly(panic, &loud)));
    });
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "it is not what it should be".to_owned())
            .replace('\n', " ")
    })
}

fn quietly(panic: &PanicHookInfo<'_>, loud: &(dyn Fn(&PanicHookInfo<'_>) + Send + Sync)) {
    if !CAUGHT.get() {
        loud(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_what_it_said() {
        assert_eq!(caught(|| 7), Ok(7));
        let damaged: Option<u32> = std::hint::black_box(None);
        let error = caught(|| damaged.expect("a page\nof the file")).expect_err("a panic");
        assert_eq!(error, "a page of the file");
    }
}
